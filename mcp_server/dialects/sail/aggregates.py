"""Aggregates in words that the embedded engine has: quantiles, joined texts, distinct rows, a FILTER in a window."""

from __future__ import annotations

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.writing import Writing
from mcp_server.sql.compose import Sql, compose, join, write_type, write_word
from mcp_server.sql.expr import Expr
from mcp_server.sql.types import INTEGERS, Decimal

_IGNORE_NULLS = frozenset(
    {
        "array_agg", "avg", "bool_and", "bool_or", "collect_list", "collect_set", "count", "count_if", "every", "max",
        "mean", "median", "min", "some", "std", "stddev", "stddev_pop", "stddev_samp", "sum", "var_pop", "var_samp",
        "variance",
    }
)  # fmt: skip
"""Aggregates to which a null is as good as no row."""


_PLAIN_TEXTS = frozenset({"string", "boolean", "date", *INTEGERS})
"""Types of which different values are different texts."""


def filtered(node: Expr, write: Writing) -> Sql:
    """`sum(x) FILTER (WHERE c) OVER w` as `sum(CASE WHEN c THEN x END) OVER w`."""
    condition, over = node.find_rest("filter"), node.find_rest("over")
    plain = node.word in _IGNORE_NULLS and node.parts and node.find_rest("distinct") is None
    if condition is None or over is None or not plain:
        raise lacking(f"{node.word} FILTER OVER", "a FILTER in a window", "Write sum(CASE WHEN c THEN x END) OVER (…).")
    first = node.parts[0]
    value = compose("1") if first.kind == "star" else write.text(first)
    kept = compose("CASE WHEN {} THEN {} END", write.text(condition.parts[0]), value)
    return compose(
        "{}({}) {}", write_word(node.word), join(", ", [kept, *map(write.text, node.parts[1:])]), write.text(over)
    )


def _check_column(word: str, values: Expr) -> None:
    """Sail finds nothing where it sorts by a constant."""
    if not any(inner.kind in {"name", "query"} for inner in values.walk()):
        raise lacking(word, "it of a constant", "Leave it out: it is that constant.")


def quantile(node: Expr, write: Writing) -> Sql | None:
    """approx_percentile(x, p) is one of the values: exactly so it is percentile_disc, in the type of x."""
    kind = write.types.of(node.parts[0]) if len(node.parts) > 1 else None
    if node.parts:
        _check_column(node.word, node.parts[0])
    plain = kind in {*INTEGERS, "float", "double"} or isinstance(kind, Decimal)
    if not plain or node.find_rest("distinct") is not None or node.find_rest("over") is not None:
        raise lacking(
            node.word, "this estimate as Spark does", "Write percentile(x, 0.5), which is exact, or cast x to DOUBLE."
        )
    condition = node.find_rest("filter")
    tail = _tail(condition, write)
    column = write.text(node.parts[0])
    shares, type_ = _shares(node.parts[1]), write_type(kind)
    found = [
        compose("CAST(percentile_disc({}) WITHIN GROUP (ORDER BY {}) {} AS {})", write.text(share), column, tail, type_)
        for share in shares
    ]
    return found[0] if shares == [node.parts[1]] else _several(column, tail, found)


def quantiles(node: Expr, write: Writing) -> Sql | None:
    """Several shares at once, one call for each."""
    shares = _shares(node.parts[0]) if node.parts else []
    within, condition = node.find_rest("within"), node.find_rest("filter")
    if within is not None:
        _check_column(node.word, within)
    if not shares or shares == [node.parts[0]] or within is None:
        return None
    tail = join(" ", map(write.text, node.rest))
    column = write.text(within.parts[0].parts[0])
    found = [compose("{}({}) {}", write_word(node.word), write.text(share), tail) for share in shares]
    return _several(column, _tail(condition, write), found)


def _tail(condition: Expr | None, write: Writing) -> Sql:
    """The FILTER of an aggregate, where it has one."""
    return compose("") if condition is None else write.text(condition)


def _several(column: Sql, tail: Sql, found: list[Sql]) -> Sql:
    """An array, which is null where there are no values."""
    return compose("CASE WHEN count({}) {} > 0 THEN array({}) END", column, tail, join(", ", found))


def _shares(node: Expr) -> list[Expr]:
    return list(node.parts) if node.kind == "call" and node.word == "array" else [node]


def joined(node: Expr, write: Writing) -> Sql | None:
    """listagg(DISTINCT x, d) WITHIN GROUP (ORDER BY x), whose order Sail does not keep."""
    within, condition = node.find_rest("within"), node.find_rest("filter")
    if node.find_rest("distinct") is None or within is None or not node.parts:
        return None
    if len(within.parts) != 1 or node.find_rest("over") is not None:
        raise lacking(node.word, "DISTINCT in this order", "Write array_join(sort_array(collect_set(x)), ', ').")
    column, tail = write.text(node.parts[0]), _tail(condition, write)
    delimiter = write.text(node.parts[1]) if len(node.parts) > 1 else compose("''")
    upward = compose("true" if within.parts[0].word.startswith("ASC") else "false")
    each = write.fresh("value_", node)
    values = compose(
        "transform(sort_array(collect_set({}) {}, {}), {} -> CAST({} AS STRING))", column, tail, upward, each, each
    )
    return compose("CASE WHEN count({}) {} > 0 THEN array_join({}, {}) END", column, tail, values, delimiter)


def counted_together(node: Expr, write: Writing) -> Sql | None:
    """count(DISTINCT x, y) as that of one text, which is null where one of them is, as Spark wants it.

    Of several values Sail reckons with gigabytes of memory where ten thousand differ, and gives up.
    """
    if node.find_rest("distinct") is None or len(node.parts) < 2:
        return None
    kinds = [write.types.of(part) for part in node.parts]
    if not all(kind in _PLAIN_TEXTS or isinstance(kind, Decimal) for kind in kinds):
        return None
    values = map(write.text, node.parts)
    # How long a text is tells where the next value begins; nothing else has a blank in it.
    pieces = [
        compose("CAST(length({}) AS STRING), ' ', {}", value, value)
        if kind == "string"
        else compose("CAST({} AS STRING)", value)
        for value, kind in zip(values, kinds, strict=True)
    ]
    rest = join(" ", (write.text(each) for each in node.rest if each.kind != "distinct"))
    together = join(", ' ', ", pieces)
    return join(" ", [compose("count(DISTINCT concat({}))", together), rest])
