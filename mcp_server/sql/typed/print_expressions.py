"""Writes expressions as Spark SQL, with brackets by the levels of Spark 4.2's `SqlBaseParser.g4`."""

from __future__ import annotations

from typing import Final

from mcp_server.sql.compose import Sql, compose, join, quote_name, write_word
from mcp_server.sql.typed import nodes as n
from mcp_server.sql.typed.writer import (
    NOTHING,
    WORD,
    Level,
    Written,
    fill_list,
    print_type,
    write_list,
    write_names,
    write_operand,
    write_text,
    write_value,
    writes,
)

_LEVELS: Final[dict[str, Level]] = {
    **dict.fromkeys(("=", "<>", "<", "<=", ">", ">=", "<=>"), Level.PREDICATE),
    **dict.fromkeys(("+", "-", "||"), Level.SUM),
    **dict.fromkeys(("*", "/", "%", "div"), Level.PRODUCT),
    **dict.fromkeys(("<<", ">>", ">>>"), Level.SHIFT),
    "|": Level.BIT_OR,
    "^": Level.BIT_XOR,
    "&": Level.BIT_AND,
}
_CHAINS: Final = (Level.SUM, Level.PRODUCT)
"""Levels that are read from left to right. The operands of all others are always put in brackets."""


def _not(negated: bool) -> Sql:
    return compose("NOT ") if negated else NOTHING


_UNIT_CALLS: Final = frozenset(
    {"timestampadd", "timestampdiff", "dateadd", "datediff", "date_add", "date_diff", "timediff"}
)
"""Calls whose first of three arguments is a unit of time, which is written as a word."""


@writes(n.Constant)
def _constant(e: n.Constant) -> Written:
    return (Level.SIGN if e.text.startswith(("-", "+")) else Level.PRIMARY), e.text


@writes(n.IntervalLiteral)
def _interval(e: n.IntervalLiteral) -> Sql:
    pairs: list[Sql] = []
    for value, unit in zip(e.values, e.units, strict=True):
        plain = isinstance(value, (n.Constant, n.Unary))
        pairs += [compose("{}" if plain else "({})", write_text(value)), write_word(unit.upper()) if unit else NOTHING]
    return compose("INTERVAL {}", join(" ", pairs))


@writes(n.Column)
def _column(e: n.Column) -> Sql:
    return write_names((*e.parts, e.name))


@writes(n.ItemUse, n.Parameter)
def _use(e: n.ItemUse | n.Parameter) -> Sql:
    return quote_name(e.name)


@writes(n.Ordinal)
def _ordinal(e: n.Ordinal) -> Sql:
    return compose("{}", e.index)


@writes(n.Field)
def _field(e: n.Field) -> Sql:
    return compose("{}.{}", _based(e.base), quote_name(e.name))


@writes(n.Element)
def _element(e: n.Element) -> Sql:
    return compose("{}[{}]", _based(e.base), write_text(e.index))


@writes(n.JsonPath)
def _json_path(e: n.JsonPath) -> Sql:
    return compose("{}:{}", _based(e.base), e.text)


def _based(e: n.Expression) -> Sql:
    """Write what a suffix stands behind. Literals are put in brackets: `1.a` is one token."""
    text = write_operand(e, Level.PRIMARY)
    return compose("({})", text) if isinstance(e, (n.Constant, n.IntervalLiteral)) else text


@writes(n.Star)
def _star(e: n.Star) -> Sql:
    if e.renewals:
        raise TypeError("columns that a star renews have to be written out")
    text = compose("*")
    if e.base is not None:
        text = compose("{}.*", _based(e.base))
    elif e.parts:
        text = compose("{}.*", write_names(e.parts))
    excluded = fill_list("EXCEPT ({})", map(write_names, e.excluded))
    return join(" ", (text, excluded))


@writes(n.NamedArgument)
def _named_argument(e: n.NamedArgument) -> Written:
    return Level.OR, compose("{} => {}", quote_name(e.name), write_text(e.operand))


