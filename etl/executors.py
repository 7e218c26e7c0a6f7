"""Makes the model calls of a batch in threads of this process, or on Spark's executors.

Executors receive requests and return results; they do not access lake, ledger or cache. One attempt of each call is
reserved, so Spark must not repeat a task, and a task that is repeated anyway makes no calls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ai_functions.calls import Batch, Caller, CallResult, Dispatch, Outbox
from ai_functions.providers import ProviderConfig, open_provider
from ai_functions.types import Completion, ModelRequest, Usage
from lakehouse.errors import EngineUnavailable

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

SPARK_CONFIG = {
    "spark.task.maxFailures": "1",
    "spark.speculation": "false",
    "spark.stage.maxConsecutiveAttempts": "1",
}
"""Settings of a session whose executors make calls. Without them Spark retries a stage that lost its input: its tasks
are then first attempts again, and run beside those of the old one."""

_RESULTS = (
    "number int, finish string, text string, input_tokens bigint, output_tokens bigint, reason string, billed boolean"
)
_LOST = "An executor was lost while it asked the model."


def stop_when_set(ended: threading.Event, dispatch: Dispatch) -> Dispatch:
    """Wrap a dispatch so that it starts no call once `ended` is set."""

    def dispatch_until_set(outbox: Outbox, deadline: float) -> Iterator[None]:
        for _ in dispatch(outbox, deadline):
            if ended.is_set():
                outbox.stop()
            yield

    return dispatch_until_set


@contextmanager
def open_thread_dispatch(provider: ProviderConfig, call_seconds: float, calls_at_once: int) -> Iterator[Dispatch]:
    """Open a dispatch that makes calls in `calls_at_once` threads of this process. `call_seconds` limits one call."""
    caller = Caller(open_provider(provider), call_seconds)
    try:
        yield caller.in_threads(calls_at_once)
    finally:
        caller.close()


def make_executor_dispatch(
    spark: SparkSession, provider: ProviderConfig, call_seconds: float, calls_at_once: int
) -> Dispatch:
    """Return a dispatch that makes calls on the executors of a session, in rounds of `calls_at_once`.

    Results arrive when a round is done, so at most one round is in flight. If Spark fails, calls without a result count
    as billed, and the dispatch raises EngineUnavailable.
    """
    parts = max(1, min(calls_at_once, spark.sparkContext.defaultParallelism))
    workers = -(-calls_at_once // parts)

    def send_round(requests: Sequence[ModelRequest], seconds: float) -> list[CallResult]:
        def run_task(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return make_calls(batches, provider, call_seconds, workers, seconds)

        rows = spark.createDataFrame(_to_table(requests)).repartition(parts)
        results = rows.mapInArrow(run_task, _RESULTS).toArrow().to_pylist()
        return [_to_result(row) for row in sorted(results, key=lambda row: row["number"])]

    def dispatch_rounds(outbox: Outbox, deadline: float) -> Iterator[None]:
        while (seconds := deadline - time.monotonic()) > 0 and (taken := outbox.take(calls_at_once)):
            numbers = [number for number, _ in taken]
            try:
                results = send_round([request for _, request in taken], seconds)
            except Exception as error:
                lost = CallResult(None, _LOST, billed=True)
                outbox.put([(number, lost) for number in numbers])
                raise EngineUnavailable(
                    f"Spark's executors failed ({str(error).strip().splitlines()[0]}). Calls under way are charged at "
                    "their maximum. Each executor needs this package with its extra `ai`; run the same command again."
                ) from error
            outbox.put(list(zip(numbers, results, strict=True)))
            yield

    return dispatch_rounds


def make_calls(
    batches: Iterable[pa.RecordBatch], provider: ProviderConfig, call_seconds: float, workers: int, seconds: float
) -> Iterator[pa.RecordBatch]:
    """Run one Spark task: make the calls of its partition in `workers` threads, within `seconds`."""
    from pyspark import TaskContext

    rows = [row for batch in batches for row in batch.to_pylist()]
    task = TaskContext.get()
    if task is not None and task.attemptNumber() > 0:
        yield _to_batch(rows, [CallResult(None, _LOST, billed=True)] * len(rows))
        return
    batch = Batch([ModelRequest(row["model"], row["system"], row["user"], row["max_output_tokens"]) for row in rows])
    with open_thread_dispatch(provider, call_seconds, workers) as make:
        for _ in make(batch, time.monotonic() + seconds):
            pass
    yield _to_batch(rows, batch.results())


def _to_table(requests: Sequence[ModelRequest]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "number": pa.array(range(len(requests)), pa.int32()),
            "model": [request.model for request in requests],
            "system": [request.system for request in requests],
            "user": [request.user for request in requests],
            "max_output_tokens": pa.array([request.max_output_tokens for request in requests], pa.int32()),
        }
    )


def _to_batch(rows: Sequence[dict[str, Any]], results: Sequence[CallResult]) -> pa.RecordBatch:
    """Convert results to a batch, each with the number of its row."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("number", pa.int32()),
            ("finish", pa.string()),
            ("text", pa.string()),
            ("input_tokens", pa.int64()),
            ("output_tokens", pa.int64()),
            ("reason", pa.string()),
            ("billed", pa.bool_()),
        ]
    )
    found = [_to_row(row["number"], result) for row, result in zip(rows, results, strict=True)]
    return pa.RecordBatch.from_pylist(found, schema)


def _to_row(number: int, result: CallResult) -> dict[str, Any]:
    completion = result.completion
    usage = completion.usage if completion else None
    return {
        "number": number,
        "finish": completion.finish if completion else None,
        # JSON may contain lone surrogates, which Arrow's strings cannot hold.
        "text": completion.text.encode("utf-8", "replace").decode() if completion and completion.text else None,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "reason": result.reason,
        "billed": result.billed,
    }


def _to_result(row: dict[str, Any]) -> CallResult:
    usage = None if row["input_tokens"] is None else Usage(row["input_tokens"], row["output_tokens"])
    completion = None if row["finish"] is None else Completion(row["finish"], row["text"], usage)
    return CallResult(completion, row["reason"], row["billed"])
