"""The names that Spark 4.2 gives to columns without an alias (`toPrettySQL`, `ResolveAliases`).

`names.toml` lists how it names calls whose arguments alone do not tell.
"""

from __future__ import annotations

import decimal
import functools
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Any, Final

from mcp_server.sql.functions import functions
from mcp_server.sql.typed import nodes as n
from mcp_server.sql.typed.nodes import Expression, SortKey
from mcp_server.sql.typed.types import (
    BINARY,
    DATE,
    DOUBLE,
    FLOAT,
    TIMESTAMP,
    TIMESTAMP_NTZ,
    Array,
    Decimal,
    Map,
    Struct,
)

MAX_NAME: Final = 255
"""Characters of a name that is given; longer ones help nobody."""

_NAME: Final = re.compile(r"[\w .,:;!?()\[\]{}<>=+\-*/%&|^~'\"#@]+")
"""What may stand in a name in back-quotes; the lexer's `_ODD_NAME_CHARACTER`."""

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d*[1-9])?")
_MONTHS: Final = re.compile(r"[0-9]{1,9}-[0-9]{1,2}")
_DIGITS: Final = frozenset("09")
_OF_BYTES: Final = frozenset({"base64", "hex", "utf-8"})
_RANKS: Final = frozenset({"row_number", "rank", "dense_rank", "percent_rank", "ntile"})
_ALL_BEFORE: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND"
_MOMENTS: Final = frozenset({DATE, TIMESTAMP})
TIME_WINDOWS: Final = frozenset({"window", "session_window"})
"""Calls that group rows by time, and make a column of that name."""

_TYPED: Final = frozenset({DATE, TIMESTAMP, TIMESTAMP_NTZ})


class Unnamed(Exception):  # noqa: N818  (a signal within this module)
    """Spark's name of an expression is not known here."""


@functools.cache
def name_forms() -> Mapping[str, str]:
    """How calls are named, by name, or by name and number of arguments."""
    data = tomllib.loads(resources.files(__package__).joinpath("names.toml").read_text("utf-8"))
    upper = {name: f"{name.upper()}({{all}})" for name in data["spelling"]["upper"].split()}
    casting = {f"{name}/1": "{0}" for name in data["spelling"]["casting"].split()}
    names: dict[str, str] = data["names"]
    return upper | casting | names


def name_of(node: Expression) -> str | None:  # noqa: PLR0911  (one line for each kind)
    """Return the name of a column that an expression makes, None where only Spark could tell it."""
    if isinstance(node, n.Column | n.ItemUse | n.Parameter):
        return node.name
    if isinstance(node, n.Field) and is_field_of_column(node):
        return node.name
    if isinstance(node, n.Cast):
        if isinstance(node.operand, n.JsonPath) and not node.operand.text.endswith("]"):
            return node.operand.text.rpartition(".")[2]  # parse_json(j):a.b::int is b
        if isinstance(node.operand, n.Column):
            return node.operand.name  # a column that is cast keeps its name, and a field of one does not
    if isinstance(node, n.Call) and node.name == "from_json" and isinstance(node.type, Map):
        return "entries"
    try:
        name = write_name(node)
    except Unnamed:
        return None
    return name if len(name) <= MAX_NAME and _NAME.fullmatch(name) else None


def is_field_of_column(node: Expression) -> bool:
    """Whether an expression is `a.b.c`, which has the name of its last part: a field of any other has all of it."""
    base = node
    while isinstance(base, n.Field):
        base = base.base
    known = isinstance(base, n.Column | n.ItemUse | n.Parameter) or (
        isinstance(base, n.Call) and base.name in TIME_WINDOWS
    )
    return known and isinstance(node, n.Field)


def write_name(node: Expression) -> str:
    """Write an expression as Spark names it. Errors: Unnamed."""
    writer = _WRITERS.get(type(node))
    if writer is None:
        raise Unnamed
    return writer(node)


def _all(nodes: Iterable[Expression]) -> str:
    return ", ".join(map(write_name, nodes))


