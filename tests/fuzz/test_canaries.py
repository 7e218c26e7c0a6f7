"""The canaries sing: whatever gets past the guard is noticed. Statements here are given to the engine unchecked."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path

import pytest

from lakehouse.errors import QueryError
from mcp_server import checking
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.models import GUARD_SEAL, CheckedQuery, Principal, RowLimit
from mcp_server.settings import Settings
from mcp_server.terms import limits_of
from tests.fuzz.canaries import MARKER, VARIABLE, Canaries, guarded
from tests.fuzz.run import Broken, Found, execute


def _unchecked(sql: str) -> CheckedQuery:
    nobody = Principal("nobody")
    return CheckedQuery(sql, sql, frozenset(), frozenset(), RowLimit(10), 20.0, nobody, {}, (), GUARD_SEAL)


@pytest.mark.parametrize("relation", ["hr.salaries", "salaries", "delta.`{0.table}`", "text.`{0.file}`"])
def test_an_engine_without_a_guard_reads_what_is_forbidden(
    relation: str, engine: EmbeddedEngine, canaries: Canaries
) -> None:
    sql = f"SELECT * FROM {relation.format(canaries.targets)}"

    assert MARKER in str(engine.execute(_unchecked(sql), uuid.uuid4().hex).table.to_pylist())


def test_an_engine_without_a_guard_calls_whom_it_is_told(engine: EmbeddedEngine, canaries: Canaries) -> None:
    sql = f"SELECT * FROM parquet.`{canaries.targets.address}`"

    with pytest.raises(QueryError):
        engine.execute(_unchecked(sql), uuid.uuid4().hex)

    assert canaries.calls
    canaries.calls.clear()


def test_the_secret_is_in_the_environment_of_the_engine(engine: EmbeddedEngine) -> None:
    engine.start()

    assert f"{VARIABLE}={MARKER}" in Path(f"/proc/{engine.process_id}/environ").read_text("utf-8")


def test_a_file_that_was_written_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    with guarded(tmp_path / "lake") as canaries:
        assert canaries.disturbed() == []
        (tmp_path / "lake" / "new").write_text("x", "utf-8")
        (tmp_path / "secret.txt").write_text("x", "utf-8")

        assert canaries.disturbed() == ["lake/new", "secret.txt"]


@pytest.mark.parametrize("sql", ["SELECT {}", "SELECT CAST({} AS INT)"], ids=["answer", "error"])
def test_a_marker_in_an_answer_or_an_error_is_noticed(sql: str, engine: EmbeddedEngine) -> None:
    with pytest.raises(Broken, match="a marker came out"):
        execute(engine, [sql.format(f"concat('{MARKER[:4]}', '{MARKER[4:]}')")], 1, Found())


def test_a_marker_in_the_log_is_noticed(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def talkative(_: Settings) -> checking.Limits:
        logging.getLogger("mcp_server").debug("%s", MARKER)
        return limits_of(engine.settings)

    monkeypatch.setattr("mcp_server.statement.limits_of", talkative)
    with pytest.raises(Broken, match="a marker came out"):
        execute(engine, ["SELECT 1"], 1, Found())
