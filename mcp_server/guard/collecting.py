"""Aggregates that keep every row in one value.

`LIMIT 1` does not bound `collect_list(struct(*))`: the one row holds the table. One column of it is a list
that the cell cap cuts; whole rows are refused unless groups, a condition or a limit say how many there may be.
"""

from __future__ import annotations

from sqlglot import exp

from mcp_server.sql.functions import functions
from mcp_server.sql.relations import Relations
from mcp_server.sql.tree import Tree

_WRAPPERS = (exp.WithinGroup, exp.Filter, exp.IgnoreNulls, exp.RespectNulls)
_SMALL = 10_000


def check_collecting(tree: Tree, relations: Relations) -> None:
    """Whole rows are collected per group or from a bounded source only; windows have partitions.

    Errors: Refused, with the code `unbounded_value`.
    """
    for call in tree.every(exp.Anonymous):
        if functions().classes.get(tree.called(call)) == "collecting":
            _check(tree, relations, call)


def _check(tree: Tree, relations: Relations, call: exp.Anonymous) -> None:
    name = tree.called(call)
    outer = call.parent
    filtered = False
    while isinstance(outer, _WRAPPERS):
        filtered = filtered or isinstance(outer, exp.Filter)
        outer = outer.parent
    if isinstance(outer, exp.Window):
        if not _has_column(outer.args.get("partition_by")):
            raise tree.refused_at(
                "unbounded_value",
                f"{name} over a window without PARTITION BY repeats the whole table in every row. Add PARTITION BY, or "
                "aggregate with GROUP BY.",
                call,
            )
        return
    select = call.find_ancestor(exp.Select)
    if select is None or filtered or not _keeps_rows(call):
        return
    if _is_grouped(select) or _has_column(select.args.get("where")):
        return
    sizes = [relation.rows for relation in relations.of(select)]
    if all(size is not None and size <= _SMALL for size in sizes):
        return
    raise tree.refused_at(
        "unbounded_value",
        f"{name} would put whole rows of a table into one value, which LIMIT does not bound. Select the rows "
        "themselves, collect one column, or add GROUP BY or WHERE.",
        call,
    )


def _keeps_rows(call: exp.Anonymous) -> bool:
    """Whether the collected value is made of a star or of more than one column."""
    columns = {column.sql().lower() for argument in call.expressions for column in argument.find_all(exp.Column)}
    starred = any(argument.find(exp.Star) is not None for argument in call.expressions)
    return starred or len(columns) > 1


def _is_grouped(select: exp.Select) -> bool:
    group = select.args.get("group")
    if group is None:
        return False
    positions = any(isinstance(e, exp.Literal) and not e.is_string for e in group.expressions)
    return positions or bool(group.args.get("all")) or _has_column(group)


def _has_column(node: exp.Expr | list[exp.Expr] | None) -> bool:
    nodes = node if isinstance(node, list) else [node]
    return any(each is not None and each.find(exp.Column) is not None for each in nodes)
