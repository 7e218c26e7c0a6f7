"""Finds mistakes that Spark's analyser refuses, after the embedded engine has failed at a statement.

That engine's errors often do not say whether the statement is wrong or the engine has a gap. A mistake found here
fails on every engine, so no other one tries it. The checks are sound rather than complete: a statement with an
unrecognised mistake goes to the next engine.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from mcp_server.dialects.sail.literals import value_of
from mcp_server.dialects.sail.names import names_of
from mcp_server.sql.case import Case
from mcp_server.sql.functions import functions
from mcp_server.sql.lexer import Kind
from mcp_server.sql.refusal import clip

_AGGREGATES: Final = frozenset({"aggregate", "collecting"})
BARE_FUNCTIONS: Final = frozenset(
    {
        *("current_catalog", "current_database", "current_date", "current_schema", "current_time"),
        *("current_timestamp", "current_timezone", "current_user", "grouping__id", "localtimestamp", "user"),
    }
)
"""Functions that may be called without brackets, which then look like columns."""

_LITERAL_TYPES: Final = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP_LTZ", "TIMESTAMP_NTZ"})
_SPECIAL_MOMENTS: Final = re.compile(r"(?:epoch|now|today|tomorrow|yesterday)\b", re.IGNORECASE)
_DAY: Final = re.compile(r"[+-]?\d{4,7}(?:-(\d{1,2})(?:-(\d{1,2})(?:[ T].*)?)?)?", re.DOTALL)
_STARTS_LIKE_DAY: Final = re.compile(r"[+-]?(\d{4,7})-(\d{1,2})-(\d{1,2})(?!\d)")
_DIGIT: Final = re.compile(r"\d")
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True)
class Mistake:
    """A mistake: Spark's condition, its SQLSTATE, and a description."""

    condition: str
    sqlstate: str
    text: str


def find_mistake(case: Case) -> Mistake | None:
    """Return the first mistake that Spark's analyser refuses, None where none is recognised."""
    found = _find_invalid_literal(case)
    if found is not None:
        return found
    for select in case.tree.find_all(exp.Select):
        for check in _CHECKS:
            found = check(case, select)
            if found is not None:
                return found
    return None


def _find_invalid_literal(case: Case) -> Mistake | None:
    """A DATE or TIMESTAMP literal that is no such value: Spark's parser refuses it."""
    tokens = case.source.tokens
    for index, token in enumerate(tokens[1:], start=1):
        word = tokens[index - 1].key
        if token.kind is Kind.STRING and word in _LITERAL_TYPES and case.source.key(index - 2) not in {".", "AS"}:
            value = value_of(token.text).strip()
            if not _is_moment(value, is_date=word == "DATE"):
                text = f'The value of the typed literal "{word}" is invalid: {clip(token.text)}. Write {word} '
                return Mistake("INVALID_TYPED_LITERAL", "42604", text + "'2026-01-31', with digits of the calendar.")
    return None


def _is_moment(value: str, *, is_date: bool) -> bool:
    """Whether Spark may take a text for a date or a time."""
    if _SPECIAL_MOMENTS.match(value):
        return True
    if is_date and not _DAY.fullmatch(value):
        return False
    day = _STARTS_LIKE_DAY.match(value)
    if day is None:
        return _DIGIT.search(value) is not None
    year, month, number = map(int, day.groups())
    leap = calendar.isleap(year % 400 + 400)
    return 1 <= month <= 12 and 1 <= number <= calendar.monthrange(2024 if leap else 2023, month)[1]


def _find_misplaced(case: Case, select: exp.Select) -> Mistake | None:
    """An aggregate in WHERE or GROUP BY, a window in WHERE or HAVING."""
    for clause, word in (("where", "WHERE"), ("having", "HAVING")):
        node = select.args.get(clause)
        if node is not None and any(True for _ in _walk_own(node, exp.Window)):
            text = f"Window functions are not allowed inside {word}. Compute it in a sub-query, or use QUALIFY."
            return Mistake("WINDOW_FUNCTION_NOT_ALLOWED_IN_CLAUSE", "42601", text)
    if _is_correlatable(select):
        return None
    where, group = select.args.get("where"), select.args.get("group")
    if where is not None and _has_aggregate(case, where):
        text = "WHERE cannot contain aggregates: it is computed before them. Use HAVING, or a sub-query."
        return Mistake("INVALID_WHERE_CONDITION", "42903", text)
    if group is not None and _has_aggregate(case, group):
        return Mistake("GROUP_BY_AGGREGATE", "42903", "GROUP BY cannot contain aggregates.")
    return None


