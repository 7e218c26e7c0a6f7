"""Columns of the type CHAR, which Spark fills up with blanks when it reads and compares them; to Sail they are text."""

from __future__ import annotations

from collections.abc import Sequence

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.edits import Edit
from mcp_server.sql.scans import find_scans


def refuse_padded(case: Case, _: Catalog) -> Sequence[Edit]:
    """No edit: EngineLacks where a statement needs such a column."""
    padded = {
        (info.name, column.name): column.type
        for _, info in case.names.refs
        for column in info.columns
        if "char(" in column.type.lower().replace("varchar(", "")
    }
    if not padded:
        return ()
    for scan in find_scans(case):
        for (table, column), kind in padded.items():
            if table == scan.table and (scan.columns is None or column in scan.columns):
                raise lacking(
                    f"{column} is {kind.upper()}",
                    "CHAR as Spark does, which fills it up with blanks",
                    "Name the other columns in the place of it.",
                )
    return ()
