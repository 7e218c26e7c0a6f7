"""`ai_movie_summary`: the facts of one title, as the statements of its prompt file find them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel

from lakehouse.ai.functions import functions
from mcp_server.results import Answer
from mcp_server.tools.calls import BadRequestError, app_context, current_call

NAME = "ai_movie_summary"
MOST_CANDIDATES = 10
MOST_CREDITS = 15

_NO_PROVIDER = (
    "These are facts from the lake, not a written summary: no model provider is configured. One is named to the server "
    "by OPENAI_API_KEY, OPENAI_BASE_URL or AZURE_OPENAI_ENDPOINT."
)


class Summary(BaseModel):
    """`facts` and `credits` of one title; else `candidates`: several of that name, or the nearest names."""

    status: Literal["facts", "ambiguous", "not_found"]
    facts: dict[str, Any]
    credits: list[dict[str, Any]]
    candidates: list[dict[str, Any]]
    note: str


async def ai_movie_summary(title: str | None = None, tconst: str | None = None) -> Annotated[CallToolResult, Summary]:
    """One title by its id, or by its exact name. Several of one name are listed, never guessed between."""
    if tconst:
        found = await _run("by_key", MOST_CANDIDATES, keys=tconst)
    elif title:
        found = await _run("by_name", MOST_CANDIDATES, names=title)
        if not found.rows:
            found = await _run("by_name_in_any_case", MOST_CANDIDATES, name=title)
    else:
        raise BadRequestError(f"{NAME} needs a title or a tconst. For example: {NAME}(tconst='tt0111161')")
    match found.rows:
        case [only]:
            return await _facts(str(only[0]))
        case []:
            return await _not_found(title, tconst)
    more = " There are more than these; execute_spark_sql can list them all." if found.truncated else ""
    note = f"Several titles are called {title!r}. Ask again with the tconst of the one that is meant.{more}"
    return _answer("ambiguous", note, candidates=found)


async def _facts(tconst: str) -> CallToolResult:
    facts = await _run("facts", 1, keys=tconst)
    credited = await _run("credits", MOST_CREDITS, keys=tconst)
    return _answer("facts", _NO_PROVIDER, facts=facts, credited=credited)


async def _not_found(title: str | None, tconst: str | None) -> CallToolResult:
    if tconst or not title:
        return _answer("not_found", f"No title has the tconst {tconst!r}. Ask by title, or look it up with SQL.")
    near = await _run("nearest", 5, name=title)
    hint = "The nearest are listed; ask again with one's tconst." if near.rows else "Nor is any like it."
    return _answer("not_found", f"No title is called {title!r}. {hint}", candidates=near)


def _answer(
    status: Literal["facts", "ambiguous", "not_found"],
    note: str,
    *,
    facts: Answer | None = None,
    credited: Answer | None = None,
    candidates: Answer | None = None,
) -> CallToolResult:
    summary = Summary(
        status=status,
        facts=facts.records()[0] if facts else {},
        credits=credited.records() if credited else [],
        candidates=candidates.records() if candidates else [],
        note=note,
    )
    tables = [part.table_text for part in (facts, credited, candidates) if part is not None and part.rows]
    return CallToolResult(
        content=[TextContent(type="text", text="\n".join([f"{status}: {note}", *tables]))],
        structured_content=summary.model_dump(),
    )


async def _run(statement: str, rows: int, **arguments: str) -> Answer:
    return await app_context().service.fill(current_call(), functions()[NAME].statements[statement], arguments, rows)
