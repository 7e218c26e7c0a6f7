"""`execute_spark_sql`: a statement in, rows out; and what to ask of one that takes longer than a call should."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import anyio.lowlevel
import anyio.to_thread
from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from lakehouse.errors import QueryCancelled
from lakehouse.escaping import quote_briefly
from mcp_server.handles import HandleEntry
from mcp_server.results import Answer
from mcp_server.results.estimate import dry_run as dry_run_text
from mcp_server.runs import Run
from mcp_server.tools.arguments import BadRequestError
from mcp_server.tools.calls import app_context, current_call

if TYPE_CHECKING:
    from mcp_server.statement import Plan

_STOP_SECONDS = 10.0
"""How long `cancel_query` waits for the engine to let go; an engine is replaced before that."""


Handle = Annotated[str, Field(max_length=64)]


class ResultColumn(BaseModel):
    """A column of the answer, with its Spark SQL type."""

    name: str
    type: str


class SqlResult(BaseModel):
    """All fields are always there; rows are lists in column order. `handle` and `stage` are for `running`.

    `total_rows` is how many rows the statement has, null where nobody counted them. `warning_codes` are `rows_cut`,
    `low_coverage` and `open_year`, where a warning says so.

    `dry_run` is what `results.estimate.DryRun` describes, null for a statement that has run; `ai` what
    `results.ai.AiUse` does, null where no AI function was called.
    """

    status: Literal["done", "running", "dry_run"]
    columns: list[ResultColumn]
    rows: list[list[Any]]
    row_count: int
    total_rows: int | None
    truncated: bool
    elapsed_ms: int
    query_id: str
    engine: str
    warnings: list[str]
    warning_codes: list[str]
    handle: str | None
    stage: str | None
    dry_run: dict[str, Any] | None
    ai: dict[str, Any] | None


class Cancelled(BaseModel):
    """`state` is what the query is in now: `cancelled`, or what it had ended as before."""

    state: Literal["cancelled", "done", "failed", "running"]


async def execute_spark_sql(
    sql_query: str,
    reasoning: Annotated[str, Field(max_length=10_000)],  # noqa: ARG001  (the wrapper around every call puts it into the audit)
    row_limit: Annotated[int, Field(ge=1)] | None = None,
    dry_run: bool = False,
) -> Annotated[CallToolResult, SqlResult]:
    """Run a statement that the guard allows, or tell what it would read."""
    app, call = app_context(), current_call()
    if dry_run:
        return _answer_plan(await app.service.plan_sql(call, sql_query, row_limit))
    run = app.service.submit_sql(call, sql_query, row_limit)
    if await run.wait_for_end(call.report, app.settings.wait_seconds):
        return _answer_rows(run.result())
    event = call.event
    event.verdict = "running"
    try:
        handle = await anyio.to_thread.run_sync(app.background.keep, run, lambda run: app.audit_end(event, run))
        await anyio.lowlevel.checkpoint()
    except anyio.get_cancelled_exc_class():
        run.cancel()  # its caller went away before the handle could be told, so nobody could ever ask for it
        raise
    return _answer_running(run, handle)


async def query_status(handle: Handle) -> Annotated[CallToolResult, SqlResult]:
    """Wait for a statement that was answered with a handle. Raises what it failed with."""
    app, call = app_context(), current_call()
    run = await _find_run(handle)
    call.event.query_ids.append(run.query_id)
    if not await _wait_for_run(run, app.settings.wait_seconds):
        return _answer_running(run, handle)
    answer = run.result()
    call.event.rows, call.event.result_bytes = len(answer.rows), answer.payload_bytes
    return _answer_rows(answer)


async def cancel_query(handle: Handle) -> Annotated[CallToolResult, Cancelled]:
    """Stop a statement that was answered with a handle."""
    run = await _find_run(handle)
    current_call().event.query_ids.append(run.query_id)
    run.cancel()
    await _wait_for_run(run, _STOP_SECONDS)
    match run.done, run.failure:
        case False, _:
            state, note = "running", "The engine has been told to stop and has not let go yet. Ask query_status."
        case _, None:
            state, note = "done", f"It had ended before it could be stopped; query_status(handle='{handle}') has it."
        case _, QueryCancelled() as failure:
            state, note = "cancelled", str(failure)
        case _:
            state, note = "failed", "It had failed before it could be stopped; query_status says why."
    return _make_result(f"{state}: {note}", Cancelled.model_validate({"state": state}))


async def _wait_for_run(run: Run[Answer], seconds: float) -> bool:
    """Wait for a statement that goes on when this caller goes away."""
    return await run.wait_for_end(current_call().report, seconds, keep=True)


async def _find_run(handle: str) -> Run[Answer]:
    app = app_context()
    found = await anyio.to_thread.run_sync(app.background.find, handle, app.principal.name)
    shown = quote_briefly(handle)
    match found:
        case Run():
            return found
        case HandleEntry(where="elsewhere", state=state):
            raise BadRequestError(
                f"The query of the handle {shown} is {state} in another process of this server, which alone has its "
                "result. Ask over the connection that started it, or run the statement again here."
            )
        case HandleEntry():
            raise BadRequestError(
                f"The query of the handle {shown} is lost: the server process that ran it has ended. "
                "Run the statement again."
            )
    raise BadRequestError(
        f"There is no query with the handle {shown}: a handle comes from execute_spark_sql, belongs to whoever "
        f"asked, and is forgotten {app.settings.handle_minutes:g} minutes after its query has ended. Run the statement "
        "again."
    )


def _answer_rows(answer: Answer) -> CallToolResult:
    return _make_result(answer.text, describe_rows(answer))


def describe_rows(answer: Answer) -> SqlResult:
    """Put an answer into the form that programs read."""
    return SqlResult(
        status="done",
        columns=[ResultColumn(name=name, type=kind) for name, kind in zip(answer.names, answer.types, strict=True)],
        rows=[list(row) for row in answer.rows],
        row_count=len(answer.rows),
        total_rows=answer.total_rows,
        truncated=answer.truncated,
        elapsed_ms=answer.origin.elapsed_ms,
        query_id=answer.origin.query_id,
        engine=answer.origin.engine,
        warnings=list(answer.warnings),
        warning_codes=list(answer.codes),
        handle=None,
        stage=None,
        dry_run=None,
        ai=answer.ai.model_dump() if answer.ai else None,
    )


def _answer_plan(plan: Plan) -> CallToolResult:
    (query_id,) = current_call().event.query_ids
    if plan.query is None or plan.estimate is None:
        text, facts = "dry run, allowed: answered from the lake's own description, no table is read", None
    else:
        text, found = dry_run_text(plan.query, plan.estimate, engine=plan.engine, refused=plan.refused, ai=plan.ai)
        facts = found.model_dump(exclude={"status"})
    nothing = _without_rows("dry_run", query_id, plan.engine)
    return _make_result(text, nothing.model_copy(update={"dry_run": facts}))


def _answer_running(run: Run[Answer], handle: str) -> CallToolResult:
    settings = app_context().settings
    text = (
        f"running ({run.stage}), {run.elapsed_seconds:.0f} s so far, handle {handle}\n"
        f"Call query_status(handle='{handle}') now: it waits up to {settings.wait_seconds:g} s for the result. "
        f"The query is stopped after {settings.query_timeout_seconds:g} s; cancel_query ends it sooner."
    )
    nothing = _without_rows("running", run.query_id, current_call().event.engine)
    so_far = {"handle": handle, "stage": run.stage, "elapsed_ms": round(run.elapsed_seconds * 1000)}
    return _make_result(text, nothing.model_copy(update=so_far))


def _without_rows(status: Literal["running", "dry_run"], query_id: str, engine: str) -> SqlResult:
    return SqlResult(
        status=status,
        columns=[],
        rows=[],
        row_count=0,
        total_rows=None,
        truncated=False,
        elapsed_ms=0,
        query_id=query_id,
        engine=engine,
        warnings=[],
        warning_codes=[],
        handle=None,
        stage=None,
        dry_run=None,
        ai=None,
    )


def _make_result(text: str, structured: BaseModel) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured.model_dump())
