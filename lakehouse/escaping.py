"""Text from outside made harmless for a log, a terminal or a line of a schema.

Names of clients and prompts, comments of tables, cells and file contents are chosen by strangers. A newline in one
begins a line that nobody wrote, ESC gives orders to a terminal, and U+202E turns the rest of a line around.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from typing import Final

MOST_QUOTED_CHARS: Final = 80
"""How much of a caller's text an answer repeats: enough to recognize it, whatever its length was."""

MOST_LISTED: Final = 40
"""How many names a message lists."""


def _escape(code: int) -> str:
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _table(kept: str = "") -> dict[int, str]:
    controls: tuple[Iterable[int], ...] = (
        range(0x20),
        range(0x7F, 0xA0),
        (0x061C, 0x200E, 0x200F),
        range(0x2028, 0x202F),  # separators of lines and paragraphs, embeddings and overrides of direction
        range(0x2066, 0x2070),  # isolates, and deprecated controls of shape
        range(0xD800, 0xE000),  # halves of surrogate pairs: no encoder takes them
        (0xFEFF,),
        range(0xFFF9, 0xFFFC),
        range(0xE0000, 0xE0080),  # tags: letters that a model reads and nobody sees
    )
    table = {code: _escape(code) for part in controls for code in part}
    table |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
    return {code: escaped for code, escaped in table.items() if chr(code) not in kept}


_ONE_LINE: Final = _table()
_LINES: Final = _table("\n\t")
_REPLACED: Final = dict.fromkeys(_LINES, "\N{REPLACEMENT CHARACTER}")


def escape_controls(text: str) -> str:
    r"""Rewrite every control character as its escape, line ends too.

    >>> escape_controls("a\nb\x1b[2J")
    'a\\nb\\x1b[2J'
    """
    return text if text.isprintable() else text.translate(_ONE_LINE)


def escape_lines(text: str) -> str:
    """Rewrite control characters, but leave line ends and tabs: for a text that has lines of its own."""
    return text if text.isprintable() else text.translate(_LINES)


def replace_controls(text: str) -> str:
    """Put U+FFFD for control characters, but leave line ends and tabs: for prose and tables, which have a width."""
    return text if text.isprintable() else text.translate(_REPLACED)


def repair_text(text: str) -> str:
    r"""Make text valid Unicode: halves of a surrogate pair are joined, a half without its other one becomes U+FFFD.

    Models, clients and terminals send lone halves, in JSON as `"\ud83d"`, and no file, database or response takes one.
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def ends_within_pair(text: str) -> bool:
    """Whether the last character is the first half of a surrogate pair, whose other one may come with the next text."""
    return "\ud800" <= text[-1:] <= "\udbff"


def cut_text(text: str, most: int) -> str:
    """The beginning of a text, and how much was left out."""
    return text if len(text) <= most else f"{text[:most]}…[+{len(text) - most} chars]"


def list_briefly(names: Sequence[str]) -> str:
    """Names in one line: the first of them, each cut where it is long, and how many more there are.

    >>> list_briefly(["titles", "ratings"])
    'titles, ratings'
    """
    shown = [escape_controls(cut_text(name, MOST_QUOTED_CHARS)) for name in names[:MOST_LISTED]]
    return ", ".join(shown) + (f" and {len(names) - len(shown):,} more" if len(names) > len(shown) else "")


def quote_briefly(value: object) -> str:
    """A caller's value as a message repeats it: quoted, escaped, at most `MOST_QUOTED_CHARS` characters of it."""
    if not isinstance(value, str):
        return cut_text(reprlib.repr(value), MOST_QUOTED_CHARS)
    head = value[:MOST_QUOTED_CHARS]
    return f"'{escape_controls(head)}{'…' if len(head) < len(value) else ''}'"