@writes(n.Alias)
def _alias(e: n.Alias) -> Written:
    return Level.OR, compose("{} AS {}", write_text(e.operand), quote_name(e.name))


@writes(n.Call)
def _call(e: n.Call) -> Sql:
    name = write_word(e.name) if WORD.fullmatch(e.name) else write_names(e.name.split("."))
    inner = _arguments(e)
    if e.distinct:
        inner = compose("DISTINCT {}", inner)
    nulls = compose("{} NULLS", write_word(e.nulls.upper())) if e.nulls else NOTHING
    filtered = compose("FILTER (WHERE {})", write_text(e.filter)) if e.filter else NOTHING
    over = compose("OVER {}", _over(e.window)) if e.window else NOTHING
    within = fill_list("WITHIN GROUP (ORDER BY {})", map(write_text, e.within))
    return join(" ", (compose("{}({})", name, inner), within, filtered, nulls, over))


def _arguments(e: n.Call) -> Sql:
    first = e.arguments[0] if e.arguments else None
    unit = first.value if isinstance(first, n.Constant) and isinstance(first.value, str) else ""
    if e.name == "extract" and WORD.fullmatch(unit.lower()):
        return compose("{} FROM {}", write_word(unit.upper()), write_list(e.arguments[1:]))
    if e.name in _UNIT_CALLS and len(e.arguments) == 3 and WORD.fullmatch(unit.lower()):
        return join(", ", (write_word(unit.upper()), write_list(e.arguments[1:])))
    if e.name == "trim" and e.how:
        *characters, text = e.arguments
        return join(" ", (write_word(e.how.upper()), write_list(characters), compose("FROM"), write_text(text)))
    return write_list(e.arguments)


def _over(window: n.Window) -> Sql:
    if window.base and not (window.partition or window.order or window.frame):
        return quote_name(window.base)
    return write_text(window)


@writes(n.Window)
def _window(window: n.Window) -> Sql:
    base = quote_name(window.base) if window.base else NOTHING
    partition = fill_list("PARTITION BY {}", map(write_text, window.partition))
    order = fill_list("ORDER BY {}", map(write_text, window.order))
    frame = _frame(window.frame) if window.frame else NOTHING
    return compose("({})", join(" ", (base, partition, order, frame)))


def _frame(frame: n.Frame) -> Sql:
    start, end = _edge(frame.start, frame.low), _edge(frame.end, frame.high)
    return compose("{} BETWEEN {} AND {}", write_word(frame.unit.upper()), start, end)


def _edge(edge: n.FrameEdge, distance: n.Expression | None) -> Sql:
    word = write_word(edge.upper())
    return compose("{} {}", write_operand(distance, Level.BIT_OR), word) if distance else word


@writes(n.SortKey)
def _sort_key(key: n.SortKey) -> Sql:
    return join(" ", (write_text(key.operand), write_direction(key)))


def write_direction(key: n.SortKey) -> Sql:
    """Write what stands behind the expression of a sort key."""
    direction = compose("DESC") if key.descending else NOTHING
    nulls = NOTHING if key.nulls_first is None else compose("NULLS FIRST" if key.nulls_first else "NULLS LAST")
    return join(" ", (direction, nulls))


@writes(n.Cast)
def _cast(e: n.Cast) -> Sql:
    name = compose("TRY_CAST" if e.tries else "CAST")
    return compose("{}({} AS {})", name, write_text(e.operand), e.text or print_type(e.type))


@writes(n.Unary)
def _unary(e: n.Unary) -> Written:
    operand = write_operand(e.operand, Level.SIGN)
    if operand.startswith(("-", "+")):  # -- begins a comment
        operand = compose("({})", operand)
    return Level.SIGN, compose(e.operator + "{}", operand)


