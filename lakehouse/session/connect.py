"""A Spark Connect server of someone else, given its URL; and what all Connect sessions share."""

from __future__ import annotations

import atexit
import os
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
"""The key of the server's URL in `config`: it may hold a token, so it is in no environment and no command line."""

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
"""Set in every session; a server that forbids one of them keeps its own."""

_CHANNEL = [
    # gRPC tries for 20 s to reach a host that does not answer.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]
_RETRIES = {"max_retries": 5, "initial_backoff": 100, "max_backoff": 1_000}
"""In milliseconds; 3.5 s in all. By default the client retries for ten minutes, which is too long for a caller. Longer
than gRPC's own pause, during which it repeats its last error without trying again.
"""

_END_SECONDS = 5.0
"""How long an exiting program waits for its session to end."""

_JOB_SECONDS = 10.0
"""How long a statement may take to begin its first job; servers before Spark 4 do not report it."""


@contextmanager
def by_tags(session: SparkSession, tag: str) -> Iterator[None]:
    """Tag what this thread runs in a Connect session."""
    session.addTag(tag)
    try:
        yield
    finally:
        session.removeTag(tag)


def end_session(session: Any) -> None:
    """End a Connect session and release its client.

    PySpark 4.2 keeps every client until the process exits, through an atexit hook: 0.1 MiB each, and a session ends
    with each cancelled query.
    """
    atexit.unregister(session.client._on_exit)  # noqa: SLF001  (nothing public undoes it; PySpark is pinned)
    session.stop()


def end_session_soon(session: Any) -> None:
    """End a Connect session when a program exits, possibly because of a signal, within `_END_SECONDS`.

    Closing a gRPC channel waits until every call on it is read to its end. Where a signal has interrupted the reading
    of one, that would wait for ever, so the channel is abandoned.
    """
    ending = threading.Thread(target=end_session, args=[session], daemon=True)
    ending.start()
    ending.join(_END_SECONDS)


@dataclass
class _RunningStatement:
    """The running statement of a session, and whether it may be interrupted.

    It may not before its first job has begun: an interrupt at that moment ends the operation while Spark submits the
    job from another thread, and nothing could stop that job any more (measured on 4.2).
    """

    began: float = field(default_factory=time.monotonic)
    at_work: bool = False

    def restart(self) -> None:
        self.began, self.at_work = time.monotonic(), False

    def report_progress(self, stages: object, **_: object) -> None:
        """Take a progress report of the server."""
        self.at_work = self.at_work or bool(stages)

    def may_be_interrupted(self) -> bool:
        return self.at_work or time.monotonic() - self.began > _JOB_SECONDS


@contextmanager
def open_connect(config: dict[str, str], _work_dir: str | None) -> Iterator[EngineSession]:
    """Load the client. Nothing is sent before a session is opened."""
    try:
        from pyspark.sql.connect.client import DefaultChannelBuilder
        from pyspark.sql.connect.client.retries import DefaultPolicy
        from pyspark.sql.connect.session import SparkSession as ConnectSession
    except ImportError as error:
        raise UsageError(explain_missing("spark", error, extras=("spark", "embedded"))) from error

    # PySpark's functions (`pyspark.sql.functions`) make the columns of a session on a JVM without it.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    statements: dict[str, _RunningStatement] = {}

    def open_client() -> ConnectSession:
        session = ConnectSession(connection=DefaultChannelBuilder(config[REMOTE], channelOptions=_CHANNEL))
        session.client.set_retry_policies([DefaultPolicy(**_RETRIES)])
        return session

    def open_one() -> ConnectSession:
        session = open_client()
        session.conf._set_all(_SESSION_CONFIG, silent=True)  # noqa: SLF001  (`set` fails where a server forbids one)
        statements[session.session_id] = _RunningStatement()
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
