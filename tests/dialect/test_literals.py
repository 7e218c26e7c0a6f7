"""Literals, patterns, types and column names as Spark has them, told from the text alone."""

from __future__ import annotations

import pytest

from lakehouse.errors import EngineLacks, QueryFailed
from lakehouse.manifest import Column
from mcp_server import checking
from mcp_server.dialects.sail.rules.regex import Unlike, read_regex
from mcp_server.guard.journal import Journal
from mcp_server.guard.limits import Limits
from mcp_server.guard.rules import read_case
from mcp_server.models import CheckedQuery, Principal, TableInfo
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import quote_text
from mcp_server.sql.lexer import tokenize
from mcp_server.sql.source import MAX_TOKENS, read_source
from mcp_server.sql.typed.literals import value_of
from mcp_server.sql.typed.naming import name_of
from mcp_server.sql.typed.read import read_typed
from mcp_server.sql.typed.relations import Query, Select
from mcp_server.sql.typed.types import as_schema

COLUMNS = {"tconst": "string", "startYear": "int", "rating": "double", "votes": "bigint", "genres": "array<string>"}
CATALOG = Catalog(
    "imdb",
    (
        TableInfo(
            "movies", "table", "", tuple(Column(name=n, type=t) for n, t in COLUMNS.items()), rows=1_000, nan_free=True
        ),
    ),
    dialect="sail",
)
LIMITS = Limits(max_rows=100, max_sql_bytes=100_000, deadline_seconds=10)


def read(sql: str) -> Query:
    return read_typed(read_case(read_source(sql, tokenize(sql, MAX_TOKENS)), CATALOG, Journal()), CATALOG)


def first_type(sql: str) -> str:
    """The type of the first column of a query."""
    outputs = read(sql).outputs
    assert outputs is not None
    return as_schema(outputs[0].type)


def run(sql: str) -> CheckedQuery:
    checked = checking.check(sql, catalog=CATALOG, limits=LIMITS, principal=Principal("tester"))
    assert isinstance(checked, CheckedQuery)
    return checked


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"'a\'b'", "a'b"),
        (r"'\u0041\U00000042\103'", "ABC"),
        (r"'\n\t\0\Z\\'", "\n\t\0\x1a\\"),
        (r"'100\%\_'", r"100\%\_"),
        (r"'\q'", "q"),
        (r"r'\d+'", r"\d+"),
        ('"say \\"x\\""', 'say "x"'),
    ],
)
def test_a_literal_says_what_it_says_in_spark(text: str, value: str) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize("value", ["it's", "a\\b", "\n\t", "é☃", '"', "\\%"])
def test_a_literal_that_is_written_anew_says_the_same(value: str) -> None:
    assert value_of(quote_text(value)).replace("\\%", "%") == value.replace("\\%", "%")


@pytest.mark.parametrize(
    ("sent", "ran"),
    [
        ("SELECT 'it''s' AS a", "'it\\'s' AS a"),
        ('SELECT "a""b" AS a', "'a\"b' AS a"),
        ("SELECT 'a''''b' AS a", "'a\\'\\'b' AS a"),
        ("SELECT 'a' 'b' AS a", "'ab' AS a"),
        ("SELECT -128Y AS a", "CAST('-128' AS TINYINT) AS a"),
        ("SELECT 5 - 128 AS a", "5 - 128 AS a"),
    ],
)
def test_only_what_the_engine_reads_otherwise_is_written_anew(sent: str, ran: str) -> None:
    assert ran in run(sent).sql


