"""What became of a query on both engines, and whether the caller was told where they differ."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lakehouse.errors import EngineLacks, QueryError
from mcp_server.dialects.sail.rules.data import sail
from mcp_server.sql.clauses import read_clauses
from mcp_server.sql.lexer import tokenize
from mcp_server.sql.source import MAX_TOKENS, read_source
from mcp_server.sql.typed.naming import MAX_NAME
from tests.expected import Answer, Ask

DIGITS = frozenset({"digits"})
"""Statuses of functions whose last digits may differ; sums of doubles are added up in any order too."""

_SUMS = frozenset({"sum", "try_sum", "round"})
_NEAR = 1e-11


class End(Enum):
    """How a query ended. All but `DIFFERENT` is declared."""

    EQUAL = "equal"
    BOTH_FAIL = "both fail"
    LACKS = "said to be lacking"
    WARNED = "different, and warned of"
    FAILS_EARLY = "fails on the embedded engine, answered by Spark"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Outcome:
    """A query, how it ended, and what differs."""

    sql: str
    end: End
    what: str = ""
    caveats: tuple[str, ...] = field(default=())


def compare(sql: str, embedded: Ask, spark: Ask) -> Outcome:
    """Asks both engines. An error is no difference where the other has one too, whatever it says."""
    expected, found = _asked(sql, spark), _asked(sql, embedded)
    if isinstance(found, EngineLacks):
        return Outcome(sql, End.LACKS, str(found))
    if isinstance(found, Exception) and isinstance(expected, Exception):
        return Outcome(sql, End.BOTH_FAIL)
    if isinstance(found, Exception):
        return Outcome(sql, End.FAILS_EARLY, str(found))
    what = f"Spark fails: {expected}" if isinstance(expected, Exception) else difference(sql, found, expected)
    end = End.EQUAL if not what else End.WARNED if found.caveats else End.DIFFERENT
    return Outcome(sql, end, what, found.caveats)


def _asked(sql: str, ask: Ask) -> Answer | Exception:
    try:
        return ask(sql)
    except QueryError as error:
        return error


def difference(sql: str, found: Answer, expected: Answer) -> str:
    """What differs: names and types of columns, number of rows, cells, or the order that was asked for."""
    if _named(found, expected) != _named(expected, expected):
        return f"columns {found.columns} for {expected.columns}"
    if len(found.rows) != len(expected.rows):
        return f"{len(found.rows)} rows for {len(expected.rows)}"
    ours, theirs = list(found.rows), list(expected.rows)
    if not _is_ordered(sql):
        ours, theirs = sorted(ours, key=repr), sorted(theirs, key=repr)
    near = _may_differ_in_digits(sql)
    pairs = [(mine, its) for mine, its in zip(ours, theirs, strict=True) if not _same(mine, its, near=near)]
    return f"{len(pairs)} rows, such as {pairs[0][0]} for {pairs[0][1]}" if pairs else ""


def _named(answer: Answer, expected: Answer) -> list[tuple[str, str]]:
    """The columns, without the names that Spark makes longer than anybody reads."""
    long = [len(name) > MAX_NAME for name, _ in expected.columns]
    return [("" if skip else name, kind) for (name, kind), skip in zip(answer.columns, long, strict=False)] + [
        ("", str(len(answer.columns)))
    ]


def _is_ordered(sql: str) -> bool:
    """Whether the whole statement asks for an order."""
    depth = 0
    ordered = False
    for at, letter in enumerate(sql):
        depth += (letter == "(") - (letter == ")")
        ordered |= depth == 0 and sql.startswith("ORDER BY", at)
    return ordered


def _may_differ_in_digits(sql: str) -> bool:
    return any(sail().status.get(name) in DIGITS or name in _SUMS for name in called(sql))


def called(sql: str) -> set[str]:
    """The functions that a statement calls."""
    return set(read_clauses(read_source(sql, tokenize(sql, MAX_TOKENS))).calls.values())


def _same(mine: Any, its: Any, *, near: bool) -> bool:
    """Whether two values are equal, with their types: 1 is not 1.0, NaN is NaN, 0.0 is not -0.0."""
    if isinstance(mine, tuple | list) and type(mine) is type(its):
        return len(mine) == len(its) and all(_same(a, b, near=near) for a, b in zip(mine, its, strict=True))
    if isinstance(mine, dict) and isinstance(its, dict):
        return list(mine) == list(its) and all(_same(mine[key], its[key], near=near) for key in mine)
    if near and isinstance(mine, float) and isinstance(its, float):
        return math.isclose(mine, its, rel_tol=_NEAR, abs_tol=_NEAR) or repr(mine) == repr(its)
    return repr(mine) == repr(its)
