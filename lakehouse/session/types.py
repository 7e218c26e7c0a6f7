"""The capabilities of engines, as data, and the interface of an open engine. Imports no driver."""

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
"""The SQL that an engine runs: all of Spark's, or Sail's subset."""


Stage = Literal["parsed", "resolved"]
"""How far an engine has read a text: parsed only, or with all names and views resolved."""


@dataclass(frozen=True)
class Capabilities:
    """The capabilities of an engine. No code may ask which engine it is.

    `dialect`         the SQL that it runs
    `readings`        the stages at which it reports how it reads a text, without running it
    `optimize`        `OPTIMIZE … ZORDER BY` exists
    `ordered_write`   a sorted DataFrame is written in its order
    `metered`         statements cost money, so that none runs that was not asked for
    `shared`          a server of others, which lives on: it is left alone until it is asked, and may forget a session
    `pinned_logs`     reads the logs that it is given in the place of a table's own
    `object_storage`  reads a lake in object storage
    """

    dialect: Dialect
    readings: tuple[Stage, ...]
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
    """The progress of a thread: its CPU seconds, the number of its voluntary waits, and whether it computes now."""

    seconds: float
    waits: int
    computes: bool = True


@dataclass(frozen=True)
class EngineSession:
    """An engine that is open. `spark` is a session of it that speaks the PySpark API.

    `open()` returns a new, empty session, `close(session)` ends it. What the calling thread runs within
    `tagged(session, tag)` has the tag, and `interrupt(session, tag)` stops it from any thread. An interrupt that comes
    too early is lost: repeat it. `lingers(tag)` is True while work goes on after its query has ended: Java cannot stop
    a thread that never checks, such as one within a regular expression. `at_work(threads)` returns the progress of the
    computing and the given threads of an engine that cannot assign them to queries; it is None for others. `process`
    is the process of the engine, None where that is this process or a remote one.
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
        """The capabilities of this engine."""
        return CAPABILITIES[self.kind]


def explain_missing(engine: str, error: ImportError, *, extras: tuple[str, ...]) -> str:
    """Explain that an engine's driver is not installed; each of `extras` installs it."""
    first, *others = extras
    also = "".join(f", or with [{other}]" for other in others)
    return (
        f"The {engine} engine is not installed ({error.name} is missing). "
        f"Run: pip install 'imdb-lakehouse-mcp[{first}]'{also}"
    )
