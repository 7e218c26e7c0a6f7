"""The connect engine as tests use it: with the Spark Connect server that it talks to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lakehouse.storage import Lake
from mcp_server.engines.connect import ConnectEngine
from mcp_server.settings import Settings
from tests.connect_server import ConnectServer


class ServedEngine(ConnectEngine):
    """`process_id` is where the work is done: the server's process. `worker_id` is the child that holds the client."""

    def __init__(self, server: ConnectServer, lake: Lake, settings_of: Callable[..., Settings], **changes: Any) -> None:
        self.server = server
        super().__init__(lake, settings_of(**{"engine": "spark", "SPARK_REMOTE": server.url} | changes))

    @property
    def process_id(self) -> int:
        return int(self.server.process.pid)

    @property
    def worker_id(self) -> int | None:
        return super().process_id
