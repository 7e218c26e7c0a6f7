"""Sail, in this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lakehouse.errors import EngineUnavailable, UsageError
from lakehouse.session.connect import by_tags, end
from lakehouse.session.types import EngineSession, missing

_SAIL_CONFIG = {
    "RUST_LOG": "error",
    "RUST_BACKTRACE": "0",
    # Without this, Sail casts some texts (of md5, of split_part…) behind the sort, in several threads, and rows come
    # back in any order: measured on 0.7.2 with window functions, 14 times in 40.
    "SAIL_OPTIMIZER__EXPAND_VIEWS_AT_OUTPUT": "false",
    # By default Sail forgets a session after 15 quiet minutes, with all that was registered in it.
    "SAIL_SPARK__SESSION_TIMEOUT_SECS": str(10 * 365 * 24 * 3600),
}

_LOOKS = 5
_PAUSE_SECONDS = 0.02
_TASKS = "/proc/self/task"


@contextmanager
def open_embedded(config: dict[str, str], work_dir: str | None) -> Iterator[EngineSession]:
    # Sail reads its settings from the environment when its library is loaded.
    for name, value in (_SAIL_CONFIG | config).items():
        os.environ.setdefault(name, value)  # whoever runs the program has the last word
    if work_dir is not None:
        os.environ["SAIL_RUNTIME__TEMPORARY_FILES__PATHS"] = f'["{work_dir}"]'
    os.environ.pop("SPARK_CONNECT_AUTHENTICATE_TOKEN", None)  # meant for another server; with it the client wants TLS
    try:
        from pysail.spark import SparkConnectServer
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError(missing("embedded", error, extras=("embedded",))) from error
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    address = server.listening_address
    if address is None:
        raise EngineUnavailable("The embedded engine did not start listening. Try again; its log is on stderr.")

    def connect() -> SparkSession:
        spark = SparkSession.builder.remote(f"sc://{address[0]}:{address[1]}").create()
        # A server in the same process does not come back: by default the client would try for ten minutes.
        spark.client.set_retry_policies([])
        return spark

    spark = connect()
    try:
        yield EngineSession(
            "embedded",
            spark,
            open=connect,
            close=end,
            tagged=by_tags,
            interrupt=lambda session, tag: session.interruptTag(tag),
            computes=_computes,
        )
    finally:
        spark.stop()
        server.stop()


def _computes() -> bool:
    """Whether a thread of Sail's computes without a pause: it is at work at each of some looks.

    Sail says that a query is cancelled when nobody waits for it any more. Its threads see that between batches, and a
    join in which each row meets thousands goes on for minutes before it asks for another one.
    """
    at_work = _threads_at_work()
    for _ in range(_LOOKS):
        if not at_work:
            return False
        threading.Event().wait(_PAUSE_SECONDS)
        at_work &= _threads_at_work()
    return bool(at_work)


def _threads_at_work() -> set[int]:
    """Threads that run or wait for a processor, but for Python's. Empty where the system does not say."""
    ours = {thread.native_id for thread in threading.enumerate()}
    found = set()
    with suppress(OSError):
        for thread in {int(name) for name in os.listdir(_TASKS)} - ours:
            with suppress(OSError), open(f"{_TASKS}/{thread}/stat", encoding="ascii", errors="replace") as stat:
                if stat.read().rpartition(") ")[2].startswith("R"):
                    found.add(thread)
    return found
