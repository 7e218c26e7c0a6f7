"""Results of statements as files: CSV for spreadsheets, JSON, and Parquet with the types that the statement gave.

A result comes as cells that any JSON reader can read (`mcp_server.results.cells`): a decimal is a text with all its
digits, a date is ISO 8601, a binary is base64. Parquet gets back what they stand for.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lakehouse.result_types import UnknownTypeError, build_array

FileFormat = Literal["csv", "json", "parquet"]
Cell = Any
"""None, bool, int, float, str, or a list or dict of these."""

MEDIA_TYPES: Mapping[FileFormat, str] = {
    "csv": "text/csv",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}

_BYTE_ORDER_MARK = "\ufeff"
"""Without it spreadsheets read CSV in the character set of their country."""
_FORMULA = re.compile(r"[\t\r]|[\s\0-\x1f\u200b-\u200f\u2060\ufeff]*[=+\-@＝＋－＠]")
"""Also behind what is not seen: a spreadsheet may leave out a zero byte or a mark."""
_SIGNED = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
"""A number that was sent as text, to keep all its digits."""


def write_result(columns: Sequence[Mapping[str, str]], rows: Sequence[Sequence[Cell]], kind: FileFormat) -> bytes:
    """Write a result as a file. Each column has a `name` and a `type`, which is Spark's."""
    match kind:
        case "csv":
            return (_BYTE_ORDER_MARK + to_csv([column["name"] for column in columns], rows)).encode()
        case "json":
            return to_json_objects([column["name"] for column in columns], rows).encode()
        case "parquet":
            return _to_parquet(columns, rows)


def to_csv(names: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Convert rows; null is the empty string, and a text that a spreadsheet would read as a formula begins with '."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(map(_escape_formula, names))
    writer.writerows([_format_field(cell) for cell in row] for row in rows)
    return out.getvalue()


def to_json_objects(names: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Convert rows to an array of objects, one for each row."""
    heads = name_columns(names)
    # One row after another: of all at once `json` makes six times the memory of the text.
    objects = (json.dumps(dict(zip(heads, row, strict=True)), ensure_ascii=False, indent=1) for row in rows)
    lines = ",".join("\n " + text.replace("\n", "\n ") for text in objects)  # a line end in a cell is an escape
    return f"[{lines}\n]" if lines else "[]"


def name_columns(names: Sequence[str]) -> list[str]:
    """Give columns names of which none is empty, and none differs from another by case alone, as Spark reads them.

    >>> name_columns(["n", "N", " ", "n (2)"])
    ['n', 'N (2)', 'column 3', 'n (2) (2)']
    """
    found: list[str] = []
    taken: set[str] = set()
    for number, name in enumerate(names, start=1):
        wanted = chosen = name if name.strip() else f"column {number}"
        again = 1
        while chosen.lower() in taken:
            again += 1
            chosen = f"{wanted} ({again})"
        taken.add(chosen.lower())
        found.append(chosen)
    return found


def _to_parquet(columns: Sequence[Mapping[str, str]], rows: Sequence[Sequence[Cell]]) -> bytes:
    import pyarrow as pa  # late: 40 MB of memory that a program has no need of before somebody asks for a file
    import pyarrow.parquet as pq

    arrays, fields = [], []
    for number, (column, name) in enumerate(zip(columns, name_columns([one["name"] for one in columns]), strict=True)):
        array = _build_column(column["type"], [row[number] for row in rows])
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata={"spark_type": column["type"]}))
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), out, compression="zstd")
    return out.getvalue()


def _build_column(kind: str, cells: Sequence[Cell]) -> Any:
    """Build a typed Arrow array; an array of texts where a cell is not of the type, because it was cut, or has no type.

    Nothing is left out so: the texts are what the answer shows.
    """
    try:
        return build_array(kind, cells)
    except UnknownTypeError:
        return build_array("string", [None if cell is None else _format_cell(cell) for cell in cells])


def _format_cell(cell: Cell) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)


def _format_field(cell: Cell) -> str:
    """Format a cell of CSV. Numbers stay as they are: a minus begins no formula in them."""
    if cell is None:
        return ""
    return _format_cell(cell) if isinstance(cell, int | float) else _escape_formula(_format_cell(cell))


def _escape_formula(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) and not _SIGNED.fullmatch(text) else text
