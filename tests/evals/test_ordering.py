"""Whether a statement orders its result, and by what of it a reader can see."""

from __future__ import annotations

import json

import pytest

from imdb_lakehouse.evals.ordering import parse_ordering
from tests.conftest import ROOT

QUESTIONS = [json.loads(line) for line in (ROOT / "tests/data/evals/questions.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 3)",
        "SELECT a, row_number() OVER (ORDER BY b) FROM t",
        "SELECT a FROM t WHERE b = ' ORDER BY a '",
        'SELECT a FROM t WHERE b = "it\\" ORDER BY a"',
        "SELECT a FROM t -- ORDER BY a",
        "SELECT a /* ORDER BY a */ FROM t",
        "SELECT `order by` FROM t",
        "WITH x AS (SELECT a FROM t ORDER BY a) SELECT a FROM x",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t",
        "SELECT a FROM t QUALIFY row_number() OVER (PARTITION BY a ORDER BY b) = 1",
        "SELECT a FROM t SORT BY a",
        "SELECT a FROM t WHERE order = 1",
        "",
    ],
)
def test_a_statement_without_an_outermost_order_by_orders_nothing(sql: str) -> None:
    assert parse_ordering(sql) is None


@pytest.mark.parametrize(
    ("sql", "columns", "visible"),
    [
        ("SELECT a, b FROM t ORDER BY b DESC NULLS LAST, a", "a b", (1, 0)),
        ("select A, B from T order by t.b", "A B", (1,)),
        ("SELECT a, b FROM t ORDER BY 2, 1 DESC LIMIT 5", "a b", (1, 0)),
        ("SELECT a, b FROM t ORDER BY ALL", "a b", (0, 1)),
        ("SELECT a, COUNT(*) AS n FROM t GROUP BY a ORDER BY COUNT(*) DESC, a", "a n", (1, 0)),
        ("SELECT DISTINCT lower(a) AS a, b FROM t ORDER BY lower(a)", "a b", (0,)),
        ("SELECT a FROM t ORDER BY a, hidden, a", "a", (0,)),  # what comes after a hidden key cannot be checked
        ("SELECT a FROM t ORDER BY hidden, a", "a", ()),
        ("SELECT a, b FROM t ORDER BY a - b DESC", "a b", ()),
        ("SELECT a FROM t ORDER BY rand()", "a", ()),
        ("SELECT a FROM t ORDER BY a || 'x'", "a", ()),
        ("SELECT x.a, y.a FROM x, y ORDER BY a", "a a", ()),
        ("SELECT * FROM t ORDER BY `my col`", "id|my col", (1,)),
        ("SELECT a FROM t UNION ALL SELECT a FROM u ORDER BY a;", "a", (0,)),
        ("(SELECT a FROM t ORDER BY a)", "a", (0,)),
        ("FROM t |> SELECT a |> ORDER BY a |> LIMIT 3", "a", (0,)),
        ("WITH x AS (SELECT a FROM t) SELECT a FROM x ORDER BY greatest(a, 1), a", "a", ()),
    ],
)
def test_the_outermost_order_by_is_read_as_far_as_the_result_shows_it(
    sql: str, columns: str, visible: tuple[int, ...]
) -> None:
    found = parse_ordering(sql)
    assert found is not None
    assert found.find_visible_columns(columns.split("|") if "|" in columns else columns.split()) == visible


def test_a_limit_is_widened_where_it_stands() -> None:
    found = parse_ordering("SELECT a FROM (SELECT a FROM t LIMIT 7) ORDER BY a LIMIT 3 OFFSET 3")
    assert found is not None
    assert found.row_limit == 3
    assert found.with_limit(103) == "SELECT a FROM (SELECT a FROM t LIMIT 7) ORDER BY a LIMIT 103 OFFSET 3"
    unlimited = parse_ordering("SELECT a FROM (SELECT a FROM t LIMIT 7) ORDER BY a")
    assert unlimited is not None
    assert unlimited.row_limit is None


def test_the_gold_statements_of_the_known_questions_are_read() -> None:
    found = {question["id"]: parse_ordering(question["sql"]) for question in QUESTIONS}
    assert {name for name, each in found.items() if each is None} == {"q014", "q049", "q051"}
    assert found["q024"] is not None
    assert found["q024"].row_limit == 100
