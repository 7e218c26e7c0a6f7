"""What to add to an engine's complaint so that a model can mend its statement: names that exist, types, an example."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from lakehouse.errors import QueryFailed
from lakehouse.nearest import nearest
from mcp_server.models import TableInfo

# A name as engines quote it in their messages: Spark `x`, Sail Identifier("x"), DataFusion "x".
_QUOTED_NAME = re.compile(r"""[`"]([A-Za-z_]\w*)[`"]""")
_WORD = re.compile(r"\w++")
_MOST_COLUMNS = 40


def teach(error: QueryFailed, sql: str, names: Collection[str], tables: Sequence[TableInfo]) -> QueryFailed:
    """The same failure with what exists instead and a statement that works; `names` are the tables that `sql` reads."""
    read = [table for table in tables if table.name in names]
    lines = [str(error), *_unknown_columns(str(error), sql, read), *map(_columns_line, read)]
    if read:
        names = ", ".join(column.name for column in read[0].columns[:3])
        lines.append(f"For example: SELECT {names} FROM {read[0].name} LIMIT 5")  # noqa: S608  (text)
    return QueryFailed(
        "\n".join(lines),
        code=error.code,
        condition=error.condition,
        sqlstate=error.sqlstate,
        lacking=error.lacking,
    )


def _unknown_columns(message: str, sql: str, read: Sequence[TableInfo]) -> list[str]:
    """One line for each name that the engine complains of, that the statement holds and that no table has."""
    columns = {column.name: table.name for table in read for column in table.columns}
    known = {name.casefold() for name in (*columns, *columns.values())}
    words = {word.casefold() for word in _WORD.findall(sql)}
    blamed = dict.fromkeys(_QUOTED_NAME.findall(message))
    unknown = [name for name in blamed if name.casefold() in words and name.casefold() not in known]
    lines = []
    for name in unknown:
        near = ", ".join(f"{match} (in {columns[match]})" for match in nearest(name, columns))
        lines.append(f"There is no column {name}." + (f" Nearest: {near}." if near else ""))
    return lines


def _columns_line(table: TableInfo) -> str:
    columns = [f"{column.name} {column.type}" for column in table.columns[:_MOST_COLUMNS]]
    more = ", …" if len(table.columns) > _MOST_COLUMNS else ""
    return f"Columns of {table.name}: {', '.join(columns)}{more}"
