"""Casts that Spark makes unasked, written out: Sail takes the type of the first operand, or refuses.

Spark's rules are those of `AnsiTypeCoercion`. The tree means the same to Spark before and after these rules; casts are
written in the embedded engine's words later (`casts`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kinds import (
    common_type,
    has_fraction,
    is_integer,
    is_mixed,
    is_nested,
    is_number,
    is_string,
    is_time,
    list_fields,
)
from mcp_server.dialects.sail.rules.make import cast_to, constant, renew
from mcp_server.sql.typed.coercion import reopen
from mcp_server.sql.typed.functions import functions
from mcp_server.sql.typed.matching import match
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import (
    Between,
    Binary,
    Call,
    Case,
    Cast,
    Constant,
    Expression,
    In,
    Lambda,
    Like,
    NamedArgument,
    Row,
    Star,
    Unary,
)
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.signatures import LETTERS
from mcp_server.sql.typed.types import (
    BIGINT,
    BINARY,
    BOOLEAN,
    DATE,
    DOUBLE,
    FRACTIONS,
    INTEGERS,
    STRING,
    TIMESTAMP,
    VOID,
    Array,
    Atomic,
    Decimal,
    Interval,
    Struct,
    Type,
)

COMPARISONS: Final = frozenset({"=", "<>", "<", "<=", ">", ">=", "<=>"})
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%", "div"})
_SHORT: Final = 9
"""Digits that fit any whole number's type: text of so many means the same either way."""

_OPERATORS: Final = {
    "try_add": "+", "try_subtract": "-", "try_multiply": "*", "try_divide": "/", "try_mod": "%", "pmod": "%",
    "mod": "%",
}  # fmt: skip
"""Functions that are operators, and take what these take."""

_CASTING: Final[Mapping[str, Type]] = {
    **{str(kind).lower(): kind for kind in (*INTEGERS, *FRACTIONS, BINARY, BOOLEAN, DATE, STRING, TIMESTAMP)},
    "decimal": Decimal(10, 0),
}
"""Functions that are named like the type to which they cast."""

_AS_THEY_ARE: Final = frozenset(
    {
        "typeof",
        "struct",
        "named_struct",
        "count",
        "to_json",
        "to_csv",
        "unix_seconds",
        "unix_millis",
        "unix_micros",
        "sequence",
    }
)
"""Functions that take values of any types."""


def cast_operands(node: Node, _: Context) -> Node | None:
    """Operands of arithmetic and comparisons."""
    if not isinstance(node, Binary):
        return None
    parts = (node.left, node.right)
    if node.operator == "||":
        if node.type != STRING:
            return None
        left, right = (_to_text(part) for part in parts)
    elif node.operator in COMPARISONS:
        left, right = _compared(parts)
    elif node.operator in _ARITHMETIC:
        left, right = _computed(node.operator, *parts)
    else:
        return None
    return renew(node, left=left, right=right) or _shift_text(node)


def _to_text(node: Expression) -> Expression:
    """A double, a time or an interval as text is not what Sail makes of it unasked."""
    kind = node.type
    own = has_fraction(kind) or is_nested(kind) or is_time(kind) or isinstance(kind, Interval)
    return cast_to(node, STRING) if own else node


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


def _compared(parts: Sequence[Expression]) -> list[Expression]:  # noqa: PLR0911  (a reason each)
    """Operands that are compared with each other."""
    kinds = [part.type for part in parts]
    if None in kinds:
        return list(parts)
    if {DATE, TIMESTAMP} <= set(kinds):  # Sail brings them together as nanoseconds, from 1677 to 2262
        return [cast_to(part, TIMESTAMP) if part.type == DATE else part for part in parts]
    if len({_names_of(kind) for kind in kinds}) > 1 and all(isinstance(kind, Struct) for kind in kinds):
        return [_rename(part, kinds[0]) for part in parts]
    if is_mixed(kinds):
        return [cast_to(part, DOUBLE) if is_number(part.type) or is_string(part.type) else part for part in parts]
    if not any(map(is_string, kinds)) or all(is_string(kind) or kind == VOID for kind in kinds):
        return list(parts)
    target = common_type(kinds)
    texts = [part for part in parts if is_string(part.type)]
    if target is None or (target == BIGINT and all(map(_is_short, texts))):
        return list(parts)
    return [cast_to(part, target) if is_string(part.type) else part for part in parts]


def _names_of(kind: Type | None) -> tuple[str, ...]:
    return tuple(name for name, _ in kind.fields) if isinstance(kind, Struct) else ()


