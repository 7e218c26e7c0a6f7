"""A table for each feature of Delta, made by Spark: the embedded engine gives Spark's answers, or refuses by name.

`tests/data/delta/features.*` were made by `python -m tests.engines.feature_tables`.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator

import pytest

from lakehouse.errors import QueryError
from lakehouse.storage import Lake
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.engines.local import LocalEngine
from mcp_server.settings import load_settings
from tests.engines.feature_tables import ANSWERS, ARCHIVE, PLACE
from tests.engines.test_lakes import answer

LINES = [json.loads(line) for line in ANSWERS.read_text("utf-8").splitlines()]


REFUSED = {
    "SELECT * FROM voids ORDER BY id": "n is VOID",
    "SELECT sum(n) FROM voids": "n is VOID",
    "SELECT * FROM padded ORDER BY id": "c is CHAR(5)",
    "SELECT id, c, length(c) AS n FROM padded ORDER BY id": "c is CHAR(5)",
    "SELECT id FROM padded WHERE c = 'ab'": "c is CHAR(5)",
    "SELECT id, v:a, v:b[0], v:c.d FROM variants ORDER BY id": "a path after a colon",
    "SELECT id, CAST(v AS STRING) AS s FROM variants ORDER BY id": "a VARIANT that is cast",
    "SELECT array(v) AS a FROM variants ORDER BY id": "a holds VARIANT",
    "SELECT b / 7 FROM decimals ORDER BY id": "Arithmetic overflow",
    "SELECT a / 0.5, b / 0.5BD FROM decimals ORDER BY id": "Arithmetic overflow",
    "SELECT `back``tick`, id FROM quoted_column ORDER BY id": "has a character that no name here may have",
}
"""Statements that the embedded engine leaves to Spark, and a part of the reason."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEngine]:
    folder = tmp_path_factory.mktemp("features")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    for commit in (folder / "cloned" / "_delta_log").glob("*.json"):
        commit.write_text(commit.read_text("utf-8").replace(PLACE, str(folder)), "utf-8")
    made = EmbeddedEngine(Lake.parse(str(folder)), load_settings(state_dir=tmp_path_factory.mktemp("state")))
    yield made
    made.close()


def test_every_feature_is_answered_as_by_spark_or_refused_by_name(engine: LocalEngine) -> None:
    assert not [table for table in engine.tables() if table.problem]
    differing = []
    for line in LINES:
        expected = {key: line[key] for key in ("names", "types", "rows") if key in line}
        try:
            found = answer(engine, line["sql"])
        except QueryError as error:
            if line["sql"] not in REFUSED or REFUSED[line["sql"]] not in str(error):
                differing.append((line["sql"], expected, str(error)))
            continue
        rows = [repr(list(row)) for row in zip(*(each.to_pylist() for each in found.table.columns), strict=True)]
        got = {"names": found.table.column_names, "types": list(found.types), "rows": rows}
        if got != expected or line["sql"] in REFUSED:
            differing.append((line["sql"], expected, got))
    assert not differing
