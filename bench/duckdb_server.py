"""`mcp-server-motherduck` over the same Parquet files as the lake's Delta tables, in an environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import sqlglot
from anyio.from_thread import BlockingPortal
from platformdirs import user_cache_path

from bench.contenders import MOST_ROWS, Contender, McpContender
from lakehouse.delta import DataPaths, LogFolder, read_snapshot
from lakehouse.manifest import Manifest
from lakehouse.quoting import quote_literal

PACKAGES = ("mcp-server-motherduck==1.1.0", "duckdb==1.5.6")
"""Pinned: results are those of these versions."""
_MOST_CHARS = 10_000_000
"""Characters of an answer: as many as its rows have, as with the other contenders."""

_SAME_WORDS = frozenset({"(", ")", ",", "AS"})
"""What two spellings of one thing may differ in."""


def make_environment(folder: Path | None = None) -> Path:
    """Make the environment where it is missing, from PyPI. Returns its folder of programs."""
    name = re.sub(r"[^\w.]+", "-", "_".join(PACKAGES))
    home = folder or user_cache_path("imdb-lakehouse-bench") / name
    programs = home / "bin"
    if not (programs / "mcp-server-motherduck").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(programs / "pip"), "install", "--quiet", *PACKAGES], check=True)
    return programs


def list_live_files(lake: Path, manifest: Manifest) -> dict[str, list[str]]:
    """The data files of each table at the version that the manifest names."""
    found = {}
    for name, entry in manifest.tables.items():
        table = lake / entry.path
        snapshot = read_snapshot(LogFolder(table), entry.version)
        paths = DataPaths(table, lake)
        found[name] = [str(paths.find(add["path"])) for add in snapshot.adds]
    return found


def write_database(programs: Path, database: Path, files: dict[str, list[str]]) -> None:
    """Write a DuckDB file with a view for each table, by the DuckDB of the environment: its format may be newer."""
    views = [
        f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{', '.join(map(quote_literal, paths))}])"
        for name, paths in files.items()
    ]
    program = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.stdin.read())"
    command = [str(programs / "python"), "-c", program, str(database)]
    subprocess.run(command, input=";\n".join(views), text=True, check=True)


def make_duckdb_server(programs: Path, database: Path, limit_seconds: float, portal: BlockingPortal) -> Contender:
    """The server as its page starts it: read-only, with a connection for each query."""
    command = [str(programs / "mcp-server-motherduck"), "--db-path", str(database)]
    command += ["--max-rows", str(MOST_ROWS), "--max-chars", str(_MOST_CHARS)]
    environment = {name: value for name, value in os.environ.items() if name.lower() != "motherduck_token"}
    environment |= {"FASTMCP_CHECK_FOR_UPDATES": "off", "FASTMCP_SHOW_SERVER_BANNER": "false"}
    log = database.with_suffix(".log")
    return McpContender("duckdb", limit_seconds, portal, command, environment, ("execute_query", "sql", {}), log)


def to_duckdb(sql: str) -> str:
    """Rewrite Spark SQL as DuckDB's."""
    return sqlglot.transpile(sql, read="spark", write="duckdb")[0]


def list_changes(sql: str) -> str:
    """The words that `to_duckdb` takes out of a statement and those that it puts in: `DIV → //`."""
    before, after = Counter(_split_words(sql, "spark")), Counter(_split_words(to_duckdb(sql), "duckdb"))
    gone, new = (list((one - other).keys() - _SAME_WORDS) for one, other in ((before, after), (after, before)))
    return f"{' '.join(sorted(gone)) or '–'} → {' '.join(sorted(new)) or '–'}" if gone or new else ""


def _split_words(sql: str, dialect: str) -> list[str]:
    return [token.text.upper() for token in sqlglot.tokenize(sql, dialect=dialect)]
