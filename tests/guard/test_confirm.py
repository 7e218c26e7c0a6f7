"""The engine's own reading: what it alone stops, and that a reading of another engine's version cannot slip through."""

from __future__ import annotations

import functools

import pytest

from lakehouse.errors import Refused
from mcp_server import checking
from mcp_server.guard.confirm import read_expected
from mcp_server.models import CheckedQuery, EngineReading
from tests.guard.conftest import PINS, SETTINGS, TABLES

SPARK = checking.Catalog("imdb", TABLES, PINS)
SAIL = checking.Catalog("imdb", TABLES, PINS, "sail")
QUERY = "SELECT upper(primaryTitle) FROM movies_delta JOIN ratings_delta USING (tconst)"
TREE = {"Project", "Join", "UnresolvedRelation", "RelationTimeTravel", "UnresolvedFunction", "UnresolvedAttribute"}
BOTH = {"imdb.movies_delta", "imdb.ratings_delta"}


def _parsed(
    tables: set[str] = BOTH, functions: frozenset[str] = frozenset({"upper"}), kinds: frozenset[str] = frozenset()
) -> EngineReading:
    return EngineReading("parsed", frozenset(tables), functions, TREE | kinds)


def _resolved(tables: set[str], kinds: set[str], functions: frozenset[str] = frozenset()) -> EngineReading:
    return EngineReading("resolved", frozenset(tables), functions, frozenset(kinds))


def _check(sql: str, catalog: checking.Catalog, *readings: EngineReading) -> checking.Checked:
    said = {reading.stage: reading for reading in readings}
    return checking.check(sql, **(SETTINGS | {"catalog": catalog}), read=lambda _sql, _tables, stage: said.get(stage))


def test_a_query_that_the_engine_reads_alike_is_allowed() -> None:
    leaves = _resolved(BOTH, {"LogicalRelation"})

    assert isinstance(_check(QUERY, SPARK, _parsed(), leaves), CheckedQuery)


@pytest.mark.parametrize(
    ("catalog", "reading", "code"),
    [
        (SPARK, _parsed({"imdb.movies_delta"}), "engine_reads_otherwise"),
        (SPARK, _parsed({*BOTH, "hr.salaries"}), "engine_reads_otherwise"),
        (SPARK, _parsed(functions=frozenset()), "engine_reads_otherwise"),
        (SPARK, _parsed(functions=frozenset({"upper", "lower"})), "engine_reads_otherwise"),
        (SPARK, _parsed(functions=frozenset({"upper", "reflect"})), "function_not_allowed"),
        (SPARK, _parsed(kinds=frozenset({"ScriptTransformation"})), "syntax_not_allowed"),
        (SPARK, _parsed(kinds=frozenset({"A.kind.that.comes.with.the.next.version"})), "syntax_not_allowed"),
        (SPARK, _resolved({*BOTH, "a table elsewhere"}, {"LogicalRelation"}), "other_schema"),
        (SPARK, _resolved({"imdb.principals_delta"}, {"LogicalRelation"}), "other_schema"),
        (SPARK, _resolved(BOTH, {"LogicalRelation", "LogicalRDD"}), "syntax_not_allowed"),
        (SAIL, _resolved({"?table?"}, {"TableScan"}), "other_schema"),
        (SAIL, _resolved({"imdb.crew_delta"}, {"TableScan"}), "other_schema"),
        (SAIL, _resolved(BOTH, {"TableScan", "FileWrite"}), "syntax_not_allowed"),
        (SAIL, _resolved(BOTH, {"TableScan"}, frozenset({"current_user"})), "function_not_allowed"),
    ],
)
def test_whatever_the_engine_reads_otherwise_is_refused(
    catalog: checking.Catalog, reading: EngineReading, code: str
) -> None:
    with pytest.raises(Refused) as refusal:
        _check(QUERY, catalog, reading)

    assert refusal.value.code == code
    assert len(str(refusal.value)) < 400


def test_no_word_within_a_string_or_a_name_excuses_a_call() -> None:
    reading = _resolved({"imdb.movies_delta"}, {"TableScan"}, frozenset({"current_user"}))

    for sql in (
        "SELECT * FROM movies_delta WHERE primaryTitle = 'the current_user()'",
        "SELECT primaryTitle AS `current_user(` FROM movies_delta",
    ):
        with pytest.raises(Refused) as refusal:
            _check(sql, SAIL, reading)
        assert refusal.value.code == "function_not_allowed"


@pytest.mark.parametrize(
    ("sql", "leaves"),
    [
        (QUERY, set()),
        (QUERY, {"imdb.movies_delta"}),
        ("WITH r AS (SELECT * FROM ratings_delta) SELECT (SELECT max(numVotes) FROM r), 'x' FROM movies_delta", set()),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM crew_delta)", set()),
    ],
)
@pytest.mark.parametrize(("catalog", "kind"), [(SAIL, "TableScan"), (SPARK, "LogicalRelation")])
def test_an_engine_that_does_not_see_a_table_of_the_statement_has_not_read_it(
    sql: str, leaves: set[str], catalog: checking.Catalog, kind: str
) -> None:
    with pytest.raises(Refused) as refusal:
        _check(sql, catalog, _resolved(leaves, {kind}))

    assert refusal.value.code == "engine_reads_otherwise"


def test_a_table_that_only_an_unused_name_reads_may_be_missing() -> None:
    sql = "WITH r AS (SELECT * FROM ratings_delta) SELECT * FROM movies_delta"

    for leaves in ({"imdb.movies_delta"}, BOTH):
        assert isinstance(_check(sql, SAIL, _resolved(leaves, {"TableScan"})), CheckedQuery)


def test_names_of_windows_may_hold_calls_that_the_parser_does_not_show() -> None:
    sql = "SELECT sum(numVotes) OVER w FROM ratings_delta WINDOW w AS (ORDER BY upper(tconst))"
    reading = _parsed({"imdb.ratings_delta"}, frozenset({"sum"}), frozenset({"WithWindowDefinition"}))

    assert isinstance(_check(sql, SPARK, reading), CheckedQuery)
    with pytest.raises(Refused):
        _check(
            sql, SPARK, _parsed({"imdb.ratings_delta"}, frozenset({"sum", "min"}), frozenset({"WithWindowDefinition"}))
        )


def test_the_engine_is_asked_for_what_would_run_and_last() -> None:
    asked: list[tuple[str, frozenset[str], str]] = []

    def read(sql: str, tables: frozenset[str], stage: str) -> None:
        asked.append((sql, tables, stage))

    ask = functools.partial(checking.check, **SETTINGS, read=read)
    with pytest.raises(Refused):
        ask("SELECT reflect('a')")
    assert asked == []
    checked = ask("SELECT * FROM RATINGS_DELTA -- x")
    assert isinstance(checked, CheckedQuery)
    assert asked == [(checked.sql, frozenset({"ratings_delta"}), stage) for stage in ("parsed", "resolved")]


def test_no_kind_that_writes_or_runs_a_program_is_on_a_list() -> None:
    for dialect, stage in (("spark", "parsed"), ("spark", "resolved"), ("sail", "resolved")):
        kinds = read_expected(dialect, stage).kinds  # type: ignore[arg-type]
        assert len(kinds) > 5
        words = (
            "Command",
            "Create",
            "Drop",
            "Insert",
            "Delete",
            "Write",
            "Script",
            "Identifier",
            "Parameter",
            "Execute",
        )
        assert [k for k in kinds if any(w in k for w in words) and k != "CreateNamedStruct"] == []
