"""`find`: what people call things, to what a statement has to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import anyio
import anyio.to_thread
from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from lakehouse.escaping import cut_text, escape_controls, escape_lines, quote_briefly
from mcp_server.audit import AuditEvent
from mcp_server.finding.indexes import OpenIndex
from mcp_server.finding.searching import LIKELY, Found, is_called, list_kinds, search
from mcp_server.finding.words import find_lines
from mcp_server.runs import Call, Run
from mcp_server.tools.arguments import BadRequestError
from mcp_server.tools.calls import AppContext, app_context, current_call

_THREADS = anyio.CapacityLimiter(8)
"""Threads of searches: those of the SDK's pool also read stdin."""
_MOST_HITS = 50
_MOST_LABEL_CHARS = 120
_MOST_DETAIL_CHARS = 160
_MOST_SQL_CHARS = 4_000
_MOST_LINE_CHARS = 300
_SHOWN_GAPS = 5
PATIENCE_SECONDS = 8.0
"""How long a call waits for the index to be built. Spark alone takes longer to start, with a lake of many tables."""


class FoundThings(BaseModel):
    """`hits` have kind, id, label and, where there is one, detail, table and filter; verified queries have sql."""

    hits: list[dict[str, Any]]
    notes: list[str]


async def find(
    text: Annotated[str, Field(max_length=500)],
    kind: Annotated[str, Field(max_length=100)] | None = None,
    limit: int = 10,
) -> Annotated[CallToolResult, FoundThings]:
    """Find what a text means in this lake, best first."""
    if not any(letter.isalnum() for letter in text):
        raise BadRequestError("find needs a text with a letter or a digit in it, such as a name or a question.")
    if not 1 <= limit <= _MOST_HITS:  # not in the schema, which every conversation carries
        raise BadRequestError(f"limit is from 1 to {_MOST_HITS}; given: {quote_briefly(limit)}.")
    index, pending = await _open_within(app_context(), current_call(), PATIENCE_SECONDS)
    kinds = list_kinds(index)
    if kind is not None and (kind := kind.strip().casefold()) not in kinds:
        raise BadRequestError(f"There is no kind {quote_briefly(kind)}. Kinds: {', '.join(kinds)}.")
    found = await anyio.to_thread.run_sync(search, index, text, kind, limit, limiter=_THREADS)
    most = app_context().settings.max_result_bytes
    shown = _take_fitting(found, most)
    notes = [*pending, *_describe_gaps(index, text, kind, kinds, shown)]
    if len(shown) < len(found):
        notes.append(f"Only the first {len(shown)} of {len(found)} hits fit into {most:,} bytes.")
    head = f"{quote_briefly(text)}: {len(shown)} hit{'' if len(shown) == 1 else 's'}"
    lines = [head, *(_format_line(hit) for hit in shown), *notes]
    result = FoundThings(hits=[_to_record(hit) for hit in shown], notes=notes)
    return CallToolResult(
        content=[TextContent(type="text", text="\n".join(lines))], structured_content=result.model_dump()
    )


async def open_index(app: AppContext, call: Call) -> OpenIndex:
    """Open the index of the lake as it is now; where there is none yet, build it, once for all who wait.

    Raises LakeError, EngineUnavailable, QueryError.
    """
    index, _ = await _open_within(app, call, None)
    return index


async def _open_within(app: AppContext, call: Call, seconds: float | None) -> tuple[OpenIndex, list[str]]:
    """Open or build the index. Where that takes longer, return what is known without reading rows, and a note of it.

    Raises as `open_index` does.
    """
    index = await anyio.to_thread.run_sync(app.service.find_index, limiter=_THREADS)
    if index is not None:
        return index, []

    # What is built is for all, and goes on when the first who asked is gone: it has an audit line of its own.
    event = AuditEvent("find", call.event.caller, call.event.engine, arguments={"builds": "the index of names"})

    def audit_build(run: Run[OpenIndex]) -> None:
        if event.sql_run:
            app.audit_end(event, run)

    run = app.service.share_opening(replace(call, event=event), audit_build)
    if await run.wait_for_end(call.report, seconds, keep=True):
        return run.result(), []
    note = (
        f"Names and values of rows are still being read ({escape_controls(run.stage)}): only tables, columns and "
        "verified queries were searched. Call find again in a minute for the rest, or look with SQL."
    )
    return await anyio.to_thread.run_sync(app.service.find_without_rows, limiter=_THREADS), [note]


def _take_fitting(found: Sequence[Found], most_bytes: int) -> list[Found]:
    shown: list[Found] = []
    size = 0
    for hit in found:
        size += len(_format_line(hit).encode("utf-8", "replace"))
        if size > most_bytes and shown:
            break
        shown.append(hit)
    return shown


def _format_line(hit: Found) -> str:
    """Format a hit as a line: `person Steven Spielberg (director 1946): nconst = 'nm0000229'`."""
    label = _clean(hit.label, _MOST_LABEL_CHARS)
    detail = _clean(hit.detail, _MOST_DETAIL_CHARS)
    if hit.query is not None:
        sql = escape_lines(cut_text(hit.query.sql.strip(), _MOST_SQL_CHARS))
        note = f"\n  Note: {detail}" if detail else ""
        return f"query {_clean(hit.id, _MOST_LABEL_CHARS)}: {label}{note}\n{_indent(sql)}"
    if not hit.filter:
        return f"{hit.kind} {label}: {detail}" if detail else f"{hit.kind} {label}"
    about = f" ({detail})" if detail else ""
    return f"{hit.kind} {label}{about}, {_clean(hit.table, _MOST_LABEL_CHARS)}: {escape_controls(hit.filter)}"


def _to_record(hit: Found) -> dict[str, Any]:
    texts = {
        "kind": hit.kind,
        "id": escape_controls(hit.id),
        "label": _clean(hit.label, _MOST_LABEL_CHARS),
        "detail": _clean(hit.detail, _MOST_DETAIL_CHARS),
        "table": escape_controls(hit.table),
        "filter": escape_controls(hit.filter),
        "sql": escape_lines(cut_text(hit.query.sql, _MOST_SQL_CHARS)) if hit.query is not None else "",
    }
    return {name: text for name, text in texts.items() if text}


def _clean(text: str, most: int) -> str:
    return escape_controls(cut_text(text, most))


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))


def _describe_gaps(
    index: OpenIndex, text: str, kind: str | None, kinds: Sequence[str], shown: Sequence[Found]
) -> list[str]:
    """Say what was searched where that found nothing, and what the index does not have."""
    notes = []
    searched = kind or ", ".join(kinds)
    if not shown:
        notes.append(f"Searched: {searched}. Try another spelling, fewer words, or the name in its own language.")
    if any(hit.score >= LIKELY for hit in shown):  # else nobody asks what there might be besides
        return notes
    if not any(is_called(hit, text) for hit in shown):
        if shown:
            notes.append(f"Nothing is called just so; these are the nearest of: {searched}.")
        if unindexed := index.list_unindexed():
            notes.append(f"Not searched: {', '.join(unindexed)}. Use SQL there.")
    notes += [
        f"The lake's page says: {_clean(line, _MOST_LINE_CHARS)}" for line in find_lines(index.context.page, text)
    ]
    if index.missing:
        gaps = [_clean(sentence, _MOST_DETAIL_CHARS) for sentence in index.missing]
        more = f" And {len(gaps) - _SHOWN_GAPS} more." if len(gaps) > _SHOWN_GAPS else ""
        notes.append(f"The index of names is not whole. {' '.join(gaps[:_SHOWN_GAPS])}{more}")
    return notes