def _constant(node: n.Constant) -> str:
    value, kind = node.value, node.type
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if kind == BINARY:
            return f"X'{value.upper()}'"
        if kind in _TYPED:
            shape = _DATE if kind == DATE else _TIMESTAMP
            if not shape.fullmatch(value):
                raise Unnamed
            return f"{kind!s} '{value}'"
        return value
    return _number(value, kind)


def _number(value: Any, kind: Any) -> str:
    if kind == FLOAT:
        raise Unnamed  # Java writes these in its own way
    if kind == DOUBLE:
        number = float(value)
        return repr(number) if number == 0 or 1e-3 <= abs(number) < 1e7 else java_double(number)
    if isinstance(kind, Decimal):
        return format(value if isinstance(value, decimal.Decimal) else decimal.Decimal(value), "f")
    return str(value)


def java_double(value: float) -> str:
    """Write a large or small double as Java's Double.toString does: 1.0E9."""
    _, digits, exponent = decimal.Decimal(repr(value)).normalize().as_tuple()
    first, *rest = map(str, digits)
    sign = "-" if value < 0 else ""
    return f"{sign}{first}.{''.join(rest) or '0'}E{int(exponent) + len(rest)}"


def _unary(node: n.Unary) -> str:
    inner = write_name(node.operand)
    return f"~{inner}" if node.operator == "~" else f"({node.operator} {inner})"


def _binary(node: n.Binary) -> str:
    interval = isinstance(node.right, n.IntervalLiteral)
    moments = node.left.type in _MOMENTS and node.left.type == node.right.type
    if (
        not moments
        and node.operator in {"+", "-"}
        and (interval or node.right.type in _MOMENTS or node.left.type in _MOMENTS)
    ):
        if interval and isinstance(node.right, n.IntervalLiteral) and node.right.units != ("day",):
            return f"{write_name(node.left)} {node.operator} {write_name(node.right)}"
        raise Unnamed
    left, right = write_name(node.left), write_name(node.right)
    if node.operator == "||":
        return f"concat({left}, {right})"
    if node.operator == "<>":
        return f"(NOT ({left} = {right}))"
    return f"({left} {node.operator} {right})"


def _logic(node: n.Logic) -> str:
    first, *rest = map(write_name, node.operands)
    for other in rest:
        first = f"({first} {node.operator.upper()} {other})"
    return first


def _not(node: n.Not) -> str:
    return f"(NOT {write_name(node.operand)})"


def _negated(text: str, node: n.In | n.Between | n.Like) -> str:
    return f"(NOT {text})" if node.negated else text


def _in(node: n.In) -> str:
    return _negated(f"({write_name(node.operand)} IN ({_all(node.items)}))", node)


def _between(node: n.Between) -> str:
    return _negated(f"between({_all((node.operand, node.low, node.high))})", node)


def _like(node: n.Like) -> str:
    value = write_name(node.operand)
    if node.quantifier is not None:
        lower = node.operator == "ilike"
        word = ("not" if node.negated else "") + node.operator.replace("ilike", "like") + node.quantifier
        return f"{word}({f'lower({value})' if lower else value})"
    if node.escape is not None and node.operator != "like":
        raise Unnamed
    pattern = write_name(node.patterns[0])
    escape = f" ESCAPE '{write_name(node.escape)}'" if node.escape is not None else ""
    forms = {"like": f"{value} LIKE {pattern}{escape}", "ilike": f"ilike({value}, {pattern})"}
    return _negated(forms.get(node.operator, f"RLIKE({value}, {pattern})"), node)


def _is(node: n.Is) -> str:
    value = write_name(node.operand)
    if node.value in {"true", "false"}:
        found = f"({value} <=> {node.value})"
        return f"(NOT {found})" if node.negated else found
    return f"({value} IS {'NOT ' if node.negated else ''}NULL)"


