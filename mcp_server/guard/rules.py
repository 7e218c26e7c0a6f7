"""A statement in order, from its text to the last rule. Each layer raises Refused or gives what the next one reads."""

from __future__ import annotations

from collections.abc import Callable

from mcp_server.guard.characters import check_text
from mcp_server.guard.collecting import check_collecting
from mcp_server.guard.depth import check_depth
from mcp_server.guard.growth import check_growth
from mcp_server.guard.joins import check_joins
from mcp_server.guard.journal import Journal
from mcp_server.guard.limits import Limits, check_groupings, check_recursion, check_row_limits
from mcp_server.guard.names import check_calls, resolve
from mcp_server.guard.nodes import check_kinds
from mcp_server.sql.analysis_copy import copy_for_analysis
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.clauses import read_clauses
from mcp_server.sql.lexer import scan
from mcp_server.sql.parser import match_tree, parse_copy
from mcp_server.sql.refusal import refused, shown
from mcp_server.sql.relations import Relations
from mcp_server.sql.source import MAX_TOKENS, Source, read_source, spell_out_table
from mcp_server.sql.words import QUERY_STARTS

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


def read_text(sql: str, limits: Limits, journal: Journal) -> Source:
    """The one statement that a text holds.

    Errors: Refused.
    """
    with journal.layer("characters") as say:
        check_text(sql, limits)
        say(f"{len(sql):,} characters")
    with journal.layer("tokens") as say:
        source = read_source(sql, spell_out_table(scan(sql, MAX_TOKENS)))
        say(f"{len(source.tokens):,} tokens, one statement")
    return source


def read_case(source: Source, catalog: Catalog, journal: Journal) -> Case:
    """Reads a query from its tokens to the last rule.

    Errors: Refused.
    """
    try:
        return _read(source, catalog, journal)
    except RecursionError:
        raise refused("too_deep", "The statement nests too deep. Name fewer steps, or join fewer tables.") from None


def reread(sql: str, catalog: Catalog) -> Case:
    """Reads a query that is not the sender's own text: one that the server wrote, or that has been allowed before.

    Errors: Refused.
    """
    return read_case(read_source(sql, scan(sql, MAX_TOKENS)), catalog, Journal())


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
        copy = copy_for_analysis(source, reading)
        nodes = parse_copy(copy)
        check_kinds(source, copy, nodes)
        tree = match_tree(source, reading, copy, nodes)
        check_depth(tree)
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
