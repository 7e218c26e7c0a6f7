"""What the printer writes for each class of node, and where it puts brackets."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from mcp_server.sql.compose import compose, join, quote_text
from mcp_server.sql.lexer import tokenize
from mcp_server.sql.source import read_source, spell_out
from mcp_server.sql.typed import nodes as n
from mcp_server.sql.typed import relations as r
from mcp_server.sql.typed import writer
from mcp_server.sql.typed.parse_query import parse_query
from mcp_server.sql.typed.printer import print_expression, print_query, print_relation, print_type
from mcp_server.sql.typed.types import BIGINT, INT, STRING, Array, Atomic, Decimal, Interval, Map, Struct


def number(value: int) -> n.Constant:
    return n.Constant(text=compose("{}", value), value=value, type=INT)


def text(value: str) -> n.Constant:
    return n.Constant(text=quote_text(value), value=value, type=STRING)


def column(name: str, *parts: str) -> n.Column:
    return n.Column(name=name, parts=parts)


def call(name: str, *arguments: n.Expression, **fields: object) -> n.Call:
    return n.Call(name=name, arguments=arguments).replace(**fields)


def binary(left: n.Expression, operator: n.BinaryOperator, right: n.Expression) -> n.Binary:
    return n.Binary(operator=operator, left=left, right=right)


def select(*items: n.Expression, **fields: object) -> r.Query:
    return r.Query(body=r.Select(items=tuple(r.Item(operand=item) for item in items)).replace(**fields))


def use(name: str, alias: str | None = None) -> r.CteUse:
    return r.CteUse(id=1, name=name, cte=2, alias=alias)


A, B, C = column("a"), column("b"), column("c")
ONE, TWO = number(1), number(2)
SAME = binary(A, "=", ONE)
T, U, V = use("t"), use("u"), use("v")
LINE = n.Star()

EXPRESSIONS = [
    (text("it's"), r"'it\'s'"),
    (column("a b", "t", "select"), "t.`select`.`a b`"),
    (n.ItemUse(name="n", index=0), "n"),
    (n.Ordinal(index=2), "2"),
    (n.IntervalLiteral(values=(ONE, TWO), units=("day", "hour")), "INTERVAL 1 DAY 2 HOUR"),
    (n.IntervalLiteral(values=(text("1 2"),), units=("day to hour",)), "INTERVAL '1 2' DAY TO HOUR"),
    (n.IntervalLiteral(values=(text("1 day"),), units=("",)), "INTERVAL '1 day'"),
    (n.Field(base=call("f", A), name="x"), "f(a).x"),
    (n.Field(base=binary(A, "+", B), name="x"), "(a + b).x"),
    (n.Element(base=n.Field(base=A, name="x"), index=binary(B, "+", ONE)), "a.x[b + 1]"),
    (n.JsonPath(base=A, text=join(".", (compose("b"), compose("c")))), "a:b.c"),
    (n.Star(parts=("t",), excluded=(("a",), ("t", "b"))), "t.* EXCEPT (a, t.b)"),
    (n.Star(base=A), "a.*"),
    (call("struct", n.Alias(operand=A, name="x y")), "struct(a AS `x y`)"),
    (n.IntervalLiteral(values=(binary(A, "+", ONE),), units=("day",)), "INTERVAL (a + 1) DAY"),
    (call("f", n.NamedArgument(name="x", operand=ONE)), "f(x => 1)"),
    (call("count", n.Star(), distinct=True, filter=SAME), "count(DISTINCT *) FILTER (WHERE a = 1)"),
    (
        call("percentile", A, within=(n.SortKey(operand=B, descending=True),)),
        "percentile(a) WITHIN GROUP (ORDER BY b DESC)",
    ),
    (call("first", A, nulls="ignore", window=n.Window(base="w")), "first(a) IGNORE NULLS OVER w"),
    (
        call(
            "sum",
            A,
            window=n.Window(
                partition=(B,),
                order=(n.SortKey(operand=C, nulls_first=False),),
                frame=n.Frame(unit="rows", start="preceding", end="current row", low=ONE),
            ),
        ),
        "sum(a) OVER (PARTITION BY b ORDER BY c NULLS LAST ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
    ),
    (call("sum", A, window=n.Window()), "sum(a) OVER ()"),
    (call("extract", text("year"), A), "extract(YEAR FROM a)"),
    (call("trim", text("x"), A, how="both"), "trim(BOTH 'x' FROM a)"),
    (call("trim", A, how="leading"), "trim(LEADING FROM a)"),
    (call("timestampadd", text("month"), ONE, A), "timestampadd(MONTH, 1, a)"),
    (n.Cast(operand=A, type=Decimal(10, 2)), "CAST(a AS DECIMAL(10, 2))"),
    (n.Cast(operand=A, type=INT, text=compose("integer"), tries=True), "TRY_CAST(a AS integer)"),
    (n.Unary(operator="-", operand=n.Unary(operator="-", operand=A)), "-(-a)"),
    (n.Unary(operator="-", operand=binary(A, "+", B)), "-(a + b)"),
    (binary(binary(A, "-", B), "-", C), "a - b - c"),
    (binary(A, "-", binary(B, "-", C)), "a - (b - c)"),
    (binary(binary(A, "+", B), "div", C), "(a + b) DIV c"),
    (binary(binary(A, "*", B), "||", C), "a * b || c"),
    (binary(binary(A, "&", B), "|", C), "(a & b) | c"),
    (binary(SAME, "=", binary(A, "<=>", B)), "(a = 1) = (a <=> b)"),
    (n.Logic(operator="and", operands=(n.Logic(operator="or", operands=(A, B)), C)), "(a OR b) AND c"),
    (n.Logic(operator="or", operands=(n.Logic(operator="and", operands=(A, B)), C)), "a AND b OR c"),
    (n.Not(operand=SAME), "NOT (a = 1)"),
    (binary(n.Not(operand=A), "=", B), "(NOT a) = b"),
    (n.Is(operand=SAME, value="true", negated=True), "(a = 1) IS NOT TRUE"),
    (n.Between(operand=A, low=ONE, high=binary(A, "+", TWO)), "a BETWEEN 1 AND a + 2"),
    (n.Between(operand=A, low=SAME, high=n.Not(operand=B), negated=True), "a NOT BETWEEN (a = 1) AND (NOT b)"),
    (n.Like(operand=A, operator="like", patterns=(text("x"),), escape=text("/")), "a LIKE 'x' ESCAPE '/'"),
    (
        n.Like(operand=A, operator="ilike", patterns=(text("x"), text("y")), quantifier="any", negated=True),
        "a NOT ILIKE ANY ('x', 'y')",
    ),
    (n.In(operand=A, items=(ONE, SAME), negated=True), "a NOT IN (1, a = 1)"),
    (n.InQuery(operands=(A, B), query=select(ONE)), "(a, b) IN (SELECT 1)"),
    (n.InQuery(operands=(A,), query=select(ONE), negated=True), "a NOT IN (SELECT 1)"),
    (n.Exists(query=select(ONE), negated=True), "NOT EXISTS (SELECT 1)"),
    (n.ScalarQuery(query=select(ONE)), "(SELECT 1)"),
    (
        n.Case(operand=A, conditions=(ONE,), results=(SAME,), otherwise=B),
        "CASE a WHEN 1 THEN a = 1 ELSE b END",
    ),
    (
        call("f", n.Lambda(parameters=(n.Parameter(name="x"), n.Parameter(name="y")), body=n.Parameter(name="x"))),
        "f((x, y) -> x)",
    ),
    (call("f", n.Lambda(parameters=(n.Parameter(name="x"),), body=SAME)), "f(x -> a = 1)"),
    (n.Row(items=(A, B)), "(a, b)"),
    (n.Row(items=(A,)), "struct(a)"),
    (n.Collate(operand=binary(A, "||", B), name="UTF8_LCASE"), "(a || b) COLLATE UTF8_LCASE"),
]

ROWS = (n.Row(items=(ONE, TWO)),)
SET = r.GroupingSets(
    kind="sets", sets=(r.Keys(operands=(A, B)), r.GroupingSets(kind="rollup", sets=()), r.Keys(operands=()))
)


def join_of(left: r.Relation, right: r.Relation, kind: r.JoinKind = "inner", **fields: object) -> r.Join:
    return r.Join(id=9, left=left, right=right, kind=kind).replace(**fields)


COMMA = join_of(T, U, "cross", comma=True)

RELATIONS: list[tuple[r.Relation, str]] = [
    (use("t", "x"), "t AS x"),
    (use("t", "x").replace(names=("a", "b c")), "t AS x (a, `b c`)"),
    (r.Derived(id=1, query=select(ONE), alias="d", lateral=True), "LATERAL (SELECT 1) AS d"),
    (r.FunctionTable(id=1, call=call("range", TWO), alias="d", names=("i",)), "range(2) AS d (i)"),
    (r.InlineTable(id=1, rows=ROWS, alias="v", names=("a", "b")), "VALUES (1, 2) AS v (a, b)"),
    (join_of(T, U, on=SAME), "t JOIN u ON a = 1"),
    (join_of(T, U, "left", using=True, shared=("k",)), "t LEFT JOIN u USING (k)"),
    (join_of(T, U, "anti", natural=True), "t NATURAL LEFT ANTI JOIN u"),
    (join_of(join_of(T, U, "cross"), V, "full", on=SAME), "t CROSS JOIN u FULL JOIN v ON a = 1"),
    (join_of(T, join_of(U, V, on=SAME), "right", on=SAME), "t RIGHT JOIN (u JOIN v ON a = 1) ON a = 1"),
    (join_of(COMMA, V, "cross", comma=True), "t, u, v"),
    (join_of(COMMA, V, on=SAME), "t CROSS JOIN u JOIN v ON a = 1"),
    (join_of(T, COMMA, "cross", comma=True), "t, (t CROSS JOIN u)"),
    (join_of(r.InlineTable(id=1, rows=ROWS), T, "cross", comma=True), "(VALUES (1, 2)), t"),
    (r.LateralView(id=1, base=COMMA, call=call("explode", A), alias="x", names=("y",), outer=True),
     "t, u LATERAL VIEW OUTER explode(a) x AS y"),
    (r.Pivot(id=1, base=T, aggregates=(r.Item(operand=call("sum", A), aliases=("s",)),), columns=(B, C),
             values=(r.Item(operand=n.Row(items=(ONE, TWO)), aliases=("x",)),), alias="p"),
     "t PIVOT (sum(a) AS s FOR (b, c) IN ((1, 2) AS x)) AS p"),
    (join_of(T, r.Pivot(id=1, base=U, aggregates=(r.Item(operand=call("sum", A)),), columns=(B,),
                        values=(r.Item(operand=ONE),)), "cross"),
     "t CROSS JOIN (u PIVOT (sum(a) FOR (b) IN (1)))"),
    (r.Unpivot(id=1, base=COMMA, values=("v", "w"), label="l", include_nulls=True,
               groups=(r.UnpivotGroup(columns=(A, B), alias="x"),)),
     "(t CROSS JOIN u) UNPIVOT INCLUDE NULLS ((v, w) FOR l IN ((a, b) AS x))"),
    (r.Sample(id=1, base=use("t", "x"), amount="10.5", unit="percent", seed=3),
     "t TABLESAMPLE (10.5 PERCENT) REPEATABLE (3) AS x"),
]  # fmt: skip

ORDERED = select(ONE).replace(order=(n.SortKey(operand=A, descending=True, nulls_first=True),), limit=TWO)


def both(kind: str, left: r.Query, right: r.Query, **fields: object) -> r.Query:
    operation = r.SetOperation(kind="union", left=left, right=right)
    return r.Query(body=operation.replace(kind=kind, **fields))


QUERIES = [
    (
        select(
            A, base=T, where=SAME, distinct=True, group=r.Grouping(keys=(A, SET)), having=SAME,
            windows=(r.NamedWindow(name="w", window=n.Window(order=(n.SortKey(operand=A),))),),
        ),
        ("SELECT DISTINCT a FROM t WHERE a = 1 GROUP BY a, GROUPING SETS ((a, b), ROLLUP (), ()) HAVING a = 1 "
        "WINDOW w AS (ORDER BY a)"),
    ),
    (select(A, group=r.Grouping(all=True), qualify=SAME), "SELECT a GROUP BY ALL QUALIFY a = 1"),
    (ORDERED.replace(offset=ONE), "SELECT 1 ORDER BY a DESC NULLS FIRST LIMIT 2 OFFSET 1"),
    (
        select(LINE).replace(order_all=n.SortKey(operand=LINE, descending=True)),
        "SELECT * ORDER BY ALL DESC",
    ),
    (
        select(LINE).replace(distribute=(A,), sort=(n.SortKey(operand=B),)),
        "SELECT * DISTRIBUTE BY a SORT BY b",
    ),
    (r.Query(body=ORDERED, limit=ONE), "(SELECT 1 ORDER BY a DESC NULLS FIRST LIMIT 2) LIMIT 1"),
    (r.Query(body=r.Values(rows=(*ROWS, *ROWS), names=("a", "b"))), "VALUES (1, 2), (1, 2) AS t (a, b)"),
    (
        select(ONE).replace(
            ctes=(r.Cte(id=1, name="c", query=select(TWO), names=("n",), level=7),), recursive=True
        ),
        "WITH RECURSIVE c (n) MAX RECURSION LEVEL 7 AS (SELECT 2) SELECT 1",
    ),
    (both("union", select(ONE), ORDERED, all=True),
     "SELECT 1 UNION ALL (SELECT 1 ORDER BY a DESC NULLS FIRST LIMIT 2)"),
    (both("except", both("union", select(ONE), select(TWO)), select(A), all=True),
     "SELECT 1 UNION SELECT 2 EXCEPT ALL SELECT a"),
    (both("union", select(A), both("union", select(ONE), select(TWO)), by_name=True),
     "SELECT a UNION BY NAME (SELECT 1 UNION SELECT 2)"),
    (both("intersect", both("union", select(ONE), select(TWO)), select(A)),
     "(SELECT 1 UNION SELECT 2) INTERSECT SELECT a"),
    (both("union", select(A), both("intersect", select(ONE), select(TWO))),
     "SELECT a UNION SELECT 1 INTERSECT SELECT 2"),
]  # fmt: skip


@pytest.mark.parametrize(("node", "expected"), EXPRESSIONS, ids=[each for _, each in EXPRESSIONS])
def test_expressions(node: n.Expression, expected: str) -> None:
    assert print_expression(node) == expected


@pytest.mark.parametrize(("node", "expected"), RELATIONS, ids=[each for _, each in RELATIONS])
def test_relations(node: r.Relation, expected: str) -> None:
    assert print_relation(node) == expected


@pytest.mark.parametrize(("node", "expected"), QUERIES, ids=[each for _, each in QUERIES])
def test_queries(node: r.Query, expected: str) -> None:
    assert print_query(node) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Atomic("timestamp_ntz"), "TIMESTAMP_NTZ"),
        (Interval("day", "second"), "INTERVAL DAY TO SECOND"),
        (Map(STRING, Array(BIGINT)), "MAP<STRING, ARRAY<BIGINT>>"),
        (Struct((("a`b", INT), ("c", STRING))), "STRUCT<`a``b`: INT, c: STRING>"),
    ],
)
def test_types(kind: object, expected: str) -> None:
    assert print_type(kind) == expected  # type: ignore[arg-type]


def test_an_unknown_type_is_not_written() -> None:
    with pytest.raises(TypeError, match="not known"):
        print_expression(n.Cast(operand=A, type=Array(None)))


def test_every_class_has_a_writer() -> None:
    parts = {n.Node, n.Expression, n.Frame, r.Relation, r.Cte, r.NamedWindow, r.UnpivotGroup}
    classes = {
        kind for module in (n, r) for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, n.Node)
    }
    assert classes - parts == set(writer._WRITERS)


def test_a_class_without_a_writer_is_refused() -> None:
    class Other(n.Expression):
        pass

    with pytest.raises(TypeError, match="does not know Other"):
        print_expression(Other())


def _parse(sql: str) -> r.Query:
    return parse_query(read_source(sql, spell_out(tokenize(sql, 20_000))))


DATA = Path(__file__).parents[1] / "data" / "dialect"
CLAUSES = [json.loads(line)["sql"] for line in (DATA / "clauses.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("sql", CLAUSES)
def test_what_is_printed_is_read_as_the_same_tree(sql: str) -> None:
    if any(isinstance(node, n.Star) and node.renewals for node in _parse(sql).walk()):
        pytest.skip("a pipe's SET is written out before it is printed")
    printed = print_query(_parse(sql))
    again = _parse(printed)
    assert print_query(again) == printed
    assert _classes(again) == _classes(_parse(sql))


def _classes(node: n.Node) -> list[type[n.Node]]:
    """The classes of all nodes, those that stand in several places as often."""
    return [type(node), *(each for child in node.children for each in _classes(child))]
