"""Writes the condition of a statement that keeps the rows of what was found."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lakehouse.find.things import Thing
from lakehouse.quoting import quote_identifier, quote_literal
from mcp_server.models import TableInfo

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"-?\d{1,38}")
_NUMBERS = ("tinyint", "smallint", "int", "bigint", "decimal")


def write_filter(thing: Thing, tables: Mapping[str, TableInfo]) -> str:
    """Write the filter for an entity or a value: `tconst = 'tt0111161'`, `array_contains(genres, 'Drama')`.

    `tables` are those of the lake by their names in lower case.
    """
    column = write_name(thing.id_column)
    value = _write_value(thing, tables.get(thing.table.lower()))
    return f"array_contains({column}, {value})" if thing.is_list else f"{column} = {value}"


def write_name(name: str) -> str:
    """Write a name as SQL: in back-quotes where it is not of plain letters."""
    return name if _PLAIN.fullmatch(name) else quote_identifier(name)


def _write_value(thing: Thing, table: TableInfo | None) -> str:
    if table is not None and _NUMBER.fullmatch(thing.id):
        types = {column.name.lower(): column.type for column in table.columns}
        if types.get(thing.id_column.lower(), "").startswith(_NUMBERS):
            return thing.id
    return quote_literal(thing.id)