def _rename(part: Expression, kind: Type | None) -> Expression:
    """A struct that is written out, with the names of another one: Sail compares none of two kinds."""
    values = part.items if isinstance(part, Row) else [value for _, value in list_fields(part)]
    if _names_of(part.type) == _names_of(kind) and not isinstance(part, Row):
        return part
    if len(values) != len(_names_of(kind)):
        raise lacking("structs", "a comparison of structs whose fields are called otherwise", "Compare the fields.")
    named = zip(map(constant, _names_of(kind)), values, strict=True)
    fields = tuple((name, each.type) for name, each in zip(_names_of(kind), values, strict=True))
    return Call(name="named_struct", arguments=tuple(each for pair in named for each in pair), type=Struct(fields))


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


def cast_arguments(node: Node, _: Context) -> Node | None:  # noqa: PLR0911  (one line for each kind)
    """Arguments of functions, to the types of the signature (`typed/functions.toml`)."""
    if not isinstance(node, Call) or not node.arguments or node.name in _AS_THEY_ARE:
        return None
    if node.name in _OF_THEIR_OWN:
        return _OF_THEIR_OWN[node.name](node)
    if node.name in _OPERATORS and len(node.arguments) == 2:
        return renew(node, arguments=_computed(_OPERATORS[node.name], *node.arguments))
    if node.name in _CASTING and len(node.arguments) == 1:
        return Cast(operand=node.arguments[0], type=node.type or _CASTING[node.name], at=node.at)
    function = (
        functions().get(f"{node.name}/unit") or functions().get(node.name) if node.how else functions().get(node.name)
    )
    signature = None if function is None else function.signature(len(node.arguments))
    if signature is None:
        return None
    try:
        kinds = match(node.name, signature, [each.type for each in node.arguments]).kinds
    except SparkRefuses:  # typing has said so where it matters
        return None
    shared = [_is_letter(signature.argument(at).kinds) for at in range(len(kinds))]
    arguments = zip(node.arguments, kinds, shared, strict=True)
    return renew(node, arguments=tuple(_fit(each, reopen(kind), is_shared) for each, kind, is_shared in arguments))


def _concat(node: Call) -> Node | None:
    kind = node.type
    if isinstance(kind, Array):
        return renew(node, arguments=tuple(cast_to(each, kind) for each in node.arguments))
    return renew(node, arguments=tuple(map(_to_text, node.arguments))) if kind == STRING else None


def _share(node: Call) -> Node | None:
    return renew(node, arguments=tuple(_shared(node.arguments, node.type)))


def _zero_if_null(node: Call) -> Node | None:
    """zeroifnull(x) is coalesce(x, 0), in the type of both."""
    if node.type == node.arguments[0].type:
        return None
    values = (cast_to(node.arguments[0], node.type), cast_to(constant(0), node.type))
    return Call(name="coalesce", arguments=values, type=node.type, at=node.at)


def _null_if(node: Call) -> Node | None:
    """nullif(x, y) has the type of x, whatever the two are compared as; nullifzero(x) is nullif(x, 0)."""
    value, *others = node.arguments
    other = others[0] if others else constant(0)
    left, right = _compared((value, other))
    if left is value and right is other and (value.type == other.type or None in {value.type, other.type}):
        return None
    equal = Binary(operator="=", left=left, right=right, type=BOOLEAN)
    return Case(operand=None, conditions=(equal,), results=(constant(None),), otherwise=value, type=node.type)


_OF_THEIR_OWN: Final[Mapping[str, Callable[[Call], Node | None]]] = {
    "concat": _concat,
    "greatest": _share,
    "least": _share,
    "nullif": _null_if,
    "nullifzero": _null_if,
    "zeroifnull": _zero_if_null,
}
"""Functions whose arguments are cast in a way of their own."""


def _is_letter(kinds: Sequence[Type]) -> bool:
    return bool(kinds) and isinstance(kinds[0], Atomic) and kinds[0].name in LETTERS


def _fit(node: Expression, kind: Type | None, is_shared: bool) -> Expression:  # noqa: PLR0911  (a line for each kind)
    source = node.type
    if source == VOID and isinstance(node, Constant) and isinstance(kind, Atomic | Decimal) and not is_shared:
        return cast_to(node, kind)
    if kind is None or source in {None, VOID, kind} or isinstance(node, Star | Lambda | NamedArgument):
        return node
    if is_shared:
        return node if _is_alike(source, kind) or not _is_castable(kind) else cast_to(node, kind)
    if isinstance(kind, Array) and isinstance(source, Array) and _is_text_needed(source.element, kind.element):
        return cast_to(node, kind)
    if is_nested(kind) or is_nested(source) or _is_alike(source, kind):
        return node
    if is_number(source) and is_number(kind):
        has_other = has_fraction(source) and (is_integer(kind) or (isinstance(source, Decimal) and kind == DOUBLE))
        return cast_to(node, kind) if has_other else node
    return cast_to(node, kind)


def _is_text_needed(source: Type | None, kind: Type | None) -> bool:
    return kind == STRING and source not in {None, VOID, STRING}


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
