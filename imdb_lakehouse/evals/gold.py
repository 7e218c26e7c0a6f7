"""Fetches the gold results from the same server, guard and limits as the model's results."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imdb_lakehouse.bridge.client import MOST_ROWS, SQL_TOOL, Lakehouse, ToolResult
from imdb_lakehouse.evals.compare import Gold, ResultTable, Row
from imdb_lakehouse.evals.ordering import Ordering, parse_ordering
from imdb_lakehouse.evals.questions import Question

_WIDER = 100
"""Rows beyond a LIMIT that are searched for ties."""
_CUT = re.compile(r"…\[\+(?:more than )?\d+ chars\]$")


@dataclass(frozen=True)
class GoldResult:
    """The gold result of a question. `gold` is None if it could not be fetched completely; `fault` is the reason."""

    gold: Gold | None
    fault: str = ""


async def fetch_gold(question: Question, lakehouse: Lakehouse) -> GoldResult:
    """Run the gold statement of a question. Raises ServerGoneError."""
    result = await _run_statement(question.sql, question, lakehouse)
    table = to_table(result)
    if table is None:
        return GoldResult(
            None, f"its gold statement fails: {result.text.splitlines()[0] if result.text else 'no reason'}"
        )
    if table.truncated:
        text = f"its gold result is cut after {len(table.rows)} rows"
        return GoldResult(None, f"{text}: raise the server's IMDB_MAX_ROWS or IMDB_MAX_RESULT_BYTES")
    if any(isinstance(cell, str) and _CUT.search(cell) for row in table.rows for cell in row):
        return GoldResult(None, "cells of its gold result are cut: raise the server's IMDB_MAX_CELL_CHARS")
    by = parse_ordering(question.sql)
    if question.ordered is False or (by is None and not question.ordered):
        return GoldResult(Gold(table))
    order = by.find_visible_columns(_list_columns(result)) if by is not None else ()
    spare = await _fetch_spare_rows(table.rows, by, order, question, lakehouse) if by is not None else ()
    return GoldResult(Gold(table, order, spare))


def to_table(result: ToolResult) -> ResultTable | None:
    """Convert the result of a finished statement to a table; None for other results."""
    match result.content:
        case {"status": "done", "columns": [*columns], "rows": [*rows], "truncated": bool(truncated)}:
            return ResultTable(tuple(column["type"] for column in columns), tuple(map(tuple, rows)), truncated)
    return None


async def _run_statement(sql: str, question: Question, lakehouse: Lakehouse) -> ToolResult:
    arguments = {"sql_query": sql, "reasoning": f"the gold statement of {question.id}", "row_limit": MOST_ROWS}
    return await lakehouse.call_tool(SQL_TOOL, arguments, since=lakehouse.generation)


def _list_columns(result: ToolResult) -> list[str]:
    return [column["name"] for column in (result.content or {})["columns"]]


async def _fetch_spare_rows(
    rows: Sequence[Row], by: Ordering, order: tuple[int, ...], question: Question, lakehouse: Lakehouse
) -> tuple[Row, ...]:
    """Fetch the rows that tie with the last one and were cut by the LIMIT."""
    if not order or not rows or by.row_limit != len(rows):
        return ()
    wider = to_table(await _run_statement(by.with_limit(by.row_limit + _WIDER), question, lakehouse))
    if wider is None:
        return ()
    tie = [rows[-1][i] for i in order]
    inside = Counter(json.dumps(row) for row in rows)
    cut = []
    for row in wider.rows:
        if inside[key := json.dumps(row)]:
            inside[key] -= 1
        elif [row[i] for i in order] == tie:
            cut.append(row)
    return tuple(cut)


def describe_gold(gold: Gold) -> dict[str, Any]:
    """Describe the gold result for a line of results."""
    return {"rows": len(gold.table.rows), "columns": len(gold.table.types), "ordered": gold.order is not None}
