"""Calls that make a large value out of nothing.

Constants are bounded here; the engine's memory limit bounds amounts that come from data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlglot import exp

from lakehouse.errors import Refused
from mcp_server.sql.constants import (
    compute_constant,
    count_elements,
    measure_width,
    measure_widths,
    parse_number,
    read_string,
)
from mcp_server.sql.functions import functions
from mcp_server.sql.source import MAX_DEPTH
from mcp_server.sql.tree import Tree

MAX_WIDTH = 1_000_000
"""Characters or elements of one value that constants may ask for."""

MAX_COMBINED_WIDTH = 10 * MAX_WIDTH
"""The same of a value that is put together of several, or of each by each: replace(repeat(…), 'a', repeat(…))."""

MAX_RANGE_ROWS = 10_000_000
"""Rows of range(n)."""

MAX_POSITION = 10_000
"""Digits, positions and buckets: arguments for which engines reserve room before they look at data."""

MAX_OVERLAP = 100
"""Windows that one row may fall into. Engines make a copy of the row for each."""

MIN_ERROR = 0.005
"""Relative error of approx_count_distinct. Spark makes a column for each word of its sketch: 0.0005 takes 1 GB of the
driver and cannot be interrupted (measured on 4.2); 0.005 takes a second."""

_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_DURATION = re.compile(r"\s*([0-9]{1,6})\s+(second|minute|hour|day|week)s?\s*", re.IGNORECASE)
_LONG_NUMBER = re.compile(r"[0-9]{5,}")
_SCHEMA_MAKERS = frozenset({"schema_of_json", "schema_of_csv"})


@dataclass(frozen=True)
class _GrowthCall:
    """A call of a function on the growth list. `argument` is the index of the argument that says how much."""

    tree: Tree
    node: exp.Anonymous
    name: str
    argument: int

    @property
    def given(self) -> exp.Expr | None:
        """The argument that says how much, if the call has it."""
        arguments = self.node.expressions
        return arguments[self.argument] if len(arguments) > self.argument else None

    def refusal_at(self, code: str, message: str) -> Refused:
        return self.tree.refusal_at(code, message, self.node)

    def too_large(self, bound: float) -> Refused:
        return self.refusal_at("too_large", f"{self.name} would make a value larger than {bound:,}. Ask for less.")

    def not_bounded(self) -> Refused:
        return self.refusal_at(
            "not_bounded", f"How much {self.name} makes must be a plain number or come from a column."
        )


def check_growth(tree: Tree) -> None:
    """Refuse calls whose constants ask for too much, and values that are combined into something huge.

    Errors: Refused, with the code `too_large`, `not_bounded` or `too_deep`.
    """
    growth = functions().growth
    makes = False
    for node in tree.find_all(exp.Anonymous):
        name = tree.called_name(node)
        if name in growth:
            kind, argument = growth[name]
            _CHECKS[kind](_GrowthCall(tree, node, name, argument))
            makes = makes or kind in {"times", "width", "span"}
    if makes:
        _check_combined(tree)


def _check_combined(tree: Tree) -> None:
    found = measure_widths(tree, tree.root)
    for node in tree.find_all(exp.Anonymous, exp.DPipe):
        if found[id(node)] > MAX_COMBINED_WIDTH:
            raise tree.refusal_at(
                "too_large",
                f"This puts a value together that is larger than {MAX_COMBINED_WIDTH:,}. Ask for less.",
                node,
            )


def _check_amount(call: _GrowthCall) -> None:
    """The amount is a constant within its bound, or it comes from a column."""
    if call.given is None or (call.name == "format_number" and _is_pattern(call)):
        return
    value = compute_constant(call.tree, call.given)
    bound = MAX_POSITION if functions().growth[call.name][0] == "position" else MAX_WIDTH
    if value is None and call.given.find(exp.Column) is None:
        raise call.not_bounded()
    if value is not None and abs(value) > bound:
        raise call.too_large(bound)


def _check_times(call: _GrowthCall) -> None:
    _check_amount(call)
    if call.given is not None and measure_width(call.tree, call.node) > MAX_WIDTH:
        raise call.too_large(MAX_WIDTH)


def _is_pattern(call: _GrowthCall) -> bool:
    """Whether format_number has a pattern such as '#,###.##', whose result is as long as the pattern."""
    text = read_string(call.tree, call.given) if call.given is not None else None
    return text is not None and parse_number(text) is None


def _check_format(call: _GrowthCall) -> None:
    text = read_string(call.tree, call.given) if call.given is not None else None
    if text is None:
        raise call.refusal_at(
            "not_bounded", f"The format of {call.name} must be one plain string, as in {call.name}('%5.2f', x)."
        )
    if _LONG_NUMBER.search(text):
        raise call.too_large(MAX_POSITION)


def _check_span(call: _GrowthCall) -> None:
    arguments = call.node.expressions
    if any(argument.find(exp.Column) is not None for argument in arguments):
        return
    count = count_elements(call.tree, call.node)
    bound = MAX_RANGE_ROWS if call.name == "range" else MAX_WIDTH
    if count is None:
        raise call.not_bounded()
    partitions = (
        compute_constant(call.tree, arguments[3]) or bound if call.name == "range" and len(arguments) > 3 else 0
    )
    if count > bound or partitions > 1_000:
        raise call.too_large(bound)


def _check_sliding(call: _GrowthCall) -> None:
    """A window slides by a hundredth of its length or more. Both are plain strings."""
    lengths = call.node.expressions[call.argument - 1 : call.argument + 1]
    if len(lengths) < 2:
        return
    seconds = []
    for length in lengths:
        found = _DURATION.fullmatch(read_string(call.tree, length) or "")
        seconds.append(float(found[1]) * _SECONDS[found[2].lower()] if found else 0.0)
    if not seconds[1] or seconds[0] / seconds[1] > MAX_OVERLAP:
        raise call.refusal_at(
            "too_large",
            f"Each row would fall into many windows. Slide {call.name} by at least a hundredth of its length.",
        )


def _check_error(call: _GrowthCall) -> None:
    """A relative error is a plain number, and large enough for a small sketch."""
    value = compute_constant(call.tree, call.given) if call.given is not None else 1.0
    if value is None or value < MIN_ERROR:
        raise call.refusal_at(
            "too_large",
            f"The error of {call.name} is a plain number of at least {MIN_ERROR}. Leave it out for 0.05, or count "
            "exactly with count(DISTINCT …).",
        )


def _check_schema(call: _GrowthCall) -> None:
    """A schema or sample is one plain string and nests no deeper than a statement.

    Engines parse it by recursion.
    """
    given = call.given
    if given is None or (isinstance(given, exp.Anonymous) and call.tree.called_name(given) in _SCHEMA_MAKERS):
        return
    text = read_string(call.tree, given)
    if text is None:
        raise call.refusal_at(
            "not_bounded", f"What {call.name} reads by must be one plain string, as in from_json(x, 'a INT')."
        )
    if max(text.count(opening) for opening in "<([{") > MAX_DEPTH:
        raise call.refusal_at("too_deep", f"The text for {call.name} nests more than {MAX_DEPTH} levels.")


_CHECKS: Mapping[str, Callable[[_GrowthCall], None]] = {
    "times": _check_times,
    "width": _check_amount,
    "position": _check_amount,
    "span": _check_span,
    "format": _check_format,
    "sliding": _check_sliding,
    "error": _check_error,
    "schema": _check_schema,
}
"""By the kinds of `[growth]` in functions.toml."""
