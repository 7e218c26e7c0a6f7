"""Applies an AI function to many keys of a lake, in threads of this process or on Spark's executors.

    keys → facts, some thousand at a time → AiService, a chunk at a time → the cache

The cache is the checkpoint: a repeated command pays only for keys without an answer. Each chunk is reserved at its
maximum. Each call is settled and stored before another takes its place, so a killed run pays twice only for the calls
that were in flight.
"""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from ai_functions.cache import CacheKey
from ai_functions.calls import Dispatch
from ai_functions.functions import AiFunction, functions
from ai_functions.ledger import Limits
from ai_functions.service import AiService, open_service
from ai_functions.types import AiEstimate, AiUnavailable, BudgetExceeded, Facts, Outcome, Spender, dollars
from etl.executors import SPARK_CONFIG, make_executor_dispatch, open_thread_dispatch, stop_when_set
from etl.facts import FactSource, locate_tables
from etl.interrupts import raise_if_interrupted
from etl.progress import ProgressReporter, ProgressStage
from etl.safeguards import check_engine
from etl.settings import LoadEngine, Settings, remote_config
from lakehouse.errors import UsageError
from lakehouse.session import EngineSession, open_session, use_session
from lakehouse.storage import Lake
from lakehouse.work_folders import work_folder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_CALLER = "imdb-etl"
_WORK_PREFIX = "imdb-etl-"

_FACTS_AT_ONCE = 2_000
"""Keys whose facts one statement fetches. A lookup of many keys is a scan, so its cost is shared by many."""

_CHUNK = 100
"""Minimum number of calls reserved together; `_ROUNDS` times the calls in flight if that is more."""

_ROUNDS = 12

_CHUNK_SECONDS = 3_600.0
_MAX_FAILURES_IN_A_ROW = 50
"""Calls in a row without an answer that end the run: the provider is down or refuses everything."""

T = TypeVar("T")


@dataclass(frozen=True)
class EnrichOrder:
    """A function to apply to at most `rows` keys, for at most `most_dollars` US dollars.

    `select` is SQL whose first column is the key; None means the section `every` of the function.
    """

    function: AiFunction
    rows: int
    most_dollars: float
    select: str | None = None


@dataclass
class EnrichSummary:
    """Result of a run. `charged` is the ledger's sum in nano-dollars; `failed` counts by reason."""

    keys: int = 0
    written: int = 0
    cached: int = 0
    unknown: int = 0
    charged: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        parts = [f"{self.written:,} written", f"{self.cached:,} in the cache before"]
        if self.unknown:
            parts.append(f"{self.unknown:,} not in the lake")
        parts += [f"{count:,} without a text: {reason}" for reason, count in self.failed.most_common()]
        return f"{self.keys:,} asked for: {'; '.join(parts)}. Cost: {dollars(self.charged)}."


def find_function(name: str) -> AiFunction:
    """Return an AI function by its name. Raises UsageError if there is none."""
    known = functions()
    if name not in known:
        raise UsageError(f"{name} is no AI function. There are: {', '.join(sorted(known))}.")
    return known[name]


def enrich_lake(
    order: EnrichOrder,
    lake: Lake,
    engine: LoadEngine,
    settings: Settings,
    report: ProgressReporter,
    spark: SparkSession | None = None,
) -> EnrichSummary:
    """Apply a function to keys of a lake, and store the answers in the cache.

    `spark` is a session that is open, which is used instead of one of `engine`: calls are then made by this process.

    Raises AiUnavailable, BudgetExceeded, LakeError, UsageError and EngineUnavailable; earlier answers are kept.
    """
    ended = threading.Event()
    with ExitStack() as stack:
        service, source = _open_sources(stack, order, lake, engine, settings, spark)
        dispatch = _make_dispatch(stack, service, source.session, settings, ended)
        run = _EnrichRun(order, service, dispatch, settings.ai_concurrency, ended)
        keys = source.list_keys(order.select, order.rows)
        run.summary.keys = len(keys)
        with report.open_stage(
            f"{order.function.name}, at most {dollars(run.max_nanos)}", total_bytes=len(keys)
        ) as stage:
            try:
                with _finish_calls_on_interrupt(ended):
                    for some in _split_chunks(keys, _FACTS_AT_ONCE):
                        run.apply_function(some, source.fetch_facts(some), stage)
            finally:
                with suppress(AiUnavailable):  # the first error is the one to report
                    run.summary.charged = service.ledger.read_charged(run.spender)
                report.print_line(str(run.summary))
        return run.summary


def estimate_cost(
    order: EnrichOrder, lake: Lake, engine: LoadEngine, settings: Settings, spark: SparkSession | None = None
) -> AiEstimate:
    """Compute the maximum that `enrich_lake` would use. Reads the lake and the cache, and makes no calls."""
    with ExitStack() as stack:
        service, source = _open_sources(stack, order, lake, engine, settings, spark)
        total = AiEstimate(0, 0, 0, 0, 0, 0)
        for keys in _split_chunks(source.list_keys(order.select, order.rows), _FACTS_AT_ONCE):
            part = service.estimate(order.function, source.fetch_facts(keys))
            total = AiEstimate(
                total.items + part.items,
                total.calls + part.calls,
                total.hits + part.hits,
                total.input_tokens + part.input_tokens,
                total.output_tokens + part.output_tokens,
                total.nanos + part.nanos,
            )
        return total


