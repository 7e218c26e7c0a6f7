"""Who makes the calls of a batch: threads of this process, or Spark's executors.

Executors get requests and give results, and know neither lake, ledger nor cache. What was reserved is one attempt of
each call, so nothing is asked twice: Spark must not repeat a task, and a task that is a repetition all the same asks
nothing.
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
"""Asked of a session whose executors make calls. Where what a stage reads is lost, the whole stage is begun anew: its
tasks are first attempts again, and those of the old one go on beside them."""

_RESULTS = (
    "number int, finish string, text string, input_tokens bigint, output_tokens bigint, reason string, billed boolean"
)
_LOST = "An executor was lost while it asked the model."


def while_not(ended: threading.Event, dispatch: Dispatch) -> Dispatch:
    """Makes the same calls, and begins none once `ended` is set."""

    def watched(outbox: Outbox, deadline: float) -> Iterator[None]:
        for _ in dispatch(outbox, deadline):
            if ended.is_set():
                outbox.stop()
            yield

    return watched


@contextmanager
def in_threads(provider: ProviderConfig, call_seconds: float, calls_at_once: int) -> Iterator[Dispatch]:
    """Makes calls in so many threads of this process."""
    caller = Caller(open_provider(provider), call_seconds)
    try:
        yield caller.in_threads(calls_at_once)
    finally:
        caller.close()


def on_executors(spark: SparkSession, provider: ProviderConfig, call_seconds: float, calls_at_once: int) -> Dispatch:
    """Makes calls on all executors of a session, in rounds of so many.

    Results come when all calls of a round are done, so that no more than a round is under way. Where Spark fails, what
    has no result counts as billed.
    """
    parts = max(1, min(calls_at_once, spark.sparkContext.defaultParallelism))
    workers = -(-calls_at_once // parts)

    def ask(requests: Sequence[ModelRequest], seconds: float) -> list[CallResult]:
        def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return make_calls(batches, provider, call_seconds, workers, seconds)

        rows = spark.createDataFrame(_as_table(requests)).repartition(parts)
        results = rows.mapInArrow(work, _RESULTS).toArrow().to_pylist()
        return [_result(row) for row in sorted(results, key=lambda row: row["number"])]

    def dispatch(outbox: Outbox, deadline: float) -> Iterator[None]:
        while (seconds := deadline - time.monotonic()) > 0 and (taken := outbox.take(calls_at_once)):
            numbers = [number for number, _ in taken]
            try:
                results = ask([request for _, request in taken], seconds)
            except Exception as error:
                lost = CallResult(None, _LOST, billed=True)
                outbox.put([(number, lost) for number in numbers])
                raise EngineUnavailable(
                    f"Spark's executors failed ({str(error).strip().splitlines()[0]}). Calls under way are charged at "
                    "their maximum. Each executor needs this package with its extra `ai`; run the same command again."
                ) from error
            outbox.put(list(zip(numbers, results, strict=True)))
            yield

    return dispatch


def make_calls(
    batches: Iterable[pa.RecordBatch], provider: ProviderConfig, call_seconds: float, workers: int, seconds: float
) -> Iterator[pa.RecordBatch]:
    """One task: makes the calls of its part in threads, within so many seconds."""
    from pyspark import TaskContext

    rows = [row for batch in batches for row in batch.to_pylist()]
    task = TaskContext.get()
    if task is not None and task.attemptNumber() > 0:
        yield _as_batch(rows, [CallResult(None, _LOST, billed=True)] * len(rows))
        return
    batch = Batch([ModelRequest(row["model"], row["system"], row["user"], row["max_output_tokens"]) for row in rows])
    with in_threads(provider, call_seconds, workers) as make:
        for _ in make(batch, time.monotonic() + seconds):
            pass
    yield _as_batch(rows, batch.results())


def _as_table(requests: Sequence[ModelRequest]) -> pa.Table:
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


def _as_batch(rows: Sequence[dict[str, Any]], results: Sequence[CallResult]) -> pa.RecordBatch:
    """A result for each row, with the number that the driver gave."""
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
    found = [_row(row["number"], result) for row, result in zip(rows, results, strict=True)]
    return pa.RecordBatch.from_pylist(found, schema)


def _row(number: int, result: CallResult) -> dict[str, Any]:
    completion = result.completion
    usage = completion.usage if completion else None
    return {
        "number": number,
        "finish": completion.finish if completion else None,
        # Arrow's text has no lone surrogates, which JSON may bring.
        "text": completion.text.encode("utf-8", "replace").decode() if completion and completion.text else None,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "reason": result.reason,
        "billed": result.billed,
    }


def _result(row: dict[str, Any]) -> CallResult:
    usage = None if row["input_tokens"] is None else Usage(row["input_tokens"], row["output_tokens"])
    completion = None if row["finish"] is None else Completion(row["finish"], row["text"], usage)
    return CallResult(completion, row["reason"], row["billed"])
