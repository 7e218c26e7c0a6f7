"""A Spark Connect server that somebody else runs, reached by its URL; and what all Connect sessions have in common."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakehouse.errors import UsageError
from lakehouse.session.types import EngineSession, explain_missing

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

REMOTE = "remote"
"""Where `config` says the server's URL: it may hold a token, so it is in no environment and no command line."""

_SESSION_CONFIG = {
    # What a question means must not depend on whose server answers it.
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    # As on the local Spark: no text is replaced before it is parsed, and no path is a table.
    "spark.sql.variable.substitute": "false",
    "spark.sql.runSQLOnFiles": "false",
    # How soon the server says that a job has begun: no query is interrupted before.
    "spark.connect.progress.reportInterval": "50ms",
}
"""Asked of every session; a server that does not allow one of them keeps its own."""

_CHANNEL = [
    # gRPC tries for 20 s to reach a host that does not answer.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]
_RETRIES = {"max_retries": 5, "initial_backoff": 100, "max_backoff": 1_000}
"""In milliseconds; 3.5 s in all. By default the client tries for ten minutes: a caller's time is better spent on being
told. Longer than gRPC's own pause, during which it repeats its last error without looking again.
"""

_END_SECONDS = 5.0
"""How long a program that ends waits for its session to end."""

_JOB_SECONDS = 10.0
"""How long a statement is given to begin its first job; servers before Spark 4 do not tell when one has."""


@contextmanager
def by_tags(session: SparkSession, tag: str) -> Iterator[None]:
    """Give what this thread runs in a Connect session a tag."""
    session.addTag(tag)
    try:
        yield
    finally:
        session.removeTag(tag)


def end_session(session: Any) -> None:
    """End a Connect session and let go of its client.

    PySpark 4.2 has every client that is made kept until the process ends, by a hook that does nothing for one that is
    closed: 0.1 MiB for each, and a session ends with each query that is cancelled.
    """
    atexit.unregister(session.client._on_exit)  # noqa: SLF001  (nothing public undoes it; PySpark is pinned)
    session.stop()


def end_session_soon(session: Any) -> None:
    """The same when a program ends, which it may do because of a signal.

    Closing a gRPC channel waits until every call on it is read to its end. Where a signal has ended the reading of
    one, nobody reads it any more and that would be for good: the channel is left to itself then.
    """
    ending = threading.Thread(target=end_session, args=[session], daemon=True)
    ending.start()
    ending.join(_END_SECONDS)


@dataclass
class _Statement:
    """What runs in a session now, and whether it may be interrupted.

    Not before its first job has begun: an interrupt that meets the very start of one ends the operation, while Spark
    submits the job from another thread, and nobody is left who could stop that (measured on 4.2).
    """

    began: float = field(default_factory=time.monotonic)
    at_work: bool = False

    def restart(self) -> None:
        self.began, self.at_work = time.monotonic(), False

    def report_progress(self, stages: object, **_: object) -> None:
        """What the client calls with each report of the server."""
        self.at_work = self.at_work or bool(stages)

    def may_be_interrupted(self) -> bool:
        return self.at_work or time.monotonic() - self.began > _JOB_SECONDS


@contextmanager
def open_connect(config: dict[str, str], _work_dir: str | None) -> Iterator[EngineSession]:
    """Load the client. Nothing is sent to the server before a session is opened."""
    try:
        from pyspark.sql.connect.client import DefaultChannelBuilder
        from pyspark.sql.connect.client.retries import DefaultPolicy
        from pyspark.sql.connect.session import SparkSession as ConnectSession
    except ImportError as error:
        raise UsageError(explain_missing("spark", error, extras=("spark", "embedded"))) from error

    statements: dict[str, _Statement] = {}

    def open_client() -> ConnectSession:
        session = ConnectSession(connection=DefaultChannelBuilder(config[REMOTE], channelOptions=_CHANNEL))
        session.client.set_retry_policies([DefaultPolicy(**_RETRIES)])
        return session

    def open_one() -> ConnectSession:
        session = open_client()
        session.conf._set_all(_SESSION_CONFIG, silent=True)  # noqa: SLF001  (`set` fails where a server forbids one)
        statements[session.session_id] = _Statement()
        session.registerProgressHandler(statements[session.session_id].report_progress)
        return session

    def close(session: ConnectSession) -> None:
        statements.pop(session.session_id, None)
        session.client.set_retry_policies([])  # a server that is gone has forgotten it already
        end_session(session)

    @contextmanager
    def tagged(session: ConnectSession, tag: str) -> Iterator[None]:
        statements[session.session_id].restart()
        with by_tags(session, tag):
            yield

    def interrupt(session: ConnectSession, tag: str) -> None:
        statement = statements.get(session.session_id)
        if statement is None or statement.may_be_interrupted():
            session.interruptTag(tag)

    yield EngineSession(
        "connect",
        open_client(),
        open=open_one,
        close=close,
        tagged=tagged,
        interrupt=interrupt,
    )
