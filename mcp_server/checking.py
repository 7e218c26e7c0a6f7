"""One statement from its text to a CheckedQuery: the guard reads it, a dialect writes it, the guard reads it again.

text      guard.rules.read_text       bytes, control characters, substitution; one statement, nothing too deep
rules     guard.rules.read_case       tables and calls by two readers; names, limits, growth, joins
ai        ai.items.extract_query      AI functions out of it: the query below them, all rules once more
dialect   dialects.sail.compiler      what the engine lacks, in other words; all rules once more
engine    guard.approval.approve      what runs, read again; the engine's own reading of it

The guard and the dialects do not know each other: this module asks the one, has the other write, and asks again.
Importing it imports sqlglot: it is imported late, at the first call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lakehouse.errors import EngineLacks, QueryError, QueryFailed, Refused, ResourceLimit
from lakehouse.session import Stage
from mcp_server.advice import advise, blame, hungry
from mcp_server.ai.items import calls_ai, extract_query
from mcp_server.dialects.sail.compiler import Compiled, compile_statement
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.reach import check_tables
from mcp_server.guard.approval import AllowedQuery, Read, Terms, approve_query
from mcp_server.guard.journal import Journal, Step
from mcp_server.guard.limits import Limits, lower_limits
from mcp_server.guard.metadata import read_describe, read_explain, read_show, wrap_described
from mcp_server.guard.rules import read_case, read_text, reread_query
from mcp_server.guard.template import Argument, Identifier, fill_template
from mcp_server.hints import teach
from mcp_server.models import AiColumn, Checked, CheckedQuery, DescribeQuery, EngineReading, Explain, Principal
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.lexer import tokenize
from mcp_server.sql.refusal import make_refusal
from mcp_server.sql.scans import find_scans
from mcp_server.sql.source import MAX_TOKENS, Source, read_source
from mcp_server.sql.sqlstates import sqlstate_of
from mcp_server.sql.typed.read import NotRead
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.usage import find_usage

_NOT_READ = "PARSE_SYNTAX_ERROR"

__all__ = [
    "Argument",
    "Catalog",
    "Identifier",
    "Limits",
    "Read",
    "Verdict",
    "check",
    "explain_limit",
    "judge_failure",
    "template",
    "verdict",
    "wrap_in_count",
]


@dataclass(frozen=True)
class Verdict:
    """What `imdb-mcp check` says of a statement. `limit` is the row limit enforced, None where refused.

    A harmless statement that the engine at hand cannot run is allowed, with the code `engine_lacks`; one that Spark's
    analyser refuses, with `query_failed`. `steps` are the layers that were reached, in order.
    """

    allow: bool
    code: str | None
    message: str
    limit: int | None
    steps: tuple[Step, ...]


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

    `row_limit` is the caller's own wish for the number of rows; it never raises `limits.max_rows`.
    `read` is the engine's own reader, asked last, None where there is no engine. `journal` notes each layer.
    Errors: Refused, with a stable `code`, and EngineLacks; all codes are in docs/guard.md. What `read` raises.
    """
    terms = Terms(catalog, lower_limits(limits, row_limit), principal, read, journal or Journal())
    source = read_text(sql, limits, terms.journal)
    first = source.key(0)
    if first in {"DESCRIBE", "DESC"} and (described := wrap_described(source)):
        with terms.journal.layer("describe") as say:
            say("the columns of what follows")
        return DescribeQuery(_check_query(read_source(sql, described), _without_ai(terms)))
    if first in {"SHOW", "DESCRIBE", "DESC"}:
        with terms.journal.layer("metadata") as say:
            say("answered from the lake's own description, without an engine")
            return (read_show if first == "SHOW" else read_describe)(source, catalog)
    if first == "EXPLAIN":
        with terms.journal.layer("explain") as say:
            mode, start = read_explain(source)
            say(f"the plan ({mode}) of what follows")
        return Explain(_check_query(read_source(sql, source.tokens[start:]), _without_ai(terms)), mode)
    return _check_query(source, terms)


def _without_ai(terms: Terms) -> Terms:
    """Terms under which no AI function may be called: no engine has a plan of one, or its columns."""
    return replace(terms, catalog=replace(terms.catalog, ai={}))


def template(
    sql: str,
    arguments: Mapping[str, Argument],
    *,
    catalog: Catalog,
    limits: Limits,
    principal: Principal,
    row_limit: int | None = None,
    read: Read | None = None,
) -> CheckedQuery:
    """The checked query of a template: `SELECT * FROM :table WHERE tconst = :id`. It calls no AI function.

    Errors: Refused, as for any statement, and `unknown_table` for an Identifier that the
    catalog does not have; ValueError where template and arguments do not belong together, which is a defect.
    """
    checked = check(
        fill_template(sql, arguments, catalog),
        catalog=replace(catalog, ai={}),
        limits=limits,
        principal=principal,
        row_limit=row_limit,
        read=read,
    )
    if not isinstance(checked, CheckedQuery):
        raise ValueError("a template is a query, not SHOW, DESCRIBE or EXPLAIN")  # noqa: TRY004  (the text is wrong)
    return checked


def verdict(
    sql: str, *, catalog: Catalog, limits: Limits, principal: Principal, row_limit: int | None = None
) -> Verdict:
    """The same as a plain answer, without an engine.

    The limit of a statement that is answered without a query is `max_rows`.
    """
    journal = Journal()
    rows = limits.max_rows if row_limit is None else min(limits.max_rows, row_limit)
    try:
        checked = check(sql, catalog=catalog, limits=limits, principal=principal, row_limit=row_limit, journal=journal)
    except Refused as refusal:
        return Verdict(False, refusal.code, str(refusal), None, tuple(journal.steps))
    except (EngineLacks, QueryFailed) as lack:
        return Verdict(True, lack.code, str(lack), rows, tuple(journal.steps))
    query = checked.query if isinstance(checked, Explain | DescribeQuery) else checked
    rows = query.limit.rows if isinstance(query, CheckedQuery) else rows
    return Verdict(True, None, "allowed", rows, tuple(journal.steps))


