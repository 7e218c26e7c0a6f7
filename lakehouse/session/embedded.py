"""Sail, in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lakehouse.errors import EngineUnavailable, UsageError
from lakehouse.session.connect import by_tags
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
            close=lambda session: session.stop(),
            tagged=by_tags,
            interrupt=lambda session, tag: session.interruptTag(tag),
        )
    finally:
        spark.stop()
        server.stop()
