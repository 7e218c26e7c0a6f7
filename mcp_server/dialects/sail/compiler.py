"""Compiles a statement for Sail: typed tree in, tree out, printed once.

Rules run in one fixed order. Those for queries are passes over the whole tree; those for expressions run in one pass,
for each node those of its class in order, children first. What a rule makes is not visited again by the same pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mcp_server.dialects.sail.reach import check_chances, check_lambdas
from mcp_server.dialects.sail.rules.clauses import CLAUSE_RULES, LATE_RULES, ClauseRule
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.expressions import rewrite_expressions
from mcp_server.dialects.sail.rules.floats import shield_floats
from mcp_server.dialects.sail.rules.names import name_columns
from mcp_server.dialects.sail.rules.passes import Passes
from mcp_server.dialects.sail.rules.size import check_size
from mcp_server.dialects.sail.rules.subqueries import SUBQUERY_RULES
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql
from mcp_server.sql.typed.printer import print_query
from mcp_server.sql.typed.read import read_typed

QUERY_RULES: Final[tuple[ClauseRule, ...]] = (*CLAUSE_RULES, *SUBQUERY_RULES, *LATE_RULES)
"""Name, class of node and rule: each a pass over the whole tree."""


@dataclass(frozen=True)
class Compiled:
    """What runs, None where the sender's own words do; the rules that took effect; sentences for the caller.

    `counted` is what an estimate reads instead, where `text` reads a table through a sub-query that hides its
    conditions: the same without it.
    """

    text: Sql | None
    rules: tuple[str, ...]
    caveats: tuple[str, ...]
    counted: Sql | None = None


def compile_statement(case: Case, catalog: Catalog) -> Compiled:
    """Write a checked statement in words that Sail has.

    Errors: EngineLacks; SparkRefuses, where Spark refuses the statement; NotRead, where its grammar has no such query.
    """
    query = read_typed(case, catalog)
    first_id = 1 + max((getattr(node, "id", 0) for node in query.walk()), default=0)
    context = Context.start(catalog, (token.name for token in case.source.tokens if token.is_name), first_id)
    done: list[str] = []
    query, renamed = name_columns(query)
    passes = Passes(query, context)
    done += [name for name, kind, rule in QUERY_RULES if passes.run({kind: (rule,)})]
    if rewrite_expressions(passes, context):
        done += ["expressions", *context.rules]
    after = passes.root
    if after is not query:
        check_lambdas(after)
    shielded = shield_floats(after, context)
    check_chances(query, shielded)
    if shielded is not after:
        check_size(shielded)
        return Compiled(print_query(shielded), (*done, "floats"), tuple(context.caveats), print_query(after))
    text = None if after is query and not (renamed or query.folded) else print_query(after)
    if text is not None and not done:
        done.append("names" if renamed else "spelling")
    return Compiled(text, tuple(done), tuple(context.caveats))
