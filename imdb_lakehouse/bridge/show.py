"""Steps and results on a terminal. Text of models and data is untrusted: control characters are replaced."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TextIO

from ai_functions.types import NANOS_PER_DOLLAR, Usage, dollars
from imdb_lakehouse.bridge.client import ToolResult
from imdb_lakehouse.bridge.transcript import Intent, ToolStep
from imdb_lakehouse.bridge.turn import Event, Turn
from lakehouse.escaping import replace_controls

_BREAKS = re.compile(r"[\t\n]+")
_NUMBERS = re.compile(r"(tinyint|smallint|int|bigint|float|double|decimal)\b")


def print_text(text: str, where: TextIO) -> None:
    """Print text with control characters replaced."""
    print(replace_controls(text), file=where, flush=True)


def print_event(event: Event, where: TextIO) -> None:
    """Print a tool call when it starts and when it ends."""
    match event:
        case Intent():
            print_text(f"→ {event.call.name}: {event.reasoning or event.call.arguments}", where)
            if event.sql:
                print_text(_indent_lines(event.sql), where)
        case ToolStep():
            print_text(f"← {event.intent.call.name}: {_describe_result(event.result)}, {event.seconds:.2f} s", where)


def print_table(content: Mapping[str, Any], where: TextIO, most: int | None = None) -> None:
    """Print a result as a table of at most `most` rows, and the server's warnings."""
    from rich.console import Console  # imported late: it is slow, and not every answer has a table
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in content["columns"]:
        justify = "right" if _NUMBERS.match(column["type"]) else "left"
        table.add_column(Text(_to_line(column["name"])), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in content["rows"][:most]:
        table.add_row(*(Text(_to_line(format_cell(cell))) for cell in row))
    # A pipe has no width; a fixed one keeps the table from being folded.
    console = Console(file=where, width=None if where.isatty() else 100_000, highlight=False)
    console.print(table)
    left = len(content["rows"]) - len(content["rows"][:most])
    notes = [f"… and {left:,} more rows"] * bool(left) + list(content["warnings"])
    for note in notes:
        console.print(Text(replace_controls(note), style="dim"))


def format_cell(cell: Any) -> str:
    """Format a cell; null is the empty string."""
    match cell:
        case None:
            return ""
        case str():
            return cell
    return json.dumps(cell, ensure_ascii=False)


def format_turn_cost(turn: Turn) -> str:
    """Format cost, tokens and duration of a question."""
    cost = format_money(turn.nanos, turn.ai_dollars)
    return f"{cost}, {format_tokens(turn.usage)}, {turn.seconds:.1f} s"


def format_money(nanos: int, ai_dollars: float) -> str:
    """Format the cost of the model, and of AI functions if there was any."""
    by_functions = round(ai_dollars * NANOS_PER_DOLLAR)
    return dollars(nanos) + (f" and {dollars(by_functions)} for AI functions" if by_functions else "")


def format_tokens(usage: Usage) -> str:
    """Format input and output tokens."""
    return f"{usage.input_tokens:,} tokens read and {usage.output_tokens:,} written"


def _describe_result(result: ToolResult) -> str:
    if result.failed:
        return f"failed: {result.text.splitlines()[0] if result.text else 'no reason given'}"
    if result.rows is None:
        return "done"
    return "1 row" if result.rows == 1 else f"{result.rows:,} rows"


def _indent_lines(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _to_line(text: str) -> str:
    return replace_controls(_BREAKS.sub(" ", text))
