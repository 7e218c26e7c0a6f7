"""An AI function over many things of a lake: in threads of this process, or on Spark's executors.

    keys → facts, some thousand at a time → AiService, a chunk at a time → the cache

The cache is the checkpoint: the same command again pays only for what has no answer yet. Each chunk is reserved at its
maximum; each call is settled and stored before another takes its place, so that a killed run pays twice for the calls
that were under way, no more.
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
from typing import TypeVar

from ai_functions.cache import CacheKey
from ai_functions.calls import Dispatch
from ai_functions.functions import AiFunction, functions
from ai_functions.ledger import Limits
from ai_functions.service import AiService, open_service
from ai_functions.types import AiEstimate, AiUnavailable, BudgetExceeded, Facts, Outcome, Spender, dollars
from etl.executors import SPARK_CONFIG, in_threads, on_executors, while_not
from etl.facts import FactSource, table_locations
from etl.progress import Reporter, Stage
from etl.safeguards import check_engine
from etl.settings import LoadEngine, Settings
from lakehouse.errors import UsageError
from lakehouse.session import EngineSession, open_session
from lakehouse.storage import Lake
from lakehouse.work_folders import work_folder

_CALLER = "imdb-etl"
_WORK_PREFIX = "imdb-etl-"

_FACTS_AT_ONCE = 2_000
"""Keys whose facts one statement fetches: a look-up of many is a scan, which is worth it for many."""

_CHUNK = 100
"""Calls that are reserved at once, or more where `_ROUNDS` for each call under way are more."""

_ROUNDS = 12

_CHUNK_SECONDS = 3_600.0
_HOPELESS = 50
"""So many without an answer in a row, and the run ends: the provider is down, or refuses all of it."""

T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    """What to apply to what: at most `rows` things, for at most `most_dollars`.

    `select` is SQL whose first column is the key; the function's own section `every` where it is None.
    """

    function: AiFunction
    rows: int
    most_dollars: float
    select: str | None = None


@dataclass
class Enriched:
    """What a run did. `charged` is what the ledger says of it, in nano-dollars; `failed` counts by reason."""

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
    """An AI function by its name. Raises UsageError where there is none."""
    known = functions()
    if name not in known:
        raise UsageError(f"{name} is no AI function. There are: {', '.join(sorted(known))}.")
    return known[name]


def enrich(order: Order, lake: Lake, engine: LoadEngine, settings: Settings, report: Reporter) -> Enriched:
    """Apply a function to things of a lake, and keep the answers in the cache.

    Raises AiUnavailable, BudgetExceeded, LakeError, UsageError and EngineUnavailable; what was answered before is kept.
    """
    ended = threading.Event()
    with ExitStack() as stack:
        service, source = _opened(stack, order, lake, engine, settings)
        dispatch = _dispatch(stack, service, source.session, settings, ended)
        run = _Run(order, service, dispatch, settings.ai_concurrency, ended)
        keys = source.keys(order.select, order.rows)
        run.done.keys = len(keys)
        with report.stage(f"{order.function.name}, at most {dollars(run.most)}", total_bytes=len(keys)) as stage:
            try:
                with _gently(ended):
                    for some in _parts(keys, _FACTS_AT_ONCE):
                        run.apply_to(some, source.facts(some), stage)
            finally:
                with suppress(AiUnavailable):  # what went wrong before says it too
                    run.done.charged = service.ledger.read_charged(run.spender)
                report.say(str(run.done))
        return run.done


def estimate(order: Order, lake: Lake, engine: LoadEngine, settings: Settings) -> AiEstimate:
    """What `enrich` would take at most. Reads the lake and the cache, calls nothing."""
    with ExitStack() as stack:
        service, source = _opened(stack, order, lake, engine, settings)
        total = AiEstimate(0, 0, 0, 0, 0, 0)
        for keys in _parts(source.keys(order.select, order.rows), _FACTS_AT_ONCE):
            part = service.estimate(order.function, source.facts(keys))
            total = AiEstimate(
                total.items + part.items,
                total.calls + part.calls,
                total.hits + part.hits,
                total.input_tokens + part.input_tokens,
                total.output_tokens + part.output_tokens,
                total.nanos + part.nanos,
            )
        return total


def _opened(
    stack: ExitStack, order: Order, lake: Lake, engine: LoadEngine, settings: Settings
) -> tuple[AiService, FactSource]:
    """The service with the run's own limits, and the lake; what cannot work is said before an engine is started."""
    check_engine(lake, engine)
    service = open_service(settings, lake, limits=Limits.of_batch(settings, order.most_dollars))
    stack.callback(service.close)
    service.terms(order.function)
    tables = table_locations(lake.reachable(settings.links))
    folder, _ = stack.enter_context(work_folder(settings.state, _WORK_PREFIX))
    config = SPARK_CONFIG if engine == "spark" else {}
    session = stack.enter_context(open_session(engine, config=config, work_dir=str(folder)))
    named = " ".join([order.select or "", *order.function.statements.values()]).lower()
    for name, (location, version) in tables.items():
        if name.lower() not in named:
            continue  # opening one takes Spark a second
        reader = session.spark.read.format("delta").option("versionAsOf", version)
        reader.load(location).createOrReplaceTempView(name)
    return service, FactSource(session, order.function)


