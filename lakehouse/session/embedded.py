"""Sail, in this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from lakehouse.errors import EngineUnavailable, UsageError
from lakehouse.session.connect import by_tags, end_session, end_session_soon
from lakehouse.session.types import EngineSession, ThreadTime, explain_missing

_SAIL_CONFIG = {
    "RUST_LOG": "error",
    "RUST_BACKTRACE": "0",
    # Without this, Sail casts some texts (of md5, of split_part…) behind the sort, in several threads, and rows come
    # back in any order: measured on 0.7.2 with window functions, 14 times in 40.
    "SAIL_OPTIMIZER__EXPAND_VIEWS_AT_OUTPUT": "false",
    # By default Sail forgets a session after 15 quiet minutes, with all that was registered in it.
    "SAIL_SPARK__SESSION_TIMEOUT_SECS": str(10 * 365 * 24 * 3600),
}

_CHANNEL = [("grpc.compression_enabled_algorithms_bitset", 1 << 0)]
"""The bit of no compression alone. A client that offers more gets its rows in gzip, which took more than half of the
processor time of fetching three million of them over the loopback."""

_TASKS = "/proc/self/task"
_COMPUTING = (b"R", b"D")
"""States of a thread that computes: it runs, or waits for a processor or a page of memory."""


@contextmanager
def open_embedded(config: dict[str, str], work_dir: str | None) -> Iterator[EngineSession]:
    # Sail reads its settings from the environment when its library is loaded.
    for name, value in (_SAIL_CONFIG | config).items():
        os.environ.setdefault(name, value)  # the operator's own value takes precedence
    if work_dir is not None:
        os.environ["SAIL_RUNTIME__TEMPORARY_FILES__PATHS"] = f'["{work_dir}"]'
    os.environ.pop("SPARK_CONNECT_AUTHENTICATE_TOKEN", None)  # meant for another server; with it the client wants TLS
    try:
        from pysail.spark import SparkConnectServer
        from pyspark.sql.connect.client import DefaultChannelBuilder
        from pyspark.sql.connect.session import SparkSession as ConnectSession
    except ImportError as error:
        raise UsageError(explain_missing("embedded", error, extras=("embedded",))) from error
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    address = server.listening_address
    if address is None:
        raise EngineUnavailable("The embedded engine did not start listening. Try again; its log is on stderr.")

    # PySpark's functions (`pyspark.sql.functions`) make the columns of a session on a JVM without it.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"

    def connect() -> ConnectSession:
        channel = DefaultChannelBuilder(f"sc://{address[0]}:{address[1]}", channelOptions=_CHANNEL)
        spark = ConnectSession.builder.channelBuilder(channel).create()
        # A server in the same process does not come back: by default the client would try for ten minutes.
        spark.client.set_retry_policies([])
        return spark

    spark = connect()
    try:
        yield EngineSession(
            "embedded",
            spark,
            open=connect,
            close=end_session,
            tagged=by_tags,
            interrupt=lambda session, tag: session.interruptTag(tag),
            at_work=_at_work,
        )
    finally:
        end_session_soon(spark)
        server.stop()


def _at_work(known: Collection[int] = ()) -> dict[int, ThreadTime]:
    """The progress of Sail's threads that compute or are `known`, without Python's. Empty where it is not reported.

    Sail reports a query as cancelled when its result is no longer awaited. Its threads check that between batches, and
    a join in which each row matches thousands runs for minutes before it asks for the next one.
    """
    ours = {thread.native_id for thread in threading.enumerate()}
    found: dict[int, ThreadTime] = {}
    with suppress(OSError):
        for thread in {int(name) for name in os.listdir(_TASKS)} - ours:
            with suppress(OSError):  # it has ended meanwhile
                fields = _read_file(f"{_TASKS}/{thread}/stat").rpartition(b") ")[2].split()
                computes = fields[0] in _COMPUTING
                if computes or thread in known:
                    _, _, waits = _read_file(f"{_TASKS}/{thread}/status").partition(b"\nvoluntary_ctxt_switches:")
                    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                    found[thread] = ThreadTime(seconds, int(waits.split(maxsplit=1)[0]), computes)
    return found


def _read_file(path: str) -> bytes:
    """Read a small file of /proc without the overhead of `open`: some sixty are read ten times a second."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 8192)
    finally:
        os.close(descriptor)