DOT = r"[^\n\r\x{85}\x{2028}\x{2029}]"


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"^\d+$", "^[0-9]+$"),
        (r"[\w.-]+@\S", r"[0-9A-Za-z_.-]+@[^\t\n\x0B\f\r ]"),
        (r"[^\W_]", "[^[^0-9A-Za-z_]_]"),
        (r"\p{Alpha}[\p{Digit}x]", "[A-Za-z][0-9x]"),
        (r"\P{Alpha}\pL[\P{Digit}]", r"[^A-Za-z]\p{L}[[^0-9]]"),
        (r"\Qa+b\E\.", r"a\+b\."),
        (r"\p{Lu}\bx\b\\d", r"\p{Lu}\bx\b\\d"),
        (r"a\+\+", r"a\+\+"),
        (r"\<b\>|\-\é", "<b>|-é"),
        (r"a.b(?s).c", f"a{DOT}b(?s:.)c"),
        (r"(?i)a(?s-i:b.)c", r"(?i)a(?-i:b(?s:.))c"),
        (r"[]a~b&&[^c]]\e", r"[\]a\~b&&[^c]]\x1B"),
        (r"\u00e9\x41\x{1F600}", r"\x{00e9}\x{41}\x{1F600}"),
        (r"(?<year>\d{4})-(?:\d{1,2}?)", r"(?<year>[0-9]{4})-(?:[0-9]{1,2}?)"),
    ],
)
def test_a_pattern_means_the_same_to_the_engine(pattern: str, words: str) -> None:
    assert read_regex(pattern).with_end("$") == words


@pytest.mark.parametrize(
    "pattern",
    [
        "a(?=b)", "(?<!a)b", r"(a)\1", "a*+", "a++", r"\h", "(?!a)", "(?>a)", "(?U)a+", "(?x) a", "(?m)^a", "(?d)a",
        "(?P<n>a)", r"\R", r"\b{g}", "[a[:alpha:]]", "[^a[b]]", "[+--]", r"\p{InGreek}", "(?i)é", "(a", "a)", "[a",
        "*a",
    ],
)  # fmt: skip
def test_a_pattern_without_words_for_it_is_refused(pattern: str) -> None:
    with pytest.raises(Unlike):
        read_regex(pattern)


@pytest.mark.parametrize(
    ("pattern", "nullable"),
    [
        *(
            ("b*", True),
            ("b?c*", True),
            ("(a|b*)", True),
            ("^$", True),
            (r"\b", True),
            ("a{0,3}", True),
            ("(b*)+", True),
        ),
        *(("b+", False), ("b*c", False), ("(a|b)", False), ("a{1,3}", False), (r"\Qx\E*y", False), ("[ab]", False)),
    ],
)
def test_a_pattern_that_may_match_nothing_is_known(pattern: str, *, nullable: bool) -> None:
    assert read_regex(pattern).nullable is nullable


@pytest.mark.parametrize(
    ("pattern", "last"),
    [
        *(("a$", True), ("a$|b", True), ("(a|b$)", True), ("(a$)|(c)", True)),
        *(("a$b", False), ("(a$)+", False), ("(a|b$)c", False), ("$(?:a)", False)),
    ],
)
def test_the_end_of_a_pattern_is_known(pattern: str, *, last: bool) -> None:
    regex = read_regex(pattern)

    assert all(map(regex.is_last, regex.ends)) is last


@pytest.mark.parametrize(
    ("replacement", "groups", "words"),
    [
        ("$1$2", 2, "${1}${2}"),
        ("$10", 1, "${1}0"),
        ("$10", 10, "${10}"),
        ("$1x$0", 1, "${1}x${0}"),
        (r"\$1\a", 1, "$$1a"),
        ("{1}", 1, "{1}"),
    ],
)
def test_a_replacement_means_the_same_to_the_engine(replacement: str, groups: int, words: str) -> None:
    assert quote_text(words) in run(replace_with(replacement, groups)).sql


@pytest.mark.parametrize("replacement", ["$2", "$", "$$1", "a\\", r"\\", "$x"])
def test_a_replacement_that_java_refuses_or_rust_has_no_words_for_is_refused(replacement: str) -> None:
    with pytest.raises(EngineLacks):
        run(replace_with(replacement, 1))


def replace_with(replacement: str, groups: int) -> str:
    return f"SELECT regexp_replace(tconst, '{'(t)' * groups}', {quote_text(replacement)}) AS a FROM movies"


