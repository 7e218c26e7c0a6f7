"""Which columns of two tables a statement compares with each other: what it joins them by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

from sqlglot import exp

from mcp_server.sql.case import Case


def find_joined(case: Case) -> frozenset[frozenset[str]]:
    """Return the pairs of columns of two tables that are compared or joined by USING, as `table.column`, lower case.

    An alias that several SELECTs use stands for each of its tables.
    """
    aliases: dict[str, set[str]] = defaultdict(set)
    for node in case.tree.find_all(exp.Table):
        if (info := case.names.tables.get(id(node))) is not None:
            aliases[node.alias_or_name.lower()].add(info.name.lower())
    pairs = (pair for node in case.tree.find_all(exp.EQ) for pair in _iter_compared(case, node, aliases))
    return frozenset(pair for pair in (*pairs, *_iter_using(case)) if len(pair) == 2)


def _iter_compared(case: Case, node: exp.EQ, aliases: dict[str, set[str]]) -> Iterator[frozenset[str]]:
    if isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Column):
        left, right = (_find_owners(case, column, aliases) for column in (node.this, node.expression))
        yield from (frozenset({one, other}) for one in left for other in right)


def _find_owners(case: Case, column: exp.Column, aliases: dict[str, set[str]]) -> list[str]:
    """Find the tables that a column may belong to; none where it is not qualified and several have it."""
    name = column.name.lower()
    if column.table:
        return [f"{table}.{name}" for table in aliases.get(column.table.lower(), ())]
    having = {info.name.lower() for _, info in case.names.refs if name in {each.name.lower() for each in info.columns}}
    return [f"{table}.{name}" for table in having] if len(having) == 1 else []


def _iter_using(case: Case) -> Iterator[frozenset[str]]:
    """Yield the pairs that USING makes of a table and those before it."""
    for join in case.tree.find_all(exp.Join):
        select = join.parent
        if not isinstance(select, exp.Select) or not join.args.get("using"):
            continue
        from_, joins = select.args["from_"], select.args["joins"]
        nodes = [from_.this, *(each.this for each in joins[: joins.index(join) + 1])]
        infos = [case.names.tables[id(node)] for node in nodes if id(node) in case.names.tables]
        for column in join.args["using"]:
            sides = {f"{info.name.lower()}.{column.name.lower()}" for info in infos}
            yield from (frozenset(pair) for pair in combinations(sorted(sides), 2))
