"""The check itself: layers in order, each a plain function that raises Refused or returns what the next one reads.

text      characters.TEXT_RULES       bytes, control characters, substitution
tokens    lexer.scan, source          one statement, comments dropped, brackets in pairs, nothing too deep
clauses   clauses.read_clauses        tables and calls, from the tokens alone
tree      tree.read_tree              sqlglot: kinds of nodes; the same tables and calls as the tokens
rules     case.RULES                  names, limits, growth, joins
ai        ai.below                    AI functions out of it: the query below them, all layers above once more
dialect   dialect.translate           what the engine lacks, in other words; all layers above once more
text      splice.splice               what runs, read again
engine    confirm.confirm             the engine's own reading: the same tables and calls, kinds of its plan
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lakehouse.errors import EngineLacks, QueryFailed, Refused
from lakehouse.session import Stage
from mcp_server.guard.advice import advise
from mcp_server.guard.ai import below, calls_ai
from mcp_server.guard.blame import judge_case
from mcp_server.guard.case import Case, read_case
from mcp_server.guard.catalog import Catalog, Limits
from mcp_server.guard.characters import TEXT_RULES
from mcp_server.guard.confirm import confirm
from mcp_server.guard.dialect import shield_floats, translate
from mcp_server.guard.dialect.caveats import caveats
from mcp_server.guard.journal import Journal, Step
from mcp_server.guard.lexer import Kind, Token, scan
from mcp_server.guard.metadata import read_describe, read_explain, read_show
from mcp_server.guard.refusal import refused
from mcp_server.guard.scans import scans
from mcp_server.guard.source import MAX_TOKENS, Source, read_source
from mcp_server.guard.splice import splice
from mcp_server.guard.words import SET_OPERATORS
from mcp_server.models import GUARD_SEAL, AiColumn, Checked, CheckedQuery, EngineReading, Explain, Principal, RowLimit

Read = Callable[[str, frozenset[str], Stage], EngineReading | None]
"""How an engine reads a text that reads these tables, without running it; None where it does not tell."""

STAGES: tuple[Stage, ...] = ("parsed", "resolved")
"""What is allowed as it is written is resolved next: looking names up can already run something."""


@dataclass(frozen=True)
class Verdict:
    """What `imdb-mcp check` says of a statement. `limit` is the row limit enforced, None where refused.

    A harmless statement that the engine at hand cannot run is allowed, with the code `engine_lacks`. `steps` are
    the layers that were reached, in order.
    """

    allow: bool
    code: str | None
    message: str
    limit: int | None
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class _Terms:
    """What one statement is checked against."""

    catalog: Catalog
    limits: Limits
    principal: Principal
    read: Read | None
    journal: Journal


def check(
    sql: str,
    *,
    catalog: Catalog,
    limits: Limits,
    principal: Principal,
    row_limit: int | None = None,
    read: Read | None = None,
    journal: Journal | None = None,
) -> Checked:
    """Reads a statement and allows it, or says why not.

    `row_limit` is the caller's own wish for the number of rows; it lowers `limits.max_rows` and never raises it.
    `read` is the engine's own reader, asked last, None where there is no engine. `journal` notes each layer.
    Errors: Refused, with a stable `code`, and EngineLacks; all codes are in docs/guard.md. What `read` raises.
    """
    terms = _Terms(catalog, _lowered(limits, row_limit), principal, read, journal or Journal())
    with terms.journal.layer("characters") as say:
        for rule in TEXT_RULES:
            rule(sql, limits)
        say(f"{len(sql):,} characters")
    with terms.journal.layer("tokens") as say:
        source = read_source(sql, _spell_out_table(scan(sql, MAX_TOKENS)))
        say(f"{len(source.tokens):,} tokens, one statement")
    first = source.key(0)
    if first in {"SHOW", "DESCRIBE", "DESC"}:
        with terms.journal.layer("metadata") as say:
            say("answered from the lake's own description, without an engine")
            return (read_show if first == "SHOW" else read_describe)(source, catalog)
    if first == "EXPLAIN":
        with terms.journal.layer("explain") as say:
            mode, start = read_explain(source)
            say(f"the plan ({mode}) of what follows")
        explained = replace(terms, catalog=replace(catalog, ai={}))  # no engine has a plan of an AI function
        return Explain(_check_query(read_source(sql, source.tokens[start:]), explained), mode)
    return _check_query(source, terms)


def verdict(
    sql: str, *, catalog: Catalog, limits: Limits, principal: Principal, row_limit: int | None = None
) -> Verdict:
    """The same as a plain answer, without an engine.

    The limit of a statement that is answered without a query is `max_rows`.
    """
    journal = Journal()
    rows = min(limits.max_rows, row_limit or limits.max_rows)
    try:
        checked = check(sql, catalog=catalog, limits=limits, principal=principal, row_limit=row_limit, journal=journal)
    except Refused as refusal:
        return Verdict(False, refusal.code, str(refusal), None, tuple(journal.steps))
    except EngineLacks as lack:
        return Verdict(True, lack.code, str(lack), rows, tuple(journal.steps))
    query = checked.query if isinstance(checked, Explain) else checked
    rows = query.limit.rows if isinstance(query, CheckedQuery) else rows
    return Verdict(True, None, "allowed", rows, tuple(journal.steps))


def _lowered(limits: Limits, row_limit: int | None) -> Limits:
    if row_limit is not None and row_limit < 1:
        raise refused(
            "row_limit", f"The row limit must be at least 1, not {row_limit}. Leave it out for {limits.max_rows:,}."
        )
    return replace(limits, max_rows=min(limits.max_rows, row_limit or limits.max_rows))


def _check_query(source: Source, terms: _Terms) -> CheckedQuery:
    """One query, from its tokens to what runs."""
    sent = read_case(source, terms.catalog, terms.journal)
    sent, terms, ai = _below_ai(sent, terms)
    catalog, limits = terms.catalog, terms.limits
    with terms.journal.layer("dialect") as say:
        case, rewrites = translate(sent, catalog)
        shielded = shield_floats(case, catalog)
        say(f"{catalog.dialect}: {', '.join(rewrites) or 'nothing to rewrite'}")
    with terms.journal.layer("splice") as say:
        sql = splice(shielded.source, shielded.names, catalog)
        say(f"runs: {sql}")
    for stage in STAGES:
        with terms.journal.layer(f"engine, {stage}") as say:
            reading = _ask_engine(terms, sql, case, sent, stage)
            if reading is not None:
                confirm(reading, case, catalog)
            say(
                "no engine to ask, or it does not tell"
                if reading is None
                else f"reads {', '.join(sorted(reading.tables)) or 'no table'}"
            )
    read = scans(case)
    refs = [(ref, info) for ref, info in case.names.refs if info.name in catalog.pins and not ref.travels]
    return CheckedQuery(
        sent=source.text,
        sql=sql,
        tables=case.tables,
        functions=case.functions,
        limit=RowLimit(limits.max_rows if sent.limit is None else min(sent.limit, limits.max_rows)),
        deadline_seconds=limits.deadline_seconds,
        principal=terms.principal,
        pins={info.name: catalog.pins[info.name] for _, info in refs},
        rewrites=rewrites,
        caveats=caveats(case, catalog),
        seal=GUARD_SEAL,
        scans=read,
        advice=() if ai else advise(sent, catalog, read if case is sent else scans(sent)),
        ai=ai,
    )


def _ask_engine(terms: _Terms, sql: str, case: Case, sent: Case, stage: Stage) -> EngineReading | None:
    """The engine's own reading of what would run. What it cannot plan is judged by what was sent."""
    if terms.read is None:
        return None
    try:
        return terms.read(sql, case.tables, stage)
    except QueryFailed as error:
        if terms.catalog.dialect != "sail":
            raise
        raise judge_case(error, sent, planning=True) from error


def _below_ai(sent: Case, terms: _Terms) -> tuple[Case, _Terms, tuple[AiColumn, ...]]:
    """The query below the AI functions of a statement, read anew and without any; the statement itself without them."""
    if not calls_ai(sent, terms.catalog):
        return sent, terms, ()
    with terms.journal.layer("ai functions") as say:
        found = below(sent, terms.catalog, terms.limits)
        say(f"applied to at most {found.rows} rows of: {found.sql}")
        catalog = replace(terms.catalog, ai={})
        case = read_case(read_source(found.sql, scan(found.sql, MAX_TOKENS)), catalog, Journal())
    limits = replace(terms.limits, max_rows=found.rows)
    return case, replace(terms, catalog=catalog, limits=limits), found.columns


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
