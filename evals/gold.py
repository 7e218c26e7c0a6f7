"""The gold statements' results: from the same server, behind the same guard and limits, as those of the model."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bridge.client import SQL_TOOL, Lakehouse, ToolResult
from evals.compare import Gold, Row, Table
from evals.ordering import Ordering, ordering
from evals.questions import Question

_WIDER = 100
"""Rows beyond a LIMIT that are looked at for ties."""
_CUT = re.compile(r"…\[\+(?:more than )?\d+ chars\]$")


@dataclass(frozen=True)
class Known:
    """A question's gold result; `gold` is None where it cannot be known whole, and `fault` says why."""

    gold: Gold | None
    fault: str = ""


async def known(question: Question, lakehouse: Lakehouse) -> Known:
    """Run a question's gold statement. Raises ServerGoneError."""
    result = await _run(question.sql, question, lakehouse)
    table = table_of(result)
    if table is None:
        return Known(None, f"its gold statement fails: {result.text.splitlines()[0] if result.text else 'no reason'}")
    if table.truncated:
        text = f"its gold result is cut after {len(table.rows)} rows"
        return Known(None, f"{text}: raise the server's IMDB_MAX_ROWS or IMDB_MAX_RESULT_BYTES")
    if any(isinstance(cell, str) and _CUT.search(cell) for row in table.rows for cell in row):
        return Known(None, "cells of its gold result are cut: raise the server's IMDB_MAX_CELL_CHARS")
    by = ordering(question.sql)
    if question.ordered is False or (by is None and not question.ordered):
        return Known(Gold(table))
    order = by.visible(_names(result)) if by is not None else ()
    spare = await _spare(table.rows, by, order, question, lakehouse) if by is not None else ()
    return Known(Gold(table, order, spare))


def table_of(result: ToolResult) -> Table | None:
    """The table of a statement that has run, None for anything else."""
    match result.content:
        case {"status": "done", "columns": [*columns], "rows": [*rows], "truncated": bool(truncated)}:
            return Table(tuple(column["type"] for column in columns), tuple(map(tuple, rows)), truncated)
    return None


async def _run(sql: str, question: Question, lakehouse: Lakehouse) -> ToolResult:
    arguments = {"sql_query": sql, "reasoning": f"the gold statement of {question.id}"}
    return await lakehouse.call_tool(SQL_TOOL, arguments, since=lakehouse.generation)


def _names(result: ToolResult) -> list[str]:
    return [column["name"] for column in (result.content or {})["columns"]]


async def _spare(
    rows: Sequence[Row], by: Ordering, order: tuple[int, ...], question: Question, lakehouse: Lakehouse
) -> tuple[Row, ...]:
    """Rows that tie with the last one and were cut by the LIMIT."""
    if not order or not rows or by.limited != len(rows):
        return ()
    wider = table_of(await _run(by.widened(by.limited + _WIDER), question, lakehouse))
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


def described(gold: Gold) -> dict[str, Any]:
    """What a line of results says of it."""
    return {"rows": len(gold.table.rows), "columns": len(gold.table.types), "ordered": gold.order is not None}
