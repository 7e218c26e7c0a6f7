"""`GET /api/operations/{operation}/steps/{step}/table`: the rows of a step as a file."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from imdb_lakehouse.bridge.store import NotFoundError
from imdb_lakehouse.bridge.views import Json
from lakehouse.result_files import MEDIA_TYPES, FileFormat, write_result

FILE_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The rows as a file. Parquet has the types of the statement; of columns with one name the "
        "second is called `name (2)` there and in JSON. A column with a value that was cut in the answer is text.",
        "content": {kind: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()},
    }
}


def find_table(operation: Json, step: int) -> Json:
    """Return the table of a step, counted from 0, of an operation. Raises NotFoundError."""
    done = operation["result"] or operation["stage"]
    steps: list[Json] = done["steps"]
    table: Json | None = steps[step]["table"] if 0 <= step < len(steps) else None
    if table is None:
        raise NotFoundError(
            "There are no rows of that step: it has none, or they were too many to be kept. Run its statement again."
        )
    return table


def build_file(table: Json, step: int, kind: FileFormat) -> Response:
    """Build the response that saves a table as a file. Takes a while: call it in a thread."""
    return Response(
        write_result(table["columns"], table["rows"], kind),
        media_type=MEDIA_TYPES[kind],
        headers={
            "Content-Disposition": f'attachment; filename="result-{step + 1}.{kind}"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )
