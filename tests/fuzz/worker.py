"""The engine's worker with two tables more in every session than the lake serves; see `canaries.py`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mcp_server.engines import worker

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class _Tempted(worker.Worker):
    def _enter_schema(self, session: SparkSession, tables: Mapping[str, str]) -> None:
        place = os.environ["FUZZ_FORBIDDEN"]
        session.sql("CREATE SCHEMA IF NOT EXISTS hr")
        session.sql(f"CREATE TABLE hr.salaries USING delta LOCATION '{place}'")
        session.sql(f"CREATE TABLE `{self._schema}`.salaries USING delta LOCATION '{place}'")
        super()._enter_schema(session, tables)


if __name__ == "__main__":
    worker.Worker = _Tempted  # type: ignore[misc]
    worker.main(int(sys.argv[1]), int(sys.argv[2]))