def _find_missing_over(case: Case, select: exp.Select) -> Mistake | None:
    """A function of windows without OVER."""
    for call in _walk_own(select, exp.Anonymous):
        name = case.tree.called_name(call)
        if functions().classes.get(name) == "window" and not _is_windowed(call):
            text = f"The window function {name} needs OVER (ORDER BY …)."
            return Mistake("WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE", "42601", text)
    return None


def _find_ungrouped(case: Case, select: exp.Select) -> Mistake | None:
    """A column beside aggregates that is neither grouped by nor in one of them."""
    having, group = select.args.get("having"), select.args.get("group")
    if select.args.get("from_") is None or _is_correlatable(select):
        return None
    if group is not None:
        return _find_beside_keys(case, select, group)
    parts = [*select.expressions, *([having] if having is not None else [])]
    if not any(_has_aggregate(case, part) for part in parts):
        return None
    name = "*" if any(item.is_star for item in select.expressions) else next(_find_bare_columns(case, select), None)
    if name is None:
        return None
    text = f"{name} stands beside an aggregate, and the query has no GROUP BY. Name in GROUP BY what is not aggregated."
    return Mistake("MISSING_GROUP_BY", "42803", text)


def _find_beside_keys(case: Case, select: exp.Select, group: exp.Expr) -> Mistake | None:
    """A column that is no key of GROUP BY, where all keys are plain columns."""
    keys = group.expressions
    if not keys or not all(isinstance(node, (exp.Group, *_PLAIN_KEYS)) for node in group.walk()):
        return None
    grouped = frozenset(part.name.lower() for key in group.find_all(exp.Column) for part in key.parts)
    # The words of an expression without an alias are a name, too: GROUP BY `upper(title)`.
    plain = "all" not in grouped and all(_WORD.fullmatch(name) for name in grouped)
    if not plain or any(isinstance(item, exp.Aliases) for item in select.expressions):
        return None
    name = next(_find_bare_columns(case, select, grouped), None)
    if name is None:
        return None
    text = f"{name} is neither in GROUP BY nor in an aggregate. Add it to GROUP BY, or take max({name})."
    return Mistake("MISSING_AGGREGATION", "42803", text)


def _find_position(_: Case, select: exp.Select) -> Mistake | None:
    """A number in GROUP BY or ORDER BY beyond the columns of the SELECT."""
    width = len(select.expressions)
    if any(item.find(exp.Star, exp.Aliases) for item in select.expressions):
        return None
    for clause in ("group", "order"):
        node = select.args.get(clause)
        keys = [key.this if isinstance(key, exp.Ordered) else key for key in (node.expressions if node else [])]
        if not all(isinstance(key, exp.Literal) and key.name.isdigit() for key in keys):
            continue  # Spark adds the columns of other keys to the list
        for key in keys:
            if not 1 <= int(key.name) <= width:
                text = f"{clause.upper()} BY position {key.name} is not in the select list, which has {width} columns."
                return Mistake(f"{clause.upper()}_BY_POS_OUT_OF_RANGE", "42805", text)
    return None


def _find_sorted_by_subquery(_: Case, select: exp.Select) -> Mistake | None:
    """Find a sub-query in ORDER BY that reads the outer row, or is an EXISTS."""
    order = select.args.get("order")
    if order is None or any(item.find(exp.Query) for item in select.expressions):
        return None
    kind = ""
    if any(True for _ in _walk_own(order, exp.Exists)):
        kind = "UNSUPPORTED_IN_EXISTS_SUBQUERY"
    elif any(_reads_outer(query, select) for query in order.find_all(exp.Subquery)):
        kind = "UNSUPPORTED_CORRELATED_SCALAR_SUBQUERY"
    if not kind:
        return None
    text = "ORDER BY cannot have a sub-query that reads the row. Select it under a name, and order by the name."
    return Mistake(f"UNSUPPORTED_SUBQUERY_EXPRESSION_CATEGORY.{kind}", "0A000", text)


