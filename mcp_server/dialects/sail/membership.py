"""`x IN (SELECT …)` in WHERE: where the embedded engine's answer is Spark's, and where it is not.

A whole part of an AND is a join, with Spark's rules for nulls. Anywhere else the engine marks rows, and takes what is
unknown for false or for true: under NOT, in CASE, in a comparison. Such a place is refused, and so is a left side that
is no column of the SELECT's own rows.
"""

from __future__ import annotations

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.names import Names
from mcp_server.sql.blocks import Block
from mcp_server.sql.expr import Expr
from mcp_server.sql.expressions import read_expressions

_INSTEAD = "Join with the sub-query, or write EXISTS with the comparison in its WHERE."


def check_membership(names: Names, outer: Block, bracket: int) -> bool:
    """Checks the IN whose sub-query's bracket opens at a token, in the WHERE of `outer`. Errors: EngineLacks.

    Returns whether it is negated.
    """
    paths = (_path(root, bracket) for root in read_expressions(names.case) if root.first <= bracket < root.end)
    found = next((path for path in paths if path), None)
    if found is None:
        raise lacking("IN", "IN with a sub-query here", _INSTEAD)
    *above, node = found
    nots = 0
    while above and (above[-1].kind == "brackets" or above[-1].word == "not"):  # the engine negates the join itself
        nots += above.pop().word == "not"
    negated = (node.word != "in") != (nots % 2 == 1)
    if any(each.kind not in {"brackets", "logic"} for each in above) or (
        (negated or nots) and any(each.word == "or" for each in above)
    ):
        raise lacking("IN", "IN with a sub-query under OR, NOT or CASE, or in a comparison", _INSTEAD)
    known = names.known(outer)
    uses = list(names.uses(node.parts[0].first, node.parts[0].end))
    if not uses or (known is not None and any(use.parts[0] not in known for use in uses)):
        raise lacking("IN", "IN with a sub-query and a constant, or a column of the row around it", _INSTEAD)
    return negated


def _path(node: Expr, bracket: int, above: tuple[Expr, ...] = ()) -> tuple[Expr, ...]:
    """The way down to the IN with this sub-query, from the condition of its SELECT; nothing where it is not found."""
    if node.kind == "in" and node.parts[-1].kind == "query" and node.parts[-1].first == bracket:
        return (*above, node)
    for child in node.children:
        if child.first <= bracket < child.end:
            return _path(child, bracket, () if node.kind == "query" else (*above, node))
    return ()