def _open_sources(
    stack: ExitStack,
    order: EnrichOrder,
    lake: Lake,
    engine: LoadEngine,
    settings: Settings,
    spark: SparkSession | None,
) -> tuple[AiService, FactSource]:
    """Open the service with the limits of the run, and the lake. Checks the arguments before it starts an engine."""
    check_engine(lake, engine)
    service = open_service(settings, lake, limits=Limits.of_batch(settings, order.most_dollars))
    stack.callback(service.close)
    service.terms(order.function)
    tables = locate_tables(lake.reachable(settings.links))
    folder, _ = stack.enter_context(work_folder(settings.state, _WORK_PREFIX))
    config = {"spark": SPARK_CONFIG, "connect": remote_config(settings)}.get(engine, {})
    session = stack.enter_context(
        open_session(engine, config=config, work_dir=str(folder)) if spark is None else use_session(spark)
    )
    named = " ".join([order.select or "", *order.function.statements.values()]).lower()
    for name, (location, version) in tables.items():
        if name.lower() not in named:
            continue  # opening one takes Spark a second
        reader = session.spark.read.format("delta").option("versionAsOf", version)
        reader.load(location).createOrReplaceTempView(name)
    return service, FactSource(session, order.function)


@contextmanager
def _finish_calls_on_interrupt(ended: threading.Event) -> Iterator[None]:
    """Let calls in flight end at the first interrupt, because they are billed; raise at the second."""

    def handle_signal(_number: int, _frame: FrameType | None) -> None:
        if ended.is_set():
            raise KeyboardInterrupt
        ended.set()
        text = "imdb-etl: waiting for the calls under way, which are paid for. Interrupt again to leave them.\n"
        os.write(2, text.encode())

    before = {number: signal.signal(number, handle_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        raise_if_interrupted()  # nothing is spent after an interrupt
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _make_dispatch(
    stack: ExitStack, service: AiService, session: EngineSession, settings: Settings, ended: threading.Event
) -> Dispatch:
    """Choose what makes the calls: Spark's executors, or threads of this process. Raises AiUnavailable."""
    if service.provider is None:
        raise AiUnavailable(str(service.unavailable))
    seconds, at_once = settings.ai_call_seconds, settings.ai_concurrency
    if session.kind == "spark":
        return stop_when_set(ended, make_executor_dispatch(session.spark, service.provider, seconds, at_once))
    return stop_when_set(ended, stack.enter_context(open_thread_dispatch(service.provider, seconds, at_once)))


class _EnrichRun:
    """Applies a function chunk by chunk, and counts the outcomes."""

    def __init__(
        self, order: EnrichOrder, service: AiService, dispatch: Dispatch, calls_at_once: int, ended: threading.Event
    ) -> None:
        self.summary = EnrichSummary()
        self._chunk = max(_CHUNK, _ROUNDS * calls_at_once)
        self.spender = Spender(_CALLER, f"enrich {secrets.token_hex(8)}")
        self.max_nanos = round(order.most_dollars * 1_000_000_000)
        self._function = order.function
        self._service = service
        self._dispatch = dispatch
        self._ended = ended
        self._failures_in_a_row = 0
        self._items = 0
        self._spent = 0

    def apply_function(self, keys: Sequence[str], facts: Sequence[Facts], stage: ProgressStage) -> None:
        """Apply the function to the facts of some keys."""
        self.summary.unknown += len(keys) - len(facts)
        model = self._service.terms(self._function).model
        # One lookup for all keys: each scans all files of the cache, and its results stay in memory.
        self._service.cache.look_up(
            CacheKey.of(self._function.name, self._function.version, model, fact) for fact in facts
        )
        for chunk in _split_chunks(facts, self._chunk):
            self._apply_chunk(chunk, stage)

    def _apply_chunk(self, chunk: Sequence[Facts], stage: ProgressStage) -> None:
        def show_progress(done: int, _: int, nanos: int) -> None:
            stage.advance(self._items + done, self._items + done, note=f", {dollars(self._spent + nanos)}")

        try:
            outcomes = self._service.run(
                self._function,
                chunk,
                self.spender,
                deadline_seconds=_CHUNK_SECONDS,
                report=show_progress,
                dispatch=self._dispatch,
            )
        except BudgetExceeded as error:
            if len(chunk) == 1:
                raise BudgetExceeded(
                    f"Stopped by a spend cap: {error} Every answer so far is kept and costs nothing again; the same "
                    "command goes on from here with more --dollars, or when the server's budget is whole again."
                ) from error
            # Half of the chunk may still fit the budget.
            self._apply_chunk(chunk[: len(chunk) // 2], stage)
            self._apply_chunk(chunk[len(chunk) // 2 :], stage)
            return
        if self._ended.is_set():
            self._count_outcomes([outcome for outcome in outcomes if outcome.text])
            raise KeyboardInterrupt
        self._count_outcomes(outcomes)
        self._service.cache.check()

    def _count_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        self._items += len(outcomes)
        for outcome in outcomes:
            self._spent += outcome.nanos
            self._failures_in_a_row = 0 if outcome.text else self._failures_in_a_row + 1
            if outcome.text is None:
                self.summary.failed[outcome.reason or "no reason"] += 1
            elif outcome.cached:
                self.summary.cached += 1
            else:
                self.summary.written += 1
            if self._failures_in_a_row >= _MAX_FAILURES_IN_A_ROW:
                raise AiUnavailable(
                    f"Given up after {_MAX_FAILURES_IN_A_ROW} calls in a row without an answer; the last: "
                    f"{outcome.reason} Every answer so far is kept. Run the same command again when that is mended."
                )


def _split_chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