def wrap_in_count(query: CheckedQuery) -> str:
    """Write the statement that counts the rows of a checked query; it is checked like any other."""
    last = read_source(query.sent, tokenize(query.sent, MAX_TOKENS)).tokens[-1]
    return f"SELECT count(*) FROM (\n{query.sent[: last.start + len(last.text)]}\n) AS counted"  # noqa: S608  (see above)


def explain_limit(error: ResourceLimit, query: CheckedQuery, catalog: Catalog) -> ResourceLimit:
    """Return an engine's error with what of a query kept too much in memory, where that is what it failed for."""
    return hungry.explain_memory(error, query, catalog) if error.lacking else error


def judge_failure(error: QueryFailed, query: CheckedQuery, catalog: Catalog) -> QueryError:
    """Return the failure of a query that ran, judged by the statement that was sent, with what exists instead."""
    taught = teach(error, query.tables, catalog.tables, query.sent)
    return blame.judge_failure(taught, query, catalog) if catalog.dialect == "sail" else taught


def _check_query(source: Source, terms: Terms) -> CheckedQuery:
    """One query, from its tokens to what runs."""
    sent = read_case(source, terms.catalog, terms.journal)
    sent, terms, ai = _take_below_ai(sent, terms)
    catalog = terms.catalog

    with terms.journal.layer("dialect") as say:
        compiled = _compile(sent, catalog)
        case = sent if compiled.text is None else _read_compiled(compiled.text, sent, catalog)
        say(f"{catalog.dialect}: {', '.join(compiled.rules) or 'nothing to rewrite'}")
    query = AllowedQuery(
        text=source.text,
        limit=sent.limit,
        case=case,
        rewrites=compiled.rules,
        caveats=compiled.caveats,
        advice=() if ai else advise(sent, catalog, find_scans(sent)),
        ai=ai,
        usage=find_usage(sent),
        counted=None if compiled.counted is None else _read_compiled(compiled.counted, sent, catalog),
    )
    return approve_query(query, replace(terms, read=_blame_statement(terms, sent)))


def _compile(sent: Case, catalog: Catalog) -> Compiled:
    """Write a statement in the words of the engine. Errors: EngineLacks; QueryFailed, where Spark refuses it."""
    if catalog.dialect != "sail":
        return Compiled(None, (), ())
    try:
        return compile_statement(sent, catalog)
    except RecursionError:  # several hundred operators in a row, each an operand of the next one
        raise lacking("depth", "so deep an expression", "Use WITH, or send it in parts.") from None
    except SparkRefuses as refusal:
        failure = _fail(sent, refusal.condition, str(refusal), refusal.at)
        raise teach(failure, sent.tables, catalog.tables, sent.source.text) from None
    except NotRead as end:
        failure = _fail(sent, _NOT_READ, f"[{_NOT_READ}] Spark's grammar has no such query.", end.at)
        raise teach(failure, sent.tables, catalog.tables, sent.source.text) from None


def _fail(sent: Case, condition: str, message: str, at: int | None) -> QueryFailed:
    """The failure that Spark's analyser would give."""
    tokens = sent.source.tokens
    place = None if at is None or not tokens else tokens[min(at, len(tokens) - 1)].start
    text, state = str(make_refusal("", message, text=sent.source.text, at=place)), sqlstate_of(condition)
    text = text if state is None else f"{text} SQLSTATE: {state}"
    return QueryFailed(text, condition=condition, sqlstate=state)


def _read_compiled(text: str, sent: Case, catalog: Catalog) -> Case:
    """Read what was compiled like anything that is sent. Errors: EngineLacks, where a rule of the guard refuses it."""
    try:
        case = reread_query(text, catalog)
    except Refused as refusal:
        instead = "Write it with plain SELECT, WITH and JOIN."
        raise lacking("dialect", f"this in other words ({refusal})", instead) from None
    check_tables(sent, case)
    return case


def _blame_statement(terms: Terms, sent: Case) -> Read | None:
    """The engine's reader. What it cannot plan is judged by the statement that was sent, not by what would run."""
    ask, catalog = terms.read, terms.catalog
    if ask is None:
        return None

    def read(sql: str, tables: frozenset[str], stage: Stage) -> EngineReading | None:
        try:
            return ask(sql, tables, stage)
        except QueryFailed as error:
            taught = teach(error, tables, catalog.tables, sent.source.text)
            judged = blame.judge_case(taught, sent, catalog, planning=True) if catalog.dialect == "sail" else taught
            raise judged from error

    return read


def _take_below_ai(sent: Case, terms: Terms) -> tuple[Case, Terms, tuple[AiColumn, ...]]:
    """The query below the AI functions of a statement, read without any; the statement itself without them."""
    if not calls_ai(sent, terms.catalog):
        return sent, terms, ()
    with terms.journal.layer("ai functions") as say:
        found = extract_query(sent, terms.catalog, terms.limits)
        say(f"applied to at most {found.rows} rows of: {found.sql}")
        catalog = replace(terms.catalog, ai={})
        case = reread_query(found.sql, catalog)
    limits = replace(terms.limits, max_rows=found.rows, default_rows=None)
    return case, replace(terms, catalog=catalog, limits=limits), found.columns
