"""HAVING that asks whether a group has one distinct value, by its smallest and its largest value.

    HAVING count(DISTINCT x) = 1        →  HAVING coalesce(min(x) = max(x), FALSE)

Distinct values of many groups are written to disk where they are more than fit into memory, and two values for each
group are not: the films of people with one film took over 100 s for 22 M credits, and 4 s in these words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kinds import is_integer
from mcp_server.dialects.sail.rules.kit import has, is_aggregate, replace_in
from mcp_server.dialects.sail.rules.make import fill
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Binary, Call, Column, Constant, Expression
from mcp_server.sql.typed.relations import Query, Select
from mcp_server.sql.typed.types import BOOLEAN, DATE, STRING, TIMESTAMP, TIMESTAMP_NTZ, Decimal, Type

_ONE: Final = "coalesce({0} = {1}, FALSE)"
_SEVERAL: Final = "coalesce({0} <> {1}, FALSE)"
_AT_MOST_ONE: Final = "coalesce({0} = {1}, TRUE)"
_OTHER_THAN_ONE: Final = "coalesce({0} <> {1}, TRUE)"
_FORMS: Final[Mapping[tuple[str, int], str]] = {
    ("=", 1): _ONE,
    ("<=>", 1): _ONE,
    ("<>", 1): _OTHER_THAN_ONE,
    (">", 1): _SEVERAL,
    (">=", 2): _SEVERAL,
    ("<=", 1): _AT_MOST_ONE,
    ("<", 2): _AT_MOST_ONE,
}
"""How a number of distinct values compares with a constant, by the smallest and the largest; null of no value."""
_TURNED: Final = {"=": "=", "<=>": "<=>", "<>": "<>", ">": "<", "<": ">", ">=": "<=", "<=": ">="}
_COMPARED: Final = frozenset({STRING, BOOLEAN, DATE, TIMESTAMP, TIMESTAMP_NTZ})
"""Types whose equal values are one to both `=` and DISTINCT, besides whole numbers and decimals."""


def compare_extremes(query: Query, context: Context) -> Node | None:
    """Write such conditions in other words, where nothing else of the query is of distinct values."""
    select = query.body
    if not isinstance(select, Select) or select.having is None:
        return None
    if any(has(each, _is_distinct) for each in (*select.items, *query.order)):
        return None  # these are grouped anyway

    def find(node: Node) -> Node | None:
        return _write(node, context) if isinstance(node, Binary) else None

    having = replace_in(select.having, find)
    if having is select.having or has(having, _is_distinct):
        return None
    return query.replace(body=select.replace(having=having))


def _write(node: Binary, context: Context) -> Expression | None:
    call, other, operator = node.left, node.right, str(node.operator)
    if isinstance(call, Constant):
        call, other, operator = other, call, _TURNED.get(operator, "")
    if not isinstance(other, Constant) or type(other.value) is not int or not isinstance(call, Call):
        return None
    form = _FORMS.get((operator, other.value))
    if form is None or not _is_distinct(call) or call.name != "count" or len(call.arguments) != 1:
        return None
    value = call.arguments[0]
    if not _is_compared(value.type) or not any(isinstance(each, Column) for each in value.walk()):
        return None
    least, most = (Call(name=name, arguments=(value,), filter=call.filter, type=value.type) for name in ("min", "max"))
    return fill(context, form, least, most, gives=BOOLEAN)


def _is_distinct(node: Node) -> bool:
    return isinstance(node, Call) and node.distinct and is_aggregate(node)


def _is_compared(kind: Type | None) -> bool:
    return kind in _COMPARED or is_integer(kind) or isinstance(kind, Decimal)
