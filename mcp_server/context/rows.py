"""What the rows of a table tell for a draft: nulls, different values, and the values of columns that have few.

Read from the first rows of each table, within a time for all of them; what was not looked at is None.
"""

# ruff: noqa: S608  (names are markers that the guard fills in, numbers are constants of this module)

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from lakehouse.errors import EngineUnavailable, QueryError
from lakehouse.manifest import Column
from lakehouse.program import tell
from mcp_server.context.statements import Statements
from mcp_server.models import TableInfo

LOOK_ROWS: Final = 200_000
MOST_COLUMNS: Final = 60
FEW_VALUES: Final = 12
MOST_SECONDS: Final = 120.0
_LONGEST_VALUE: Final = 40
_COMPARED: Final = ("string", "int", "bigint", "smallint", "tinyint", "date", "timestamp", "decimal", "char", "varchar")


@dataclass(frozen=True)
class ColumnRows:
    """A column in the rows that were looked at. `values` are all of its values, frequent first, if few."""

    column: Column
    known: int
    different: int | None
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableRows:
    """A table and its first rows. `whole` says that these are all; `rows` is 0 where none were looked at."""

    table: TableInfo
    rows: int
    whole: bool
    columns: tuple[ColumnRows, ...]

    def find(self, name: str) -> ColumnRows | None:
        """Find a column by its name."""
        return next((found for found in self.columns if found.column.name == name), None)


def look_at_rows(statements: Statements, tables: list[TableInfo]) -> list[TableRows]:
    """Look at the first rows of every table, in order, with a line of progress for each."""
    until = time.monotonic() + MOST_SECONDS
    if statements.engine.capabilities.metered:
        tell("The rows are not looked at, because whatever runs here is paid for: the draft is made of the schema.")
        until = 0.0
    found = []
    for number, table in enumerate(tables, start=1):
        began = time.monotonic()
        looked = _look_at_table(statements, table) if began < until else None
        found.append(looked or TableRows(table, 0, False, ()))
        if looked is not None:
            tell(f"[{number}/{len(tables)}] {table.name}: {looked.rows:,} rows, {time.monotonic() - began:.1f} s")
        elif until:
            tell(f"[{number}/{len(tables)}] {table.name}: its rows were not looked at")
    return found


def _look_at_table(statements: Statements, table: TableInfo) -> TableRows | None:
    from mcp_server.checking import Identifier

    columns = table.columns[:MOST_COLUMNS]
    compared = [column for column in columns if column.type.startswith(_COMPARED)]
    names = {f"c{i}": Identifier(column.name) for i, column in enumerate(columns)} | {"t": Identifier(table.name)}
    markers = {column.name: f"c{i}" for i, column in enumerate(columns)}
    counts = [f"count(:{markers[column.name]})" for column in columns]
    counts += [f"count(DISTINCT :{markers[column.name]})" for column in compared]
    part = f"(SELECT {', '.join(f':{marker}' for marker in markers.values())} FROM :t LIMIT {LOOK_ROWS}) AS part"
    try:
        numbers = statements.run_template(f"SELECT count(*), {', '.join(counts)} FROM {part}", names, 1).rows[0]
        total, known, different = int(str(numbers[0])), numbers[1 : len(columns) + 1], numbers[len(columns) + 1 :]
        few = dict(zip((column.name for column in compared), (int(str(n)) for n in different), strict=True))
        rows = tuple(
            ColumnRows(
                column,
                int(str(n)),
                few.get(column.name),
                _read_values(statements, table, column) if 1 < few.get(column.name, 0) <= FEW_VALUES else (),
            )
            for column, n in zip(columns, known, strict=True)
        )
    except (QueryError, EngineUnavailable) as error:
        tell(f"{table.name}: {str(error).splitlines()[0]}")
        return None
    return TableRows(table, total, total < LOOK_ROWS, rows)


def _read_values(statements: Statements, table: TableInfo, column: Column) -> tuple[str, ...]:
    from mcp_server.checking import Identifier

    if column.type != "string":
        return ()
    found = statements.run_template(
        f"SELECT v, count(*) AS n FROM (SELECT :c AS v FROM :t LIMIT {LOOK_ROWS}) AS part "
        f"WHERE v IS NOT NULL GROUP BY v ORDER BY n DESC, v LIMIT {FEW_VALUES}",
        {"c": Identifier(column.name), "t": Identifier(table.name)},
        FEW_VALUES,
    )
    values = tuple(str(row[0]) for row in found.rows)
    return values if all(len(value) <= _LONGEST_VALUE for value in values) else ()
