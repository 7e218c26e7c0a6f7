"""The one governed path of a statement: check → run in an engine → shape the answer → note it for the audit.

Whatever reads the lake goes through here, the server's own statements too. All of it happens in the thread of
the statement's run: the SDK's pool of 40 also reads stdio, and a ping would wait.
"""

from __future__ import annotations

import functools
import itertools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread

from lakehouse.ai.service import AiService, open_service
from lakehouse.ai.types import Spender
from lakehouse.errors import (
    EngineLacks,
    EngineUnavailable,
    QueryError,
    QueryFailed,
    QueryTimedOut,
    Refused,
    ResourceLimit,
)
from lakehouse.session import Stage
from lakehouse.settings import Settings
from mcp_server import results
from mcp_server.ai import Ai, argument_caps, key_columns
from mcp_server.audit import AuditEvent
from mcp_server.engines import Engine
from mcp_server.hints import teach
from mcp_server.models import (
    Checked,
    CheckedQuery,
    EngineReading,
    Estimate,
    Explain,
    Principal,
    ResultSet,
    ShowColumns,
    ShowTables,
    TableInfo,
)
from mcp_server.results.estimate import check_budget
from mcp_server.results.listing import listing
from mcp_server.runs import Places, Run, Runner

if TYPE_CHECKING:
    from mcp_server import checking
    from mcp_server.results.ai import AiPlan, AiUse

_CHECKING = "checking the statement"
_LEAST_SECONDS = 1.0
"""What a statement of an AI function has at least: without any the engine would not even say that time is over."""

_LAST_SECONDS = 2.0
"""How long the end of the server waits for what statements that it cancelled have to note."""

log = logging.getLogger(__name__)

T = TypeVar("T")
Tables = tuple[TableInfo, ...]

_OWN_BYTES = 1_000_000
_OWN_CELL_CHARS = 500
_OWN_SQL_BYTES = 262_144
"""Caps on the server's own statements: they have few rows, which must all come, and need no long cells."""


@dataclass(frozen=True)
class Call:
    """A tool call on its way: who asks, what the audit will say of it, and whom to tell how far it is."""

    principal: Principal
    event: AuditEvent
    report: Callable[[str], Coroutine[Any, Any, None]]


Check = Callable[["checking.Catalog", "checking.Read"], Checked]
"""Asks the guard about a statement, on a catalogue and with an engine's own reader."""


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


