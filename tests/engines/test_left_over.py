"""What the guard cannot know from a text, each allowed by it, and which limit of the engine ends it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from lakehouse.errors import QueryFailed, QueryTimedOut, ResourceLimit
from lakehouse.storage import Lake
from mcp_server import checking
from mcp_server.engines.local import LocalEngine
from mcp_server.models import CheckedQuery, Principal
from mcp_server.settings import Settings
from mcp_server.terms import catalog_of
from tests.engines.conftest import ENGINES

MEMORY_MB = 1_024
SECONDS = 8.0
FEW_SECONDS = 4.0
"""For what works on all cores until its time is over."""
PATIENCE = 120.0
"""For what must be answered: a JVM may have to start for it."""

POOR_KEY = (
    "SELECT max(length(concat(a.word, b.word))) FROM (SELECT word, id % 2 AS k FROM many) a "
    "JOIN (SELECT word, id % 2 AS k FROM many) b ON a.k = b.k"
)
REPEATED = "SELECT max(length(repeat(word, id))) FROM (SELECT word, int(id) AS id FROM many)"
LONG_LISTS = "SELECT max(size(sequence(0L, id * id))) FROM many"
DOUBLING = "SELECT length(aggregate(sequence(1, 60), 'xy', (a, i) -> concat(a, a)))"
LIST_OF_LISTS = "SELECT max(size(transform(l, x -> l))) FROM (SELECT collect_list(word) AS l FROM many)"
BACKTRACKING = "SELECT count(*) FROM many WHERE concat(repeat('a', 40), word) RLIKE '^(.*a){20}b$'"

Run = Callable[..., object]


def running(kind: str, lake: Lake, settings: Settings) -> Iterator[Run]:
    """An engine with little memory and time: the rows that a statement gave, allowed by the guard."""
    engine: LocalEngine = ENGINES[kind](lake, settings)
    catalog = catalog_of(engine, engine.tables())

    def run(sql: str, seconds: float = PATIENCE) -> object:
        limits = checking.Limits(100, 10_000, seconds)
        checked = checking.check(sql, catalog=catalog, limits=limits, principal=Principal("tester"))
        assert isinstance(checked, CheckedQuery)
        return engine.execute(checked, uuid.uuid4().hex).table.to_pylist()

    run("SELECT 1")
    yield run
    engine.close()


@pytest.fixture(scope="module")
def embedded(lake: Lake, settings_of: Callable[..., Settings]) -> Iterator[Run]:
    yield from running("embedded", lake, settings_of(engine_memory_mb=MEMORY_MB))


@pytest.fixture(scope="module")
def spark(java: None, lake: Lake, settings_of: Callable[..., Settings]) -> Iterator[Run]:
    yield from running("spark", lake, settings_of(engine="spark", engine_memory_mb=MEMORY_MB))


@pytest.mark.parametrize(
    ("sql", "end"),
    [
        (POOR_KEY, QueryTimedOut),
        (REPEATED, ResourceLimit),
        (LONG_LISTS, QueryFailed),
        (DOUBLING, ResourceLimit),
        (LIST_OF_LISTS, ResourceLimit),
    ],
)
def test_the_embedded_engine_ends_what_only_data_can_tell_and_answers_the_next_call(
    embedded: Run, sql: str, end: type[Exception]
) -> None:
    with pytest.raises(end):
        embedded(sql, FEW_SECONDS if end is QueryTimedOut else SECONDS)

    assert embedded("SELECT 1 AS one") == [{"one": 1}]


@pytest.mark.parametrize("sql", [POOR_KEY, BACKTRACKING, DOUBLING])
def test_spark_ends_what_only_data_can_tell_and_answers_the_next_call(spark: Run, sql: str) -> None:
    with pytest.raises((QueryTimedOut, ResourceLimit)):  # a heap that fills up slows down first
        spark(sql, FEW_SECONDS)

    assert spark("SELECT 1 AS one") == [{"one": 1}]


def test_regular_expressions_do_not_go_back_and_forth_on_the_embedded_engine(embedded: Run) -> None:
    assert embedded(BACKTRACKING) == [{"count(1)": 0}]
