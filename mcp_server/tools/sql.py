"""`execute_spark_sql`: a statement in, rows out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from mcp_types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from mcp_server.results import Answer
from mcp_server.tools.calls import app_context, current_call


class ResultColumn(BaseModel):
    """A column of the answer, with its Spark SQL type."""

    name: str
    type: str


class SqlResult(BaseModel):
    """All fields are always there; rows are lists in column order."""

    status: Literal["done"]
    columns: list[ResultColumn]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    elapsed_ms: int
    query_id: str
    warnings: list[str]


async def execute_spark_sql(
    sql_query: str,
    reasoning: str,  # noqa: ARG001  (the wrapper around every call puts it into the audit)
    row_limit: Annotated[int, Field(ge=1)] | None = None,
) -> Annotated[CallToolResult, SqlResult]:
    """Run a statement that the guard allows."""
    answer = await app_context().service.ask(current_call(), sql_query, row_limit)
    return CallToolResult(
        content=[TextContent(type="text", text=answer.text)],
        structured_content=_structured(answer).model_dump(),
    )


def _structured(answer: Answer) -> SqlResult:
    return SqlResult(
        status="done",
        columns=[ResultColumn(name=name, type=kind) for name, kind in zip(answer.names, answer.types, strict=True)],
        rows=[list(row) for row in answer.rows],
        row_count=len(answer.rows),
        truncated=answer.truncated,
        elapsed_ms=answer.elapsed_ms,
        query_id=answer.query_id,
        warnings=list(answer.warnings),
    )