class QueryService:
    """Runs statements on the first engine that can, at most `max_concurrent_queries` at once; others wait their turn.

    `engines` are in order of preference. A later one is for what the one before it lacks or would answer otherwise.
    `ai` is what AI functions spend by; where it is None, one without a lake to keep answers beside.
    """

    def __init__(self, engines: Sequence[Engine], settings: Settings, ai: AiService | None = None) -> None:
        self._engines = engines
        self._settings = settings
        self._ai = Ai(ai or open_service(settings, None), settings)
        self._caps = results.Caps(settings.max_result_bytes, settings.max_cell_chars)
        self._own_caps = results.Caps(_OWN_BYTES, _OWN_CELL_CHARS)
        self._runner = Runner(
            Places(settings.max_concurrent_queries, settings.max_queries_per_caller, settings.query_timeout_seconds)
        )
        self._ready: set[str] = set()
        self._starting = threading.Lock()

    @property
    def main_engine(self) -> Engine:
        """The engine that most statements run on."""
        return self._engines[0]

    def warm_up(self) -> None:
        """Start the first engine. Called again by the first statement where this failed; blocks until it is ready."""
        self._start(self.main_engine)

    def close(self) -> None:
        """Cancel what still runs and end the engines."""
        self._runner.cancel_all()
        for engine in self._engines:
            engine.close()
        self._runner.close(_LAST_SECONDS)  # what went on after its call has its last line to write

    async def tables(self) -> Tables:
        """What the lake holds now, looked at anew. Raises LakeError where there is none."""
        return await anyio.to_thread.run_sync(self.main_engine.refresh, abandon_on_cancel=True)

    async def ask(self, call: Call, sql: str, row_limit: int | None = None) -> results.Answer:
        """Run a caller's statement to its end. Raises as its run does."""
        run = self.start(call, sql, row_limit)
        await run.follow(call.report)
        return run.result()

    def start(self, call: Call, sql: str, row_limit: int | None = None) -> Run[results.Answer]:
        """Begin a caller's statement. `row_limit` may lower the limit of the settings, never raise it.

        Raises ResourceLimit where too many wait. The run raises QueryError where the statement is refused or fails,
        LakeError and EngineUnavailable.
        """
        return self._begin(call, self._callers(call, sql, row_limit), partial(self._perform, self._caps))

    async def plan(self, call: Call, sql: str, row_limit: int | None = None) -> Plan:
        """Everything up to the point where the statement would run. Raises as its run would until there."""
        run = self._begin(call, self._callers(call, sql, row_limit), self._plan)
        await run.follow(call.report)
        return run.result()

    def _callers(self, call: Call, sql: str, row_limit: int | None) -> Check:
        def check(catalog: checking.Catalog, read: checking.Read) -> Checked:
            from mcp_server import checking

            return checking.check(
                sql,
                catalog=catalog,
                limits=limits_of(self._settings),
                principal=call.principal,
                row_limit=row_limit,
                read=read,
            )

        return check

    async def fill(
        self, call: Call, template: str, arguments: Mapping[str, checking.Argument], rows: int
    ) -> results.Answer:
        """Run a statement of the server's own, its `:name` markers filled in, for at most `rows` rows.

        The limits on callers' answers do not apply to it. Raises as a caller's statement does.
        """

        def check(catalog: checking.Catalog, read: checking.Read) -> Checked:
            from mcp_server import checking

            return checking.template(
                template,
                arguments,
                catalog=catalog,
                limits=replace(limits_of(self._settings), max_rows=rows),
                principal=call.principal,
                read=read,
            )

        run = self._begin(call, check, partial(self._perform, self._own_caps))
        await run.follow(call.report)
        return run.result()

    def _begin(self, call: Call, check: Check, act: Act[T]) -> Run[T]:
        run: Run[T] = Run(uuid.uuid4().hex[:12], call.principal.name)
        call.event.query_ids.append(run.query_id)
        self._runner.begin(run, lambda: self._govern(run, call.event, check, act))
        return run

    def _govern(self, run: Run[T], event: AuditEvent, check: Check, act: Act[T]) -> T:
        """The whole path, in the run's thread, on the first engine that gives the answer that Spark would give."""
        first, *others = self._engines
        try:
            way = self._check(run, event, check, first)
            if not others or not _caveats(way.checked):
                return act(way)
        except QueryError as lack:
            if not others or not lack.lacking:
                raise
            return self._hand_over(run, event, check, act, others[0], lack)
        try:
            return act(self._check(run, event, check, others[0]))
        except EngineUnavailable as gone:
            log.warning("The %s engine is not there to help: %s", others[0].name, gone)
            return act(way)  # its caveats go with the answer

    def _hand_over(
        self, run: Run[T], event: AuditEvent, check: Check, act: Act[T], engine: Engine, lack: QueryError
    ) -> T:
        """The path on the engine that has what the first lacks."""
        try:
            return act(self._check(run, event, check, engine))
        except EngineUnavailable as gone:
            if not isinstance(lack, EngineLacks):
                log.warning("The %s engine is not there to help: %s", engine.name, gone)
                raise lack from gone
            raise EngineLacks(f"{lack} The {engine.name} engine could, and is not there: {gone}") from gone

    def _check(self, run: Run[Any], event: AuditEvent, check: Check, engine: Engine) -> _Way:
        """Ask the guard, on one engine, and where it knows no such table the engine, whether there is one by now."""
        event.engine = engine.name
        run.hold(engine.cancel, engine.waits_for)
        run.enter(_CHECKING)
        tables = engine.tables()
        try:
            checked = check(catalog_of(engine, tables), self._reader(run, engine, tables))
        except Refused as refusal:
            if refusal.code != "unknown_table" or (now := engine.refresh()) == tables:
                raise
            tables = now
            checked = check(catalog_of(engine, tables), self._reader(run, engine, tables))
        return _Way(run, event, engine, tables, checked)

    def _plan(self, way: _Way) -> Plan:
        """What the statement would read. Nothing of it is run."""
        engine, query = way.engine, way.checked
        if not isinstance(query, CheckedQuery):
            return Plan(engine.name)
        way.run.enter("estimating")
        estimate = engine.estimate(query)
        ai = self._ai.plan(query) if query.ai else None
        try:
            check_budget(query, estimate, way.tables, self._settings.max_scan_mb)
        except ResourceLimit as limit:
            return Plan(engine.name, query, estimate, str(limit), ai)
        return Plan(engine.name, query, estimate, None, ai)

    def _perform(self, caps: results.Caps, way: _Way) -> results.Answer:
        """Do what the statement asks for, and shape what comes back."""
        run, engine, tables, checked = way.run, way.engine, way.tables, way.checked
        use: AiUse | None = None
        if isinstance(checked, ShowTables | ShowColumns):
            shape = partial(results.answer, listing(checked, engine.schema, tables), caps)
        elif isinstance(checked, Explain):
            self._enter(way, checked.query)
            plan = engine.explain(checked.query, checked.mode, run.query_id, results.plan_caps(caps))
            shape = partial(results.shape_plan, plan, caps)
        else:
            self._ai.require(checked)
            tick = _watch(run, checked.deadline_seconds)
            found = self._execute(way, checked, run.query_id, argument_caps(caps) if checked.ai else caps)
            if checked.ai:
                found, use = self._apply(way, checked, found)
                tick = run.raise_if_cancelled  # what is paid for is shown, however long it took
            shape = partial(results.shape, found, checked.limit, caps, tick=tick)
        run.enter("reading the rows")
        answer = replace(shape(results.Origin(run.query_id, engine.name, run.elapsed_ms)), ai=use)
        way.event.rows += len(answer.rows)
        way.event.result_bytes += answer.payload_bytes
        return answer

    def _execute(self, way: _Way, query: CheckedQuery, query_id: str, caps: results.Caps) -> ResultSet:
        """What the engine answers to a query, within the scan budget and the caps, its caveats with it."""
        from mcp_server import checking

        engine, tables = way.engine, way.tables
        if self._settings.max_scan_mb is not None:
            check_budget(query, engine.estimate(query), tables, self._settings.max_scan_mb)
        self._enter(way, query)
        try:
            found = engine.execute(query, query_id, caps)
        except QueryFailed as error:
            taught = teach(error, query.sql, query.tables, tables)
            raise checking.judge(taught, query, catalog_of(engine, tables)) from error
        return replace(found, warnings=(*query.caveats, *found.warnings))

    def _apply(self, way: _Way, query: CheckedQuery, found: ResultSet) -> tuple[ResultSet, AiUse]:
        """The rows with the texts of the query's AI functions. What they ask, they ask in its turn and its time."""
        from mcp_server import checking

        run, engine, numbers = way.run, way.engine, itertools.count(1)

        def left() -> float:
            return max(query.deadline_seconds - run.elapsed_seconds, _LEAST_SECONDS)

        def ask(template: str, arguments: Mapping[str, checking.Argument], rows: int) -> results.Answer:
            query_id = f"{run.query_id}-{next(numbers)}"
            run.hold(lambda _: engine.cancel(query_id), lambda _: engine.waits_for(query_id))
            checked = checking.template(
                template,
                arguments,
                catalog=catalog_of(engine, way.tables),
                limits=checking.Limits(rows, _OWN_SQL_BYTES, left()),
                principal=query.principal,
                read=self._reader(run, engine, way.tables, query_id),
            )
            answered = self._execute(way, checked, query_id, self._own_caps)
            return results.shape(
                answered, checked.limit, self._own_caps, results.Origin(query_id, engine.name, run.elapsed_ms)
            )

        spender = Spender(run.caller, run.query_id)
        try:
            found, use = self._ai.apply(found, query, ask=ask, spender=spender, left=left, say=run.enter)
        except BaseException:
            way.event.ai_usd += self._ai.charged_usd(spender)  # at most, for what is under way ends by itself
            raise
        way.event.ai_calls += use.calls
        way.event.ai_usd += use.cost_usd
        return found, use

    def _enter(self, way: _Way, query: CheckedQuery) -> None:
        """Have the engine ready, and say that it now runs the statement."""
        self._await_engine(way.run, way.engine)
        way.run.enter("running in the engine")
        way.event.sql_run.append(query.sql)

    def _reader(self, run: Run[Any], engine: Engine, tables: Tables, query_id: str = "") -> checking.Read:
        """The engine's own reader as the guard calls it. `query_id` is that of the run where none is given."""

        def read(sql: str, names: frozenset[str], stage: Stage) -> EngineReading | None:
            if stage not in engine.capabilities.readings:
                return None
            self._await_engine(run, engine)
            run.raise_if_cancelled()
            try:
                return engine.read(sql, names, stage, query_id or run.query_id)
            except QueryFailed as error:
                raise teach(error, sql, names, tables) from error

        return read

    def _await_engine(self, run: Run[Any], engine: Engine) -> None:
        if engine.name not in self._ready:
            run.enter("waiting for the engine to start")
            self._start(engine)
            run.enter(_CHECKING)

    def _start(self, engine: Engine) -> None:
        engine.start()
        self._ready.add(engine.name)


