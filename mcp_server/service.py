"""What the tools ask for: every request becomes a run, which waits for its turn, can be cancelled and is audited."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread

from ai_functions.functions import AiFunction
from ai_functions.service import AiService, open_service
from ai_functions.types import NANOS_PER_DOLLAR, Facts, Spender
from lakehouse.errors import LakeError
from mcp_server.ai import Ai, AiText
from mcp_server.coverage import CoverageReader
from mcp_server.engines import Engine
from mcp_server.kept_results import KeptResults
from mcp_server.models import TableInfo
from mcp_server.results import Answer
from mcp_server.router import Router
from mcp_server.runs import Call, Run, Runner, RunPlaces
from mcp_server.settings import Settings

if TYPE_CHECKING:
    from lakehouse.result_files import FileFormat
    from mcp_server import checking
    from mcp_server.exports import ExportFile
    from mcp_server.finding.indexes import Indexes, OpenIndex
    from mcp_server.statement import Means, Plan, Statement

_LAST_SECONDS = 2.0
"""How long the end of the server waits for what runs that it cancelled have to note."""

T = TypeVar("T")


class StatementService:
    """Runs statements and AI functions, at most `max_concurrent_queries` at once; others wait their turn.

    `engines` are in order of preference. `ai` is what AI functions spend by; where it is None, one without a lake to
    keep answers beside. `indexes` are what names of the lake are found by; where it is None, none are. `coverage` is
    what is known of the lake's gaps, None where nothing is.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        settings: Settings,
        ai: AiService | None = None,
        indexes: Indexes | None = None,
        coverage: CoverageReader | None = None,
    ) -> None:
        self.router = Router(engines)
        self.coverage = coverage or CoverageReader(None)
        self.kept = KeptResults(round(settings.kept_mb * 2**20), settings.kept_minutes * 60)
        self._indexes = indexes
        self._opening: Run[OpenIndex] | None = None
        self._settings = settings
        self._ai = Ai(ai or open_service(settings, None), settings)
        self._runner = Runner(
            RunPlaces(settings.max_concurrent_queries, settings.max_queries_per_caller, settings.query_timeout_seconds)
        )

    @property
    def main_engine(self) -> Engine:
        """The engine that most statements run on."""
        return self.router.main

    def warm_up(self) -> None:
        """Start the first engine. The first statement tries again where this failed; blocks until it is ready."""
        self.router.start(self.main_engine)

    def close(self) -> None:
        """Cancel what still runs and end the engines."""
        self._runner.cancel_all()
        self.router.close()
        self.kept.close()
        self._runner.close(_LAST_SECONDS)  # what went on after its call has its last line to write

    async def refresh_tables(self) -> tuple[TableInfo, ...]:
        """Ask the engine again what the lake holds. Raises LakeError where there is none."""
        return await anyio.to_thread.run_sync(self.main_engine.refresh, abandon_on_cancel=True)

    def submit_sql(self, call: Call, sql: str, row_limit: int | None = None) -> Run[Answer]:
        """Begin a caller's statement. `row_limit` is how many rows it wants, None for the default of the settings.

        Raises ResourceLimit where too many wait. The run raises as `Statement` does.
        """
        return self._submit(call, lambda run: self._callers_statement(call, run, sql, row_limit).answer())

    async def run_sql(self, call: Call, sql: str, row_limit: int | None = None) -> Answer:
        """Run a caller's statement to its end. Raises as `submit_sql` and its run do."""
        return await _finish(self.submit_sql(call, sql, row_limit), call)

    async def plan_sql(self, call: Call, sql: str, row_limit: int | None = None) -> Plan:
        """What a caller's statement would do; nothing of it is run. Raises as its run would until there."""
        run = self._submit(call, lambda run: self._callers_statement(call, run, sql, row_limit).plan())
        return await _finish(run, call)

    async def run_template(
        self, call: Call, template: str, arguments: Mapping[str, checking.Argument], rows: int
    ) -> Answer:
        """Run a statement of the server's own, its `:name` markers filled in, for at most `rows` rows.

        The limits on callers' answers do not apply to it. Raises as a caller's statement does.
        """
        run = self._submit(call, lambda run: self._own_statement(call, run, template, arguments, rows).answer())
        return await _finish(run, call)

    async def apply_function(self, call: Call, function: AiFunction, facts: Facts) -> AiText:
        """Have a model write of one thing, in the time that a call may wait.

        No handle is given for it: what a call is not answered with is in the cache for the next one.
        Raises ResourceLimit where too many wait, and AiUnavailable, BudgetExceeded and RateLimited before anything is
        spent.
        """
        run = self._submit(call, lambda run: self._write_text(call, run, function, facts))
        return await _finish(run, call)

    async def write_file(self, call: Call, query_id: str, kind: FileFormat) -> ExportFile:
        """Write the rows that are kept of a caller's statement as a file.

        Raises UnknownResultError, and ResourceLimit where too many wait.
        """

        def work(run: Run[ExportFile]) -> ExportFile:
            from mcp_server.exports import write_export

            kept = self.kept.read(query_id, run.caller)
            call.event.query_ids.append(query_id)
            run.enter_stage("writing the file")
            return write_export(query_id, kept, kind, run.raise_if_cancelled)

        return await _finish(self._submit(call, work), call)

    def find_index(self) -> OpenIndex | None:
        """Return the index of names if it is open or can be opened at once. Blocks for as long as the tables take.

        Raises LakeError where there is no lake.
        """
        return self._indexes.open_at_once(self.main_engine.tables()) if self._indexes is not None else None

    def find_without_rows(self) -> OpenIndex:
        """Return an index of what is known without an engine: tables, columns, verified queries. Raises LakeError."""
        if self._indexes is None:
            raise LakeError("This server has no lake to find names in.")
        return self._indexes.open_without_rows(self.main_engine.tables())

    def share_opening(self, call: Call, ended: Callable[[Run[OpenIndex]], None]) -> Run[OpenIndex]:
        """Begin to build the index of names, or join those who wait for it: one is built at a time.

        `call` is for the building alone, which goes on where its caller leaves; `ended` is called in its thread where
        it began here. Raises ResourceLimit where too many statements wait. The run raises QueryCancelled,
        EngineUnavailable and LakeError.
        """
        run = self._opening
        if run is None or run.done or run.cancelled:
            run = self._opening = self._submit(call, lambda run: self._open_index(call, run))
            began = run
            run.call_at_end(lambda: ended(began))
        return run

    def _open_index(self, call: Call, run: Run[OpenIndex]) -> OpenIndex:
        if self._indexes is None:
            raise LakeError("This server has no lake to find names in.")
        numbers = itertools.count(1)

        def look_up(template: str, names: Mapping[str, str], rows: int, seconds: float) -> Answer:
            from mcp_server.checking import Identifier
            from mcp_server.finding.gathering import CAPS
            from mcp_server.statement import Statement
            from mcp_server.terms import Template

            filled = Template(template, {m: Identifier(name) for m, name in names.items()}, rows, CAPS, seconds)
            return Statement(filled, call, run, self._means, f"{run.query_id}-{next(numbers)}").answer()

        self._start_engine(run)
        return self._indexes.build(self.main_engine.tables(), look_up, run.enter_stage)

    def _start_engine(self, run: Run[Any]) -> None:
        """Have the engine ready: what is bounded in seconds is what it does, not that it starts."""
        if not self.router.is_started(self.main_engine):
            run.enter_stage("waiting for the engine to start")
            self.router.start(self.main_engine)

    def _submit(self, call: Call, work: Callable[[Run[T]], T]) -> Run[T]:
        run: Run[T] = Run(uuid.uuid4().hex[:12], call.principal.name)
        call.event.query_ids.append(run.query_id)
        self._runner.begin(run, lambda: work(run))
        return run

    def _write_text(self, call: Call, run: Run[AiText], function: AiFunction, facts: Facts) -> AiText:
        run.enter_stage("asking the model")
        spender = Spender(run.caller, run.query_id)
        written = self._ai.write_text(
            function, facts, spender, seconds=self._settings.wait_seconds, tick=run.raise_if_cancelled
        )
        call.event.ai_calls += written.was_called
        call.event.ai_usd += written.outcome.nanos / NANOS_PER_DOLLAR
        return written

    # `statement` is imported in the thread of a run: with it comes the parser, for which the handshake does not wait.

    @cached_property
    def _means(self) -> Means:
        from mcp_server.statement import Means

        return Means(self.router, self._ai, self._settings, self.coverage, self.kept, self._indexes)

    def _callers_statement(self, call: Call, run: Run[Any], sql: str, row_limit: int | None) -> Statement:
        from mcp_server.statement import Statement
        from mcp_server.terms import CallerSql

        return Statement(CallerSql(sql, row_limit), call, run, self._means)

    def _own_statement(
        self, call: Call, run: Run[Any], template: str, arguments: Mapping[str, checking.Argument], rows: int
    ) -> Statement:
        from mcp_server.statement import Statement
        from mcp_server.terms import Template

        return Statement(Template(template, arguments, rows), call, run, self._means)


async def _finish(run: Run[T], call: Call) -> T:
    """Wait for the end of a run, which ends with its caller."""
    await run.wait_for_end(call.report)
    return run.result()
