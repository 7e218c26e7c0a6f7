"""Which expressions are one to Spark: it compares them without regard to case and to the order of a sum's operands."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from mcp_server.sql.typed.nodes import Binary, Column, Constant, Logic, Node

_IGNORED: Final = frozenset({"at", "type", "text", "outputs"})
_COMMUTES: Final = frozenset({"+", "*", "&", "|", "^", "=", "<=>"})
_FLIPPED: Final = {">": "<", ">=": "<="}


def are_equal(one: Node, other: Node) -> bool:
    """Whether two expressions are semantically equal (`Canonicalize` of Spark)."""
    return _describe(one) == _describe(other)


def _describe(value: object) -> str:
    match value:
        case Column() if value.source is not None:
            return f"column {value.source} {value.name.lower()}"
        case Constant():
            return f"constant {type(value.value).__name__} {value.value!r} {value.type}"
        case Binary() if value.operator in _COMMUTES:
            return f"{value.operator} {sorted(_operands(value, value.operator))}"
        case Binary() if value.operator in _FLIPPED:
            return f"{_FLIPPED[value.operator]} {[_describe(value.right), _describe(value.left)]}"
        case Binary():
            return f"{value.operator} {[_describe(value.left), _describe(value.right)]}"
        case Logic():
            return f"{value.operator} {sorted(map(_describe, value.operands))}"
        case Node():
            parts = [_describe(getattr(value, each.name)) for each in fields(value) if each.name not in _IGNORED]
            return f"{type(value).__name__} {parts}"
        case tuple():
            return f"{[*map(_describe, value)]}"
        case str():
            return value.lower()
    return repr(value)


def _operands(node: Node, operator: str) -> list[str]:
    """Return the operands of a chain of one operator."""
    if isinstance(node, Binary) and node.operator == operator and operator not in {"=", "<=>"}:
        return [*_operands(node.left, operator), *_operands(node.right, operator)]
    if isinstance(node, Binary) and node.operator == operator:
        return [_describe(node.left), _describe(node.right)]
    return [_describe(node)]
