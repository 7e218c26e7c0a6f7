"""The one governed path of a statement: check → run in an engine → shape the answer → note it for the audit.

Whatever reads the lake goes through here, the server's own statements too. All of it happens in the thread of
the statement's run: the SDK's pool of 40 also reads stdio, and a ping would wait.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from lakehouse.errors import EngineLacks, EngineUnavailable, QueryFailed
from lakehouse.session import Stage
from lakehouse.settings import Settings
from mcp_server import results
from mcp_server.audit import AuditEvent
from mcp_server.engines import Engine
from mcp_server.hints import teach
from mcp_server.models import (
    Checked,
    CheckedQuery,
    EngineReading,
    Explain,
    Principal,
    ShowColumns,
    ShowTables,
    TableInfo,
)
from mcp_server.results.listing import listing
from mcp_server.runs import Places, Run, Runner

if TYPE_CHECKING:
    from mcp_server import guard

_CHECKING = "checking the statement"
_LAST_SECONDS = 2.0
"""How long the end of the server waits for what statements that it cancelled have to note."""

log = logging.getLogger(__name__)

Tables = tuple[TableInfo, ...]

_OWN_BYTES = 1_000_000
_OWN_CELL_CHARS = 500
"""Caps on the server's own statements: they have few rows, which must all come, and need no long cells."""


