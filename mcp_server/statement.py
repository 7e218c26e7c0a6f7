"""One statement from its text to its answer: check → estimate | execute → shape.

Whatever reads the lake is a statement, the server's own readings too. All of it happens in the thread of its run: the
SDK's pool of 40 threads also reads stdin, and a ping would wait.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ai_functions.types import Spender
from lakehouse.errors import QueryFailed, QueryTimedOut, Refused, ResourceLimit
from lakehouse.session import Stage
from mcp_server import checking, results
from mcp_server.ai import Ai, argument_caps
from mcp_server.counting import MOST_QUERY_SECONDS, AnswerCounter
from mcp_server.coverage import AnswerFacts, CoverageReader, find_gaps
from mcp_server.engines import Engine
from mcp_server.fetching import choose_kept_rows
from mcp_server.finding.empty_answers import explain_empty, is_empty
from mcp_server.finding.indexes import Indexes
from mcp_server.kept_results import KeptResults
from mcp_server.models import (
    Checked,
    CheckedQuery,
    DescribeQuery,
    EngineReading,
    Estimate,
    Explain,
    ResultSet,
    ShowColumns,
    ShowTables,
    ShowVersions,
)
from mcp_server.results.ai import AiPlan, AiUse
from mcp_server.results.estimate import check_budget
from mcp_server.results.listing import describe_columns, list_history, listing
from mcp_server.router import Allowed, Router, Tables
from mcp_server.runs import Call, Run
from mcp_server.settings import Settings
from mcp_server.terms import OWN_CAPS, OWN_SQL_BYTES, CallerSql, Template, catalog_of, limits_of

_CHECKING = "checking the statement"

_LEAST_SECONDS = 1.0
"""What a look-up of an AI function has at least: without any the engine would not even say that time is over."""

_LOOKED_AT_AGAIN = frozenset({"unknown_table", "unreadable_table"})
"""Refusals that may rest on what was seen of the lake some seconds ago."""


@dataclass(frozen=True)
class Plan:
    """What a statement would do on an engine. `refused` says why its scan budget would stop it.

    `query` and `estimate` are None for one that is answered without a query, `ai` where it calls no AI function.
    """

    engine: str
    query: CheckedQuery | None = None
    estimate: Estimate | None = None
    refused: str | None = None
    ai: AiPlan | None = None


@dataclass(frozen=True)
class Means:
    """What all statements of a server work with.

    `coverage` is what callers' answers warn of, and `kept` holds their rows. `indexes` explain answers without rows;
    None where nothing does.
    """

    router: Router
    ai: Ai
    settings: Settings
    coverage: CoverageReader
    kept: KeptResults
    indexes: Indexes | None = None


class Statement:
    """A statement of one run: `answer` runs it, `plan` stops at the estimate. Both are called in the run's thread.

    Raises QueryError where it is refused or fails, LakeError, EngineUnavailable, and what an AI function raises.
    """

    def __init__(
        self, sql: CallerSql | Template, call: Call, run: Run[Any], means: Means, query_id: str | None = None
    ) -> None:
        """`query_id` is for one of several statements of a run, which has stages of its own; None for the only one."""
        self._sql = sql
        self._query_id = query_id or run.query_id
        self._principal = call.principal
        self._event = call.event
        self._run = run
        self._router = means.router
        self._ai = means.ai
        self._settings = means.settings
        self._coverage = means.coverage if isinstance(sql, CallerSql) else None
        self._indexes = means.indexes
        self._kept = means.kept if isinstance(sql, CallerSql) else None
        self._caps = sql.caps(means.settings)
        self._look_ups = itertools.count(1)
        self._engine_seconds = 0.0

    def answer(self) -> results.Answer:
        """Do what the statement asks for, on the engine that the router names."""
        return self._router.route(self._check_on, self._answer_checked)

    def plan(self) -> Plan:
        """Everything up to the point where the statement would run."""
        return self._router.route(self._check_on, self._plan_checked)

    # Check

    def _check_on(self, engine: Engine) -> Allowed:
        """Ask the guard; where it has no such table, or cannot read it, look whether it can by now, and ask again."""
        self._event.engine = engine.name
        read = self._begin_query(engine, self._query_id)
        self._enter_stage(_CHECKING)
        tables = engine.tables()
        try:
            return Allowed(engine, tables, self._ask_guard(engine, tables, read))
        except Refused as refusal:
            if refusal.code not in _LOOKED_AT_AGAIN or (now := engine.refresh()) == tables:
                raise
            return Allowed(engine, now, self._ask_guard(engine, now, read))

    def _ask_guard(self, engine: Engine, tables: Tables, read: checking.Read) -> Checked:
        return self._sql.check(catalog_of(engine, tables), limits_of(self._settings), self._principal, read)

    def _read_in_engine(
        self, engine: Engine, query_id: str, sql: str, names: frozenset[str], stage: Stage
    ) -> EngineReading | None:
        """The engine's own reading of a text, which is the last step of the check; `checking.Read` for one engine."""
        if stage not in engine.capabilities.readings:
            return None
        self._await_engine(engine)
        self._run.raise_if_cancelled()
        return engine.read(sql, names, stage, query_id)

    # Estimate

    def _plan_checked(self, allowed: Allowed) -> Plan:
        engine, query = allowed.engine, allowed.checked
        if not isinstance(query, CheckedQuery):
            return Plan(engine.name)
        self._enter_stage("estimating")
        estimate = engine.estimate(query)
        ai = self._ai.plan(query) if query.ai else None
        refused = None
        try:
            check_budget(query, estimate, allowed.tables, self._settings.max_scan_mb)
        except ResourceLimit as limit:
            refused = str(limit)
        return Plan(engine.name, query, estimate, refused, ai)

    # Execute and shape

    def _answer_checked(self, allowed: Allowed) -> results.Answer:
        engine = allowed.engine
        match allowed.checked:
            case CheckedQuery() as query:
                answer = self._explain_empty(query, self._answer_query(allowed, query))
                answer = self._warn_of_gaps(allowed, query, answer)
            case Explain(query=query, mode=mode):
                self._enter_engine(engine, query)
                found = engine.explain(query, mode, self._query_id, results.plan_caps(self._caps))
                answer = results.shape_plan(found, self._caps, self._begin_reading(engine))
            case DescribeQuery(query=query):
                found = self._execute(allowed, query, self._query_id, self._caps)
                columns = ((name, kind, "") for name, kind in zip(found.table.column_names, found.types, strict=True))
                answer = results.answer(describe_columns(columns), self._caps, self._begin_reading(engine))
            case ShowTables() | ShowColumns() as asked:
                rows = listing(asked, engine.schema, allowed.tables)
                answer = results.answer(rows, self._caps, self._begin_reading(engine))
            case ShowVersions(table=table, versions=versions):
                commits = engine.history(table, versions)
                if commits is None:
                    raise Refused(
                        f"The {engine.name} engine does not tell the versions of its tables here. Ask for one by "
                        "VERSION AS OF or TIMESTAMP AS OF.",
                        code="not_a_query",
                    )
                answer = results.answer(list_history(commits), self._caps, self._begin_reading(engine))
        self._event.rows += len(answer.rows)
        self._event.result_bytes += answer.payload_bytes
        self._event.warnings += answer.codes
        return answer

    def _answer_query(self, allowed: Allowed, query: CheckedQuery) -> results.Answer:
        self._ai.require_models(query)
        deadline = _Deadline(self._run, query.deadline_seconds)
        if not query.ai:
            found, kept_rows = self._execute_to_keep(allowed, query)
            total = found.found if found.is_all else None
            if total is None and found.found > query.limit.rows and isinstance(self._sql, CallerSql):
                total = self._count_for(allowed, query).count_rows()
            origin = self._begin_reading(allowed.engine)
            most = self._settings.max_rows
            answer = results.shape(found, query.limit, self._caps, origin, tick=deadline.check, total=total, most=most)
            return self._keep_rows(found, answer, kept_rows)
        found = self._execute(allowed, query, self._query_id, argument_caps(self._caps))
        found, use = self._apply_ai(allowed, query, found)
        # No deadline any more: what is paid for is shown, however long it took.
        origin, tick = self._begin_reading(allowed.engine), self._run.raise_if_cancelled
        answer = replace(results.shape(found, query.limit, self._caps, origin, tick=tick), ai=use)
        return self._keep_rows(found, answer, query.limit.rows)

    def _choose_caps(self, engine: Engine, query: CheckedQuery) -> results.Caps:
        """The caps on what the engine sends: a caller's statement may have rows beyond those that are shown.

        None beyond them where they are paid for, as is the statement that tells how large a table's rows are.
        """
        if self._kept is None or not isinstance(self._sql, CallerSql):
            return self._caps
        most_bytes = self._kept.most_bytes_each
        rows = query.limit.rows
        if not engine.capabilities.metered:
            rows = choose_kept_rows(query, self._sql.row_limit, self._settings, most_bytes, engine.estimate)
        return replace(self._caps, kept_rows=rows, kept_bytes=most_bytes)

    def _keep_rows(self, found: ResultSet, answer: results.Answer, most: int) -> results.Answer:
        """Keep the rows of a caller's statement for paging and export."""
        if self._kept is not None:
            rows = replace(found, table=found.table.slice(0, most))
            self._kept.keep(self._query_id, self._principal.name, rows, answer.total_rows)
        return answer

    def _explain_empty(self, query: CheckedQuery, answer: results.Answer) -> results.Answer:
        """Add to an answer without rows which texts of the statement are nowhere, and what is like them."""
        if self._indexes is None or isinstance(self._sql, Template) or not is_empty(answer):
            return answer
        said = explain_empty(self._indexes, query, self._router.main.tables)
        return replace(answer, warnings=(*answer.warnings, *said))

    def _execute(self, allowed: Allowed, query: CheckedQuery, query_id: str, caps: results.Caps) -> ResultSet:
        """What the engine answers to a query, within the scan budget and the caps, with the query's caveats."""
        engine, tables = allowed.engine, allowed.tables
        if self._settings.max_scan_mb is not None:
            check_budget(query, engine.estimate(query), tables, self._settings.max_scan_mb)
        self._enter_engine(engine, query)
        began = time.monotonic()
        try:
            found = engine.execute(query, query_id, caps)
            self._engine_seconds = time.monotonic() - began
        except QueryFailed as error:
            raise checking.judge_failure(error, query, catalog_of(engine, tables)) from error
        except ResourceLimit as limit:
            raise checking.explain_limit(limit, query, catalog_of(engine, tables)) from limit
        return replace(found, warnings=(*query.caveats, *found.warnings))

    def _execute_to_keep(self, allowed: Allowed, query: CheckedQuery) -> tuple[ResultSet, int]:
        """Execute a query; return what the engine answers, and how many of its rows are to be kept.

        Where it soon fails it is run without the rows beyond the answer: a division by zero in row 400 is none of 100.
        """
        caps = self._choose_caps(allowed.engine, query)
        began = time.monotonic()
        try:
            return self._execute(allowed, query, self._query_id, caps), caps.kept_rows
        except QueryFailed:
            shown = query.limit.rows
            if caps.kept_rows <= shown or time.monotonic() - began > MOST_QUERY_SECONDS:
                raise
        return self._execute(allowed, query, self._query_id, replace(caps, kept_rows=shown)), shown

    def _warn_of_gaps(self, allowed: Allowed, query: CheckedQuery, answer: results.Answer) -> results.Answer:
        """Add to an answer what the lake lacks of what it rests on."""
        if self._coverage is None:
            return answer
        known = self._coverage.read(allowed.tables)
        found = AnswerFacts(answer.says_nothing, None if answer.truncated else answer.whole_numbers)
        said = find_gaps(query, allowed.tables, known, found, self._count_for(allowed, query).count_one)
        codes = dict.fromkeys((*answer.codes, *(each.code for each in said)))
        return replace(answer, warnings=(*answer.warnings, *(each.text for each in said)), codes=tuple(codes))

    def _count_for(self, allowed: Allowed, query: CheckedQuery) -> AnswerCounter:
        """Return what counts for the answer to a query that has run."""
        begin_query = partial(self._begin_query, allowed.engine)
        return AnswerCounter(allowed, query, self._query_id, self._engine_seconds, begin_query, self._event)

    def _begin_reading(self, engine: Engine) -> results.Origin:
        """Enter the last stage; where the rows to be read come from."""
        self._enter_stage("reading the rows")
        return results.Origin(self._query_id, engine.name, self._run.elapsed_ms)

    # AI functions

    def _apply_ai(self, allowed: Allowed, query: CheckedQuery, found: ResultSet) -> tuple[ResultSet, AiUse]:
        """Put the texts of the query's AI functions into its rows. What they look up is part of its turn and time."""
        spender = Spender(self._run.caller, self._query_id)
        try:
            found, use = self._ai.apply_functions(
                found,
                query,
                look_up=partial(self._look_up, allowed, query),
                spender=spender,
                seconds_left=partial(self._seconds_left, query),
                enter_stage=self._run.enter_stage,
            )
        except BaseException:
            self._event.ai_usd += self._ai.charged_usd(spender)  # at most, for what is under way ends by itself
            raise
        self._event.ai_calls += use.calls
        self._event.ai_usd += use.cost_usd
        return found, use

    def _look_up(
        self, allowed: Allowed, query: CheckedQuery, text: str, arguments: Mapping[str, checking.Argument], rows: int
    ) -> results.Answer:
        """Run a template for an AI function of a query, on the query's engine and tables."""
        engine, tables = allowed.engine, allowed.tables
        query_id = f"{self._query_id}-{next(self._look_ups)}"
        limits = checking.Limits(rows, OWN_SQL_BYTES, self._seconds_left(query))
        read = self._begin_query(engine, query_id)
        checked = Template(text, arguments, rows).check(catalog_of(engine, tables), limits, query.principal, read)
        found = self._execute(allowed, checked, query_id, OWN_CAPS)
        origin = results.Origin(query_id, engine.name, self._run.elapsed_ms)
        return results.shape(found, checked.limit, OWN_CAPS, origin)

    def _seconds_left(self, query: CheckedQuery) -> float:
        return max(query.deadline_seconds - self._run.elapsed_seconds, _LEAST_SECONDS)

    # The run

    def _enter_stage(self, stage: str) -> None:
        """Tell whoever waits for the run, whose only statement this is. Raises QueryCancelled."""
        if self._query_id == self._run.query_id:
            self._run.enter_stage(stage)
        else:
            self._run.raise_if_cancelled()

    # The engine

    def _begin_query(self, engine: Engine, query_id: str) -> checking.Read:
        """Have a cancel of the run reach a query in the engine; return the engine's reader for it."""
        self._run.register_query(partial(engine.cancel, query_id), partial(engine.waits_for, query_id))
        return partial(self._read_in_engine, engine, query_id)

    def _enter_engine(self, engine: Engine, query: CheckedQuery) -> None:
        """Have the engine ready, and say that it now runs a query."""
        self._await_engine(engine)
        self._enter_stage("running in the engine")
        self._event.sql_run.append(query.sql)

    def _await_engine(self, engine: Engine) -> None:
        if not self._router.is_started(engine):
            self._enter_stage("waiting for the engine to start")
            self._router.start(engine)
            self._enter_stage(_CHECKING)


class _Deadline:
    """The end of a statement's time, which covers reading its rows; begins now."""

    def __init__(self, run: Run[Any], seconds: float) -> None:
        self._run = run
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raises QueryCancelled once the run is cancelled, QueryTimedOut once the time is over."""
        self._run.raise_if_cancelled()
        if time.monotonic() > self._end:
            raise QueryTimedOut(
                f"The query did not end within {self._seconds:g} s: its rows took too long to read. "
                "Select fewer columns, or smaller parts of lists and maps."
            )
