"""The names that Spark gives to columns without an alias, where a statement may use them itself."""

from __future__ import annotations

from mcp_server.sql.typed import nodes
from mcp_server.sql.typed.nodes import Expression


def name_of(node: Expression) -> str | None:
    """Return the name of a column that an expression makes, None where only Spark could tell it."""
    match node:
        case nodes.Column() | nodes.Field() | nodes.ItemUse() | nodes.Parameter():
            return node.name
        case nodes.Constant() if isinstance(node.value, str | int) and not isinstance(node.value, bool):
            return str(node.value)
        case nodes.Call() if node.how == "bare":
            return f"{node.name}()"
    return None
