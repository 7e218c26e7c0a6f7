"""Writes a query that reads the rows around it as one that does not, with columns to join them by.

A condition `x.k = outer.v` makes `x.k` such a column. What no equality binds is joined from the distinct values of the
outer rows (T. Neumann, A. Kemper: Unnesting Arbitrary Queries), as in Spark's `DecorrelateInnerQuery`. The columns go
up through every operator: they become groups of an aggregate, partitions of a window and of LIMIT, and columns of both
sides of a set operation. An aggregate without GROUP BY has a row for outer values without rows too, so it is computed
over the outer values, joined with what they find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.decorrelated_queries import Queries
from mcp_server.dialects.sail.rules.kit import compare, named
from mcp_server.dialects.sail.rules.outer_values import Host
from mcp_server.dialects.sail.rules.query_nodes import copy_fresh, is_aggregate, put, reads, walk_select
from mcp_server.dialects.sail.rules.query_parts import column_of, compare_safely, derive, has_names, name_outputs
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Column, Expression
from mcp_server.sql.typed.relations import Cte, CteUse, Derived, Item, Query, Relation, Select


@dataclass(frozen=True)
class Key:
    """An outer value and the column of the query that it is compared with: by = or by <=>."""

    outer: Expression
    column: str
    binds: bool


def tie_keys(keys: Iterable[Key], relation: Relation) -> list[Expression]:
    """The comparisons with the columns of a relation that holds the query."""
    keys = list(keys)
    plain = any(key.binds for key in keys)
    made: list[Expression] = []
    for key in keys:
        column = column_of(relation, key.column, key.outer.type)
        if key.binds or plain:
            made.append(compare(key.outer, "=" if key.binds else "<=>", column))
        else:
            made.append(compare_safely(key.outer, column))
    return made


@dataclass(frozen=True)
class Decorrelated:
    """A query without outer columns. `across` are conditions of the join, on `relation` and the host."""

    relation: Derived
    keys: tuple[Key, ...]
    across: tuple[Expression, ...] = ()

    @property
    def conditions(self) -> list[Expression]:
        return [*tie_keys(self.keys, self.relation), *self.across]


def decorrelate(
    query: Query, host: Host, context: Context, again: Callable[[Select], Select], *, names: tuple[str, ...] = (),
    alias: str | None = None, number: int | None = None, fill: bool = True, across: bool = False,
) -> Decorrelated:  # fmt: skip
    """Return the query as a relation without columns of the host.

    `fill` asks for a row of an aggregate without GROUP BY where nothing is found. `across` allows conditions of the
    join that are no equalities. `again` rewrites a SELECT whose sub-queries have got other columns.
    Errors: EngineLacks.
    """
    work = Queries(host, context, again)
    inner = work.name_values(_inline_ctes(query, host.ids, context))
    name = alias or context.fresh("__q")
    hidden: list[tuple[str, Expression]] = []
    pulled: list[Expression] = []
    if across and isinstance(inner.body, Select) and _is_plain(inner):
        body, pulled, hidden = work.pull_across(inner.body)
        inner = inner.replace(body=body)
        work.count_uses(inner)
    need = tuple(each for each in work.values if reads_value(inner, work.number, each))
    work.need = need
    made = work.query(inner, need, fill=fill, top=True)
    if hidden:
        items = tuple(named(operand, each) for each, operand in hidden)
        made = _with_items(made, items)
    shown = names
    if not names and inner.outputs is not None:
        shown = name_outputs(inner.outputs, context)
        if shown == tuple(each.name for each in inner.outputs) and has_names(inner):
            shown = ()
    columns = (*shown, *(work.hidden[each] for each in need), *(each for each, _ in hidden)) if shown else ()
    relation = derive(made, name, context, columns, number)
    keys = tuple(Key(work.values[each], work.hidden[each], each not in work.joined) for each in need)
    by_name = dict(hidden)
    conditions = tuple(
        put(
            each,
            lambda c: (
                column_of(relation, c.name, c.type)
                if c.source == work.moved and c.name in by_name
                else work.values.get(c.name)
                if c.source == work.number
                else None
            ),
        )
        for each in pulled
    )
    return Decorrelated(relation, keys, conditions)


def _with_items(query: Query, items: tuple[Item, ...]) -> Query:
    body = cast("Select", query.body)
    outputs = None
    if query.outputs is not None:
        outputs = (*query.outputs, *(output for each in items for output in each.outputs or ()))
    return query.replace(body=body.replace(items=(*body.items, *items)), outputs=outputs)


def _is_plain(query: Query) -> bool:
    body = query.body
    if not isinstance(body, Select) or query.limit is not None or query.offset is not None:
        return False
    calls = [each for each in walk_select(body) if isinstance(each, Call)]
    windowed = any(each.window is not None or is_aggregate(each) for each in calls)
    return not (windowed or body.distinct or body.group or body.having or body.qualify)


def reads_value(node: Node, number: int, name: str) -> bool:
    """Whether a tree has the column that stands for an outer value."""
    return any(isinstance(each, Column) and each.source == number and each.name == name for each in node.walk())


def _inline_ctes(query: Query, ids: frozenset[int], context: Context) -> Query:
    """Write the queries of WITH that read the rows around them where they are used."""
    read = [cte for each in query.walk() if isinstance(each, Query) for cte in each.ctes if reads(cte, ids)]
    if not read:
        return query
    by_id: dict[int, Cte] = {}

    def change(node: Node) -> Node:
        made = node.map_children(change)
        if isinstance(made, CteUse) and made.cte in by_id:
            cte = by_id[made.cte]
            return Derived(
                id=made.id, alias=made.alias or made.name, names=made.names or cte.names, outputs=made.outputs,
                query=copy_fresh(cte.query, context),
            )  # fmt: skip
        if isinstance(made, Cte) and made.id in {each.id for each in read}:
            by_id[made.id] = made
        if isinstance(made, Query) and made.ctes:
            return made.replace(ctes=tuple(each for each in made.ctes if each.id not in by_id))
        return made

    def ordered(node: Query) -> Query:
        if node.ctes:
            ctes = tuple(change(each) for each in node.ctes)
            node = node.replace(ctes=ctes)
        return cast("Query", change(node))

    return ordered(query)
