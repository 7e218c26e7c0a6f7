"""How steps and results look on a terminal. Models and data are strangers: what they say gives it no orders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TextIO

from ai_functions.types import NANOS_PER_DOLLAR, Usage, dollars
from bridge.client import ToolResult
from bridge.transcript import Intent, Step
from bridge.turn import Event, Turn
from lakehouse.escaping import replace_controls

_BREAKS = re.compile(r"[\t\n]+")
_NUMBERS = re.compile(r"(tinyint|smallint|int|bigint|float|double|decimal)\b")


def show(text: str, where: TextIO) -> None:
    """Print it without controls."""
    print(replace_controls(text), file=where, flush=True)


def show_event(event: Event, where: TextIO) -> None:
    """A tool call as it happens."""
    match event:
        case Intent():
            show(f"→ {event.call.name}: {event.reasoning or event.call.arguments}", where)
            if event.sql:
                show(_indented(event.sql), where)
        case Step():
            show(f"← {event.intent.call.name}: {_came(event.result)}, {event.seconds:.2f} s", where)


def show_table(content: Mapping[str, Any], where: TextIO, most: int | None = None) -> None:
    """A result as a table, at most so many rows of it, and what the server warned of."""
    from rich.console import Console  # late: it is slow, and not every answer has a table
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in content["columns"]:
        justify = "right" if _NUMBERS.match(column["type"]) else "left"
        table.add_column(Text(_line(column["name"])), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in content["rows"][:most]:
        table.add_row(*(Text(_line(cell_text(cell))) for cell in row))
    # A pipe has no width of its own, and a table must not be folded for it.
    console = Console(file=where, width=None if where.isatty() else 100_000, highlight=False)
    console.print(table)
    left = len(content["rows"]) - len(content["rows"][:most])
    notes = [f"… and {left:,} more rows"] * bool(left) + list(content["warnings"])
    for note in notes:
        console.print(Text(replace_controls(note), style="dim"))


def cell_text(cell: Any) -> str:
    """A cell for people; null is nothing."""
    match cell:
        case None:
            return ""
        case str():
            return cell
    return json.dumps(cell, ensure_ascii=False)


def cost_line(turn: Turn) -> str:
    """What a question took."""
    cost = money(turn.nanos, turn.ai_dollars)
    return f"{cost}, {tokens(turn.usage)}, {turn.seconds:.1f} s"


def money(nanos: int, ai_dollars: float) -> str:
    """What the model cost, and what AI functions did, if they did."""
    by_functions = round(ai_dollars * NANOS_PER_DOLLAR)
    return dollars(nanos) + (f" and {dollars(by_functions)} for AI functions" if by_functions else "")


def tokens(usage: Usage) -> str:
    return f"{usage.input_tokens:,} tokens read and {usage.output_tokens:,} written"


def _came(result: ToolResult) -> str:
    if result.failed:
        return f"failed: {result.text.splitlines()[0] if result.text else 'no reason given'}"
    if result.rows is None:
        return "done"
    return "1 row" if result.rows == 1 else f"{result.rows:,} rows"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _line(text: str) -> str:
    return replace_controls(_BREAKS.sub(" ", text))
