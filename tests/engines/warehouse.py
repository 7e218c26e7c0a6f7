"""The databricks engine as tests use it: with the local warehouse that it talks to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lakehouse.storage import Lake
from mcp_server.engines.databricks.engine import DatabricksEngine
from mcp_server.settings import Settings
from tests.connect_server import ConnectServer
from tests.warehouse.lake import SCHEMA, register
from tests.warehouse.server import HTTP_PATH, WarehouseServer

HOST = "adb-1234567890123456.7.azuredatabricks.net"
BEST = """CREATE VIEW best (id COMMENT 'Number.', title) COMMENT 'The best of them.'
          AS SELECT id, title FROM films WHERE rating > 7"""
TOKEN = "dapi0123456789abcdef"


def make_tables(server: ConnectServer, folder: Path) -> None:
    """The lake's tables, with a comment, and a view over one of them."""
    register(
        server.url,
        folder,
        "films",
        "kinds",
        "many",
        then=(
            "ALTER TABLE films ALTER COLUMN id COMMENT 'Number of the film.'",
            BEST,
        ),
    )


class WarehouseEngine(DatabricksEngine):
    """Ends its warehouse when it is closed. `process_id` is where the work is done: the Spark behind the warehouse."""

    def __init__(
        self, server: ConnectServer, settings_of: Callable[..., Settings], *, idle_seconds: float = 60, **changes: Any
    ) -> None:
        self.server = server
        self.warehouse = WarehouseServer(server.url)
        sign_in = {"DATABRICKS_TOKEN": TOKEN}
        where = {"DATABRICKS_HOST": HOST, "DATABRICKS_HTTP_PATH": HTTP_PATH}
        given = {"engine": "databricks"} | where | (changes.pop("sign_in", None) or sign_in)
        self.settings = settings_of(**given, **changes.pop("settings", {}))
        super().__init__(
            Lake.parse(SCHEMA),
            self.settings,
            uri=self.warehouse.uri,
            idle_seconds=idle_seconds,
            **changes,
        )

    @property
    def process_id(self) -> int:
        return int(self.server.process.pid)

    def close(self) -> None:
        super().close()
        self.warehouse.close()
