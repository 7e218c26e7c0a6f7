"""What engines say that they read: true, without anything having run, and enough to stand alone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from lakehouse.errors import LakehouseError, QueryFailed, Refused
from lakehouse.session import Stage
from mcp_server import checking
from mcp_server.engines.local import LocalEngine
from mcp_server.guard.confirm import read_expected
from mcp_server.guard.functions import function_policy
from mcp_server.models import EngineReading
from tests.conftest import ROOT
from tests.engines.conftest import Query, of_our_own
from tests.guard.conftest import SETTINGS

DATA = ROOT / "tests" / "data" / "guard"

Ask = Callable[..., EngineReading]

# The embedded engine has no parser to ask; and each of its queries has a session of its own, without any view.
only_spark = pytest.mark.parametrize("engine", ["spark"], indirect=True)


@pytest.fixture
def ask(engine: LocalEngine) -> Ask:
    """The last stage that the engine has, or the one that is asked for."""

    def read(sql: str, *tables: str, stage: Stage = "resolved") -> EngineReading:
        found = engine.read(sql, frozenset(tables), stage, uuid.uuid4().hex)
        assert found is not None
        return found

    return read


@of_our_own
def test_a_plan_reads_the_tables_that_it_names(ask: Ask) -> None:
    sql = (
        "WITH x AS (SELECT id FROM imdb.films VERSION AS OF 0) SELECT upper(title), (SELECT max(id) FROM x) "
        "FROM imdb.films JOIN imdb.many USING (id) WHERE id IN (SELECT id FROM x)"
    )

    assert ask(sql, "films", "many").tables == {"imdb.films", "imdb.many"}


_MARKS = (
    "x\n\n== Analyzed Logical Plan ==\ny",
    "\n\n== Optimized Logical Plan ==\n\n\n== Physical Plan ==\n",
    "== Parsed Logical Plan ==\nEmptyRelation\n\n== Analyzed Logical Plan ==\n#4: Utf8\n",
    "\n  TableScan: imdb.kinds\n    ScriptTransformation: x\nDirector\n",
    "current_user() -- */ reflect(",
    '{"class":"org.apache.spark.sql.catalyst.plans.logical.DropTable"}',
    '"\n\n== Analyzed Logical Plan ==\n"',
    ' Utf8("',
    '") Utf8(',
)
"""What looks like a part of an engine's own report. The last three could end or begin a string in it."""


@of_our_own
@pytest.mark.parametrize("mark", _MARKS)
def test_no_string_hides_or_adds_a_table_a_call_or_a_node(ask: Ask, engine: LocalEngine, mark: str) -> None:
    text = "'" + mark.replace("'", "\\'") + "'"
    sql = (
        "SELECT {0} AS a, named_struct({0}, id)[{0}], upper({0}) FROM imdb.films JOIN imdb.many USING (id) "
        "WHERE title LIKE {0} OR title IN ({0}, (SELECT max(word) FROM imdb.many WHERE word < {0})) "
        "ORDER BY title = {0}"
    )

    for stage in engine.capabilities.readings:
        plain = ask(sql.format("'x'"), "films", "many", stage=stage)
        try:
            marked = ask(sql.format(text), "films", "many", stage=stage)
        except QueryFailed as error:
            assert "a heading in the engine's plan" in str(error)  # noqa: PT017  (no answer is as good)
            assert engine.name == "embedded"
        else:
            assert marked.tables >= plain.tables if '"' in mark else marked == plain


@of_our_own
@pytest.mark.parametrize("mark", _MARKS)
def test_no_name_hides_a_table_or_a_call(ask: Ask, engine: LocalEngine, mark: str) -> None:
    """The guard refuses such names; the engine's reading stands without it."""
    sql = (
        "SELECT upper('a), reflect(\")') AS {0} FROM (SELECT id AS {0} FROM imdb.films) {0} JOIN imdb.many USING ({0})"
    )
    name = f"`{mark}`"

    for stage in engine.capabilities.readings:
        try:
            plain = ask(sql.format("id"), "films", "many", stage=stage)
            marked = ask(sql.replace("USING ({0})", "ON true").format(name), "films", "many", stage=stage)
        except QueryFailed:
            continue  # some engines have no such names
        assert plain.tables <= marked.tables
        assert plain.functions <= marked.functions


@of_our_own
def test_nothing_runs_while_an_engine_reads(ask: Ask, engine: LocalEngine, query: Query) -> None:
    before = engine.execute(query("SELECT count(*) FROM imdb.films", "films"), uuid.uuid4().hex).table.to_pylist()

    for stage in engine.capabilities.readings[:1]:
        for sql in (
            "DROP TABLE imdb.films",
            "DELETE FROM imdb.films",
            "EXPLAIN EXECUTE IMMEDIATE 'DROP TABLE imdb.films'",
        ):
            try:
                assert not ask(sql, "films", stage=stage).kinds <= _queries(engine, stage)
            except QueryFailed:
                continue  # Sail reads queries and nothing else

    after = engine.execute(query("SELECT count(*) FROM imdb.films", "films"), uuid.uuid4().hex).table.to_pylist()
    assert after == before


