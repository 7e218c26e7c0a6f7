"""What a sender repeats without end costs the guard no more than its length."""

from __future__ import annotations

import pytest

from lakehouse.errors import Refused
from lakehouse.nearest import nearest
from mcp_server.models import ShowTables, TableInfo
from mcp_server.results.listing import listing
from mcp_server.sql.lexer import tokenize
from tests.guard.conftest import CPU_SECONDS, TABLES, cpu_seconds
from tests.processor import timed

_LONG = 30_000

REPEATED = {
    "stars": "SHOW TABLES LIKE '" + "*" * _LONG + "x'",
    "stars and letters": "SHOW TABLES LIKE '" + "*a" * (_LONG // 2) + "x'",
    "choices": "SHOW TABLES LIKE '" + "*a|" * (_LONG // 3) + "'",
    "a hint of blanks": "SELECT /*+ MERGE" + " " * _LONG + "x */ 1",
    "a hint of merges": "SELECT /*+ " + "MERGE " * (_LONG // 6) + "x */ 1",
    "a hint of brackets": "SELECT /*+ " + "MERGE(a , b) , " * (_LONG // 16) + "( */ 1",
    "a format of zeros": "SELECT format_string('%" + "0" * _LONG + "', 1.5)",
    "a format of places": "SELECT format_string('" + "%1$" * (_LONG // 3) + "', 1.5)",
    "a place of digits": "SELECT format_string('%" + "1" * _LONG + "$s', 1.5)",
    "a replacement of digits": "SELECT regexp_replace('a', '(a)', '$" + "1" * _LONG + "')",
    "a pattern of quotes": r"SELECT 'a' RLIKE r'" + r"\Q." * (_LONG // 3) + "'",
    "a pattern of classes": r"SELECT 'a' RLIKE r'" + r"\p{a" * (_LONG // 4) + "'",
    "a long table": "SELECT 1 FROM " + "a" * _LONG,
    "a long function": "SELECT " + "a" * _LONG + "(1)",
}


@pytest.mark.parametrize("name", list(REPEATED))
def test_a_text_of_repetitions_is_answered_within_a_quarter_of_a_second(name: str) -> None:
    assert max(cpu_seconds(REPEATED[name], dialect) for dialect in ("spark", "sail")) < CPU_SECONDS


def test_a_pattern_of_show_is_read_once_for_each_name() -> None:
    tables = [TableInfo(f"a{number}" * 8, "table", "", ()) for number in range(500)]
    for pattern in ("*" * _LONG + "x", "*a" * (_LONG // 2) + "x", "a*" * (_LONG // 2)):
        assert timed(lambda pattern=pattern: listing(ShowTables(pattern=pattern), "imdb", tables)) < CPU_SECONDS


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("movie*", {"movies_delta", "movies_with_ratings", "movie_cast"}),
        ("*RATING*", {"ratings_delta", "movies_with_ratings"}),
        ("movie_cast | crew*", {"movie_cast", "crew_delta"}),
        ("m*_*_*s", {"movies_with_ratings"}),
        ("crew_delta*crew_delta", set()),
        ("crew*w_delta", set()),
        ("crew**delta", {"crew_delta"}),
        ("*", {table.name for table in TABLES}),
        ("", set()),
        ("movie.cast", set()),
    ],
)
def test_a_pattern_of_show_means_what_it_means_to_spark(pattern: str, expected: set[str]) -> None:
    assert {str(row[1]) for row in listing(ShowTables(pattern=pattern), "imdb", TABLES).rows} == expected


@pytest.mark.parametrize(
    "hint",
    ["MERGE", " BROADCAST(a, b) , MERGEJOIN(c)", "MAPJOIN (a)", "SHUFFLE_HASH(`a`.b) BROADCASTJOIN(x)", "MERGE,"],
)
def test_hints_that_only_say_how_to_join_are_read_past(hint: str) -> None:
    assert len(tokenize(f"SELECT /*+{hint} */ 1", 10)) == 2


@pytest.mark.parametrize("hint", ["COALESCE(1)", "MERGE (a", "MERGE a)", "MERGE ,, MERGE", "BROADCAST; MERGE", ""])
def test_any_other_hint_is_refused(hint: str) -> None:
    with pytest.raises(Refused, match="hint"):
        tokenize(f"SELECT /*+{hint} */ 1", 10)


def test_a_word_longer_than_any_name_is_near_to_nothing() -> None:
    assert nearest("ratngs", ["titles", "Ratings"]) == ["Ratings"]
    assert nearest("a" * 1_000_000, ["a" * 1_000_000, "titles"]) == []
    assert timed(lambda: nearest("ab" * 1_000_000, ["a" * 100])) < CPU_SECONDS
