"""The last steps of a check: write the text that runs, compare the engine's reading with ours, make a `CheckedQuery`.

No other module makes one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lakehouse.session import Stage
from mcp_server.guard.confirm import confirm_reading
from mcp_server.guard.journal import Journal
from mcp_server.guard.limits import Limits
from mcp_server.models import (
    GUARD_SEAL,
    NO_USAGE,
    AiColumn,
    CheckedQuery,
    EngineReading,
    Principal,
    RowLimit,
    StatementUsage,
)
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.scans import find_scans
from mcp_server.sql.splice import splice_tables

Read = Callable[[str, frozenset[str], Stage], EngineReading | None]
"""How an engine reads a text that reads these tables, without running it; None where it does not tell."""

STAGES: tuple[Stage, ...] = ("parsed", "resolved")
"""What is allowed as it is written is resolved next: looking names up can already run something."""


@dataclass(frozen=True)
class Terms:
    """The conditions that one statement is checked under.

    `read` is the engine's own reader, None where there is no engine.
    """

    catalog: Catalog
    limits: Limits
    principal: Principal
    read: Read | None
    journal: Journal


@dataclass(frozen=True)
class AllowedQuery:
    """A query that all rules allow, as its dialect has written it.

    `text` is the caller's statement, `limit` the LIMIT in it and `usage` how it uses what it reads. `case` says which
    tables the query reads and which functions it calls: it is what runs. `counted` is what an estimate reads instead,
    if that is another one. `rewrites` names the dialect's rewrites.
    """

    text: str
    limit: int | None
    case: Case
    rewrites: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    ai: tuple[AiColumn, ...] = ()
    counted: Case | None = None
    usage: StatementUsage = NO_USAGE


def approve_query(query: AllowedQuery, terms: Terms) -> CheckedQuery:
    """Return the checked query, once the engine's own reading agrees with the guard's.

    Errors: Refused; whatever `terms.read` raises.
    """
    case, catalog, limits = query.case, terms.catalog, terms.limits
    with terms.journal.layer("splice") as say:
        sql = splice_tables(case.source, case.names, catalog)
        say(f"runs: {sql}")
    for stage in STAGES:
        with terms.journal.layer(f"engine, {stage}") as say:
            reading = None if terms.read is None else terms.read(sql, case.tables, stage)
            if reading is not None:
                confirm_reading(reading, case, catalog)
            say(
                "no engine to ask, or it does not tell"
                if reading is None
                else f"reads {', '.join(sorted(reading.tables)) or 'no table'}"
            )
    refs = [(ref, info) for ref, info in case.names.refs if info.name in catalog.pins and not ref.travels]
    return CheckedQuery(
        sent=query.text,
        sql=sql,
        tables=case.tables,
        functions=case.functions,
        limit=RowLimit(limits.bound_rows(query.limit)),
        deadline_seconds=limits.deadline_seconds,
        principal=terms.principal,
        pins={info.name: catalog.pins[info.name] for _, info in refs},
        rewrites=query.rewrites,
        caveats=query.caveats,
        seal=GUARD_SEAL,
        scans=find_scans(query.counted or case),
        advice=query.advice,
        ai=query.ai,
        usage=query.usage,
    )
