"""`export_result`: the rows of an earlier statement as a file, without running it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import anyio.to_thread
from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from lakehouse.result_files import FileFormat
from mcp_server.exports import MOST_CELL_CHARS, ExportFile, Exports
from mcp_server.tools.calls import app_context, current_call


class Exported(BaseModel):
    """`location` is a path, or a URL, which `expires`; `total_rows` is null where nobody counted them.

    `complete` says that no row and no part of a cell is missing.
    """

    location: str
    complete: bool
    rows: int = 0
    total_rows: int | None = None
    format: str = ""
    bytes: int = 0
    expires: str | None = None


def export_to(exports: Exports) -> Callable[..., Awaitable[CallToolResult]]:
    """The tool, for a server that puts files there."""

    async def export_result(
        query_id: Annotated[str, Field(max_length=64)],
        format: FileFormat = "csv",  # noqa: A002  (what a model calls it)
    ) -> Annotated[CallToolResult, Exported]:
        app, call = app_context(), current_call()
        file = await app.service.write_file(call, query_id, format)
        place = await anyio.to_thread.run_sync(exports.place_file, file, app.principal.name)
        call.event.rows, call.event.result_bytes = file.rows, len(file.data)
        expires = place.expires.isoformat(timespec="seconds") if place.expires else None
        said = Exported(
            location=place.location,
            format=file.format,
            rows=file.rows,
            total_rows=file.total,
            bytes=len(file.data),
            complete=file.is_complete,
            expires=expires,
        )
        until = f", to be fetched until {expires}" if expires else ""
        lines = [f"{_count_rows(file)}, {file.format}, {len(file.data):,} bytes{until}: {place.location}"]
        lines += [f"Warning: {text}" for text in _explain_missing(file, app.settings.export_rows)]
        return CallToolResult(
            content=[TextContent(type="text", text="\n".join(lines))], structured_content=said.model_dump()
        )

    return export_result


def _count_rows(file: ExportFile) -> str:
    if file.rows == file.total:
        return f"all {file.rows:,} rows" if file.rows != 1 else "the only row"
    return f"{file.rows:,} of {file.total:,} rows" if file.total is not None else f"the first {file.rows:,} rows"


def _explain_missing(file: ExportFile, most_rows: int) -> list[str]:
    """Say what is missing in a file, and how to get it."""
    said = []
    if file.rows != file.total:
        of = "; there are more" if file.total is None else f" of {file.total:,} rows"
        wanted = most_rows if file.total is None else min(file.total, most_rows)
        more = f"page: a unique ORDER BY and OFFSET {file.rows}"
        if file.rows < wanted:
            more = f"run the statement again with row_limit={wanted} and export that; where that has no more, {more}"
        said.append(
            f"The file has the first {file.rows:,}{of}. For the rest {more}; of large rows, select fewer columns."
        )
    if file.has_cut_cells:
        said.append(
            f"Very long cells are cut, at {MOST_CELL_CHARS:,} characters or as the answer showed them: `…[+n chars]` "
            "says how much is missing. Select them alone, or in parts by substring or slice."
        )
    return said