@pytest.mark.parametrize(
    ("expression_", "kind"),
    [
        ("startYear / 60.0", "decimal(17,6)"),
        ("count(*) * 100.0 / sum(count(*)) OVER ()", "decimal(38,14)"),
        ("1.0 / 3", "decimal(7,6)"),
        ("startYear / 3", "double"),
        ("sum(startYear)", "bigint"),
        ("avg(rating)", "double"),
        ("avg(startYear / 60.0)", "decimal(21,10)"),
        ("round(startYear / 60.0, 2)", "decimal(14,2)"),
        ("CASE WHEN startYear > 1 THEN 1.0 ELSE 0 END", "decimal(11,1)"),
        ("coalesce(startYear, votes)", "bigint"),
        ("rating * 1.5", "double"),
        ("genres", "array<string>"),
        ("DATE '2020-01-01' + INTERVAL 1 HOUR", "timestamp"),
        ("concat(startYear, 'x') / 2.0", "double"),
        ("startYear + '1'", "bigint"),
        ("transform(sequence(1, 3), n -> n + 1L)", "array<bigint>"),
        ("element_at(array(1, 2.5), 1)", "decimal(11,1)"),
        ("(SELECT max(votes) FROM movies)", "bigint"),
        ("aggregate(array(1), 0L, (a, n) -> a + n)", "bigint"),
    ],
)
def test_the_type_of_an_expression_is_sparks(expression_: str, kind: str) -> None:
    assert first_type(f"SELECT {expression_} AS x FROM movies") == kind


def test_a_name_of_two_meanings_has_the_type_that_holds_both() -> None:
    sql = "SELECT y / 2.0 FROM (SELECT rating AS y FROM movies UNION ALL SELECT startYear AS y FROM movies)"

    assert first_type(sql) == "double"


def test_a_name_that_nothing_has_is_refused_as_in_spark() -> None:
    with pytest.raises(QueryFailed, match="UNRESOLVED_COLUMN"):
        run("SELECT unheard_of / 2.0 AS x FROM movies")


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ("-startYear", "(- startYear)"),
        ("-1", "-1"),
        ("startYear IS NOT NULL AND NOT rating > 5", "((startYear IS NOT NULL) AND (NOT (rating > 5)))"),
        ("count(*) FILTER (WHERE votes > 1)", "count(1) FILTER (WHERE (votes > 1))"),
        (
            "lag(votes) OVER (PARTITION BY startYear ORDER BY rating DESC)",
            ("lag(votes, 1, NULL) OVER (PARTITION BY startYear ORDER BY rating DESC NULLS LAST "
            "ROWS BETWEEN -1 FOLLOWING AND -1 FOLLOWING)"),
        ),
        ("transform(genres, g -> upper(g))", ("transform(genres, lambdafunction(upper(namedlambdavariable()), "
         "namedlambdavariable()))")),
        ("CAST(m.votes AS STRING)", "votes"),
        ("startYear BETWEEN 1 AND 2", "between(startYear, 1, 2)"),
        ("tconst LIKE ANY ('a%', 'b%')", "likeany(tconst)"),
    ],
)  # fmt: skip
def test_a_column_without_a_name_is_named_as_spark_names_it(item: str, name: str) -> None:
    select = read(f"SELECT {item} FROM movies m").body

    assert isinstance(select, Select)
    assert name_of(select.items[0].operand) == name


def test_only_columns_of_the_outermost_query_get_names() -> None:
    ran = run("SELECT -n AS m, count(*) FROM (SELECT -startYear AS n, -votes FROM movies) GROUP BY -n").sql

    assert "`" not in ran


@pytest.mark.parametrize(
    "item",
    [
        "round(" * 30 + "rating" + ", 1)" * 30,
        "array_except(" * 14 + "genres" + ", genres)" * 14,
        "bround(" * 14 + "rating" + ", 1)" * 14,
    ],
)
def test_words_that_would_grow_without_bound_are_refused(item: str) -> None:
    with pytest.raises(EngineLacks, match="WITH"):
        run(f"SELECT {item} FROM movies")