@dataclass(frozen=True)
class Call:
    """A tool call on its way: who asks, what the audit will say of it, and whom to tell how far it is."""

    principal: Principal
    event: AuditEvent
    report: Callable[[str], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Statement:
    """What is to be run: how the guard is asked about it, and the caps on its answer."""

    check: Callable[[guard.Catalog, guard.Read], Checked]
    caps: results.Caps


class QueryService:
    """Runs statements on the first engine that can, at most `max_concurrent_queries` at once; others wait their turn.

    `engines` are in order of preference. A later one is for what the one before it lacks or would answer otherwise.
    """

    def __init__(self, engines: Sequence[Engine], settings: Settings) -> None:
        self._engines = engines
        self._settings = settings
        self._caps = results.Caps(settings.max_result_bytes, settings.max_cell_chars)
        self._own_caps = results.Caps(_OWN_BYTES, min(settings.max_cell_chars, _OWN_CELL_CHARS))
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
        """What the lake holds now. Raises LakeError where there is none."""
        return await anyio.to_thread.run_sync(self.main_engine.tables, abandon_on_cancel=True)

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

        def check(catalog: guard.Catalog, read: guard.Read) -> Checked:
            from mcp_server import guard

            return guard.check(
                sql,
                catalog=catalog,
                limits=limits_of(self._settings),
                principal=call.principal,
                row_limit=row_limit,
                read=read,
            )

        return self._begin(call, Statement(check, self._caps))

    async def fill(
        self, call: Call, template: str, arguments: Mapping[str, guard.Argument], rows: int
    ) -> results.Answer:
        """Run a statement of the server's own, its `:name` markers filled in, for at most `rows` rows.

        The limits on callers' answers do not apply to it. Raises as a caller's statement does.
        """

        def check(catalog: guard.Catalog, read: guard.Read) -> Checked:
            from mcp_server import guard

            return guard.template(
                template,
                arguments,
                catalog=catalog,
                limits=replace(limits_of(self._settings), max_rows=rows),
                principal=call.principal,
                read=read,
            )

        run = self._begin(call, Statement(check, self._own_caps))
        await run.follow(call.report)
        return run.result()

    def _begin(self, call: Call, statement: Statement) -> Run[results.Answer]:
        run: Run[results.Answer] = Run(uuid.uuid4().hex[:12], call.principal.name)
        call.event.query_ids.append(run.query_id)
        self._runner.begin(run, lambda: self._govern(_Way(run, call.event, statement)))
        return run

    def _govern(self, way: _Way) -> results.Answer:
        """The whole path, in the run's thread, on the first engine that gives the answer that Spark would give."""
        first, *others = self._engines
        if not others:
            return self._answer(way, first)
        try:
            return self._answer(way, first, exact=True)
        except EngineLacks:
            try:
                return self._answer(way, others[0])
            except EngineUnavailable as gone:
                return self._answer_alone(way, first, f"The {others[0].name} engine is not there to help: {gone}")

    def _answer_alone(self, way: _Way, engine: Engine, note: str) -> results.Answer:
        """The path on an engine that lacks something or answers with caveats, because there is no other."""
        log.warning(note)
        try:
            answer = self._answer(way, engine)
        except EngineLacks as lack:
            raise EngineLacks(f"{lack} {note}", code=lack.code) from lack
        return replace(answer, warnings=(*answer.warnings, note))

    def _answer(self, way: _Way, engine: Engine, *, exact: bool = False) -> results.Answer:
        """The path on one engine. With `exact`, EngineLacks also where the answer may differ from Spark's."""
        way.run.enter(_CHECKING)
        tables = engine.tables()
        checked = way.statement.check(catalog_of(engine, tables), self._reader(way.run, engine, tables))
        if exact and isinstance(checked, CheckedQuery) and checked.caveats:
            raise EngineLacks(" ".join(checked.caveats))
        way.event.engine = engine.name
        answer = self._perform(way, engine, checked, tables)
        way.event.rows += len(answer.rows)
        way.event.result_bytes += answer.payload_bytes
        return answer

    def _perform(self, way: _Way, engine: Engine, checked: Checked, tables: Tables) -> results.Answer:
        """Do what the statement asks for, and shape what comes back."""
        run, caps = way.run, way.statement.caps
        if isinstance(checked, ShowTables | ShowColumns):
            shape = partial(results.answer, listing(checked, engine.schema, tables), caps)
        elif isinstance(checked, Explain):
            self._enter(way, engine, checked.query)
            plan = engine.explain(checked.query, checked.mode, run.query_id)
            whole = replace(caps, cell_chars=caps.payload_bytes // 2)
            shape = partial(results.answer, results.Rows(("plan",), ("string",), ((plan,),)), whole)
        else:
            self._enter(way, engine, checked)
            try:
                found = engine.execute(checked, run.query_id)
            except QueryFailed as error:
                raise teach(error, checked.sql, checked.tables, tables) from error
            found = replace(found, warnings=(*checked.caveats, *found.warnings))
            shape = partial(results.shape, found, checked.limit, caps)
        run.enter("reading the rows")
        return shape(results.Origin(run.query_id, engine.name, round(run.elapsed_seconds * 1000)))

    def _enter(self, way: _Way, engine: Engine, query: CheckedQuery) -> None:
        """Have the engine ready, and say that it now runs the statement."""
        self._await_engine(way.run, engine)
        way.run.enter("running in the engine", engine.cancel)
        way.event.sql_run.append(query.sql)

    def _reader(self, run: Run[Any], engine: Engine, tables: Tables) -> guard.Read:
        """The engine's own reader as the guard calls it."""

        def read(sql: str, names: frozenset[str], stage: Stage) -> EngineReading | None:
            if stage not in engine.capabilities.readings:
                return None
            self._await_engine(run, engine)
            run.raise_if_cancelled()
            try:
                return engine.read(sql, names, stage, run.query_id)
            except QueryFailed as error:
                raise teach(error, sql, names, tables) from error

        return read

    def _await_engine(self, run: Run[Any], engine: Engine) -> None:
        if engine.name not in self._ready:
            run.enter("waiting for the engine to start", engine.cancel)
            self._start(engine)
            run.enter(_CHECKING)

    def _start(self, engine: Engine) -> None:
        engine.start()
        self._ready.add(engine.name)


@dataclass(frozen=True)
class _Way:
    """What one statement carries along the path."""

    run: Run[results.Answer]
    event: AuditEvent
    statement: Statement


def limits_of(settings: Settings) -> guard.Limits:
    """The limits of one statement."""
    from mcp_server import guard

    return guard.Limits(settings.max_rows, settings.max_sql_bytes, settings.query_timeout_seconds)


def catalog_of(engine: Engine, tables: Tables) -> guard.Catalog:
    """What statements for an engine are checked against: its tables, at the versions that belong together."""
    from mcp_server import guard

    return guard.Catalog(engine.schema, tables, pins_of(tables), engine.capabilities.dialect, engine.bounds)


def pins_of(tables: Tables) -> dict[str, int]:
    """The Delta version that is read of each table that has one."""
    return {table.name: table.version for table in tables if table.version is not None}