@dataclass(frozen=True)
class _Way:
    """A statement that the guard has allowed on an engine, and what it carries along the path."""

    run: Run[Any]
    event: AuditEvent
    engine: Engine
    tables: Tables
    checked: Checked


Act = Callable[[_Way], T]
"""What is done with an allowed statement."""


def _watch(run: Run[Any], seconds: float) -> Callable[[], None]:
    """Raises once a statement is cancelled, or so many seconds from now: a caller's time covers reading its rows."""
    end = time.monotonic() + seconds

    def look() -> None:
        run.raise_if_cancelled()
        if time.monotonic() > end:
            raise QueryTimedOut(
                f"The query did not end within {seconds:g} s: its rows took too long to read. "
                "Select fewer columns, or smaller parts of lists and maps."
            )

    return look


def _caveats(checked: Checked) -> tuple[str, ...]:
    return checked.caveats if isinstance(checked, CheckedQuery) else ()


def limits_of(settings: Settings) -> checking.Limits:
    """The limits of one statement."""
    from mcp_server import checking

    return checking.Limits(
        settings.max_rows, settings.max_sql_bytes, settings.query_timeout_seconds, settings.ai_max_rows
    )


def catalog_of(engine: Engine, tables: Tables) -> checking.Catalog:
    """What statements for an engine are checked against: its tables, at the versions that belong together."""
    from mcp_server import checking

    dialect = engine.capabilities.dialect
    catalog = checking.Catalog(engine.schema, tables, pins_of(tables), dialect, engine.bounds, ai=key_columns())
    if dialect == "spark":  # no statement is rewritten for the types of its columns
        return catalog
    return replace(catalog, columns=functools.cache(engine.columns))  # every rewrite reads the statement anew


def pins_of(tables: Tables) -> dict[str, int]:
    """The Delta version that is read of each table that has one."""
    return {table.name: table.version for table in tables if table.version is not None}
