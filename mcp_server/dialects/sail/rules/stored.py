"""Stored columns of types that Sail has not, or shows otherwise: VOID, and VARIANT within another value."""

from __future__ import annotations

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.relations import Query, Table
from mcp_server.sql.typed.types import VARIANT, VOID, Type, holds_type


def refuse_void_columns(table: Table, context: Context) -> Node | None:
    """Refuse tables with a column of the type VOID, whose schema Sail does not read, whatever a statement needs."""
    del context
    for output in table.outputs or ():
        if output.type is not None and holds_type(output.type, lambda kind: kind == VOID):
            why = f"statements about {table.name[-1]}, as Sail reads no table with such a column"
            raise lacking(f"{output.name} is VOID", why, "Read other tables.")
    return None


def refuse_hidden_variants(query: Query, context: Context) -> Node | None:
    """Refuse variants in lists, maps and structs of a result: they are two binaries each there."""
    del context
    for output in query.outputs or ():
        if output.type is not None and output.type != VARIANT and holds_type(output.type, _is_variant):
            raise lacking(f"{output.name} holds VARIANT", "it within another value", "Select to_json of it instead.")
    return None


def _is_variant(kind: Type) -> bool:
    return kind == VARIANT