def _parser(ask: Ask) -> checking.Read:
    """The parser's reading alone: the tables of the corpora need not be there."""
    return lambda sql, _tables, stage: ask(sql, stage=stage) if stage == "parsed" else None


def _queries(engine: LocalEngine, stage: Stage) -> frozenset[str]:
    return read_expected(engine.capabilities.dialect, stage).kinds


def test_a_stage_that_an_engine_lacks_gives_no_reading(engine: LocalEngine) -> None:
    missing: set[Stage] = {"parsed", "resolved"} - set(engine.capabilities.readings)

    for stage in missing:
        assert engine.read("SELECT 1", frozenset(), stage, uuid.uuid4().hex) is None


@of_our_own
def test_a_path_is_no_table_of_the_lake(ask: Ask, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("nobody's business\n")

    try:
        tables = ask(f"SELECT * FROM text.`{secret}`").tables
        said = ""
    except QueryFailed as error:
        tables, said = frozenset({"refused"}), str(error)

    assert tables
    assert not any("imdb" in name or str(tmp_path) in name for name in tables)
    assert "nobody" not in said


@only_spark
def test_a_view_is_opened_to_its_leaves(engine: LocalEngine, ask: Ask, query: Query) -> None:
    for sql in (
        "CREATE OR REPLACE VIEW imdb.harmless AS SELECT * FROM imdb.many",
        "CREATE OR REPLACE VIEW imdb.outside AS SELECT * FROM VALUES (1) t(x) WHERE x IN (SELECT id FROM imdb.many)",
    ):
        engine.execute(query(sql, "films", "many"), uuid.uuid4().hex)

    assert ask("SELECT * FROM imdb.harmless", "many").tables == {"imdb.many"}
    assert ask("SELECT * FROM imdb.outside", "films").tables == {"a table elsewhere"}
    assert ask("SELECT (SELECT max(x) FROM imdb.outside) FROM imdb.films", "films").tables == {
        "imdb.films",
        "a table elsewhere",
    }


@of_our_own
def test_a_column_that_is_not_there_is_said_before_anything_runs(ask: Ask) -> None:
    with pytest.raises(QueryFailed, match="nothere"):
        ask("SELECT nothere FROM imdb.films", "films")


@only_spark
def test_every_allowed_call_is_read_alike_by_spark(engine: LocalEngine, ask: Ask) -> None:
    source = "FROM (SELECT startYear AS a FROM movies_delta) t"
    forms = ("(a)", "(a, a)", "(DISTINCT a)", "(a) FILTER (WHERE a > 1)", "(a) OVER (ORDER BY a)")

    told = {}
    for name in sorted(function_policy().allowed):
        for form in forms[:: 1 if function_policy().allowed[name] in {"aggregate", "window"} else 4]:
            try:
                checking.check(f"SELECT {name}{form} {source}", **SETTINGS, read=_parser(ask))
            except Refused as refusal:
                if refusal.code in {"engine_reads_otherwise", "syntax_not_allowed"}:
                    told[name + form] = str(refusal)
    assert told == {}


@only_spark
def test_sparks_parser_alone_stops_what_is_no_query(engine: LocalEngine, ask: Ask) -> None:
    """Of the hostile corpus, with the guard's own layers taken away: kinds of nodes, tables and functions."""
    lines = [json.loads(line) for line in (DATA / "hostile-open.jsonl").read_text("utf-8").splitlines()]
    classes = {
        "ddl",
        "dml",
        "dml-cte",
        "dml-export",
        "delta-maint",
        "session",
        "shell",
        "show",
        "multi",
        "script",
        "file",
    }
    known = {f"imdb.{table.name}" for table in SETTINGS["catalog"].tables} | {
        t.name for t in SETTINGS["catalog"].tables
    }

    passed = []
    for line in lines:
        if line["class"] not in classes:
            continue
        try:
            reading = ask(line["sql"], stage="parsed")
        except LakehouseError:
            continue
        kinds = reading.kinds <= _queries(engine, "parsed")
        if kinds and reading.tables <= known and not reading.functions & function_policy().refused.keys():
            passed.append(line["id"])
    assert passed == []


@only_spark
def test_both_readings_agree_on_every_honest_statement(engine: LocalEngine, ask: Ask) -> None:
    for file in ("honest-open.jsonl", "own-honest.jsonl"):
        for line in map(json.loads, (DATA / file).read_text("utf-8").splitlines()):
            checking.check(line["sql"], **SETTINGS, read=_parser(ask))  # raises where they do not
