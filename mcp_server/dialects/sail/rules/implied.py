"""Casts that Spark makes unasked, written out: Sail takes the type of the first operand, or refuses.

Spark's rules are those of `AnsiTypeCoercion`. The tree means the same to Spark before and after these rules; casts are
written in the embedded engine's words later (`casts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kinds import (
    common_type,
    is_mixed,
    is_nested,
    is_number,
    is_string,
)
from mcp_server.dialects.sail.rules.make import cast_to, renew
from mcp_server.sql.typed.nodes import (
    Between,
    Binary,
    Call,
    Case,
    Constant,
    Expression,
    In,
    Like,
    Node,
    Unary,
)
from mcp_server.sql.typed.types import (
    BIGINT,
    DATE,
    DOUBLE,
    STRING,
    TIMESTAMP,
    VOID,
    Array,
    Interval,
    Type,
)

COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">=", "<=>"})
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%", "div"})
_SHORT: Final = 9
"""Digits that fit any whole number's type: text of so many means the same either way."""

_NUMERIC: Final = frozenset(
    {
        "sum", "avg", "mean", "try_sum", "try_avg", "abs", "round", "bround", "floor", "ceil", "ceiling", "sqrt", "exp",
        "ln", "log", "log10", "log2", "log1p", "expm1", "stddev", "stddev_pop", "stddev_samp", "std", "variance", "var_pop",
        "var_samp", "median", "sign", "signum", "negative", "positive", "pow", "power", "cbrt", "sin", "cos", "tan", "asin",
        "acos", "atan", "atan2", "sinh", "cosh", "tanh", "degrees", "radians", "rint", "hypot", "skewness", "kurtosis",
        "corr", "covar_pop", "covar_samp", "factorial", "nanvl",
    }
)  # fmt: skip
"""Functions of numbers, which take text for doubles."""

_SHARED: Final[Mapping[str, int]] = {
    "coalesce": 0, "ifnull": 0, "nvl": 0, "array": 0, "greatest": 0, "least": 0, "if": 1, "nvl2": 1,
}  # fmt: skip
"""Functions whose arguments from a place on have one type."""

_TWO_NUMBERS: Final = frozenset(
    {"try_add", "try_subtract", "try_multiply", "try_divide", "try_mod", "pmod", "mod", "nullif"}
)


def cast_operands(node: Node, _: Context) -> Node | None:
    """Operands of arithmetic and comparisons."""
    if not isinstance(node, Binary):
        return None
    parts = (node.left, node.right)
    if node.operator in COMPARISONS:
        left, right = _compared(parts)
    elif node.operator in _ARITHMETIC:
        left, right = _computed(node.operator, *parts)
    else:
        return None
    return renew(node, left=left, right=right) or _shift_text(node)


def _shift_text(node: Binary) -> Node | None:
    """A text with an interval added is a time, and becomes text again."""
    for text, step in ((node.left, node.right), (node.right, node.left)):
        if node.operator in {"+", "-"} and is_string(text.type) and isinstance(step.type, Interval):
            time = cast_to(text, TIMESTAMP)
            parts = {"left": time, "right": step} if text is node.left else {"left": step, "right": time}
            return cast_to(node.replace(type=TIMESTAMP, **parts), STRING)
    return None


def _computed(operator: str, left: Expression, right: Expression) -> tuple[Expression, Expression]:
    kinds = (left.type, right.type)
    if any(isinstance(kind, Interval) for kind in kinds):
        if operator in {"*", "/"}:
            return _double_text(left), _double_text(right)
        return left, right
    for kind in (DATE, TIMESTAMP):
        if operator == "-" and kind in kinds and any(map(is_string, kinds)):
            return cast_to(left, kind), cast_to(right, kind)
    if not any(map(is_string, kinds)) and not (is_mixed(kinds) and all(map(is_number, kinds))):
        return left, right
    if not all(is_string(kind) or is_number(kind) for kind in kinds):
        return left, right
    target = common_type(kinds)
    if target == STRING:
        target = DOUBLE
    return cast_to(left, target), cast_to(right, target)


def _double_text(node: Expression) -> Expression:
    return cast_to(node, DOUBLE) if is_string(node.type) else node


