"""`describe_schema` and `list_views`: what the lake holds, in the words of the lake's own comments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from lakehouse.escaping import escape_controls, quote_briefly
from lakehouse.nearest import nearest
from mcp_server.models import TableInfo
from mcp_server.results import Answer
from mcp_server.tools.arguments import BadRequestError
from mcp_server.tools.calls import app_context, current_call
from mcp_server.tools.profile import COUNT_ROWS, Frequent, Profile, Range

PAGE = 40
"""Tables or columns on one page: three times what this lake needs, and still a short answer."""

_SHOWN_CHARS = 100
"""How much of a caller's own word a message repeats."""


class TableFacts(BaseModel):
    """A table or view. `rows` is null where nobody counted them; the rows are stored in order of `clustered_by`."""

    name: str
    kind: str
    purpose: str
    rows: int | None
    key: list[str]
    clustered_by: list[str]


class ColumnFacts(BaseModel):
    """A column; `values` is its range or its frequent values with their counts, empty where neither says much."""

    name: str
    type: str
    comment: str
    values: str


class Described(BaseModel):
    """Without a table: the tables. With one: that table, its columns and sample rows in column order."""

    tables: list[TableFacts]
    columns: list[ColumnFacts]
    sample_rows: list[list[Any]]
    page: int
    pages: int
    notes: list[str]


class View(BaseModel):
    """A view and what it is for."""

    name: str
    purpose: str
    rows: int | None
    columns: list[str]


class Views(BaseModel):
    """All views of the lake."""

    views: list[View]


async def describe_schema(
    table: Annotated[str, Field(max_length=512)] | None = None, page: Annotated[int, Field(ge=1)] = 1
) -> Annotated[CallToolResult, Described]:
    """All tables in a line each, or one table in full."""
    tables = await app_context().service.tables()
    described, text = _all(tables, page) if table is None else await _one(_find(tables, table), page)
    return _answer(text, described)


async def list_views() -> Annotated[CallToolResult, Views]:
    """The views and what each is for."""
    tables = await app_context().service.tables()
    found = [table for table in tables if table.kind == "view"]
    views = [
        View(
            name=view.name,
            purpose=escape_controls(view.comment),
            rows=view.rows,
            columns=[column.name for column in view.columns],
        )
        for view in found
    ]
    lines = [
        f"{_headline(table)}: {view.purpose}\n  columns: {escape_controls(', '.join(view.columns))}"
        for table, view in zip(found, views, strict=True)
    ]
    lines = lines or ["This lake has no views; describe_schema lists its tables."]
    unreadable = [table.name for table in tables if table.problem]
    if unreadable:
        lines.append(f"{len(unreadable)} of its tables cannot be read; describe_schema tells why.")
    return _answer("\n".join(lines), Views(views=views))


def _all(tables: Sequence[TableInfo], page: int) -> tuple[Described, str]:
    shown, pages = _page(tables, page)
    schema = app_context().service.main_engine.schema
    lines = [f"Schema {schema}, {len(tables)} tables and views. describe_schema(table=…) tells more of one."]
    facts = [_facts(table, _purpose(table, _first_sentence(table.comment))) for table in shown]
    lines += [f"{_headline(table)}: {fact.purpose}" for table, fact in zip(shown, facts, strict=True)]
    described = Described(tables=facts, columns=[], sample_rows=[], page=page, pages=pages, notes=_more(page, pages))
    return described, "\n".join([*lines, *described.notes])


async def _one(table: TableInfo, page: int) -> tuple[Described, str]:
    columns, pages = _page(table.columns, page)
    profile = Profile() if table.problem else await app_context().profiles.of(current_call(), table, tuple(columns))
    shown = [
        ColumnFacts(
            name=c.name,
            type=c.type,
            comment=escape_controls(c.comment),
            values=escape_controls(_values(profile.values.get(c.name))),
        )
        for c in columns
    ]
    notes = [*_basis(table, profile), *profile.notes, *_more(page, pages)]
    described = Described(
        tables=[_facts(table, _purpose(table, table.comment))],
        columns=shown,
        sample_rows=[] if profile.sample is None else [list(row) for row in profile.sample.rows],
        page=page,
        pages=pages,
        notes=notes,
    )
    return described, _table_text(table, described, profile.sample)


