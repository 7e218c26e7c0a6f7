"""`describe_schema` and `list_views`: what the lake holds, in the words of the lake's own comments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Annotated, Any

import anyio.to_thread
from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from lakehouse.errors import LakehouseError
from lakehouse.escaping import cut_text, escape_controls, list_briefly, quote_briefly
from lakehouse.nearest import nearest
from mcp_server.coverage import KnownCoverage, describe_nulls, describe_table
from mcp_server.models import TableInfo
from mcp_server.results import Answer
from mcp_server.results.cells import shorten, to_json
from mcp_server.tools.arguments import BadRequestError
from mcp_server.tools.calls import app_context, current_call
from mcp_server.tools.profile import COUNT_ROWS, Frequent, Profile, Range

PAGE = 40
"""Tables or columns on one page: three times what this lake needs, and still a short answer."""


class TableFacts(BaseModel):
    """A table or view. `rows` is null where nobody counted them; the rows are stored in order of `clustered_by`."""

    name: str
    kind: str
    purpose: str
    rows: int | None
    key: list[str]
    clustered_by: list[str]


class ColumnFacts(BaseModel):
    """A column; `values` is its range or its frequent values with their counts, empty where neither says much.

    `nulls` says how many of its values are null, where these are notably many.
    """

    name: str
    type: str
    comment: str
    values: str
    nulls: str


class Described(BaseModel):
    """Without a table: the tables. With one: that table, its columns and sample rows in column order."""

    tables: list[TableFacts]
    columns: list[ColumnFacts]
    sample_rows: list[list[Any]]
    page: int
    pages: int
    notes: list[str]


class View(BaseModel):
    """A view and when to use it; its columns and rows are for `describe_schema`."""

    name: str
    purpose: str


class Views(BaseModel):
    """The views of the lake, and how many more there are than an answer holds."""

    views: list[View]
    more: int


async def describe_schema(
    table: Annotated[str, Field(max_length=512)] | None = None, page: Annotated[int, Field(ge=1)] = 1
) -> Annotated[CallToolResult, Described]:
    """Describe all tables in a line each, or one table in full."""
    service = app_context().service
    tables = await service.refresh_tables()
    known = await anyio.to_thread.run_sync(service.coverage.read, tables)
    described, text = (
        _describe_all(tables, known, page)
        if table is None
        else await _describe_table(_find_table(tables, table), known, page)
    )
    return _build_result(text, described)


async def list_views() -> Annotated[CallToolResult, Views]:
    """List the views and when to use each instead of joining."""
    tables = await app_context().service.refresh_tables()
    every = [table for table in tables if table.kind == "view"]
    views = [_describe_view(table) for table in every]
    shown = _split_pages(views, _payload_bytes())[0]
    found = Views(views=views[shown], more=len(views[shown.stop :]))
    lines = [f"{escape_controls(view.name)}: {view.purpose}" for view in found.views] or [
        "This lake has no views; describe_schema lists its tables."
    ]
    if found.more:
        lines.append(f"{found.more:,} more views are not listed here; describe_schema lists all.")
    if unreadable := sum(bool(table.problem) for table in tables):
        lines.append(f"{unreadable:,} of its tables cannot be read; describe_schema tells why.")
    return _build_result("\n".join(lines), found)


def _describe_view(table: TableInfo) -> View:
    return View(name=_cut_name(table.name), purpose=_clean_text(table.comment))


def _describe_all(tables: Sequence[TableInfo], known: KnownCoverage, page: int) -> tuple[Described, str]:
    facts = [
        _build_table_facts(table, _describe_purpose(table, _take_first_sentence(table.comment))) for table in tables
    ]
    at, pages = _select_page(facts, page, _payload_bytes())
    facts = facts[at]
    schema = app_context().service.main_engine.schema
    lines = [f"Schema {schema}, {len(tables)} tables and views. describe_schema(table=…) tells more of one."]
    lines += [_format_headline(fact) for fact in facts]
    notes = [*_describe_snapshot(known), *_describe_next_page(page, pages)]
    described = Described(tables=facts, columns=[], sample_rows=[], page=page, pages=pages, notes=notes)
    return described, "\n".join([*lines, *described.notes])


async def _describe_table(table: TableInfo, known: KnownCoverage, page: int) -> tuple[Described, str]:
    every = [
        ColumnFacts(name=_cut_name(c.name), type=_cut_name(c.type), comment=_clean_text(c.comment), values="", nulls="")
        for c in table.columns
    ]
    at, pages = _select_page(every, page, _payload_bytes() // 2)  # the rest is for their values
    columns = table.columns[at]
    profile = (
        Profile() if table.problem else await app_context().profiles.get_profile(current_call(), table, tuple(columns))
    )
    room = _payload_bytes() // 4
    values = [escape_controls(cut_text(_format_values(profile.values.get(c.name)), room // PAGE)) for c in columns]
    nulls = describe_nulls(known, table.name, await anyio.to_thread.run_sync(_read_null_shares, table, known))
    found = zip(every[at], columns, values, strict=True)
    shown = [
        facts.model_copy(update={"values": text, "nulls": nulls.get(column.name, "")}) for facts, column, text in found
    ]
    sample = None if profile.sample is None else _fit_sample(profile.sample, room)
    gaps = describe_table(known, table.name)[:PAGE]
    notes = [
        *gaps,
        *_describe_snapshot(known),
        *_describe_basis(table, profile),
        *profile.notes,
        *_describe_next_page(page, pages),
    ]
    described = Described(
        tables=[_build_table_facts(table, _describe_purpose(table, table.comment))],
        columns=shown,
        sample_rows=[] if sample is None else [list(row) for row in sample.rows],
        page=page,
        pages=pages,
        notes=notes,
    )
    return described, _format_table_text(described, sample)


def _read_null_shares(table: TableInfo, known: KnownCoverage) -> Mapping[str, float]:
    """Read what the files of a table tell of its nulls, where nobody counted them. Only a help: it never fails."""
    if known.counted is not None or table.problem:
        return {}
    try:
        return app_context().service.main_engine.null_shares(table.name)
    except LakehouseError:
        return {}


def _fit_sample(sample: Answer, room: int) -> Answer:
    """Fit sample rows into `room` bytes by cutting long cells."""
    names, types = (tuple(map(_cut_name, each)) for each in (sample.names, sample.types))
    rows = sample.rows
    if rows and len(to_json(rows)) > room:
        most = room // (len(rows) * len(names))
        rows = tuple(tuple(shorten(value, most).value for value in row) for row in rows)
    return replace(sample, names=names, types=types, rows=rows)


def _format_table_text(described: Described, sample: Answer | None) -> str:
    (facts,) = described.tables
    lines = [_format_headline(facts)]
    if facts.key:
        lines.append(escape_controls(f"Key: {', '.join(facts.key)}"))
    if facts.clustered_by:
        first, order = facts.clustered_by[0], ", ".join(facts.clustered_by)
        lines.append(escape_controls(f"Stored in order of {order}: a filter on {first} reads little."))
    lines.append("Columns:")
    for column in described.columns:
        parts = [part for part in (column.comment, column.values, column.nulls) if part]
        head = escape_controls(f"{column.name} {column.type}")
        lines.append(f"{head}: {' | '.join(parts)}" if parts else head)
    if sample is not None:
        lines += [f"{len(sample.rows)} sample rows:", sample.table_text]
    return "\n".join([*lines, *described.notes])


def _find_table(tables: Sequence[TableInfo], wanted: str) -> TableInfo:
    """Find a table by its name, with or without the schema, in any case. Raises BadRequestError with the nearest."""
    schema = app_context().service.main_engine.schema.casefold()
    name = wanted.strip().replace("`", "").casefold()
    for prefix in (schema, schema.rpartition(".")[2]):
        name = name.removeprefix(f"{prefix}.")
    known = {table.name.casefold(): table for table in tables}
    exact = wanted.strip().casefold()  # first: a name may itself begin with the schema's and a full stop
    if (found := known.get(exact) or known.get(name)) is not None:
        return found
    names = [table.name for table in tables]
    near = nearest(name, map(escape_controls, names))
    hint = f" Nearest: {', '.join(near)}." if near else ""
    example = f"describe_schema(table='{list_briefly((near or names)[:1])}')" if names else "list_views()"
    raise BadRequestError(
        f"There is no table {quote_briefly(wanted)}.{hint} Tables: {list_briefly(names)}. For example: {example}"
    )


def _payload_bytes() -> int:
    return app_context().settings.max_result_bytes


def _cell_chars() -> int:
    """The characters of one text: several of them make a line, and a line has to fit into an answer."""
    settings = app_context().settings
    return min(settings.max_cell_chars, settings.max_result_bytes // 16)


def _cut_name(text: str) -> str:
    """Cut a name, type or comment of the lake, which may have any length."""
    return cut_text(text, _cell_chars())


def _clean_text(text: str) -> str:
    return escape_controls(_cut_name(text))


def _take_fitting_names(names: Sequence[str]) -> list[str]:
    """Return the first names that together fit into a cell."""
    room = _cell_chars()
    ends = accumulate(len(name) for name in names)
    return [name for name, end in zip(names, ends, strict=True) if end <= room]


def _split_pages(items: Sequence[BaseModel], most_bytes: int) -> list[slice]:
    """Split items into pages of at most `PAGE` items and `most_bytes` bytes."""
    pages: list[slice] = []
    first, size = 0, 0
    for at, item in enumerate(items):
        more = len(item.model_dump_json().encode("utf-8", "replace"))
        if at - first == PAGE or (at > first and size + more > most_bytes):
            pages.append(slice(first, at))
            first, size = at, 0
        size += more
    return [*pages, slice(first, len(items))]


def _select_page(items: Sequence[BaseModel], page: int, most_bytes: int) -> tuple[slice, int]:
    """Return the slice of items on a page, and the number of pages. Raises BadRequestError past the end."""
    pages = _split_pages(items, most_bytes)
    if page > len(pages):
        raise BadRequestError(f"There is no page {quote_briefly(page)}; the last page is {len(pages)}.")
    return pages[page - 1], len(pages)


def _describe_snapshot(known: KnownCoverage) -> list[str]:
    snapshot = known.counted.snapshot if known.counted is not None else None
    return [] if snapshot is None else [f"The source's files are of {snapshot}."]


def _describe_next_page(page: int, pages: int) -> list[str]:
    return [f"Page {page} of {pages}; ask for page={page + 1} for more."] if page < pages else []


def _build_table_facts(table: TableInfo, purpose: str) -> TableFacts:
    return TableFacts(
        name=_cut_name(table.name),
        kind=table.kind,
        purpose=_clean_text(purpose),
        rows=table.rows,
        key=_take_fitting_names(table.key),
        clustered_by=_take_fitting_names(table.clustered_by),
    )


def _format_headline(table: TableFacts) -> str:
    rows = "" if table.rows is None else f", {table.rows:,} rows"
    purpose = f": {table.purpose}" if table.purpose else ""
    return f"{escape_controls(table.name)} ({table.kind}{rows}){purpose}"


def _describe_purpose(table: TableInfo, comment: str) -> str:
    return f"cannot be read: {table.problem}" if table.problem else comment


def _take_first_sentence(comment: str) -> str:
    first = comment.split("\n", 1)[0]
    head, stop, _ = first.partition(". ")
    return head + stop.strip()


def _format_values(found: Range | Frequent | None) -> str:
    match found:
        case Range(low=low, high=high):
            return f"{low} … {high}"
        case Frequent(values=values):
            shown = ((str(value).lower() if isinstance(value, bool) else value, times) for value, times in values)
            return ", ".join(f"{value} ({times:,})" for value, times in shown)
        case None:
            return ""


def _describe_basis(table: TableInfo, profile: Profile) -> list[str]:
    """Say where frequent values were not counted in all rows, or not at all."""
    if app_context().service.main_engine.capabilities.metered:
        return ["Ranges and frequent values are not looked for, because whatever runs here is paid for. Ask with SQL."]
    counted = any(isinstance(found, Frequent) for found in profile.values.values())
    if counted and (table.rows is None or table.rows > COUNT_ROWS):
        return [f"Frequent values were counted in the first {COUNT_ROWS:,} stored rows, ranges in all rows."]
    return []


def _build_result(text: str, structured: BaseModel) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured.model_dump())
