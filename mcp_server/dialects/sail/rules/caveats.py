"""Where the engine's answer may differ from Spark's and no rule can tell: sentences that go to the caller.

What differs on every engine from run to run (rows of equal rank, the last digits of sums of doubles) is no caveat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Alias, Binary, Call, Cast, Constant, Expression
from mcp_server.sql.typed.relations import Grouping, Select, SetOperation
from mcp_server.sql.typed.types import BIGINT, BOOLEAN, DATE, INT, INTEGERS, STRING, VOID, Array

_QUANTILES: Final = frozenset({"median", "percentile", "percentile_cont", "percentile_disc", "percentile_approx"})
_WRITERS: Final = frozenset({"to_json", "to_csv"})
_MAKERS: Final = frozenset({"struct", "named_struct", "array", "map", "collect_list", "collect_set"})
_SAFE: Final = frozenset({*INTEGERS, STRING, BOOLEAN, DATE, VOID, Array(STRING), Array(INT), Array(BIGINT)})


def warn_of_answers(nodes: Sequence[Node], context: Context) -> None:
    """Tell the context what a statement of these nodes may be answered otherwise."""
    _warn_of_nans(nodes, context)
    for node in nodes:
        if isinstance(node, Call) and node.name in _WRITERS and not all(map(_is_plain, node.arguments[:1])):
            context.warn(
                f"{node.name} may write doubles, decimals and times otherwise than Spark: 100000000.0 for 1.0E8."
            )
        elif _makes_unknown_text(node):
            context.warn(
                "Doubles from ten million on may be written otherwise than by Spark, as 100000000.0 for 1.0E8, in text "
                "that is made of values whose types are not known."
            )


def _warn_of_nans(nodes: Sequence[Node], context: Context) -> None:
    """Sail knows no two NaNs as one."""
    written = distinct = quantile = False
    for node in nodes:
        written = written or (isinstance(node, Constant) and str(node.value).lower() == "nan")
        distinct = distinct or isinstance(node, Grouping | SetOperation)
        distinct = distinct or (isinstance(node, Select | Call) and node.distinct)
        quantile = quantile or (isinstance(node, Call) and node.name in _QUANTILES)
    if written and distinct:
        context.warn(
            "NaNs are one value to Spark's DISTINCT, GROUP BY and set operations, and as many as there are here."
        )
    if written and quantile:
        context.warn(
            "NaN is the largest of all to Spark's median and percentiles, and makes them NaN, or another one, here."
        )


def _makes_unknown_text(node: Node) -> bool:
    if isinstance(node, Cast):
        return node.type in {STRING, Array(STRING)} and node.operand.type is None
    if isinstance(node, Binary):
        return node.operator == "||" and None in {node.left.type, node.right.type}
    return (
        isinstance(node, Call) and node.name in {"concat", "concat_ws"} and any(e.type is None for e in node.arguments)
    )


def _is_plain(node: Expression) -> bool:
    """Whether a value is written alike into JSON: a struct or an array of text, whole numbers, dates and the like."""
    if isinstance(node, Alias):
        return _is_plain(node.operand)
    if isinstance(node, Call) and node.name in _MAKERS:
        return all(map(_is_plain, node.arguments))
    return node.type in _SAFE
