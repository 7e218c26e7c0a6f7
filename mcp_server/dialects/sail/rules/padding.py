"""Columns of the type CHAR, which Spark fills up with blanks when it reads and compares them; to Sail they are text."""

from __future__ import annotations

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.uses import find_uses
from mcp_server.sql.typed.relations import Query, Table
from mcp_server.sql.typed.types import Array, Map, Struct, Text, Type


def refuse_padded(root: Query, _: Context) -> Query:
    """The statement as it is: EngineLacks where it needs such a column."""
    tables = [node for node in root.walk() if isinstance(node, Table)]
    padded = [table for table in tables if any(_is_padded(each.type) for each in table.outputs or ())]
    if not padded:
        return root
    uses = find_uses(root)
    for table in padded:
        names = uses.of(table)
        for each in table.outputs or ():
            if _is_padded(each.type) and (names is None or (each.name or "").lower() in names):
                raise lacking(
                    f"{each.name} is {each.type}",
                    "CHAR as Spark does, which fills it up with blanks",
                    "Name the other columns in the place of it.",
                )
    return root


def _is_padded(kind: Type | None) -> bool:
    match kind:
        case Text("char"):
            return True
        case Array(element):
            return _is_padded(element)
        case Map(key, value):
            return _is_padded(key) or _is_padded(value)
        case Struct(fields):
            return any(_is_padded(each) for _, each in fields)
        case _:
            return False
