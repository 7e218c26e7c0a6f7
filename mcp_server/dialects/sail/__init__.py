"""What an engine's SQL lacks of Spark's: a statement in other words that gives the same answer, or EngineLacks.

Each rewrite is a plain function from a checked case to the tokens that it changes, made of parts that are whole
tokens (`sql`). Its result is read from the tokens on like anything that a caller sends, and compared with what was
there before (`invariants`): a rewrite can reach nothing that its sender could not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from lakehouse.errors import Refused
from lakehouse.session import Dialect
from mcp_server.dialects.sail.coercion import rewrite_coercion
from mcp_server.dialects.sail.correlated import laterals
from mcp_server.dialects.sail.floats import wrap_stored_floats
from mcp_server.dialects.sail.functions import rewrite_functions
from mcp_server.dialects.sail.generators import generators
from mcp_server.dialects.sail.grouping import groupings
from mcp_server.dialects.sail.having import having
from mcp_server.dialects.sail.invariants import ROWS, check_step
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.lists import (
    group_by_all,
    group_keys,
    grouped_stars,
    lateral_aliases,
    order_by_all,
    star_except,
)
from mcp_server.dialects.sail.literals import rewrite_literals
from mcp_server.dialects.sail.naming import rewrite_names
from mcp_server.dialects.sail.numbers import rewrite_numbers
from mcp_server.dialects.sail.operators import rewrite_operators
from mcp_server.dialects.sail.overflow import rewrite_overflow
from mcp_server.dialects.sail.padding import refuse_padded
from mcp_server.dialects.sail.patterns import rewrite_patterns
from mcp_server.dialects.sail.pipes import unpipe
from mcp_server.dialects.sail.pushed import rewrite_pushed
from mcp_server.dialects.sail.recursion import recursion
from mcp_server.dialects.sail.sorting import check_sort_keys
from mcp_server.dialects.sail.spelling import pivots, reserved, samples, spreading, stars, views, with_names
from mcp_server.dialects.sail.subqueries import subqueries
from mcp_server.dialects.sail.texts import rewrite_texts
from mcp_server.dialects.sail.unions import unions
from mcp_server.dialects.sail.unpivot import unpivot
from mcp_server.dialects.sail.usings import usings
from mcp_server.dialects.sail.wrapping import having_grouping, order_by_aggregate, qualify
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.edits import Edit, apply_edits

Rewrite = Callable[[Case, Catalog], Sequence[Edit]]
"""Gives the edits of one step, none where there is nothing (more) to do. Raises EngineLacks.

It runs again on its own result until it gives none: with nested clauses, do the innermost first.
"""

REWRITES: Final[Mapping[Dialect, tuple[tuple[str, Rewrite], ...]]] = {
    "spark": (),
    "sail": (
        ("padded columns", refuse_padded),
        ("column names", rewrite_names),
        ("pipes", unpipe),
        ("with names", with_names),
        ("reserved words", reserved),
        ("recursion", recursion),
        ("sort keys", check_sort_keys),
        ("lateral view", views),
        ("unpivot", unpivot),
        ("lateral", laterals),
        ("generators", generators),
        ("distribute by", spreading),
        ("tablesample", samples),
        ("pivot", pivots),
        ("using", usings),
        ("star except", star_except),
        ("lateral aliases", lateral_aliases),
        ("group by all", group_by_all),
        ("grouping sets", groupings),
        ("order by all", order_by_all),
        ("grouped stars", grouped_stars),
        ("having", having),
        ("having grouping", having_grouping),
        ("qualify", qualify),
        ("order by aggregate", order_by_aggregate),
        ("group keys", group_keys),
        ("sub-queries", subqueries),
        ("set operations", unions),
        ("qualified stars", stars),
        ("literals", rewrite_literals),
        ("operators", rewrite_operators),
        ("patterns", rewrite_patterns),
        ("functions", rewrite_functions),
        ("coercion", rewrite_coercion),
        ("texts", rewrite_texts),
        ("numbers", rewrite_numbers),
        ("overflow", rewrite_overflow),
        ("conditions with lambdas", rewrite_pushed),
    ),
}
"""Name and function, in the order in which they run."""

ADDED: Final[Mapping[Rewrite, frozenset[str]]] = {
    recursion: frozenset({ROWS}),
    unpivot: frozenset({ROWS}),
    rewrite_pushed: frozenset({"rand"}),
}
"""What a rewrite itself calls of what may be called no more often."""

ONCE: Final = frozenset({rewrite_patterns})
"""Rewrites whose result they would read otherwise."""

ReadAgain = Callable[[str], Case]
"""Reads a statement of a rewrite by all rules of the guard. Raises Refused."""

_FLOATS: Final = "stored floats"

MAX_STEPS = 64
"""Steps of all rewrites of a statement."""

MAX_REREAD_TOKENS = 4_500
"""Tokens that all steps together may read anew: it keeps the check within its CPU bound (bench/guard.py)."""


def translate(case: Case, catalog: Catalog, read_again: ReadAgain) -> tuple[Case, tuple[str, ...]]:
    """The case in words that the catalog's engine has, and the names of the rewrites that it took.

    Errors: EngineLacks.
    """
    done: list[str] = []
    read = steps = 0
    for name, rewrite in REWRITES[catalog.dialect]:
        while edits := rewrite(case, catalog):
            read += len(case.source.tokens)
            steps += 1
            if read > MAX_REREAD_TOKENS or steps > MAX_STEPS:
                raise lacking(name, "so long a statement in the words of this engine", "Use WITH, or send it in parts.")
            after = _again(name, case, edits, read_again)
            check_step(name, case, after, ADDED.get(rewrite, frozenset()))
            case = after
            if name not in done:
                done.append(name)
            if rewrite in ONCE:
                break
    return case, tuple(done)


def shield_floats(case: Case, catalog: Catalog, read_again: ReadAgain) -> Case:
    """The translated case with stored floats read so that the engine leaves no NaN out.

    It is what runs; what the statement reads and what is to be said of it is told by the case as it was.
    Errors: EngineLacks.
    """
    if catalog.dialect != "sail" or not (edits := wrap_stored_floats(case, catalog)):
        return case
    after = _again(_FLOATS, case, edits, read_again)
    check_step(_FLOATS, case, after, frozenset())
    return after


def _again(name: str, case: Case, edits: Sequence[Edit], read_again: ReadAgain) -> Case:
    """The edited statement, read like any other."""
    sql = apply_edits(case.source, edits)
    try:
        return read_again(sql)
    except Refused as refusal:
        raise lacking(name, f"this in other words ({refusal})", "Write it with plain SELECT, WITH and JOIN.") from None
