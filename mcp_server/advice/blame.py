"""Decides whether a failure of the embedded engine is the statement's mistake or a gap of the engine.

What Spark's analyser refuses was refused before anything ran (`sql.typed`). A failure with one of Spark's conditions is
the statement's, and no other engine tries it. But an engine that does not find a name that is valid in its place has a
gap, and so has one that computes values that no row needs.
"""

from __future__ import annotations

import re
from typing import Final

from lakehouse.errors import QueryError, QueryFailed, Refused
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.guard.rules import reread_query
from mcp_server.models import CheckedQuery
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Column, Field, ItemUse, Parameter
from mcp_server.sql.typed.read import find_typed
from mcp_server.sql.typed.relations import Query, Relation

_NAME: Final = re.compile(r"`((?:[^`]|``)+)`")
_PLAIN_NAME: Final = re.compile(r"Cannot find column (\w+)")
_LACKS: Final[tuple[tuple[re.Pattern[str], str, str, str], ...]] = (
    (
        re.compile(
            r"(?:Error during planning: )?(?:Physical plan does not support logical expression "
            r"(?:ScalarSubquery|InSubquery|Exists)\(|Correlated scalar subquery|In/Exist/SetComparison subquery"
            r"|Accessing outer reference columns|A GROUP BY clause in a scalar correlated subquery)"
        ),
        "sub-query",
        "this sub-query where it stands",
        "Join with a sub-query that is grouped by the key.",
    ),
    (
        re.compile(r"Physical plan does not support logical expression Wildcard"),
        "*",
        "a * as an argument",
        "Name the columns.",
    ),
    (
        re.compile(r"Invalid argument error: (?:column types must match schema types|Nested comparison)|Plan: \["),
        "nested values",
        "this with arrays, maps or structs in each other",
        "Select their fields first, in a sub-query.",
    ),
    (
        re.compile(r"ambiguous (?:outer )?attribute"),
        "column names",
        "this with two columns of one name",
        "Give each a name of its own, in a sub-query.",
    ),
    (
        re.compile(r"(?:invalid argument: )?Cannot resolve column position"),
        "ORDER BY",
        "a place of the list beside what is not in it",
        "Name the columns in ORDER BY.",
    ),
    (
        re.compile(r"(?:Parser error: )?Invalid timezone "),
        "time zone",
        "a time with a zone of this form",
        "Write its offset, as in +08:00.",
    ),
)
"""Sentences of the engine, what it lacks, and a form that works."""

_OF_VALUES: Final = frozenset(
    {"ARITHMETIC_OVERFLOW", "CAST_INVALID_INPUT", "CAST_OVERFLOW", "DIVIDE_BY_ZERO", "REMAINDER_BY_ZERO"}
)
"""Conditions raised by a value, which Spark computes only for the rows that need it."""

_CHOOSING: Final = frozenset({"coalesce", "if", "iff", "ifnull", "nullif", "nvl", "nvl2"})
"""Functions that need not compute all of their arguments. CASE does not either."""


def judge_failure(error: QueryFailed, query: CheckedQuery, catalog: Catalog) -> QueryError:
    """Judge a failure of a query that ran, by the statement that was sent."""
    try:
        case = reread_query(query.sent, catalog)
    except Refused:  # its AI functions were removed before it was a query
        return error
    return judge_case(error, case, catalog)


def judge_case(error: QueryFailed, case: Case, catalog: Catalog, *, planning: bool = False) -> QueryError:
    """Return the failure as the statement's, or as one for want of what the engine lacks (`lacking`).

    `planning` says that the engine failed before it read a row.
    """
    sentence = str(error).partition("\n")[0]
    kind = (error.condition or "").partition(".")[0]
    if kind == "UNRESOLVED_COLUMN":
        resolved = is_resolved(find_typed(case, catalog), _parse_names(sentence))
        return _copy_error(error, lacking=error.lacking if resolved is None else resolved)
    # What the statement means by each name is known, where the columns of all that it reads are.
    twice = kind == "AMBIGUOUS_REFERENCE" and _is_known(find_typed(case, catalog))
    if twice or (planning and kind in _OF_VALUES and _is_conditional(case)):
        return _copy_error(error, lacking=True)
    if error.condition is not None or not error.lacking:
        return error
    return next((lacking(*words) for pattern, *words in _LACKS if pattern.match(sentence)), error)


def _copy_error(error: QueryFailed, *, lacking: bool) -> QueryFailed:
    return QueryFailed(str(error), code=error.code, condition=error.condition, sqlstate=error.sqlstate, lacking=lacking)


def _parse_names(sentence: str) -> tuple[str, ...]:
    """Return the parts of the name that an engine does not find, in lower case."""
    quoted = _NAME.findall(sentence.partition(" with name ")[2]) or _PLAIN_NAME.findall(sentence)
    return tuple(name.replace("``", "`").lower() for name in quoted)


def _is_conditional(case: Case) -> bool:
    """Whether parts of the statement are computed for some rows only."""
    return "CASE" in case.source.keys or bool(case.functions & _CHOOSING)


def _is_known(query: Query | None) -> bool:
    """Whether the columns of all that a statement reads are known."""
    nodes = query.walk() if query is not None else ()
    return query is not None and all(each.outputs is not None for each in nodes if isinstance(each, Relation))


def is_resolved(query: Query | None, names: tuple[str, ...]) -> bool | None:
    """Whether a name that an engine does not find, in lower case, is valid wherever the statement uses it.

    None where that is not known. What the statement does not name was named for the engine, which has the gap.
    """
    if query is None or not names:
        return None
    uses = [each for each in query.walk() if _spell(each) == names]
    return None if any(isinstance(each, Column) and each.source is None for each in uses) else True


def _spell(node: Node) -> tuple[str, ...] | None:
    """Return the names of what is a name or the field of one, in lower case; None for other nodes."""
    match node:
        case Column():
            return (*(part.lower() for part in node.parts), node.name.lower())
        case ItemUse() | Parameter():
            return (node.name.lower(),)
        case Field():
            base = _spell(node.base)
            return None if base is None else (*base, node.name.lower())
    return None
