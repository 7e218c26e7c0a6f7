"""Tables whose stored floats may be NaN, read through a sub-query that keeps the engine from leaving NaN out.

Writers leave NaN out of a file's minimum and maximum, and the embedded engine skips row groups by these, for
conditions, joins, and ORDER BY with LIMIT: `f > 5` does not find the NaN, which is more than any number to Spark. It
also takes a NaN with a sign, such as the 0/0 of x86 processors, for less than any number. What a function gives has no
minimum:

    FROM t    →    FROM (SELECT id, nanvl(f, CAST('NaN' AS DOUBLE)) AS f FROM t) AS t
"""

from __future__ import annotations

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.make import fill
from mcp_server.dialects.sail.rules.uses import Uses, find_uses, only_lists
from mcp_server.sql.typed.node import Node, transform
from mcp_server.sql.typed.nodes import Column, Expression, Star
from mcp_server.sql.typed.relations import Derived, Item, Output, Query, Relation, Sample, Select, Table
from mcp_server.sql.typed.types import FRACTIONS, Type


def shield_floats(root: Query, context: Context) -> Query:
    """Read tables with such floats through sub-queries. It runs last: bounds of columns are those of tables."""
    tables = [node for node in root.walk() if isinstance(node, Table)]
    if only_lists(root) or all(table.info.nan_free for table in tables):
        return root
    uses = find_uses(root)
    shielded = {table.id: columns for table in tables if (columns := _used(table, uses))}
    if not any(kind in FRACTIONS for columns in shielded.values() for _, kind in columns):
        return root
    aliases = {table.id: table.alias or table.info.name for table in tables}

    def change(node: Node) -> Node:
        if isinstance(node, Table) and _has_floats(shielded.get(node.id, ())):
            return _wrap(node, node.replace(alias=None), shielded[node.id], context)
        if isinstance(node, Sample) and isinstance(node.base, Derived) and node.base.id in shielded:
            return _sample(node, node.base)
        if isinstance(node, Column | Star) and len(node.parts) > 1:
            source = node.source if isinstance(node, Column) else node.sources[0] if len(node.sources) == 1 else None
            if source in shielded and source is not None and _has_floats(shielded[source]):
                return node.replace(parts=(aliases[source],))
        return node

    return transform(root, change)


Columns = tuple[tuple[str, Type | None], ...]


def _has_floats(columns: Columns) -> bool:
    return any(kind in FRACTIONS for _, kind in columns)


def _used(table: Table, uses: Uses) -> Columns:
    if table.info.nan_free or table.outputs is None:
        return ()
    names = uses.of(table)
    found = tuple((each.name, each.type) for each in table.outputs if each.name is not None)
    return found if names is None else tuple(each for each in found if each[0].lower() in names)


def _wrap(table: Table, inner: Relation, columns: Columns, context: Context) -> Derived:
    """The sub-query has the table's id and alias, so that columns still belong to it."""
    source = context.new_id()
    items = tuple(
        Item(operand=_shield(name, kind, source, context), aliases=(name,), outputs=(Output(name, kind),))
        for name, kind in columns
    )
    base = inner.replace(id=source, names=())
    outputs = tuple(Output(name, kind, table.id) for name, kind in columns)
    return Derived(
        id=table.id,
        alias=table.alias or table.info.name,
        names=table.names,
        query=Query(body=Select(items=items, base=base), outputs=outputs),
        outputs=outputs,
    )


def _shield(name: str, kind: Type | None, source: int, context: Context) -> Expression:
    column = Column(name=name, source=source, type=kind)
    if kind not in FRACTIONS or kind is None:
        return column
    return fill(context, "nanvl({0}, CAST('NaN' AS {k}))", column, k=kind, gives=kind)


def _sample(node: Sample, derived: Derived) -> Relation:
    """A sample is one of the table, and the sub-query reads it."""
    body = derived.query.body
    if not isinstance(body, Select) or body.base is None:
        return node
    base = node.replace(base=body.base, alias=None)
    query = derived.query.replace(body=body.replace(base=base))
    return derived.replace(query=query, alias=node.alias or derived.alias)
