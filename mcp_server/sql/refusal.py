"""How the guard says no: a stable code, the piece and its place, why, and a form that works."""

from __future__ import annotations

from lakehouse.errors import Refused

SHOWN = 60
"""How many characters of the sender's own text a message repeats."""


def refused(code: str, message: str, *, text: str = "", at: int | None = None) -> Refused:
    """The refusal to raise. `at` is an offset into `text`; the message ends with its line and column, from 1."""
    return Refused(message if at is None else f"{message} (At {place(text, at)}.)", code=code)


def place(text: str, at: int) -> str:
    """The line and column of an offset, both from 1."""
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    return f"line {line}, column {column}"


def shown(piece: str) -> str:
    """A piece of the sender's text as a message may repeat it: short, in one line, printable."""
    line = "".join(c if c.isprintable() else " " for c in piece)
    return line if len(line) <= SHOWN else line[:SHOWN] + "…"
