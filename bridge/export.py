"""A session as a file: all of it as Markdown, or its last result as CSV. What is there already is never overwritten."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bridge.session import Entry, Session
from bridge.show import cell_text, money, tokens
from bridge.transcript import Step
from lakehouse.errors import UsageError
from lakehouse.escaping import replace_controls

_TICKS = re.compile(r"`++")


def export(session: Session, name: str) -> Path:
    """Write it and give the path. Raises UsageError where that cannot be done."""
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


def _csv(session: Session) -> str:
    """The last result: exact cells, null as nothing."""
    step = session.result
    if step is None or step.result.content is None:
        raise UsageError("There is no result yet. Ask something first, or run /sql.")
    content = step.result.content
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(column["name"] for column in content["columns"])
    writer.writerows([cell_text(cell) for cell in row] for row in content["rows"])
    return out.getvalue()


def _markdown(session: Session) -> str:
    """All questions and statements, with answers, SQL, results and costs."""
    if not session.entries:
        raise UsageError("Nothing was asked yet.")
    parts = ["# imdb-chat\n", *(_entry(entry) for entry in session.entries), f"---\n\n{_total(session)}\n"]
    return "\n".join(parts)


_WRITERS: Mapping[str, Callable[[Session], str]] = {".md": _markdown, ".csv": _csv}


def _entry(entry: Entry) -> str:
    title = _text(_join_lines(entry.text)) if entry.kind == "question" else "SQL"
    parts = [f"## {title}\n"]
    if entry.answer:
        parts.append(f"{_text(entry.answer)}\n")
    if entry.outcome == "cancelled":
        parts.append("Cancelled.\n")
    if entry.kind == "sql" and not entry.steps:
        parts.append(_fenced(entry.text, "sql"))
    parts += [_step(step, shown=step is entry.result) for step in entry.steps if step.intent.sql is not None]
    if entry.kind == "question":
        cost = money(entry.nanos, entry.ai_dollars)
        parts.append(f"{cost}, {tokens(entry.usage)}, {entry.seconds:.1f} s\n")
    return "\n".join(parts)


def _step(step: Step, *, shown: bool) -> str:
    """A statement and what came of it; the rows only of the one that counts."""
    parts = [_fenced(step.intent.sql or "", "sql")]
    content = step.result.content
    if step.result.failed:
        parts.append(_fenced(step.result.text, "text"))
    elif shown and content is not None:
        parts.append(_table(content))
    return "\n".join(parts)


def _table(content: Mapping[str, Any]) -> str:
    names = [column["name"] for column in content["columns"]]
    lines = [_row(names), _row(["---"] * len(names)), *(_row(row) for row in content["rows"])]
    lines += [f"\n{_text(warning)}" for warning in content["warnings"]]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[Any]) -> str:
    shown = (_text(_join_lines(cell_text(cell))).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |"


def _join_lines(text: str) -> str:
    """A text of several lines as one."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _text(text: str) -> str:
    """Text of strangers: no controls, and no HTML."""
    return html.escape(replace_controls(text), quote=False)


def _fenced(text: str, kind: str) -> str:
    """A block that nothing in the text can end."""
    fence = "`" * max(3, *(len(run) + 1 for run in _TICKS.findall(text)), 3)
    return f"{fence}{kind}\n{replace_controls(text)}\n{fence}\n"


def _total(session: Session) -> str:
    return f"In all: {money(session.nanos, session.ai_dollars)}, {tokens(session.usage)}"
