"""STUB, replaced by branch `types`: these are the functions that the reader calls."""

from __future__ import annotations

from collections.abc import Sequence

from mcp_server.sql.typed.nodes import Expression
from mcp_server.sql.typed.relations import Output, SetOperation
from mcp_server.sql.typed.types import Type


def complete(node: Expression) -> Expression:
    """Return a node whose parts are complete with its type. (Casts: parse `text` when type is None.)"""
    return node


def bind_parameters(name: str, kinds: Sequence[Type | None], index: int) -> tuple[Type | None, ...]:
    """Return the types of the parameters of the lambda that is argument `index` of a call."""
    return ()


def common_outputs(operation: SetOperation) -> tuple[Output, ...] | None:
    """Return the columns of a set operation whose sides are resolved (names of the left one; BY NAME; widened)."""
    left, right = operation.left.outputs, operation.right.outputs
    if left is None or right is None:
        return None
    return tuple(Output(each.name, None) for each in left)


def row_outputs(rows: Sequence[Expression]) -> tuple[Output, ...] | None:
    """Return the columns of VALUES: col1, col2, … with the common types of the rows (`Row`s or single values)."""
    from mcp_server.sql.typed.nodes import Call, Row

    first = rows[0]
    if isinstance(first, Call) and first.name in {"struct", "named_struct"}:
        return (
            None
            if first.name == "named_struct"
            else tuple(Output(f"col{n}", None) for n in range(1, len(first.arguments) + 1))
        )
    items = first.items if isinstance(first, Row) else (first,)
    return tuple(Output(f"col{n}", None) for n in range(1, len(items) + 1))
