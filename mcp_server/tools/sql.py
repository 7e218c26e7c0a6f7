"""`execute_spark_sql`, and what to ask of a statement that takes longer than a call should: a statement in, rows out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import anyio.to_thread
from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from mcp_server.handles import Entry
from mcp_server.results import Answer
from mcp_server.runs import Run
from mcp_server.tools.calls import BadRequestError, app_context, current_call

_STOP_SECONDS = 10.0
"""How long `cancel_query` waits for the engine to let go; an engine is replaced before that."""


class ResultColumn(BaseModel):
    """A column of the answer, with its Spark SQL type."""

    name: str
    type: str


class SqlResult(BaseModel):
    """All fields are always there; rows are lists in column order. `handle` and `stage` are for `running`."""

    status: Literal["done", "running"]
    columns: list[ResultColumn]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    elapsed_ms: int
    query_id: str
    engine: str
    warnings: list[str]
    handle: str | None
    stage: str | None


class Cancelled(BaseModel):
    """`state` is what the query is in now: `cancelled`, or what it had ended as before."""

    state: Literal["cancelled", "done", "failed", "running"]


async def execute_spark_sql(
    sql_query: str,
    reasoning: str,  # noqa: ARG001  (the wrapper around every call puts it into the audit)
    row_limit: Annotated[int, Field(ge=1)] | None = None,
) -> Annotated[CallToolResult, SqlResult]:
    """Run a statement that the guard allows."""
    app, call = app_context(), current_call()
    run = app.service.start(call, sql_query, row_limit)
    if await run.follow(call.report, app.settings.wait_seconds):
        return _done(run.result())
    event = call.event
    event.verdict = "running"
    handle = await anyio.to_thread.run_sync(app.background.keep, run, lambda run: app.audit_end(event, run))
    return _running(run, handle)


async def query_status(handle: str) -> Annotated[CallToolResult, SqlResult]:
    """Wait for a statement that was answered with a handle. Raises what it failed with."""
    app, call = app_context(), current_call()
    run = await _find(handle)
    call.event.query_ids.append(run.query_id)
    if not await _wait(run, app.settings.wait_seconds):
        return _running(run, handle)
    answer = run.result()
    call.event.rows, call.event.result_bytes = len(answer.rows), answer.payload_bytes
    return _done(answer)


async def cancel_query(handle: str) -> Annotated[CallToolResult, Cancelled]:
    """Stop a statement that was answered with a handle."""
    run = await _find(handle)
    current_call().event.query_ids.append(run.query_id)
    before = run.done
    run.cancel()
    await _wait(run, _STOP_SECONDS)
    match run.done, run.failure:
        case False, _:
            state, note = "running", "The engine has been told to stop and has not let go yet. Ask query_status."
        case _, None:
            state, note = "done", f"It had ended before it could be stopped; query_status(handle='{handle}') has it."
        case _ if before:
            state, note = "failed", "It had failed before; query_status says why."
        case _:
            state, note = "cancelled", "It was stopped in the engine."
    return _answer(f"{state}: {note}", Cancelled.model_validate({"state": state}))


async def _wait(run: Run[Answer], seconds: float) -> bool:
    """Wait for a statement that goes on when this caller goes away."""
    return await run.follow(current_call().report, seconds, keep=True)


async def _find(handle: str) -> Run[Answer]:
    app = app_context()
    found = await anyio.to_thread.run_sync(app.background.find, handle, app.principal.name)
    match found:
        case Run():
            return found
        case Entry(where="elsewhere", state=state):
            raise BadRequestError(
                f"The query of the handle {handle!r} is {state} in another process of this server, which alone has its "
                "result. Ask over the connection that started it, or run the statement again here."
            )
        case Entry():
            raise BadRequestError(
                f"The query of the handle {handle!r} is lost: the server process that ran it has ended. "
                "Run the statement again."
            )
    raise BadRequestError(
        f"There is no query with the handle {handle!r}: a handle comes from execute_spark_sql, belongs to whoever asked, "
        f"and is forgotten {app.settings.handle_minutes:g} minutes after its query has ended. Run the statement again."
    )


def _done(answer: Answer) -> CallToolResult:
    result = SqlResult(
        status="done",
        columns=[ResultColumn(name=name, type=kind) for name, kind in zip(answer.names, answer.types, strict=True)],
        rows=[list(row) for row in answer.rows],
        row_count=len(answer.rows),
        truncated=answer.truncated,
        elapsed_ms=answer.origin.elapsed_ms,
        query_id=answer.origin.query_id,
        engine=answer.origin.engine,
        warnings=list(answer.warnings),
        handle=None,
        stage=None,
    )
    return _answer(answer.text, result)


def _running(run: Run[Answer], handle: str) -> CallToolResult:
    settings = app_context().settings
    text = (
        f"running ({run.stage}), {run.elapsed_seconds:.0f} s so far, handle {handle}\n"
        f"Call query_status(handle='{handle}') now: it waits up to {settings.wait_seconds:g} s for the result. "
        f"The query is stopped after {settings.query_timeout_seconds:g} s; cancel_query ends it sooner."
    )
    result = SqlResult(
        status="running",
        columns=[],
        rows=[],
        row_count=0,
        truncated=False,
        elapsed_ms=round(run.elapsed_seconds * 1000),
        query_id=run.query_id,
        engine=current_call().event.engine,
        warnings=[],
        handle=handle,
        stage=run.stage,
    )
    return _answer(text, result)


def _answer(text: str, structured: BaseModel) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured.model_dump())
