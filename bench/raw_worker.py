"""One warm session of an engine over a lake's tables, without a server: a statement a line in, an answer a line out.

    python -m bench.raw_worker {embedded,spark} LAKE WORK_DIR

Statements and answers are JSON. The first line out says that the tables are registered.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from bench.contenders import MEMORY_MB, MOST_ROWS
from lakehouse.manifest import read_manifest
from lakehouse.session import fetch, open_session
from lakehouse.storage import Lake

_CONFIG = {"spark": {"spark.driver.memory": f"{MEMORY_MB}m"}, "embedded": {}}


def register_tables(session: Any, lake: Lake) -> None:
    """Register the tables of the manifest in the schema `imdb`, and stay in it."""
    manifest = read_manifest(lake)
    assert manifest is not None
    session.sql("CREATE SCHEMA IF NOT EXISTS imdb")
    for name, entry in manifest.tables.items():
        place = lake.table_location(entry.path)
        session.sql(f"CREATE TABLE IF NOT EXISTS imdb.{name} USING delta LOCATION '{place}'")
    session.catalog.setCurrentDatabase("imdb")


def answer(session: Any, sql: str) -> dict[str, Any]:
    """Run a statement: the number of its rows and the first one, or the error."""
    try:
        table = fetch(session.sql(sql).limit(MOST_ROWS))
    except Exception as error:  # noqa: BLE001  (a failure is a row of the table)
        return {"error": str(error)}
    first = list(table.slice(0, 1).to_pylist()[0].values()) if table.num_rows else None
    return {"rows": table.num_rows, "first": first}


def main() -> None:
    engine, lake, work = sys.argv[1:4]
    answers = os.fdopen(os.dup(1), "w")  # engines write to stdout, too
    os.dup2(2, 1)
    Path(work).mkdir(parents=True, exist_ok=True)
    with open_session(engine, config=_CONFIG[engine], work_dir=work) as session:  # type: ignore[arg-type]
        register_tables(session.spark, Lake.parse(lake))
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(session.spark, json.loads(line)), default=str), file=answers, flush=True)


if __name__ == "__main__":
    main()
