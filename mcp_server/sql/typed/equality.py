"""Which expressions are one to Spark: it compares them without regard to case and to the order of a sum's operands."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Binary, Column, Constant, Logic

_IGNORED: Final = frozenset({"at", "type", "text", "outputs"})
_COMMUTES: Final = frozenset({"+", "*", "&", "|", "^", "=", "<=>"})
_FLIPPED: Final = {">": "<", ">=": "<="}


def are_equal(one: Node, other: Node) -> bool:
    """Whether two expressions are semantically equal (`Canonicalize` of Spark)."""
    return _describe(one) == _describe(other)


def _describe(value: object) -> str:
    match value:
        case Column() if value.source is not None:
            found = f"column {value.source} {value.name.lower()}"
        case Constant():
            found = f"constant {type(value.value).__name__} {value.value!r} {value.type}"
        case Binary():
            found = _describe_binary(value)
        case Logic():
            found = f"{value.operator} {sorted(map(_describe, value.operands))}"
        case Node():
            parts = [_describe(getattr(value, each.name)) for each in fields(value) if each.name not in _IGNORED]
            found = f"{type(value).__name__} {parts}"
        case tuple():
            found = f"{[*map(_describe, value)]}"
        case _:
            found = value.lower() if isinstance(value, str) else repr(value)
    return found


def _describe_binary(node: Binary) -> str:
    if node.operator in _COMMUTES:
        return f"{node.operator} {sorted(_operands(node, node.operator))}"
    if node.operator in _FLIPPED:
        return f"{_FLIPPED[node.operator]} {[_describe(node.right), _describe(node.left)]}"
    return f"{node.operator} {[_describe(node.left), _describe(node.right)]}"


def _operands(node: Node, operator: str) -> list[str]:
    """Return the operands of a chain of one operator."""
    if isinstance(node, Binary) and node.operator == operator and operator not in {"=", "<=>"}:
        return [*_operands(node.left, operator), *_operands(node.right, operator)]
    if isinstance(node, Binary) and node.operator == operator:
        return [_describe(node.left), _describe(node.right)]
    return [_describe(node)]
