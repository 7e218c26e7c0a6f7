"""Compiles a statement for Sail: typed tree in, tree out, printed once.

Rules run in one fixed order. Those for queries are passes over the whole tree; those for expressions run in one pass,
for each node those of its class in order, children first. What a rule makes is not visited again by the same pass.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.clauses import CLAUSE_RULES, LATE_RULES
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.expressions import rewrite_expressions
from mcp_server.dialects.sail.rules.names import name_columns
from mcp_server.dialects.sail.rules.subqueries import SUBQUERY_RULES
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql
from mcp_server.sql.source import MAX_TOKENS
from mcp_server.sql.typed.nodes import Call, Node, transform
from mcp_server.sql.typed.printer import print_query
from mcp_server.sql.typed.read import NotRead, read_typed
from mcp_server.sql.typed.relations import Query, Sample

MAX_NODES: Final = 2 * MAX_TOKENS
"""Nodes of what is written: each is a token at least, but for a few that hold others."""

CHANCES: Final = frozenset(
    {"monotonically_increasing_id", "rand", "randn", "random", "randstr", "shuffle", "uniform", "uuid"}
)
"""Functions of chance: a rule that writes an operand twice would ask them twice."""

Rule = Callable[[Any, Context], Node | None]

QUERY_RULES: Final[tuple[tuple[str, type[Node], Rule], ...]] = (*CLAUSE_RULES, *SUBQUERY_RULES, *LATE_RULES)
"""Name, class of node and rule: each a pass over the whole tree."""


@dataclass(frozen=True)
class Compiled:
    """What runs, None where the sender's own words do; the rules that took effect; sentences for the caller."""

    text: Sql | None
    rules: tuple[str, ...]
    caveats: tuple[str, ...]
    stands: bool = True


def compile_statement(case: Case, catalog: Catalog) -> Compiled:
    """Write a checked statement in words that Sail has.

    Errors: EngineLacks; SparkRefuses, where Spark refuses the statement; NotRead, where it has no such grammar.
    """
    try:
        query = read_typed(case, catalog)
    except NotRead:
        return Compiled(None, (), (), stands=False)
    first_id = 1 + max((getattr(node, "id", 0) for node in query.walk()), default=0)
    context = Context.start(catalog, (token.name for token in case.source.tokens if token.is_name), first_id)
    done: list[str] = []
    query, renamed = name_columns(query)
    found = query
    for name, kind, rule in QUERY_RULES:
        after = transform(found, functools.partial(_apply, rule, kind, context))
        if after is not found:
            done.append(name)
        found = after
    after = rewrite_expressions(found, context)
    if after is not found:
        done.append("expressions")
    _check_size(after, {})
    if _count_chances(after) > _count_chances(query):
        raise lacking("chance", "what depends on chance or makes rows, twice", "Compute it in a WITH of its own.")
    text = None if after is query and not renamed else print_query(after)
    return Compiled(text, tuple(done), tuple(context.caveats))


def _count_chances(query: Query) -> int:
    """Count what gives another value each time it is asked, as the sender has written it."""
    return sum(
        (isinstance(node, Call) and node.name in CHANCES) or isinstance(node, Sample)
        for node in query.walk()
        if node.at is not None
    )


def _check_size(node: Node, sizes: dict[int, int]) -> int:
    """Count the nodes that will be written. What a rule uses twice is one object, and may be of any size when written.

    Errors: EngineLacks, for more than `MAX_NODES`.
    """
    size = sizes.get(id(node))
    if size is None:
        size = sizes[id(node)] = 1 + sum(_check_size(each, sizes) for each in node.children)
    if size > MAX_NODES:
        raise lacking("length", "so long a statement in the words of this engine", "Use WITH, or send it in parts.")
    return size


def _apply(rule: Rule, kind: type[Node], context: Context, node: Node) -> Node:
    found = rule(node, context) if isinstance(node, kind) else None
    return node if found is None else found
