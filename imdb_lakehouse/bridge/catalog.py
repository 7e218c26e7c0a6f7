"""What the lake holds, for people who write SQL: tables, columns, sample rows and functions.

The server's own tools answer, with the visitor's identity. The columns of a table come from DESCRIBE, which the server
answers without its engine; `describe_schema` of a table would also count its values, 40 columns at a time.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from imdb_lakehouse.bridge.answering import VisitorIdentity
from imdb_lakehouse.bridge.client import SQL_TOOL, CallContext, Lakehouse, ToolResult, to_sql_arguments
from imdb_lakehouse.bridge.views import Json, to_table
from lakehouse.errors import LakehouseError
from lakehouse.quoting import quote_identifier

MAX_TABLES: Final = 1_000
SAMPLE_ROWS: Final = 5
MAX_SAMPLES: Final = 4
"""Samples read at once for all visitors; further ones wait, within SAMPLE_SECONDS."""
SAMPLE_SECONDS: Final = 15

_REASON: Final = "shown beside the SQL field"
"""For the audit: nobody wrote these statements."""
_DESCRIBE_TOOL: Final = "describe_schema"
_FUNCTIONS_URI: Final = "lakehouse://functions"
_PLACE: Final = re.compile(r" \(At line \d+, column \d+\.\)$")
"""Where the guard found the name in a statement that nobody wrote."""


class TableNotFoundError(LakehouseError):
    """The lake has no table of that name, or the guard reads none of it."""


class LakeUnavailableError(LakehouseError):
    """The server could not say what the lake holds."""


class VisitorCatalog:
    """Tells visitors what the lake holds. All methods raise LakeUnavailableError and ServerGoneError.

    `vouches` sends the visitor's token to the server.
    """

    def __init__(self, lakehouse: Lakehouse, *, vouches: bool) -> None:
        self._lakehouse = lakehouse
        self._vouches = vouches
        self._sampling = asyncio.Semaphore(MAX_SAMPLES)

    async def list_tables(self, visitor: VisitorIdentity) -> Json:
        """List the first MAX_TABLES tables and views; `truncated` says that there are more."""
        tables: list[Json] = []
        page, pages = 1, 1
        while page <= pages and len(tables) < MAX_TABLES:
            found = await self._call_tool(_DESCRIBE_TOOL, {"page": page}, visitor)
            content = _require_content(found)
            tables += content["tables"]
            page, pages = page + 1, content["pages"]
        return {"tables": tables[:MAX_TABLES], "truncated": page <= pages or len(tables) > MAX_TABLES}

    async def describe_table(self, visitor: VisitorIdentity, name: str) -> Json:
        """List the columns of a table; `truncated` says that there are more. Raises TableNotFoundError."""
        found = await self._run_sql(f"DESCRIBE {quote_identifier(name)}", visitor)
        columns = [dict(zip(("name", "type", "comment"), row, strict=True)) for row in found["rows"]]
        return {"name": name, "columns": columns, "truncated": found["truncated"]}

    async def read_sample(self, visitor: VisitorIdentity, name: str) -> Json:
        """Read SAMPLE_ROWS rows of a table. Raises TableNotFoundError."""
        try:
            async with asyncio.timeout(SAMPLE_SECONDS), self._sampling:
                return await self._run_sql(f"SELECT * FROM {quote_identifier(name)} LIMIT {SAMPLE_ROWS}", visitor)  # noqa: S608
        except TimeoutError as error:
            raise LakeUnavailableError(
                f"The rows did not come within {SAMPLE_SECONDS} s: the engine is busy, or the table is slow to read. "
                "Try again in a minute, or run a SELECT with a LIMIT."
            ) from error

    async def list_functions(self) -> Json:
        """List the functions that the guard allows, by class."""
        functions: Json = json.loads(await self._lakehouse.read_resource(_FUNCTIONS_URI))
        return functions

    async def _run_sql(self, statement: str, visitor: VisitorIdentity) -> Json:
        arguments = {**to_sql_arguments(statement), "reasoning": _REASON}
        found = await self._call_tool(SQL_TOOL, arguments, visitor)
        if found.is_refused:
            raise TableNotFoundError(_PLACE.sub("", found.text.partition("): ")[2]))
        _require_content(found)
        if (table := to_table(found)) is None:
            raise LakeUnavailableError("The server answered without rows. Try again in a minute.")
        return table

    async def _call_tool(self, name: str, arguments: Mapping[str, Any], visitor: VisitorIdentity) -> ToolResult:
        since = self._lakehouse.generation
        return await self._lakehouse.call_tool(name, arguments, since=since, caller=self._to_caller(visitor))

    def _to_caller(self, visitor: VisitorIdentity) -> CallContext:
        return CallContext(visitor.token if self._vouches else None)


def _require_content(found: ToolResult) -> Mapping[str, Any]:
    if found.failed or found.content is None:
        raise LakeUnavailableError(found.text)
    return found.content
