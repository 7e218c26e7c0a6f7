"""What an engine can do, as data, and what an open engine offers. No driver is imported here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from subprocess import Popen

    from pyspark.sql import SparkSession

    from lakehouse.settings import Runtime

Dialect = Literal["spark", "sail"]
"""Whose SQL an engine runs: all of Spark's, or what Sail has of it."""


Stage = Literal["parsed", "resolved"]
"""How far an engine reads a text before it tells: as it is written, or with every name looked up and view opened."""


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do, as data. Nothing else may ask which engine it is.

    `dialect`         whose SQL it runs
    `readings`        at which stages it tells what it reads in a text without running it
    `time_travel`     SQL understands `VERSION AS OF`
    `cancel`          a running query can be interrupted by its tag
    `optimize`        `OPTIMIZE … ZORDER BY` exists
    `ordered_write`   a sorted DataFrame is written in its order
    `metered`         whatever it runs is paid for, so that nothing runs that nobody asked for
    `shared`          a server of others, which lives on: it is left alone until it is asked, and may forget a session
    `pinned_logs`     reads the logs that it is given in the place of a table's own
    `object_storage`  reads a lake in object storage
    """

    dialect: Dialect
    readings: tuple[Stage, ...]
    time_travel: bool
    cancel: bool
    optimize: bool
    ordered_write: bool
    metered: bool
    shared: bool
    pinned_logs: bool
    object_storage: bool


CAPABILITIES: Mapping[Runtime, Capabilities] = MappingProxyType(
    {
        "embedded": Capabilities(
            dialect="sail",
            readings=("resolved",),
            time_travel=True,
            cancel=True,
            optimize=False,
            ordered_write=False,
            metered=False,
            shared=False,
            pinned_logs=True,
            object_storage=True,
        ),
        "spark": Capabilities(
            dialect="spark",
            readings=("parsed", "resolved"),
            time_travel=True,
            cancel=True,
            optimize=True,
            ordered_write=True,
            metered=False,
            shared=False,
            pinned_logs=False,
            object_storage=False,
        ),
        "connect": Capabilities(
            dialect="spark",
            readings=(),  # its protocol tells only with a whole plan, and without a parser that could be asked first
            time_travel=True,
            cancel=True,
            optimize=True,
            ordered_write=True,
            metered=True,
            shared=True,
            pinned_logs=False,
            object_storage=True,
        ),
        "databricks": Capabilities(
            dialect="spark",
            readings=(),  # only EXPLAIN would tell, and that itself runs what some statements hide
            time_travel=True,
            cancel=True,
            optimize=True,
            ordered_write=True,
            metered=True,
            shared=True,
            pinned_logs=False,
            object_storage=False,
        ),
    }
)


@dataclass(frozen=True)
class ThreadTime:
    """How far a thread is: seconds that it has computed, how often it has waited, and whether it computes now."""

    seconds: float
    waits: int
    computes: bool = True


@dataclass(frozen=True)
class EngineSession:
    """An engine that is open. `spark` is a session of it that speaks the PySpark API.

    `open()` gives another session in which nothing was set or created, `close(session)` ends it. What the calling
    thread runs within `tagged(session, tag)` bears the tag, and `interrupt(session, tag)`, from any thread, stops
    it. An interrupt that comes too early is lost: repeat it. `lingers(tag)` tells whether work goes on though its
    query has ended: Java cannot stop a thread that looks for nothing, such as one within a regular expression.
    `at_work(threads)` gives how far those threads are that compute now, and the given ones, of an engine that does not
    know for whom; else it is None.
    `process` is the process that the engine runs in, None where it is this one or none of ours.
    """

    kind: Runtime
    spark: SparkSession
    open: Callable[[], SparkSession]
    close: Callable[[SparkSession], None]
    tagged: Callable[[SparkSession, str], AbstractContextManager[None]]
    interrupt: Callable[[SparkSession, str], None]
    lingers: Callable[[str], bool] = lambda _: False
    at_work: Callable[[Collection[int]], Mapping[int, ThreadTime]] | None = None
    process: Popen[bytes] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do."""
        return CAPABILITIES[self.kind]


def missing(engine: str, error: ImportError, *, extras: tuple[str, ...]) -> str:
    """What to say where an engine's driver is not installed; any one of `extras` brings it."""
    first, *others = extras
    also = "".join(f", or with [{other}]" for other in others)
    return (
        f"The {engine} engine is not installed ({error.name} is missing). "
        f"Run: pip install 'imdb-lakehouse-mcp[{first}]'{also}"
    )
