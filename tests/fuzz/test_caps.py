"""The caps on execution are the last layer: what the guard cannot tell from the text ends at one of them.

Each is shown with the cap and without it. The ceiling on memory has its own tests in tests/engines/test_left_over.py.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from lakehouse.errors import QueryTimedOut
from mcp_server import checking, results
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.models import GUARD_SEAL, CheckedQuery, Principal, ResultSet, RowLimit
from mcp_server.terms import catalog_of, limits_of
from tests.fuzz.conftest import MAX_ROWS


def _checked(engine: EmbeddedEngine, sql: str) -> CheckedQuery:
    settings = engine.settings
    catalog = catalog_of(engine, engine.tables())
    found = checking.check(sql, catalog=catalog, limits=limits_of(settings), principal=Principal("fuzz"))
    assert isinstance(found, CheckedQuery)
    return found


def _run(engine: EmbeddedEngine, query: CheckedQuery) -> ResultSet:
    return engine.execute(query, uuid.uuid4().hex)


def test_the_row_limit_is_in_the_plan(engine: EmbeddedEngine) -> None:
    query = _checked(engine, "SELECT * FROM range(1000000)")

    assert _run(engine, query).table.num_rows == MAX_ROWS + 1
    assert _run(engine, replace(query, limit=RowLimit(5_000), seal=GUARD_SEAL)).table.num_rows == 5_001


def test_the_deadline_ends_what_never_lets_go(engine: EmbeddedEngine) -> None:
    query = _checked(engine, "SELECT levenshtein(repeat('a', 25000), repeat('b', 25000)) AS d")

    with pytest.raises(QueryTimedOut):
        _run(engine, replace(query, deadline_seconds=0.2, seal=GUARD_SEAL))

    assert _run(engine, replace(query, deadline_seconds=60.0, seal=GUARD_SEAL)).table.num_rows == 1


def test_cells_and_answers_are_cut(engine: EmbeddedEngine) -> None:
    query = _checked(engine, "SELECT repeat('a', 100000) AS a FROM range(40)")
    found = _run(engine, query)

    def size(caps: results.Caps) -> int:
        return len(results.shape(found, query.limit, caps, results.Origin("q", "embedded", 1)).text)

    assert size(results.Caps(payload_bytes=10**9, cell_chars=10**9)) > 4_000_000
    assert size(results.Caps(payload_bytes=10**9, cell_chars=100)) < 10_000
    assert size(results.Caps(payload_bytes=10_000, cell_chars=10**9)) < 10_000
