"""Aggregates that keep every row in one value.

`LIMIT 1` does not bound `collect_list(struct(*))`: its one row holds the table. The cap on a cell cuts a list of one
column. Whole rows are refused unless groups, a condition or a limit bound their number.
"""

from __future__ import annotations

from sqlglot import exp

from mcp_server.sql.functions import functions
from mcp_server.sql.relations import Relations
from mcp_server.sql.tree import Tree

_WRAPPERS = (exp.WithinGroup, exp.Filter, exp.IgnoreNulls, exp.RespectNulls)
_SMALL = 10_000


def check_collecting(tree: Tree, relations: Relations) -> None:
    """Refuse to collect whole rows without groups or a bounded source, and over a window without partitions.

    Errors: Refused, with the code `unbounded_value`.
    """
    for call in tree.find_all(exp.Anonymous):
        if functions().classes.get(tree.called_name(call)) == "collecting":
            _check_call(tree, relations, call)


def _check_call(tree: Tree, relations: Relations, call: exp.Anonymous) -> None:
    name = tree.called_name(call)
    outer = call.parent
    filtered = False
    while isinstance(outer, _WRAPPERS):
        filtered = filtered or isinstance(outer, exp.Filter)
        outer = outer.parent
    if isinstance(outer, exp.Window):
        if not _has_column(outer.args.get("partition_by")):
            raise tree.refusal_at(
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
    sizes = [relation.rows for relation in relations.list_relations(select)]
    if all(size is not None and size <= _SMALL for size in sizes):
        return
    raise tree.refusal_at(
        "unbounded_value",
        f"{name} would put whole rows of a table into one value, which LIMIT does not bound. Select the rows "
        "themselves, collect one column, or add GROUP BY or WHERE.",
        call,
    )


def _keeps_rows(call: exp.Anonymous) -> bool:
    """Whether a star, or more than one column, is collected."""
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