@writes(n.Binary)
def _binary(e: n.Binary) -> Written:
    level = _LEVELS[e.operator]
    if level in _CHAINS:
        left, right = write_operand(e.left, level), write_operand(e.right, Level(level + 1))
    elif level is Level.PREDICATE:
        left, right = write_value(e.left), write_value(e.right)
    else:
        left, right = write_operand(e.left, Level.SIGN), write_operand(e.right, Level.SIGN)
    return level, compose("{} " + e.operator.upper() + " {}", left, right)


@writes(n.Logic)
def _logic(e: n.Logic) -> Written:
    level = Level.AND if e.operator == "and" else Level.OR
    return level, join(f" {e.operator.upper()} ", [write_operand(each, Level(level + 1)) for each in e.operands])


@writes(n.Not)
def _negation(e: n.Not) -> Written:
    return Level.NOT, compose("NOT {}", write_operand(e.operand, Level.PRIMARY))


@writes(n.Is)
def _is(e: n.Is) -> Written:
    word = write_word(e.value.upper())
    return Level.PREDICATE, compose("{} IS {}{}", write_value(e.operand), _not(e.negated), word)


@writes(n.Between)
def _between(e: n.Between) -> Written:
    operand, low, high = write_value(e.operand), write_value(e.low), write_value(e.high)
    return Level.PREDICATE, compose("{} {}BETWEEN {} AND {}", operand, _not(e.negated), low, high)


@writes(n.Like)
def _like(e: n.Like) -> Written:
    operator = write_word(e.operator.upper())
    if e.quantifier:
        pattern = compose("{} ({})", write_word(e.quantifier.upper()), write_list(e.patterns))
    else:
        (only,) = e.patterns
        pattern = write_value(only)
    escape = compose("ESCAPE {}", write_text(e.escape)) if e.escape else NOTHING
    text = compose("{} {}{} {}", write_value(e.operand), _not(e.negated), operator, pattern)
    return Level.PREDICATE, join(" ", (text, escape))


@writes(n.In)
def _in(e: n.In) -> Written:
    return Level.PREDICATE, compose("{} {}IN ({})", write_value(e.operand), _not(e.negated), write_list(e.items))


@writes(n.InQuery)
def _in_query(e: n.InQuery) -> Written:
    left = write_value(e.operands[0]) if len(e.operands) == 1 else compose("({})", write_list(e.operands))
    return Level.PREDICATE, compose("{} {}IN ({})", left, _not(e.negated), write_text(e.query))


@writes(n.Exists)
def _exists(e: n.Exists) -> Written:
    text = compose("{}EXISTS ({})", _not(e.negated), write_text(e.query))
    return (Level.NOT if e.negated else Level.PREDICATE), text


@writes(n.ScalarQuery)
def _scalar_query(e: n.ScalarQuery) -> Sql:
    return compose("({})", write_text(e.query))


@writes(n.Case)
def _case(e: n.Case) -> Sql:
    parts = [compose("CASE {}", write_text(e.operand)) if e.operand else compose("CASE")]
    for condition, result in zip(e.conditions, e.results, strict=True):
        parts.append(compose("WHEN {} THEN {}", write_text(condition), write_text(result)))
    if e.otherwise:
        parts.append(compose("ELSE {}", write_text(e.otherwise)))
    return join(" ", (*parts, compose("END")))


@writes(n.Lambda)
def _lambda(e: n.Lambda) -> Written:
    names = join(", ", [quote_name(each.name) for each in e.parameters])
    head = names if len(e.parameters) == 1 else compose("({})", names)
    return Level.OR, compose("{} -> {}", head, write_text(e.body))


@writes(n.Row)
def _row(e: n.Row) -> Sql:
    return compose("({})" if len(e.items) > 1 else "struct({})", write_list(e.items))


@writes(n.Collate)
def _collate(e: n.Collate) -> Sql:
    return compose("{} COLLATE {}", write_operand(e.operand, Level.PRIMARY), write_names(e.name.split(".")))
