"""Decides whether a failure of the embedded engine is the statement's mistake or a gap of the engine.

A failure with one of Spark's conditions is the statement's, and no other engine tries it. But an engine that does not
find a name that is valid in its place has a gap, and so has one that computes values that no row needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from lakehouse.errors import QueryError, QueryFailed, Refused
from mcp_server.advice.mistakes import BARE_FUNCTIONS, Mistake, find_mistake
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.names import Use, names_of
from mcp_server.guard.rules import reread_query
from mcp_server.models import CheckedQuery
from mcp_server.sql.blocks import Block
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.refusal import clip

_NAME: Final = re.compile(r"`((?:[^`]|``)+)`")
_AMBIGUOUS: Final = "ambiguous attribute: "
_WILDCARD: Final = "cannot resolve wildcard: "
_NO_CONDITION: Final = "Cannot create filter with non-boolean predicate "
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
    if catalog.dialect != "sail":
        return error
    try:
        case = reread_query(query.sent, catalog)
    except Refused:  # its AI functions were removed before it was a query
        return error
    return judge_case(error, case)


def judge_case(error: QueryFailed, case: Case, *, planning: bool = False) -> QueryError:
    """Return the failure with Spark's condition where the statement is wrong, and `lacking` where the engine is.

    `planning` says that the engine failed before it read a row.
    """
    sentence = str(error).partition("\n")[0]
    kind = (error.condition or "").partition(".")[0]
    if kind == "UNRESOLVED_COLUMN":
        resolved = is_resolved(case, _parse_names(sentence.partition(" with name ")[2]))
        mistake = find_mistake(case) if resolved else None
        if mistake:
            return _blame_statement(error, mistake)
        return _copy_error(error, lacking=error.lacking if resolved is None else resolved)
    # The engine finds what NATURAL makes one column of twice.
    twice = kind == "AMBIGUOUS_REFERENCE" and "NATURAL" in case.source.keys
    if twice or (planning and kind in _OF_VALUES and _is_conditional(case)):
        return _copy_error(error, lacking=True)
    if error.condition is not None or not error.lacking:
        return error
    mistake = find_mistake(case) or _read_sentence(sentence, case)
    if mistake:
        return _blame_statement(error, mistake)
    return next((lacking(*words) for pattern, *words in _LACKS if pattern.match(sentence)), error)


def _blame_statement(error: QueryFailed, mistake: Mistake) -> QueryFailed:
    """Convert the failure to the statement's mistake, with the text after the engine's sentence."""
    _, line_end, more = str(error).partition("\n")
    text = f"[{mistake.condition}] {mistake.text} SQLSTATE: {mistake.sqlstate}{line_end}{more}"
    return QueryFailed(text, code=error.code, condition=mistake.condition, sqlstate=mistake.sqlstate)


def _copy_error(error: QueryFailed, *, lacking: bool) -> QueryFailed:
    return QueryFailed(str(error), code=error.code, condition=error.condition, sqlstate=error.sqlstate, lacking=lacking)


def _parse_names(text: str) -> tuple[str, ...]:
    """Return the names in back-quotes, in lower case."""
    return tuple(name.replace("``", "`").lower() for name in _NAME.findall(text))


def _is_conditional(case: Case) -> bool:
    """Whether parts of the statement are computed for some rows only."""
    return "CASE" in case.source.keys or bool(case.functions & _CHOOSING)


def _read_sentence(sentence: str, case: Case) -> Mistake | None:
    """Convert the engine's sentence to a mistake, where the statement confirms it."""
    parts = _parse_names(sentence)
    if sentence.startswith(_AMBIGUOUS) and is_ambiguous(case, parts):
        text = f"{clip('.'.join(parts))} is ambiguous: several relations have it. Write its relation before it."
        return Mistake("AMBIGUOUS_REFERENCE", "42704", text)
    if sentence.startswith(_WILDCARD) and len(parts) == 1 and not _is_anywhere(case, parts[0]):
        text = f"There is no relation {clip(parts[0])} for {clip(parts[0])}.* to take its columns from."
        return Mistake("CANNOT_RESOLVE_STAR_EXPAND", "42704", text)
    # Spark takes numbers for conditions in HAVING.
    if sentence.startswith(_NO_CONDITION) and "HAVING" not in case.source.keys:
        return Mistake("DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN", "42K09", "WHERE needs a condition, as in x <> 0.")
    return None


def _is_anywhere(case: Case, name: str) -> bool:
    """Whether a name belongs to any relation or column, as far as that is known."""
    visible = [names_of(case).known(block) for block in case.blocks.selects]
    return any(known is None or name in known for known in visible)


def is_ambiguous(case: Case, parts: tuple[str, ...]) -> bool:
    """Whether a column of these names belongs to two relations of one FROM, and no USING makes one of them."""
    names = names_of(case)
    for block, use in _find_uses(case, parts):
        relations = names.sources.relations(block)
        shared = {case.source.tokens[token].name for relation in relations for token in relation.using}
        natural = any("NATURAL" in relation.join for relation in relations)
        if not natural and parts[-1] not in shared and len(names.owners(block, use)) > 1:
            return True
    return False


def is_resolved(case: Case, parts: tuple[str, ...]) -> bool | None:
    """Whether names that an engine does not find are valid in their place; None where that is not known."""
    if len(parts) == 1 and parts[0] in BARE_FUNCTIONS:
        return True
    if any(query.pipes for query in case.blocks.queries):
        return None
    found = [_resolve_use(case, block, use) for block, use in _find_uses(case, parts)]
    if any(found):
        return True
    return None if None in found or not found else False


def _resolve_use(case: Case, block: Block, use: Use) -> bool | None:
    """Whether a column is valid in a SELECT; None where not all columns around it are known."""
    names, first = names_of(case), use.parts[0]
    known = True
    for around in _list_enclosing(case, block):
        visible = names.known(around)
        known &= visible is not None
        of_relation = visible is not None and first in visible and (len(use.parts) == 1 or names.owners(around, use))
        if of_relation or first in names.parameters or _is_alias_of(case, around, use):
            return True
    return False if known else None


def _find_uses(case: Case, parts: tuple[str, ...]) -> Iterator[tuple[Block, Use]]:
    """Yield each use of a column with these names, and its SELECT."""
    for use in names_of(case).uses(0, len(case.source.tokens), nested=True):
        around = [block for block in case.blocks.selects if block.first <= use.at < block.end]
        if use.parts == parts and around:
            yield max(around, key=lambda block: block.first), use


def _list_enclosing(case: Case, block: Block) -> Iterator[Block]:
    """Return a SELECT and those around it."""
    return (each for each in case.blocks.selects if each.first <= block.first and block.end <= each.end)


def _is_alias_of(case: Case, block: Block, use: Use) -> bool:
    """Whether a name is an alias of a column of the SELECT, in a clause that sees aliases."""
    hidden = (block.clauses.get(name) for name in ("FROM", "WHERE"))
    if any(clause is not None and clause.first <= use.at < clause.end for clause in hidden):
        return False
    tokens, sources = case.source.tokens, names_of(case).sources
    for item in block.items:
        if any(tokens[name].name == use.parts[0] for name in item.names):
            # A generator's columns are seen by the whole list, others by what follows them.
            return item.first < use.at or case.reading.calls.get(item.first) is not None
        field = sources.plain_name(item.first, item.stop) if item.first + 1 < item.stop <= use.at else None
        if field is not None and field.lower() == use.parts[0]:
            return True
    return False