def _reads_outer(query: exp.Expr, select: exp.Select) -> bool:
    """Whether a sub-query names a relation of the SELECT around it, and none of its own of that name."""
    own = {node.alias_or_name.lower() for node in query.find_all(exp.Table, exp.Subquery, exp.Values)}
    from_, joins = select.args.get("from_"), select.args.get("joins") or []
    around = {node.this.alias_or_name.lower() for node in ([from_] if from_ is not None else []) + joins}
    return any(column.table.lower() in around - own - {""} for column in query.find_all(exp.Column))


_CHECKS: Final[tuple[Callable[[Case, exp.Select], Mistake | None], ...]] = (
    _find_misplaced,
    _find_missing_over,
    _find_ungrouped,
    _find_position,
    _find_sorted_by_subquery,
)
_PLAIN_KEYS: Final = (exp.Column, exp.Identifier, exp.Paren, exp.Tuple)


def _walk_own(node: exp.Expr, *kinds: type[exp.Expr]) -> Iterator[exp.Expr]:
    """Yield the nodes of some kinds below a node, except those within sub-queries."""
    stack = list(node.iter_expressions())
    while stack:
        each = stack.pop()
        if isinstance(each, exp.Query):
            continue
        if isinstance(each, kinds):
            yield each
        stack.extend(each.iter_expressions())


def _is_windowed(call: exp.Expr) -> bool:
    """Whether a call has an OVER."""
    node = call
    while node.parent is not None and node.arg_key == "this":
        if isinstance(node.parent, exp.Window):
            return True
        node = node.parent
    return False


def _is_aggregate(case: Case, call: exp.Expr) -> bool:
    return functions().classes.get(case.tree.called_name(call)) in _AGGREGATES and not _is_windowed(call)


def _has_aggregate(case: Case, node: exp.Expr) -> bool:
    calls = [*_walk_own(node, exp.Anonymous), *([node] if isinstance(node, exp.Anonymous) else [])]
    return any(_is_aggregate(case, call) for call in calls)


def _find_bare_columns(case: Case, select: exp.Select, grouped: frozenset[str] = frozenset()) -> Iterator[str]:
    """The columns of a select list outside of aggregates and windows that are not grouped by, nor other names."""
    given = {item.alias.lower() for item in select.expressions if isinstance(item, exp.Alias)}
    others = {*given, *grouped, *names_of(case).parameters, *BARE_FUNCTIONS}
    for item in select.expressions:
        if isinstance(item, exp.Alias) and item.alias.lower() in grouped:
            continue
        for column in (item, *_walk_own(item, exp.Column)):
            if not isinstance(column, exp.Column) or isinstance(column.this, exp.Star):
                continue
            if {part.name.lower() for part in column.parts} & others or not column.name:
                continue
            if not _is_covered(case, column, select):
                yield column.name


def _is_covered(case: Case, column: exp.Expr, select: exp.Select) -> bool:
    """Whether a column stands in an aggregate or a window."""
    node = column.parent
    while node is not None and node is not select:
        if isinstance(node, (exp.Window, exp.WithinGroup, exp.Filter)):
            return True
        if isinstance(node, exp.Anonymous) and functions().classes.get(case.tree.called_name(node)) in _AGGREGATES:
            return True
        node = node.parent
    return False


def _is_correlatable(select: exp.Select) -> bool:
    """Whether a SELECT may read columns of a query around it."""
    node: exp.Expr = select
    while node.parent is not None:
        parent = node.parent
        plain = isinstance(parent, (exp.From, exp.Join, exp.CTE, exp.With, exp.Query, exp.Table))
        if not plain or (isinstance(parent, exp.Select) and node.arg_key not in {"from_", "joins", "with_"}):
            return True
        node = parent
    return False