def _compared(parts: Sequence[Expression]) -> list[Expression]:
    """Operands that are compared with each other."""
    kinds = [part.type for part in parts]
    if None in kinds:
        return list(parts)
    if is_mixed(kinds):
        return [cast_to(part, DOUBLE) if is_number(part.type) or is_string(part.type) else part for part in parts]
    if not any(map(is_string, kinds)) or all(is_string(kind) or kind == VOID for kind in kinds):
        return list(parts)
    target = common_type(kinds)
    texts = [part for part in parts if is_string(part.type)]
    if target is None or (target == BIGINT and all(map(_is_short, texts))):
        return list(parts)
    return [cast_to(part, target) if is_string(part.type) else part for part in parts]


def _is_short(part: Expression) -> bool:
    if not isinstance(part, Constant) or not isinstance(part.value, str):
        return False
    digits = part.value.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= _SHORT


def cast_between(node: Node, _: Context) -> Node | None:
    """What stands between two bounds."""
    if not isinstance(node, Between):
        return None
    operand, low, high = _compared((node.operand, node.low, node.high))
    return renew(node, operand=operand, low=low, high=high)


def cast_items(node: Node, _: Context) -> Node | None:
    """Items of IN."""
    if not isinstance(node, In):
        return None
    operand, *items = _compared((node.operand, *node.items))
    return renew(node, operand=operand, items=tuple(items))


def cast_pattern(node: Node, _: Context) -> Node | None:
    """What LIKE and RLIKE look at is text."""
    if not isinstance(node, Like):
        return None
    kind = node.operand.type
    if kind is None or is_string(kind) or kind == VOID:
        return None
    return node.replace(operand=cast_to(node.operand, STRING))


def cast_branches(node: Node, _: Context) -> Node | None:
    """Results of CASE, which have one type, and what CASE compares with."""
    if not isinstance(node, Case):
        return None
    changes: dict[str, object] = {}
    if node.operand is not None:
        operand, *conditions = _compared((node.operand, *node.conditions))
        changes = {"operand": operand, "conditions": tuple(conditions)}
    results = _shared((*node.results, *([node.otherwise] if node.otherwise is not None else [])), node.type)
    if node.otherwise is not None:
        changes["otherwise"] = results.pop()
    return renew(node, results=tuple(results), **changes)


def _shared(parts: Sequence[Expression], kind: Type | None) -> list[Expression]:
    if kind is None or kind == VOID or not _is_castable(kind) or any(part.type is None for part in parts):
        return list(parts)
    return [part if part.type == VOID or _is_alike(part.type, kind) else cast_to(part, kind) for part in parts]


def _is_alike(one: Type | None, other: Type) -> bool:
    """Whether values of two types are the same to the engine."""
    return (
        one == other
        or (is_string(one) and is_string(other))
        or (isinstance(one, Interval) and isinstance(other, Interval))
    )


def _is_castable(kind: Type) -> bool:
    return not is_nested(kind) or (isinstance(kind, Array) and kind.element is not None and not is_nested(kind.element))


def cast_arguments(node: Node, _: Context) -> Node | None:
    """Arguments of functions."""
    if not isinstance(node, Call) or not node.arguments:
        return None
    if node.name in _SHARED:
        return _cast_shared(node)
    if node.name in _NUMERIC:
        arguments = tuple(
            _double_text(each) for each in node.arguments[: 1 if node.name in {"round", "bround"} else None]
        )
        return renew(node, arguments=(*arguments, *node.arguments[len(arguments) :]))
    if node.name in _TWO_NUMBERS and len(node.arguments) == 2:
        left, right = node.arguments
        if node.name == "nullif":
            return None
        return renew(node, arguments=_computed(_OPERATORS.get(node.name, "+"), left, right))
    return None


_OPERATORS: Final = {
    "try_subtract": "-",
    "try_multiply": "*",
    "try_divide": "/",
    "try_mod": "%",
    "pmod": "%",
    "mod": "%",
}


def _cast_shared(node: Call) -> Call | None:
    first = _SHARED[node.name]
    kind = node.type.element if node.name == "array" and isinstance(node.type, Array) else node.type
    return renew(node, arguments=(*node.arguments[:first], *_shared(node.arguments[first:], kind)))


def cast_sign(node: Node, _: Context) -> Node | None:
    """A text with a sign is a double."""
    if not isinstance(node, Unary) or node.operator == "~" or not is_string(node.operand.type):
        return None
    return node.replace(operand=cast_to(node.operand, DOUBLE))


RULES = {
    Binary: (cast_operands,),
    Between: (cast_between,),
    In: (cast_items,),
    Like: (cast_pattern,),
    Case: (cast_branches,),
    Call: (cast_arguments,),
    Unary: (cast_sign,),
}
"""They run before all others: those ask for the types of operands."""
