"""Aggregates in words that the embedded engine has: quantiles, joined texts, distinct rows, a FILTER in a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.intervals import interval_of, number_of
from mcp_server.dialects.sail.rules.kinds import is_calendar, is_nested, is_null_constant, is_number, list_fields
from mcp_server.dialects.sail.rules.make import cast_to, constant, fill, renew
from mcp_server.dialects.sail.rules.numbers import CallRule, whole_constant
from mcp_server.dialects.sail.rules.sort_texts import write_sort_text
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import (
    Call,
    Cast,
    Column,
    Constant,
    Expression,
    Field,
    Is,
    Lambda,
    Parameter,
    ScalarQuery,
    SortKey,
    Star,
)
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.types import BIGINT, BOOLEAN, DATE, INTEGERS, STRING, VOID, Array, Decimal, Interval, Struct

_PLAIN_TEXTS: Final = frozenset({STRING, BOOLEAN, DATE, *INTEGERS})
"""Types of which different values are different texts."""


def _check_column(word: str, values: Expression) -> None:
    """Sail finds nothing where it sorts by a constant."""
    if not any(isinstance(inner, Column | ScalarQuery) for inner in values.walk()):
        raise lacking(word, "it of a constant", "Leave it out: it is that constant.")


def _shares(node: Expression) -> tuple[Expression, ...]:
    """The shares of an array, or one, without a cast: two ways to write one would be two columns of one name."""
    inner = node.operand if isinstance(node, Cast) else node
    if isinstance(inner, Call) and inner.name == "array":
        return tuple(each.operand if isinstance(each, Cast) else each for each in inner.arguments)
    return (inner,)


def _is_one_share(node: Expression) -> bool:
    inner = node.operand if isinstance(node, Cast) else node
    return not (isinstance(inner, Call) and inner.name == "array")


def write_quantile(node: Call, context: Context) -> Node | None:
    """approx_percentile(x, p) is one of the values: exactly so it is percentile_disc, in the type of x."""
    if len(node.arguments) < 2:
        return None
    value, share = node.arguments[:2]
    _check_column(node.name, value)
    if not is_number(value.type) or node.distinct or node.window is not None:
        raise lacking(
            node.name, "this estimate as Spark does", "Write percentile(x, 0.5), which is exact, or cast x to DOUBLE."
        )
    found = [
        Cast(
            operand=Call(
                name="percentile_disc", arguments=(each,), within=(SortKey(operand=value),), filter=node.filter
            ),
            type=value.type,
        )
        for each in _shares(share)
    ]
    return found[0] if _is_one_share(share) else _several(value, node.filter, found, context)


def write_quantiles(node: Call, context: Context) -> Node | None:
    """percentile_cont and percentile_disc: several shares at once, one call for each."""
    if not node.arguments or not node.within:
        return None
    key, share = node.within[0], node.arguments[0]
    _check_window(node, context)
    _check_column(node.name, key.operand)
    if node.window is not None:
        return _windowed_quantile(node, key, share, context)
    if isinstance(key.operand.type, Interval):
        _check_interval(node, key.operand)
        number = key.replace(operand=number_of(key.operand, context))
        found = fill(context, "round({0})", node.replace(within=(number,), type=None))
        return interval_of(found, node.type, context)
    if _is_one_share(share):
        return renew(node, arguments=(*_shares(share), *node.arguments[1:]))
    several = [node.replace(arguments=(each,), type=None) for each in _shares(share)]
    return _several(key.operand, node.filter, several, context)


def _windowed_quantile(node: Call, key: SortKey, share: Expression, context: Context) -> Node:
    """Sail has no window of those; percentile is percentile_cont, and a descending order is the rest of the share."""
    if node.name != "percentile_cont" or node.filter is not None or not is_number(key.operand.type):
        raise lacking(f"{node.name} OVER", f"{node.name} in a window", "Group in a sub-query and join with it.")
    if key.descending:
        share = fill(context, "1 - {0}", share)
    return Call(name="percentile", arguments=(key.operand, share), window=node.window, type=node.type)


def _several(value: Expression, condition: Expression | None, found: Sequence[Expression], context: Context) -> Node:
    """An array, which is null where there are no values."""
    count = Call(name="count", arguments=(value,), filter=condition)
    return fill(context, "CASE WHEN {0} > 0 THEN {1} END", count, Call(name="array", arguments=tuple(found)))


def write_percentile(node: Call, context: Context) -> Node | None:
    """median and percentile of intervals: those of their numbers, rounded."""
    _check_window(node, context)
    if not node.arguments or not isinstance(node.arguments[0].type, Interval):
        return None
    value = node.arguments[0]
    _check_interval(node, value)
    found = node.replace(arguments=(number_of(value, context), *node.arguments[1:]), type=None)
    return interval_of(fill(context, "round({0})", found), node.type, context)


def _check_interval(node: Call, value: Expression) -> None:
    if is_calendar(value.type) or node.window is not None or isinstance(node.type, Array):
        raise lacking(node.name, "it of these intervals", "Compute with their parts.")


def _check_window(node: Call, context: Context) -> None:
    """Spark has quantiles over whole partitions only, and of all values."""
    window = node.window
    if node.distinct and node.within:
        raise SparkRefuses(
            "INVALID_WITHIN_GROUP_EXPRESSION.DISTINCT_UNSUPPORTED",
            f"{node.name} takes no DISTINCT with WITHIN GROUP.",
            node.at,
        )
    if window is not None and (window.order or window.frame is not None or window.base in context.framed):
        raise SparkRefuses(
            "INVALID_WINDOW_SPEC_FOR_AGGREGATION_FUNC",
            f"{node.name} takes no ORDER BY and no frame in its window.",
            node.at,
        )


def write_listagg(node: Call, context: Context) -> Node | None:
    """listagg with a delimiter that is NULL, which is none; with DISTINCT, whose order Sail does not keep."""
    if len(node.arguments) > 1 and is_null_constant(node.arguments[1]):
        plain = node.replace(arguments=node.arguments[:1])
        return write_listagg(plain, context) or plain
    if not node.distinct or not node.within or not node.arguments:
        return None
    if len(node.within) != 1 or node.window is not None:
        raise lacking(node.name, "DISTINCT in this order", "Write array_join(sort_array(collect_set(x)), ', ').")
    value = node.arguments[0]
    delimiter = node.arguments[1] if len(node.arguments) > 1 else constant("")
    count = Call(name="count", arguments=(value,), filter=node.filter)
    values = Call(name="collect_set", arguments=(value,), filter=node.filter)
    template = (
        "CASE WHEN {0} > 0 THEN array_join(transform(sort_array({1}, {up}), value_ -> CAST(value_ AS STRING)), {2}) END"
    )
    return fill(context, template, count, values, delimiter, up=not node.within[0].descending, gives=STRING)


def write_count(node: Call, context: Context) -> Node | None:
    """count(DISTINCT x, y) as that of one text, which is null where one of them is; that of a struct with nulls in it.

    Of several values Sail computes with gigabytes of memory where ten thousand differ, and gives up.
    """
    if not node.distinct or any(isinstance(each, Star) for each in node.arguments):
        return None
    if len(node.arguments) > 1:
        key = _key(node.arguments, context)
        return None if key is None else node.replace(arguments=(key,))
    struct = node.arguments[0]
    if not isinstance(struct.type, Struct):
        return None
    made = [each for _, each in list_fields(struct)]
    fields = made or [Field(base=struct, name=name, type=kind) for name, kind in struct.type.fields]
    key = _key(fields, context, null="n")
    if key is None:
        return None
    return node.replace(arguments=(key if made else fill(context, "if({0} IS NULL, NULL, {1})", struct, key),))


def _key(values: Sequence[Expression], context: Context, null: str | None = None) -> Expression | None:
    """Write values as one text, another one for each; None where a type has several texts for one value.

    How long a text is tells where the next value begins; nothing else has a blank in it, or is an `n`.
    """
    pieces: list[Expression] = []
    for value in values:
        if value.type not in _PLAIN_TEXTS and not isinstance(value.type, Decimal):
            return None
        text = cast_to(value, STRING)
        if value.type == STRING:
            text = fill(context, "concat(CAST(length({0}) AS STRING), ' ', {0})", value)
        if null is not None:
            text = fill(context, "coalesce({0}, {1})", text, constant(null))
        pieces += [constant(" "), text] if pieces else [text]
    return pieces[0] if len(pieces) == 1 else Call(name="concat", arguments=tuple(pieces), type=STRING)


def write_extreme(node: Call, context: Context) -> Node | None:
    """The largest or smallest struct or array: a null in it is less than anything to Spark, and more to Sail."""
    if len(node.arguments) != 1 or not is_nested(node.arguments[0].type):
        return None
    value = node.arguments[0]
    fields = list_fields(value)
    if not fields or any(is_nested(each.type) for _, each in fields):
        raise lacking(
            f"{node.name} of this {value.type}", "it as Spark does, with nulls in it", "Take max(struct(x, y))."
        )
    key = None if node.window is not None else write_sort_text([each for _, each in fields], context)
    if key is not None and isinstance(value.type, Struct):
        return _pick_struct(node, f"{node.name}_by", fields, key, context)
    places = [(f"known{at}", f"value{at}") for at in range(len(fields))]
    pairs = [pair for names, (_, each) in zip(places, fields, strict=True) for pair in _known(names, each)]
    made = Call(name="named_struct", arguments=tuple(pairs))
    top = Parameter(name=context.parameter("top_", 0))
    values = [Field(base=top, name=name) for _, name in places]
    if isinstance(value, Call) and value.name == "array":
        result: Expression = Call(name="array", arguments=tuple(values))
    else:
        cells = [each for (name, _), field in zip(fields, values, strict=True) for each in (constant(name), field)]
        result = Call(name="named_struct", arguments=tuple(cells))
    found = node.replace(arguments=(made,), type=None)
    body = Lambda(parameters=(top,), body=fill(context, "if({0} IS NULL, NULL, {1})", top, result))
    call = Call(name="transform", arguments=(Call(name="array", arguments=(found,)), body))
    return fill(context, "element_at({0}, 1)", call, gives=node.type)


def _known(names: tuple[str, str], value: Expression) -> tuple[Expression, ...]:
    """A value behind whether it is known, which sorts nulls first."""
    known = Is(operand=value, value="null", negated=True, type=BOOLEAN)
    return constant(names[0]), known, constant(names[1]), value


def write_by(node: Call, context: Context) -> Node | None:
    """max_by and min_by with a struct to order by, or with a number of values."""
    if len(node.arguments) == 3:
        return _several_by(node, context)
    if len(node.arguments) != 2 or not is_nested(node.arguments[1].type):
        return None
    value, by = node.arguments
    fields = list_fields(by)
    if not fields or any(is_nested(each.type) for _, each in fields):
        raise lacking(f"{node.name} of this {by.type}", "it as Spark does, with nulls in it", "Order by struct(x, y).")
    if (found := _pick_by_text(node, value, [each for _, each in fields], context)) is not None:
        return found
    pairs = [pair for at, (_, each) in enumerate(fields) for pair in _known((f"known{at}", f"value{at}"), each)]
    return node.replace(arguments=(value, Call(name="named_struct", arguments=tuple(pairs))))


def _pick_by_text(node: Call, value: Expression, by: list[Expression], context: Context) -> Expression | None:
    """Return the value whose keys are the largest or smallest text; None where the keys have no such text.

    Of a struct each field is looked for by itself. The fields are keys too, so that all are of one row where keys
    are equal.
    """
    if isinstance(value.type, Struct) and node.window is None and (fields := list_fields(value)):
        key = write_sort_text([*by, *(each for _, each in fields)], context)
        if key is not None:
            return _pick_struct(node, node.name, fields, key, context)
    key = write_sort_text(by, context)
    return None if key is None else node.replace(arguments=(value, key))


def _pick_struct(
    node: Call, name: str, fields: Sequence[tuple[str, Expression]], key: Expression, context: Context
) -> Expression:
    """Return a struct of which each field is the one with the largest or smallest key; null where there is no row."""
    cells: list[Expression] = []
    for field, value in fields:
        found = Call(name=name, arguments=(value, key), filter=node.filter, type=value.type)
        cells += [constant(field), found]
    made = Call(name="named_struct", arguments=tuple(cells), type=node.type)
    count = Call(name="count", arguments=(key,), filter=node.filter, type=BIGINT)
    return fill(context, "if({0} = 0, NULL, {1})", count, made, gives=node.type)


def _several_by(node: Call, context: Context) -> Node | None:
    """The values of the k largest keys: all rows with a key are sorted, and the first k are kept."""
    value, by, count = node.arguments
    number = whole_constant(count)
    if number is not None and not 1 <= number <= 100_000:
        raise SparkRefuses(
            "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE", "The number of values is from 1 to 100,000.", node.at
        )
    if number is None or is_nested(by.type):
        raise lacking(node.name, "this number of values", "Rank with row_number() OVER (ORDER BY …).")
    pair = fill(context, "named_struct('key', {0}, 'value', {1})", by, value)
    if node.distinct:
        raise lacking(node.name, "distinct values", "Rank with row_number() OVER (ORDER BY …).")
    known = fill(context, "{0} IS NOT NULL", by)
    if node.window is None:
        condition = known if node.filter is None else fill(context, "{0} AND {1}", known, node.filter)
        rows = Call(name="collect_list", arguments=(pair,), filter=condition)
    else:
        kept = fill(context, "CASE WHEN {0} THEN {1} END", known, pair)
        rows = Call(name="collect_list", arguments=(kept,), window=node.window)
    template = "if(size({0}) = 0, NULL, transform(slice(sort_array({0}, {up}), 1, {n}), item_ -> item_.value))"
    return fill(context, template, rows, up=node.name == "min_by", n=count, gives=node.type)


def write_mode(node: Call, context: Context) -> Node | None:
    """mode(x): which of several is open in Spark too, where it is that of its hash table."""
    if node.window is not None:
        raise lacking("mode OVER", "mode in a window", "Group in a sub-query and join with it.")
    if node.distinct:
        _check_window(node.replace(within=node.within or (SortKey(operand=node),)), context)
    value = node.within[0].operand if node.within else node.arguments[0] if node.arguments else None
    if value is None:
        return None
    if is_nested(value.type) or is_calendar(value.type):
        raise lacking("mode", f"it of {value.type}", "Count in a sub-query, and take max_by(x, n).")
    if value.type == VOID:
        return node.replace(name="max", arguments=(value,), within=())
    if isinstance(value.type, Interval):
        number = number_of(value, context)
        within = tuple(each.replace(operand=number) for each in node.within)
        arguments = node.arguments if within else (number, *node.arguments[1:])
        found = node.replace(arguments=arguments, within=within, type=None)
        if not within and len(node.arguments) < 2:
            _warn_ties(context)
        return interval_of(found, node.type, context)
    if not node.within and whole_constant_truth(node) is not True:
        _warn_ties(context)
    return None


def whole_constant_truth(node: Call) -> bool | None:
    """The second argument of mode, which asks for the least of several values."""
    chosen = node.arguments[1] if len(node.arguments) > 1 else None
    return chosen.value if isinstance(chosen, Constant) and isinstance(chosen.value, bool) else None


def _warn_ties(context: Context) -> None:
    context.warn("mode: which of several values that are equally frequent is open, and differs from Spark's.")


RULES: Final[Mapping[str, CallRule]] = {
    "approx_percentile": write_quantile,
    "count": write_count,
    "listagg": write_listagg,
    "max": write_extreme,
    "max_by": write_by,
    "median": write_percentile,
    "min": write_extreme,
    "min_by": write_by,
    "mode": write_mode,
    "percentile": write_percentile,
    "percentile_approx": write_quantile,
    "percentile_cont": write_quantiles,
    "percentile_disc": write_quantiles,
    "string_agg": write_listagg,
}
