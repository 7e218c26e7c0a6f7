"""A query as the rules see it: read by two readers, its names known, every rule passed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mcp_server.guard.blocks import Blocks, read_blocks
from mcp_server.guard.catalog import Catalog
from mcp_server.guard.clauses import Reading, read_clauses
from mcp_server.guard.collecting import check_collecting
from mcp_server.guard.growth import check_growth
from mcp_server.guard.joins import check_joins
from mcp_server.guard.journal import Journal
from mcp_server.guard.limits import check_groupings, check_recursion, check_row_limits, top_limit
from mcp_server.guard.names import Names, check_calls, resolve
from mcp_server.guard.refusal import refused, shown
from mcp_server.guard.relations import Relations
from mcp_server.guard.rewrite import copy_for_analysis
from mcp_server.guard.source import Source
from mcp_server.guard.tree import Tree, read_tree
from mcp_server.guard.words import QUERY_STARTS


@dataclass(frozen=True)
class Case:
    """A query whose names are known, as the last rules see it."""

    tree: Tree
    names: Names
    relations: Relations
    reckoned: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    """What `once` keeps."""

    @property
    def source(self) -> Source:
        return self.tree.source

    @property
    def reading(self) -> Reading:
        return self.tree.reading

    @functools.cached_property
    def blocks(self) -> Blocks:
        """Its SELECTs and their clauses, for rewrites; the rules need none."""
        return read_blocks(self.tree)

    @property
    def tables(self) -> frozenset[str]:
        """The tables of the lake that it reads, in their canonical spelling."""
        return frozenset(info.name for _, info in self.names.refs)

    @property
    def functions(self) -> frozenset[str]:
        return frozenset(self.reading.calls.values())

    @property
    def limit(self) -> int | None:
        """The LIMIT of the whole query, where there is one."""
        return top_limit(self.tree)


T = TypeVar("T")


def once(reckon: Callable[[Case], T]) -> Callable[[Case], T]:
    """The same of a case each time it is asked for: rewrite after rewrite looks at one that never changes."""

    @functools.wraps(reckon, updated=())
    def kept(case: Case) -> T:
        if reckon not in case.reckoned:
            case.reckoned[reckon] = reckon(case)
        found: T = case.reckoned[reckon]
        return found

    return kept


Rule = Callable[[Case], None]

RULES: tuple[tuple[str, str, Rule], ...] = (
    ("recursion", "every recursion has a bound", lambda case: check_recursion(case.tree)),
    ("groupings", "few grouping sets", lambda case: check_groupings(case.tree)),
    ("growth", "no call makes much out of constants", lambda case: check_growth(case.tree)),
    (
        "joins",
        "relations are tied by equalities, or few rows meet",
        lambda case: check_joins(case.tree, case.relations),
    ),
    ("collecting", "no table ends in one value", lambda case: check_collecting(case.tree, case.relations)),
)
"""Name, what holds where it passes, and the rule."""


def read_case(source: Source, catalog: Catalog, journal: Journal) -> Case:
    """Reads a query from its tokens to the last rule.

    Errors: Refused.
    """
    try:
        return _read(source, catalog, journal)
    except RecursionError:
        raise refused("too_deep", "The statement nests too deep. Name fewer steps, or join fewer tables.") from None


def _read(source: Source, catalog: Catalog, journal: Journal) -> Case:
    with journal.layer("clauses") as say:
        if source.key(0) not in QUERY_STARTS | {"("}:
            raise source.refused_at(
                "not_a_query",
                f"{shown(source.tokens[0].text)} starts no query. This server answers SELECT, WITH, FROM, VALUES, "
                "SHOW, DESCRIBE and EXPLAIN; it writes and changes nothing.",
                0,
            )
        reading = read_clauses(source)
        say(f"relations: {_listed({'.'.join(ref.parts) for ref in reading.tables})}")
    with journal.layer("functions") as say:
        check_calls(source, reading, catalog.ai)
        say(f"calls: {_listed(set(reading.calls.values()))}")
    with journal.layer("limits") as say:
        check_row_limits(source)
        say("LIMIT and OFFSET are plain integers, if any")
    with journal.layer("tree") as say:
        tree = read_tree(source, reading, copy_for_analysis(source, reading))
        say("the parser finds the same relations and calls in the same places")
    with journal.layer("names") as say:
        names = resolve(tree, catalog)
        say(f"tables: {_listed({info.name for _, info in names.refs})}")
    case = Case(tree, names, Relations(tree, names))
    for name, holds, rule in RULES:
        with journal.layer(name) as say:
            rule(case)
            say(holds)
    return case


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