@contextmanager
def _gently(ended: threading.Event) -> Iterator[None]:
    """The first interruption lets the calls under way end, because they are paid for; the second does not."""

    def end(_number: int, _frame: FrameType | None) -> None:
        if ended.is_set():
            raise KeyboardInterrupt
        ended.set()
        text = "imdb-etl: waiting for the calls under way, which are paid for. Interrupt again to leave them.\n"
        os.write(2, text.encode())

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _dispatch(
    stack: ExitStack, service: AiService, session: EngineSession, settings: Settings, ended: threading.Event
) -> Dispatch:
    """What makes the calls: Spark's executors, or threads of this process where it has none."""
    if service.provider is None:
        raise AiUnavailable(str(service.unavailable))
    seconds, at_once = settings.ai_call_seconds, settings.ai_concurrency
    if session.kind == "spark":
        return while_not(ended, on_executors(session.spark, service.provider, seconds, at_once))
    return while_not(ended, stack.enter_context(in_threads(service.provider, seconds, at_once)))


class _Run:
    """One run, chunk by chunk."""

    def __init__(
        self, order: Order, service: AiService, dispatch: Dispatch, calls_at_once: int, ended: threading.Event
    ) -> None:
        self.done = Enriched()
        self._chunk = max(_CHUNK, _ROUNDS * calls_at_once)
        self.spender = Spender(_CALLER, f"enrich {secrets.token_hex(8)}")
        self.most = round(order.most_dollars * 1_000_000_000)
        self._function = order.function
        self._service = service
        self._dispatch = dispatch
        self._ended = ended
        self._in_vain = 0
        self._items = 0
        self._spent = 0

    def apply_to(self, keys: Sequence[str], facts: Sequence[Facts], stage: Stage) -> None:
        """Apply the function to what is known of some keys."""
        self.done.unknown += len(keys) - len(facts)
        model = self._service.terms(self._function).model
        # Here once for all: each look goes through all files of the cache, and what it finds stays in memory.
        self._service.cache.look_up(
            CacheKey.of(self._function.name, self._function.version, model, fact) for fact in facts
        )
        for chunk in _parts(facts, self._chunk):
            self._apply(chunk, stage)

    def _apply(self, chunk: Sequence[Facts], stage: Stage) -> None:
        def show(done: int, _: int, nanos: int) -> None:
            stage.advance(self._items + done, self._items + done, note=f", {dollars(self._spent + nanos)}")

        try:
            outcomes = self._service.run(
                self._function,
                chunk,
                self.spender,
                deadline_seconds=_CHUNK_SECONDS,
                report=show,
                dispatch=self._dispatch,
            )
        except BudgetExceeded as error:
            if len(chunk) == 1:
                raise BudgetExceeded(
                    f"Stopped by a spend cap: {error} Every answer so far is kept and costs nothing again; the same "
                    "command goes on from here with more --dollars, or when the server's budget is whole again."
                ) from error
            # Some of it may still fit.
            self._apply(chunk[: len(chunk) // 2], stage)
            self._apply(chunk[len(chunk) // 2 :], stage)
            return
        if self._ended.is_set():
            self._note([outcome for outcome in outcomes if outcome.text])
            raise KeyboardInterrupt
        self._note(outcomes)
        self._service.cache.check()

    def _note(self, outcomes: Sequence[Outcome]) -> None:
        self._items += len(outcomes)
        for outcome in outcomes:
            self._spent += outcome.nanos
            self._in_vain = 0 if outcome.text else self._in_vain + 1
            if outcome.text is None:
                self.done.failed[outcome.reason or "no reason"] += 1
            elif outcome.cached:
                self.done.cached += 1
            else:
                self.done.written += 1
            if self._in_vain >= _HOPELESS:
                raise AiUnavailable(
                    f"Given up after {_HOPELESS} calls in a row without an answer; the last: {outcome.reason} Every "
                    "answer so far is kept. Run the same command again when that is mended."
                )


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