def _interval(node: n.IntervalLiteral) -> str:
    """One number of a unit, or days and times as they are written."""
    value = node.values[0]
    text = str(value.value) if isinstance(value, n.Constant) else ""
    if node.units == ("day to second",):
        return f"INTERVAL '{text}' DAY TO SECOND"
    if node.units == ("year to month",) and _MONTHS.fullmatch(text):
        years, months = map(int, text.split("-"))
        return f"INTERVAL '{years}-{months}' YEAR TO MONTH"
    whole = text.isascii() and text.isdigit()
    if len(node.units) != 1 or node.units[0] not in {"year", "month", "day", "hour", "minute"} or not whole:
        raise Unnamed
    return f"INTERVAL '{text.lstrip('0') or '0'}' {node.units[0].upper()}"


def _cast(node: n.Cast) -> str:
    if isinstance(node.type, Array | Map | Struct):
        return write_name(node.operand)
    if node.type is None:
        raise Unnamed
    kind = "STRING" if type(node.type).__name__ == "Text" else str(node.type).replace(", ", ",").replace("`", "")
    return f"{'TRY_CAST' if node.tries else 'CAST'}({write_name(node.operand)} AS {kind})"


def _case(node: n.Case) -> str:
    operand = None if node.operand is None else write_name(node.operand)
    pieces = ["CASE"]
    for condition, result in zip(node.conditions, node.results, strict=True):
        test = write_name(condition)
        pieces.append(f"WHEN {test if operand is None else f'({operand} = {test})'} THEN {write_name(result)}")
    pieces += [] if node.otherwise is None else [f"ELSE {write_name(node.otherwise)}"]
    return " ".join([*pieces, "END"])


def _row(node: n.Row) -> str:
    """Fields are named like the columns in them, else by their place."""
    fields = []
    for at, each in enumerate(node.items, start=1):
        name = each.name if isinstance(each, n.Column | n.Field | n.Parameter) else f"col{at}"
        fields.append(f"{name}, {write_name(each)}")
    return f"named_struct({', '.join(fields)})"


def _element(node: n.Element) -> str:
    text = isinstance(node.index, n.Constant) and isinstance(node.index.value, str)
    if text and (node.base.type is None or isinstance(node.base.type, Struct)):
        if node.base.type is None:
            raise Unnamed  # m['k'] of a map is m[k], of a struct m.k
        return f"{write_name(node.base)}.{write_name(node.index)}"
    return f"{write_name(node.base)}[{write_name(node.index)}]"


def _lambda(node: n.Lambda) -> str:
    return f"lambdafunction({write_name(node.body)}{', namedlambdavariable()' * len(node.parameters)})"


def _call(node: n.Call) -> str:
    if node.how == "bare":
        return f"{node.name}()"
    form = _form(node)
    star = [isinstance(each, n.Star) for each in node.arguments]
    if not form or any(star) != (node.name == "count" and star == [True]):
        raise Unnamed
    used = ["{all}" in form or f"{{{at}}}" in form for at in range(len(node.arguments))]
    values = [
        "" if not is_used else "1" if isinstance(each, n.Star) else write_name(each)
        for each, is_used in zip(node.arguments, used, strict=True)
    ]
    everything = ("DISTINCT " if node.distinct else "") + ", ".join(values)
    try:
        found = form.format(*values, name=node.name, all=everything)
    except IndexError:  # fewer arguments than every call of it has: the engine will say so
        raise Unnamed from None
    return found + _behind(node)


def _form(node: n.Call) -> str:  # noqa: PLR0911  (one line for each kind)
    """Return how Spark names a call; nothing where it is not known, or makes several columns."""
    names = name_forms()
    if node.name in {"to_char", "to_varchar"} and len(node.arguments) == 2:
        second = node.arguments[1]
        pattern = second.value if isinstance(second, n.Constant) and isinstance(second.value, str) else ""
        if pattern.lower() in _OF_BYTES:
            return "{name}({all})"
        return "date_format({all})" if pattern and _DIGITS.isdisjoint(pattern) else "to_char({all})"
    if node.how == "words":
        return names.get(f"{node.name}/{len(node.arguments)} words", "")
    if functions().classes.get(node.name) == "generator" or (node.how and node.name != "trim"):
        return ""
    if node.name == "trim" and node.how:
        way = {"leading": "LEADING", "trailing": "TRAILING"}.get(node.how, "BOTH")
        return f"TRIM({way} {{0}} FROM {{1}})" if len(node.arguments) == 2 else ""
    if node.name == "extract":
        return "extract({0} FROM {1})"
    count = f"{node.name}/{len(node.arguments)}"
    if node.how == "words" and f"{count} words" in names:
        return names[f"{count} words"]
    return names.get(count, names.get(node.name, "{name}({all})"))


