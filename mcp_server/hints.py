"""What to add to an engine's complaint so that a model can mend its statement: names that exist, types, an example."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from lakehouse.errors import QueryFailed
from lakehouse.escaping import MOST_QUOTED_CHARS, cut_text
from lakehouse.nearest import nearest
from mcp_server.models import TableInfo

_UNKNOWN_COLUMN = ("UNRESOLVED_COLUMN", "UNRESOLVED_USING_COLUMN_FOR_JOIN")
"""Spark's conditions, which Sail's errors of this kind have as well."""

_BLAMED = re.compile(r"(?:with name |USING column )`((?:[^`]|``|`\.`)++)` cannot be resolved|Cannot find column (\w+)")
"""How engines name the column that is not there."""

_MOST_COLUMNS = 40


def teach(error: QueryFailed, names: Collection[str], tables: Sequence[TableInfo]) -> QueryFailed:
    """Add to a failure what exists instead, and a statement that works; `names` are the tables that are read."""
    read = [table for table in tables if table.name in names]
    unknown = _describe_unknown_columns(_find_blamed_columns(error), read)
    lines = [str(error), *unknown, *map(_describe_columns, read)]
    if read:
        columns = ", ".join(column.name for column in read[0].columns[:3])
        lines.append(f"For example: SELECT {columns} FROM {read[0].name} LIMIT 5")  # noqa: S608  (text)
    return QueryFailed(
        "\n".join(lines),
        code=error.code,
        condition=error.condition,
        sqlstate=error.sqlstate,
        lacking=error.lacking,
    )


def _find_blamed_columns(error: QueryFailed) -> list[str]:
    """Find the columns, without their qualifiers, that the engine reports as missing."""
    if error.condition is None or error.condition.partition(".")[0] not in _UNKNOWN_COLUMN:
        return []
    names = [quoted.rpartition("`.`")[2] or plain for quoted, plain in _BLAMED.findall(str(error))]
    return list(dict.fromkeys(names))


def _describe_unknown_columns(blamed: Iterable[str], read: Sequence[TableInfo]) -> list[str]:
    """Write a line for each name that the engine reports as missing and no table has."""
    columns = {column.name: table.name for table in read for column in table.columns}
    known = {name.casefold() for name in (*columns, *columns.values())}
    lines = []
    for name in (name for name in blamed if name.casefold() not in known):
        near = ", ".join(f"{match} (in {columns[match]})" for match in nearest(name, columns))
        lines.append(f"There is no column {name}." + (f" Nearest: {near}." if near else ""))
    return lines


def _describe_columns(table: TableInfo) -> str:
    columns = [
        f"{cut_text(column.name, MOST_QUOTED_CHARS)} {cut_text(column.type, MOST_QUOTED_CHARS)}"
        for column in table.columns[:_MOST_COLUMNS]
    ]
    more = ", …" if len(table.columns) > _MOST_COLUMNS else ""
    return f"Columns of {table.name}: {', '.join(columns)}{more}"
