"""STUB, replaced by branch `types`: these are the functions that the reader calls."""

from __future__ import annotations

from mcp_server.sql.functions import functions
from mcp_server.sql.typed.nodes import Call
from mcp_server.sql.typed.relations import Output


def place_arguments(call: Call) -> Call:
    """Return the call with named arguments in their places."""
    return call


def is_aggregate(name: str) -> bool:
    """Whether a function aggregates."""
    return functions().classes.get(name) in {"aggregate", "collecting"}


def is_generator(name: str) -> bool:
    """Whether a function makes rows."""
    return functions().classes.get(name) == "generator"


def generated(call: Call) -> tuple[Output, ...] | None:
    """Return the columns of a generator's rows, None for other functions or where they are not known."""
    if call.name == "range":
        return (Output("id", None),)
    if call.name in {"explode", "explode_outer"}:
        return (Output("col", None),)
    return None
