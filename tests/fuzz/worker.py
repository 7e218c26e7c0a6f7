"""The engine's worker with two tables more in every session than the lake serves; see `canaries.py`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mcp_server.engines.worker import __main__ as worker
from mcp_server.engines.worker import statements
from mcp_server.engines.worker.registry import Registry

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class _Tempting(Registry):
    def enter_schema(self, session: SparkSession) -> None:
        place = os.environ["FUZZ_FORBIDDEN"]
        session.sql("CREATE SCHEMA IF NOT EXISTS hr")
        session.sql(f"CREATE TABLE hr.salaries USING delta LOCATION '{place}'")
        session.sql(f"CREATE TABLE `{self._schema}`.salaries USING delta LOCATION '{place}'")
        super().enter_schema(session)


if __name__ == "__main__":
    statements.Registry = _Tempting  # type: ignore[misc]
    worker.main(int(sys.argv[1]), int(sys.argv[2]))
