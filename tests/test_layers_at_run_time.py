"""What is loaded when, looked at in `sys.modules` of a fresh interpreter: import-linter sees only what is written."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

DRIVERS = frozenset({"pyspark", "pysail", "py4j", "grpc", "pandas", "databricks", "delta"})
LATE = frozenset({"pyarrow", "numpy", "sqlglot", "deltalake", "rich"})
"""Not forbidden, but too slow for a handshake: loaded when they are first used."""

MODULES = [
    "lakehouse.session",
    "mcp_server.app",
    "mcp_server.cli",
    "mcp_server.engines.databricks.engine",
    "mcp_server.engines.embedded",
    "mcp_server.engines.spark",
    "mcp_server.serve",
]


def loaded_by(code: str) -> set[str]:
    """The top-level modules in an interpreter that has run `code`."""
    report = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    found = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(found.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", MODULES)
def test_importing_the_server_loads_no_driver_and_nothing_slow(module: str) -> None:
    assert find_spec(module) is not None
    assert loaded_by(f"import {module}") & (DRIVERS | LATE) == set()


def test_a_server_that_has_answered_queries_still_holds_no_driver(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "t"), pa.table({"x": [1]}))
    answered = f"""
from mcp_server.settings import load_settings
from lakehouse.storage import Lake
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.models import GUARD_SEAL, CheckedQuery, Principal, RowLimit

engine = EmbeddedEngine(Lake.parse({str(tmp_path)!r}), load_settings())
sql = "SELECT x FROM t"
query = CheckedQuery(sql, sql, frozenset({{"t"}}), frozenset(), RowLimit(1), 60, Principal("x"), {{}}, (), GUARD_SEAL)
assert engine.execute(query, "one").table.num_rows == 1
assert engine.bounds("t") == {{"x": (1, 1)}}
engine.close()
"""
    loaded = loaded_by(answered)

    assert "pyarrow" in loaded
    assert loaded & DRIVERS == set()
