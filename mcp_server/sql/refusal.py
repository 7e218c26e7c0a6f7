"""Refusals: a stable code, the piece and its position, the reason, and a form that works."""

from __future__ import annotations

from lakehouse.errors import Refused

SHOWN = 60
"""How many characters of the sender's own text a message repeats."""


def make_refusal(code: str, message: str, *, text: str = "", at: int | None = None) -> Refused:
    """Return the refusal to raise.

    `at` is an offset into `text`; the message then ends with the line and column, counted from 1.
    """
    return Refused(message if at is None else f"{message} (At {format_place(text, at)}.)", code=code)


def format_place(text: str, at: int) -> str:
    """Return the line and column of an offset, counted from 1."""
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    return f"line {line}, column {column}"


def clip(piece: str) -> str:
    """Shorten a piece of the caller's text for a message: at most `SHOWN` characters, printable, on one line."""
    line = "".join(c if c.isprintable() else " " for c in piece)
    return line if len(line) <= SHOWN else line[:SHOWN] + "…"
