"""`read_kept_rows`: rows that an answer did not show, for its view (`mcp_server.apps`); no model is told of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated

import anyio.to_thread
from mcp_types import CallToolResult, TextContent
from pydantic import Field

from lakehouse.errors import ResourceLimit
from mcp_server import results
from mcp_server.kept_results import KeptRows
from mcp_server.models import Caps, RowLimit
from mcp_server.tools.calls import app_context, current_call
from mcp_server.tools.sql import SqlResult, describe_rows

_MOST_ROWS = 500
_MOST_BYTES = 250_000
"""How large a page is: people read it and no model, so it may be larger than an answer."""

_MOST_OFFSET = 1 << 31
"""More rows than are ever kept, and still a number that Arrow takes."""


async def read_kept_rows(
    query_id: Annotated[str, Field(max_length=64)], offset: Annotated[int, Field(ge=0, le=_MOST_OFFSET)]
) -> Annotated[CallToolResult, SqlResult]:
    """Return rows of the caller's own answer, from row `offset` on; none behind the last that is kept.

    Raises UnknownResultError, and ResourceLimit where one row is larger than a page.
    """
    app, call = app_context(), current_call()
    read = partial(app.service.kept.read, query_id, app.principal.name, offset, _MOST_ROWS)
    caps = Caps(_MOST_BYTES, app.settings.max_cell_chars)
    answer = await anyio.to_thread.run_sync(lambda: _shape_page(read(), caps, results.Origin(query_id, "", 0)))
    call.event.query_ids.append(query_id)
    call.event.rows, call.event.result_bytes = len(answer.rows), answer.payload_bytes
    text = TextContent(type="text", text=f"{len(answer.rows)} rows from row {offset} on")
    return CallToolResult(content=[text], structured_content=describe_rows(answer).model_dump())


def _shape_page(page: KeptRows, caps: Caps, origin: results.Origin) -> results.Answer:
    answer = results.shape(page.result, RowLimit(_MOST_ROWS), caps, origin)
    if page.table.num_rows and not answer.rows:
        raise ResourceLimit(
            f"Row {page.offset:,} is larger than the {_MOST_BYTES:,} bytes that the view reads at once. "
            "Export the rows, or select fewer columns."
        )
    return replace(answer, total_rows=page.total, truncated=page.offset + len(answer.rows) != page.total)
