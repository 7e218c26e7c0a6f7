"""The one governed path of a statement: check → run in the engine → shape the answer → note it for the audit.

Whatever reads the lake goes through here, the server's own statements too. The synchronous guard and
engine run in threads of this module's own: the SDK's pool of 40 also reads stdio, and a ping would wait.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread

from lakehouse.errors import QueryFailed, ResourceLimit
from lakehouse.session import Dialect, Stage
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

if TYPE_CHECKING:
    from mcp_server import guard

T = TypeVar("T")
Tables = tuple[TableInfo, ...]
Check = Callable[[Tables, "guard.Read"], Checked]

_OWN_BYTES = 1_000_000
_OWN_CELL_CHARS = 500
"""Caps on the server's own statements: they have few rows, which must all come, and need no long cells."""


@dataclass(frozen=True)
class Call:
    """A tool call on its way: who asks, what the audit will say of it, and whom to tell how far it is."""

    principal: Principal
    event: AuditEvent
    report: Callable[[str], Coroutine[Any, Any, None]]


class QueryService:
    """Runs statements on one engine, at most `max_concurrent_queries` at once; others wait their turn."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._caps = results.Caps(settings.max_result_bytes, settings.max_cell_chars)
        self._own_caps = results.Caps(_OWN_BYTES, min(settings.max_cell_chars, _OWN_CELL_CHARS))
        self._slots = anyio.Semaphore(settings.max_concurrent_queries)
        # Larger than the slots: a cancelled call leaves its thread behind until the engine has stopped.
        self._threads = anyio.CapacityLimiter(4 * settings.max_concurrent_queries)
        self._ready = False

    def warm_up(self) -> None:
        """Start the engine. Called again by the first statement where this failed; blocks until it is ready."""
        self._engine.start()
        self._ready = True

    def close(self) -> None:
        """End the engine. Statements that still run fail."""
        self._engine.close()

    async def tables(self) -> Tables:
        """What the lake holds now. Raises LakeError where there is none."""
        return await self._in_thread(self._engine.tables)

    async def ask(self, call: Call, sql: str, row_limit: int | None = None) -> results.Answer:
        """Run a caller's statement. `row_limit` may lower the limit of the settings, never raise it.

        Raises QueryError where the statement is refused or fails, LakeError and EngineUnavailable.
        """

        def check(tables: Tables, read: guard.Read) -> Checked:
            from mcp_server import guard

            return guard.check(
                sql,
                catalog=self._catalog(tables),
                limits=limits_of(self._settings),
                principal=call.principal,
                row_limit=row_limit,
                read=read,
            )

        return await self._govern(call, check, self._caps)

    async def fill(
        self, call: Call, template: str, arguments: Mapping[str, guard.Argument], rows: int
    ) -> results.Answer:
        """Run a statement of the server's own, its `:name` markers filled in, for at most `rows` rows.

        The limits on callers' answers do not apply to it. Raises as `ask` does.
        """

        def check(tables: Tables, read: guard.Read) -> Checked:
            from mcp_server import guard

            return guard.template(
                template,
                arguments,
                catalog=self._catalog(tables),
                limits=replace(limits_of(self._settings), max_rows=rows),
                principal=call.principal,
                read=read,
            )

        return await self._govern(call, check, self._own_caps)

    def _catalog(self, tables: Tables) -> guard.Catalog:
        return catalog_of(self._settings, tables, self._engine.capabilities.dialect)

    async def _govern(self, call: Call, check: Check, caps: results.Caps) -> results.Answer:
        started = time.monotonic()
        query_id = uuid.uuid4().hex[:12]
        call.event.query_ids.append(query_id)
        async with self._slot(call):
            tables = await self.tables()
            checked = await self._stoppable(lambda: check(tables, self._reader(call, query_id, tables)), query_id)
            shape = await self._perform(call, checked, query_id, tables, caps)
            await call.report("reading the rows")
            answer = await self._in_thread(
                lambda: shape(query_id=query_id, elapsed_ms=round((time.monotonic() - started) * 1000))
            )
        call.event.rows += len(answer.rows)
        call.event.result_bytes += answer.payload_bytes
        return answer

    def _reader(self, call: Call, query_id: str, tables: Tables) -> guard.Read:
        """The engine's own reader as the guard calls it, from the thread of the check."""

        def read(sql: str, names: frozenset[str], stage: Stage) -> EngineReading | None:
            if stage not in self._engine.capabilities.readings:
                return None
            if not self._ready:
                anyio.from_thread.run(call.report, "waiting for the engine to start")
                self.warm_up()
            try:
                return self._engine.read(sql, names, stage, query_id)
            except QueryFailed as error:
                raise teach(error, sql, names, tables) from error

        return read

    async def _perform(
        self, call: Call, checked: Checked, query_id: str, tables: Tables, caps: results.Caps
    ) -> Callable[..., results.Answer]:
        """Do what the statement asks for; what comes back only needs to be shaped."""
        match checked:
            case CheckedQuery():
                try:
                    found = await self._in_engine(call, checked, query_id, self._engine.execute)
                except QueryFailed as error:
                    raise teach(error, checked.sql, checked.tables, tables) from error
                return partial(results.shape, found, checked.limit, caps)
            case Explain(query=query, mode=mode):
                plan = await self._in_engine(
                    call, query, query_id, lambda query, query_id: self._engine.explain(query, mode, query_id)
                )
                whole = replace(caps, cell_chars=caps.payload_bytes // 2)
                return partial(results.answer, ("plan",), ("string",), [(plan,)], whole)
            case ShowTables() | ShowColumns():
                rows = listing(checked, self._settings.schema_name, tables)
                return partial(results.answer, rows.names, rows.types, rows.rows, caps)

    async def _in_engine(
        self, call: Call, query: CheckedQuery, query_id: str, work: Callable[[CheckedQuery, str], T]
    ) -> T:
        """Let the engine, once it is there, do what is asked of it."""
        if not self._ready:
            await call.report("waiting for the engine to start")
            await self._in_thread(self.warm_up)
        await call.report("running in the engine")
        call.event.sql_run.append(query.sql)
        return await self._stoppable(lambda: work(query, query_id), query_id)

    async def _stoppable(self, work: Callable[[], T], query_id: str) -> T:
        """Let the engine work in a thread, and stop it where the caller goes away meanwhile."""
        try:
            return await self._in_thread(work)
        except anyio.get_cancelled_exc_class():
            # In a thread, because the engine may be busy; it remembers a cancellation that comes too early.
            threading.Thread(target=self._engine.cancel, args=[query_id], daemon=True).start()
            raise

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)

    @asynccontextmanager
    async def _slot(self, call: Call) -> AsyncIterator[None]:
        """Wait for a turn, no longer than a statement may run."""
        most = self._settings.max_concurrent_queries
        if self._slots.value == 0:
            await call.report(f"waiting: {most} statements are running")
        try:
            with anyio.fail_after(self._settings.query_timeout_seconds):
                await self._slots.acquire()
        except TimeoutError as error:
            raise ResourceLimit(
                f"{most} statements were running for {self._settings.query_timeout_seconds:g} s and none ended. "
                "Try again in a minute, with a cheaper statement if they are yours."
            ) from error
        try:
            yield
        finally:
            self._slots.release()


def limits_of(settings: Settings) -> guard.Limits:
    """The limits of one statement."""
    from mcp_server import guard

    return guard.Limits(settings.max_rows, settings.max_sql_bytes, settings.query_timeout_seconds)


def catalog_of(settings: Settings, tables: Tables, dialect: Dialect) -> guard.Catalog:
    """What statements are checked against: the lake's tables, at the versions that belong together."""
    from mcp_server import guard

    pins = {table.name: table.version for table in tables if table.version is not None}
    return guard.Catalog(settings.schema_name, tables, pins, dialect)
