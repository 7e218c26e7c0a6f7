"""The check itself: layers in order, each a plain function that raises Refused or returns what the next one reads.

text      characters.TEXT_RULES       bytes, control characters, substitution
tokens    lexer.scan, source          one statement, comments dropped, brackets in pairs, nothing too deep
clauses   clauses.read_clauses        tables and calls, from the tokens alone
tree      tree.read_tree              sqlglot: kinds of nodes; the same tables and calls as the tokens
rules     RULES                       names, limits, growth, joins
text      splice.splice               what runs, read again
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lakehouse.errors import Refused
from mcp_server.guard.catalog import Catalog, Limits
from mcp_server.guard.characters import TEXT_RULES
from mcp_server.guard.clauses import read_clauses
from mcp_server.guard.collecting import check_collecting
from mcp_server.guard.growth import check_growth
from mcp_server.guard.joins import check_joins
from mcp_server.guard.lexer import Kind, Token, scan
from mcp_server.guard.limits import check_groupings, check_recursion, check_row_limits, top_limit
from mcp_server.guard.metadata import read_describe, read_explain, read_show
from mcp_server.guard.names import Names, check_calls, resolve
from mcp_server.guard.refusal import refused, shown
from mcp_server.guard.relations import Relations
from mcp_server.guard.rewrite import copy_for_analysis
from mcp_server.guard.source import MAX_TOKENS, Source, read_source
from mcp_server.guard.splice import splice
from mcp_server.guard.tree import Tree, read_tree
from mcp_server.guard.words import QUERY_STARTS, SET_OPERATORS
from mcp_server.models import GUARD_SEAL, Checked, CheckedQuery, Explain, Principal, RowLimit


@dataclass(frozen=True)
class Verdict:
    """What `imdb-mcp check` says of a statement. `limit` is the row limit enforced, None where refused."""

    allow: bool
    code: str | None
    message: str
    limit: int | None


@dataclass(frozen=True)
class Case:
    """A query whose names are known, as the last rules see it."""

    tree: Tree
    names: Names
    relations: Relations


Rule = Callable[[Case], None]

RULES: tuple[Rule, ...] = (
    lambda case: check_recursion(case.tree),
    lambda case: check_groupings(case.tree),
    lambda case: check_growth(case.tree),
    lambda case: check_joins(case.tree, case.relations),
    lambda case: check_collecting(case.tree, case.relations),
)


def check(sql: str, *, catalog: Catalog, limits: Limits, principal: Principal, row_limit: int | None = None) -> Checked:
    """Reads a statement and allows it, or says why not.

    `row_limit` is the caller's own wish for the number of rows; it lowers `limits.max_rows` and never raises it.
    Errors: Refused, with a stable `code`; all codes are in docs/guard.md.
    """
    if row_limit is not None and row_limit < 1:
        raise refused(
            "row_limit", f"The row limit must be at least 1, not {row_limit}. Leave it out for {limits.max_rows:,}."
        )
    for rule in TEXT_RULES:
        rule(sql, limits)
    rows = min(limits.max_rows, row_limit or limits.max_rows)
    return _check_tokens(
        sql, _spell_out_table(scan(sql, MAX_TOKENS)), catalog, replace(limits, max_rows=rows), principal
    )


def verdict(
    sql: str, *, catalog: Catalog, limits: Limits, principal: Principal, row_limit: int | None = None
) -> Verdict:
    """The same as a plain answer. The limit of a statement that is answered without a query is `max_rows`."""
    try:
        checked = check(sql, catalog=catalog, limits=limits, principal=principal, row_limit=row_limit)
    except Refused as refusal:
        return Verdict(False, refusal.code, str(refusal), None)
    query = checked.query if isinstance(checked, Explain) else checked
    rows = query.limit.rows if isinstance(query, CheckedQuery) else min(limits.max_rows, row_limit or limits.max_rows)
    return Verdict(True, None, "allowed", rows)


def _check_tokens(
    sql: str, tokens: tuple[Token, ...], catalog: Catalog, limits: Limits, principal: Principal
) -> Checked:
    source = read_source(sql, tokens)
    first = source.key(0)
    if first == "SHOW":
        return read_show(source, catalog)
    if first in {"DESCRIBE", "DESC"}:
        return read_describe(source, catalog)
    if first == "EXPLAIN":
        mode, start = read_explain(source)
        return Explain(_check_query(read_source(sql, source.tokens[start:]), catalog, limits, principal), mode)
    return _check_query(source, catalog, limits, principal)


def _check_query(source: Source, catalog: Catalog, limits: Limits, principal: Principal) -> CheckedQuery:
    """One query, from its tokens to what runs."""
    if source.key(0) not in QUERY_STARTS | {"("}:
        raise source.refused_at(
            "not_a_query",
            f"{shown(source.tokens[0].text)} starts no query. This server answers SELECT, WITH, FROM, VALUES, SHOW, "
            "DESCRIBE and EXPLAIN; it writes and changes nothing.",
            0,
        )
    reading = read_clauses(source)
    check_calls(source, reading)
    check_row_limits(source)
    try:
        names, asked = _check_tree(read_tree(source, reading, copy_for_analysis(source, reading)), catalog)
    except RecursionError:
        raise refused("too_deep", "The statement nests too deep. Name fewer steps, or join fewer tables.") from None
    return CheckedQuery(
        sent=source.text,
        sql=splice(source, names.refs, catalog),
        tables=frozenset(info.name for _, info in names.refs),
        functions=frozenset(reading.calls.values()),
        limit=RowLimit(limits.max_rows if asked is None else min(asked, limits.max_rows)),
        deadline_seconds=limits.deadline_seconds,
        principal=principal,
        pins={i.name: catalog.pins[i.name] for r, i in names.refs if i.name in catalog.pins and not r.travels},
        seal=GUARD_SEAL,
    )


def _check_tree(tree: Tree, catalog: Catalog) -> tuple[Names, int | None]:
    """What the tree's tables are, and the LIMIT of the whole query."""
    names = resolve(tree, catalog)
    case = Case(tree, names, Relations(tree, names))
    for rule in RULES:
        rule(case)
    return names, top_limit(tree)


def _spell_out_table(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """`TABLE x`, where a query may begin, as `SELECT * FROM x`, which is the same to every engine."""
    spelled: list[Token] = []
    starts = SET_OPERATORS | {"", "(", ")", "ALL", "DISTINCT", "EXPLAIN"}
    for index, token in enumerate(tokens):
        before = tokens[index - 1].key if index else ""
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        if token.key == "TABLE" and before in starts and after is not None and after.is_name:
            for kind, word in ((Kind.WORD, "SELECT"), (Kind.SYMBOL, "*"), (Kind.WORD, "FROM")):
                spelled.append(Token(kind, word, token.start, glued=False, key=word))
        else:
            spelled.append(token)
    return tuple(spelled)