def _behind(node: n.Call) -> str:
    """Write what follows a call."""
    if node.nulls is not None:
        raise Unnamed
    found = ""
    if node.within:
        order = ", ".join(map(_sort, node.within))
        if node.name.startswith("percentile_"):
            order = order.removesuffix(" ASC NULLS FIRST").removesuffix(" NULLS LAST")
        elif node.name != "listagg":
            raise Unnamed
        found += f" WITHIN GROUP (ORDER BY {order})"
    if node.filter is not None:
        found += f" FILTER (WHERE {write_name(node.filter)})"
    return found + (_over(node) if node.window is not None else "")


def _over(node: n.Call) -> str:
    """Write ` OVER (PARTITION BY … ORDER BY … ROWS BETWEEN …)`: the frame is always in the name."""
    window = node.window
    if window is None or window.base is not None:
        raise Unnamed
    pieces = [f"PARTITION BY {_all(window.partition)}"] if window.partition else []
    pieces += [f"ORDER BY {', '.join(map(_sort, window.order))}"] if window.order else []
    return f" OVER ({' '.join([*pieces, _frame(node, window)])})"


def _frame(node: n.Call, window: n.Window) -> str:
    if node.name in {"lag", "lead"}:
        steps = node.arguments[1] if len(node.arguments) > 1 else None
        count = 1 if steps is None else steps.value if isinstance(steps, n.Constant) else None
        if not isinstance(count, int):
            raise Unnamed
        count = -count if node.name == "lag" else count
        return f"ROWS BETWEEN {count} FOLLOWING AND {count} FOLLOWING"
    if node.name in _RANKS:
        return f"{_ALL_BEFORE} CURRENT ROW"
    if window.frame is not None:
        frame = window.frame
        edges = [_edge(frame.start, frame.low), _edge(frame.end, frame.high)]
        return f"{frame.unit.upper()} BETWEEN {edges[0]} AND {edges[1]}"
    if window.order:
        return "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
    return f"{_ALL_BEFORE} UNBOUNDED FOLLOWING"


def _edge(edge: n.FrameEdge, distance: Expression | None) -> str:
    if isinstance(distance, n.IntervalLiteral):
        raise Unnamed
    return (f"{write_name(distance)} " if distance is not None else "") + edge.upper()


def _sort(key: SortKey) -> str:
    first = key.nulls_first if key.nulls_first is not None else not key.descending
    return f"{write_name(key.operand)} {'DESC' if key.descending else 'ASC'} NULLS {'FIRST' if first else 'LAST'}"


_WRITERS: Final[Mapping[type[Expression], Callable[[Any], str]]] = {
    n.Constant: _constant,
    n.Column: lambda node: node.name,
    n.ItemUse: lambda node: node.name,
    n.Parameter: lambda _: "namedlambdavariable()",
    n.Field: lambda node: (
        f"{write_name(node.base)}[{node.name}]"
        if isinstance(node.base.type, Map)
        else f"{write_name(node.base)}.{node.name}"
    ),
    n.Alias: lambda node: f"{write_name(node.operand)} AS {node.name}",
    n.Unary: _unary,
    n.Binary: _binary,
    n.Logic: _logic,
    n.Not: _not,
    n.In: _in,
    n.Between: _between,
    n.Like: _like,
    n.Is: _is,
    n.IntervalLiteral: _interval,
    n.Cast: _cast,
    n.Case: _case,
    n.Row: _row,
    n.Element: _element,
    n.Lambda: _lambda,
    n.ScalarQuery: lambda _: "scalarsubquery()",
    n.Exists: lambda _: "exists()",
    n.Call: _call,
}
