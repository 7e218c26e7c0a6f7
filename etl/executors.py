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

from lakehouse.ai.calls import Caller, CallResult, Dispatch
from lakehouse.ai.providers import ProviderConfig, open_provider
from lakehouse.ai.types import Completion, ModelRequest, Usage
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


_STORE_SECONDS = 0.2
"""How long answers are gathered before they are stored together: each commit is a file, and one more in the log."""


@contextmanager
def in_threads(
    provider: ProviderConfig, call_seconds: float, calls_at_once: int, ended: threading.Event
) -> Iterator[Dispatch]:
    """Makes calls in so many threads, and begins none once `ended` is set.

    Results come in few parts: those that are there after a moment, together.
    """
    caller = Caller(open_provider(provider), call_seconds)
    make = caller.in_threads(calls_at_once)

    def dispatch(
        requests: Sequence[ModelRequest], deadline: float, stop: threading.Event
    ) -> Iterator[list[tuple[int, CallResult]]]:
        left = len(requests)
        for results in make(requests, deadline, stop):
            if ended.is_set():
                stop.set()
            yield results
            left -= len(results)
            if left:
                time.sleep(_STORE_SECONDS)

    try:
        yield dispatch
    finally:
        caller.close()


def on_executors(spark: SparkSession, provider: ProviderConfig, call_seconds: float, calls_at_once: int) -> Dispatch:
    """Makes calls on all executors of a session, about so many at once in all.

    Results come when all calls of a dispatch are done. Where Spark fails, what has no result counts as billed.
    """
    parts = max(1, min(calls_at_once, spark.sparkContext.defaultParallelism))
    workers = -(-calls_at_once // parts)

    def dispatch(
        requests: Sequence[ModelRequest], deadline: float, _: threading.Event
    ) -> Iterator[list[tuple[int, CallResult]]]:
        seconds = deadline - time.monotonic()  # a clock of this process

        def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return make_calls(batches, provider, call_seconds, workers, seconds)

        try:
            rows = spark.createDataFrame(_as_table(requests)).repartition(parts)
            results = rows.mapInArrow(work, _RESULTS).toArrow().to_pylist()
        except Exception as error:
            yield [(number, CallResult(None, _LOST, billed=True)) for number in range(len(requests))]
            raise EngineUnavailable(
                f"Spark's executors failed ({str(error).strip().splitlines()[0]}). Calls under way are charged at "
                "their maximum. Each executor needs this package with its extra `ai`; run the same command again."
            ) from error
        yield [(row["number"], _result(row)) for row in results]

    return dispatch


def make_calls(
    batches: Iterable[pa.RecordBatch], provider: ProviderConfig, call_seconds: float, workers: int, seconds: float
) -> Iterator[pa.RecordBatch]:
    """One task: makes the calls of its part in threads, within so many seconds."""
    from pyspark import TaskContext

    rows = [row for batch in batches for row in batch.to_pylist()]
    task = TaskContext.get()
    if task is not None and task.attemptNumber() > 0:
        yield _as_batch(rows, [(place, CallResult(None, _LOST, billed=True)) for place in range(len(rows))])
        return
    requests = [ModelRequest(row["model"], row["system"], row["user"], row["max_output_tokens"]) for row in rows]
    caller = Caller(open_provider(provider), call_seconds)
    try:
        for results in caller.in_threads(workers)(requests, time.monotonic() + seconds, threading.Event()):
            yield _as_batch(rows, results)
    finally:
        caller.close()


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


def _as_batch(rows: Sequence[dict[str, Any]], results: Iterable[tuple[int, CallResult]]) -> pa.RecordBatch:
    """Results by their places in `rows`, with the numbers that the driver gave."""
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
    return pa.RecordBatch.from_pylist([_row(rows[place]["number"], result) for place, result in results], schema)


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
