"""Exports a session as Markdown, or its last result as CSV. Existing files are never overwritten."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imdb_lakehouse.bridge.session import ChatSession, SessionEntry
from imdb_lakehouse.bridge.show import format_cell, format_money, format_tokens
from imdb_lakehouse.bridge.transcript import ToolStep
from lakehouse import result_files
from lakehouse.errors import UsageError
from lakehouse.escaping import replace_controls

_TICKS = re.compile(r"`++")


def export_session(session: ChatSession, name: str) -> Path:
    """Write the session to a `.md` or `.csv` file and return its path. Raises UsageError if it cannot be written."""
    path = Path(name).expanduser()
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise UsageError(f"What should {path.name} be? Name a .md file for all of the session, a .csv for the result.")
    text = write(session)
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already and is not overwritten. Give another name.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def _to_csv(session: ChatSession) -> str:
    step = session.result
    if step is None or step.result.content is None:
        raise UsageError("There is no result yet. Ask something first, or run /sql.")
    return to_csv(step.result.content)


def to_csv(content: Mapping[str, Any]) -> str:
    """Convert a result, as `lakehouse.result_files` does."""
    return result_files.to_csv([column["name"] for column in content["columns"]], content["rows"])


def to_json(content: Mapping[str, Any]) -> str:
    """Convert a result to one JSON object: columns, rows in column order, whether there are more, and warnings."""
    return json.dumps(
        {name: content[name] for name in ("columns", "rows", "truncated", "warnings")}, ensure_ascii=False
    )


def _to_markdown(session: ChatSession) -> str:
    """Convert all questions and statements, with answers, SQL, results and costs."""
    if not session.entries:
        raise UsageError("Nothing was asked yet.")
    parts = [
        "# imdb-chat\n",
        *(_format_entry(entry) for entry in session.entries),
        f"---\n\n{_format_total(session)}\n",
    ]
    return "\n".join(parts)


_WRITERS: Mapping[str, Callable[[ChatSession], str]] = {".md": _to_markdown, ".csv": _to_csv}


def _format_entry(entry: SessionEntry) -> str:
    title = _escape_text(_join_lines(entry.text)) if entry.kind == "question" else "SQL"
    parts = [f"## {title}\n"]
    if entry.answer:
        parts.append(f"{_escape_text(entry.answer)}\n")
    if entry.outcome == "cancelled":
        parts.append("Cancelled.\n")
    if entry.kind == "sql" and not entry.steps:
        parts.append(_fence_block(entry.text, "sql"))
    parts += [_format_step(step, shown=step is entry.result) for step in entry.steps if step.intent.sql is not None]
    if entry.kind == "question":
        cost = format_money(entry.nanos, entry.ai_dollars)
        parts.append(f"{cost}, {format_tokens(entry.usage)}, {entry.seconds:.1f} s\n")
    return "\n".join(parts)


def _format_step(step: ToolStep, *, shown: bool) -> str:
    """Format a statement and its result; the rows only if `shown`."""
    parts = [_fence_block(step.intent.sql or "", "sql")]
    content = step.result.content
    if step.result.failed:
        parts.append(_fence_block(step.result.text, "text"))
    elif shown and content is not None:
        parts.append(_format_table(content))
    return "\n".join(parts)


def _format_table(content: Mapping[str, Any]) -> str:
    names = [column["name"] for column in content["columns"]]
    lines = [_format_row(names), _format_row(["---"] * len(names)), *(_format_row(row) for row in content["rows"])]
    lines += [f"\n{_escape_text(warning)}" for warning in content["warnings"]]
    return "\n".join(lines) + "\n"


def _format_row(cells: Sequence[Any]) -> str:
    shown = (_escape_text(_join_lines(format_cell(cell))).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |"


def _join_lines(text: str) -> str:
    """Join the lines of a text by blanks."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _escape_text(text: str) -> str:
    """Escape untrusted text: no control characters, no HTML."""
    return html.escape(replace_controls(text), quote=False)


def _fence_block(text: str, kind: str) -> str:
    """Format a code block whose fence is longer than any run of backticks in the text."""
    fence = "`" * max(3, *(len(run) + 1 for run in _TICKS.findall(text)), 3)
    return f"{fence}{kind}\n{replace_controls(text)}\n{fence}\n"


def _format_total(session: ChatSession) -> str:
    return f"In all: {format_money(session.nanos, session.ai_dollars)}, {format_tokens(session.usage)}"