def _table_text(table: TableInfo, described: Described, sample: Answer | None) -> str:
    (facts,) = described.tables
    lines = [f"{_headline(table)}: {facts.purpose}"]
    if table.key:
        lines.append(escape_controls(f"Key: {', '.join(table.key)}"))
    if table.clustered_by:
        first, order = table.clustered_by[0], ", ".join(table.clustered_by)
        lines.append(escape_controls(f"Stored in order of {order}: a filter on {first} reads little."))
    lines.append("Columns:")
    for column in described.columns:
        parts = [part for part in (column.comment, column.values) if part]
        head = escape_controls(f"{column.name} {column.type}")
        lines.append(f"{head}: {' | '.join(parts)}" if parts else head)
    if sample is not None:
        lines += [f"{len(sample.rows)} sample rows:", sample.table_text]
    return "\n".join([*lines, *described.notes])


def _find(tables: Sequence[TableInfo], wanted: str) -> TableInfo:
    """The table of that name, with or without the schema, whatever the case."""
    schema = app_context().service.main_engine.schema.casefold()
    name = wanted.strip().replace("`", "").casefold()
    for prefix in (schema, schema.rpartition(".")[2]):
        name = name.removeprefix(f"{prefix}.")
    exact = wanted.strip().casefold()
    for table in tables:
        if table.name.casefold() in {name, exact}:
            return table
    names = [escape_controls(table.name) for table in tables]
    near = nearest(name, names)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    example = f"describe_schema(table='{(near or names)[0]}')" if names else "list_views()"
    raise BadRequestError(
        f"There is no table {quote_briefly(wanted)}.{hint} Tables: {', '.join(names)}. For example: {example}"
    )


def _page(items: Sequence[Any], page: int) -> tuple[Sequence[Any], int]:
    pages = max(1, -(-len(items) // PAGE))
    if page > pages:
        raise BadRequestError(f"There is no page {quote_briefly(page)}; the last page is {pages}.")
    return items[(page - 1) * PAGE : page * PAGE], pages


def _more(page: int, pages: int) -> list[str]:
    return [f"Page {page} of {pages}; ask for page={page + 1} for more."] if page < pages else []


def _facts(table: TableInfo, purpose: str) -> TableFacts:
    return TableFacts(
        name=table.name,
        kind=table.kind,
        purpose=escape_controls(purpose),
        rows=table.rows,
        key=list(table.key),
        clustered_by=list(table.clustered_by),
    )


def _headline(table: TableInfo) -> str:
    return f"{escape_controls(table.name)} ({table.kind}{'' if table.rows is None else f', {table.rows:,} rows'})"


def _purpose(table: TableInfo, comment: str) -> str:
    return f"cannot be read: {table.problem}" if table.problem else comment


def _first_sentence(comment: str) -> str:
    first = comment.split("\n", 1)[0]
    head, stop, _ = first.partition(". ")
    return head + stop.strip()


def _values(found: Range | Frequent | None) -> str:
    match found:
        case Range(low=low, high=high):
            return f"{low} … {high}"
        case Frequent(values=values):
            shown = ((str(value).lower() if isinstance(value, bool) else value, times) for value, times in values)
            return ", ".join(f"{value} ({times:,})" for value, times in shown)
        case None:
            return ""


def _basis(table: TableInfo, profile: Profile) -> list[str]:
    """Say it where frequent values were not counted in all rows, or not at all."""
    if app_context().service.main_engine.capabilities.metered:
        return ["Ranges and frequent values are not looked for, because whatever runs here is paid for. Ask with SQL."]
    counted = any(isinstance(found, Frequent) for found in profile.values.values())
    if counted and (table.rows is None or table.rows > COUNT_ROWS):
        return [f"Frequent values were counted in the first {COUNT_ROWS:,} stored rows, ranges in all rows."]
    return []


def _answer(text: str, structured: BaseModel) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured.model_dump())
