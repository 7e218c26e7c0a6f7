"""The layers in order, from the text to the last rule. A layer raises Refused or returns what the next one reads."""

from __future__ import annotations

from collections.abc import Callable

from mcp_server.guard.characters import check_text
from mcp_server.guard.collecting import check_collecting
from mcp_server.guard.depth import check_depth
from mcp_server.guard.growth import check_growth
from mcp_server.guard.joins import check_joins
from mcp_server.guard.journal import Journal
from mcp_server.guard.limits import Limits, check_groupings, check_recursion, check_row_limits
from mcp_server.guard.names import check_calls, resolve_tables
from mcp_server.guard.nodes import check_kinds
from mcp_server.sql.analysis_copy import copy_for_analysis
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.clauses import read_clauses
from mcp_server.sql.lexer import tokenize
from mcp_server.sql.parser import match_tree, parse_copy
from mcp_server.sql.refusal import clip, make_refusal
from mcp_server.sql.relations import Relations
from mcp_server.sql.same_names import separate_same_names
from mcp_server.sql.source import MAX_TOKENS, Source, read_source, spell_out
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
    """Return the one statement of a text, as tokens.

    Errors: Refused.
    """
    with journal.layer("characters") as say:
        check_text(sql, limits)
        say(f"{len(sql):,} characters")
    with journal.layer("tokens") as say:
        source = read_source(sql, spell_out(tokenize(sql, MAX_TOKENS)))
        say(f"{len(source.tokens):,} tokens, one statement")
    return source


def read_case(source: Source, catalog: Catalog, journal: Journal) -> Case:
    """Read a query from its tokens and apply every rule.

    Errors: Refused.
    """
    try:
        return _read_layers(source, catalog, journal)
    except RecursionError:
        raise make_refusal(
            "too_deep", "The statement nests too deep. Name fewer steps, or join fewer tables."
        ) from None


def reread_query(sql: str, catalog: Catalog) -> Case:
    """Read a query that is not the caller's own text, such as one that a dialect wrote, and apply every rule.

    Errors: Refused.
    """
    return read_case(read_source(sql, spell_out(tokenize(sql, MAX_TOKENS))), catalog, Journal())


def _read_layers(source: Source, catalog: Catalog, journal: Journal) -> Case:
    with journal.layer("clauses") as say:
        if source.key(0) not in QUERY_STARTS | {"("}:
            raise source.refusal_at(
                "not_a_query",
                f"{clip(source.tokens[0].text)} starts no query. This server answers SELECT, WITH, FROM, VALUES, "
                "SHOW, DESCRIBE and EXPLAIN; it writes and changes nothing.",
                0,
            )
        reading = read_clauses(source)
        say(f"relations: {_list_names({'.'.join(ref.parts) for ref in reading.tables})}")
    with journal.layer("functions") as say:
        check_calls(source, reading, catalog.ai)
        say(f"calls: {_list_names(set(reading.calls.values()))}")
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
        names = resolve_tables(tree, catalog)
        say(f"tables: {_list_names({info.name for _, info in names.refs})}")
        relations = Relations(tree, names)
        separate = separate_same_names(tree, names, relations)
        if separate is not None:
            say("several end alike, so the statement is read again with an alias for each")
    if separate is not None:
        return _read_layers(separate, catalog, journal)
    case = Case(tree, names, relations)
    for name, holds, rule in RULES:
        with journal.layer(name) as say:
            rule(case)
            say(holds)
    return case


def _list_names(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
