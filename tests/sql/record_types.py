"""Asks Spark for the types of the statements in `tests/data/types/statements.jsonl`, and writes its answers there.

Run `python -m tests.sql.record_types` after adding lines `{"sql": "SELECT …"}`; with `all`, every statement is asked
again. Each answer is the schema of the result, or the condition with which the analyser refuses the statement. The
first line has Spark's version.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lakehouse.session import open_session

PATH = Path(__file__).parent.parent / "data" / "types" / "statements.jsonl"


def read_lines() -> tuple[str, list[dict[str, Any]]]:
    """Return the version of Spark that has answered, and the statements with their answers."""
    lines = [json.loads(line) for line in PATH.read_text("utf-8").splitlines()]
    version = lines[0].get("spark", "") if lines else ""
    return version, lines[1:] if version else lines


def record(*, again: bool) -> None:
    """Ask for the statements that have no answer, or for all `again`."""
    known, lines = read_lines()
    with open_session("spark") as session:
        version = session.spark.version
        for line in lines:
            if again or known != version or not {"schema", "refused"} & line.keys():
                line.update(_ask(session.spark, line["sql"]))
    texts = [json.dumps(line, ensure_ascii=False) for line in ({"spark": version}, *lines)]
    PATH.write_text("\n".join(texts) + "\n", "utf-8")


def _ask(spark: Any, sql: str) -> dict[str, str]:
    from pyspark.errors import PySparkException

    try:
        return {"schema": spark.sql(sql).schema.simpleString()}
    except PySparkException as error:
        return {"refused": error.getCondition() or type(error).__name__}


if __name__ == "__main__":
    record(again="all" in sys.argv[1:])
