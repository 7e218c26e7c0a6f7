"""Input lines, typed in a terminal or read from a pipe."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from lakehouse.escaping import repair_text

MAX_HISTORY_LINES = 1_000
"""Lines kept in the history file."""


def read_piped_lines(stream: TextIO) -> Iterator[str]:
    """Yield the lines of a pipe or file without their line ends."""
    for line in stream:
        yield repair_text(line.rstrip("\n"))


def read_typed_lines(prompt: str, history: Path, words: Sequence[str]) -> Iterator[str]:
    """Yield the lines that are typed, until Ctrl-D. Ctrl-C discards the current line.

    Lines can be edited and are stored in `history` (mode 600). Tab completes one of `words`.
    """
    _set_up_readline(history, words)
    while True:
        try:
            line = input(prompt)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            continue
        line = repair_text(line)
        _append_to_history(line, history)
        yield line


def _set_up_readline(history: Path, words: Sequence[str]) -> None:
    import readline  # imported late: only a terminal needs it

    with suppress(OSError):  # the history is optional
        os.close(os.open(history, os.O_CREAT | os.O_RDONLY, 0o600))
        history.chmod(0o600)
        readline.read_history_file(history)
    readline.set_auto_history(False)
    readline.set_history_length(MAX_HISTORY_LINES)
    readline.set_completer_delims(" \t\n")
    readline.set_completer(lambda text, state: _complete_word(text, words)[state])
    is_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")


def _complete_word(text: str, words: Sequence[str]) -> list[str | None]:
    return [*(word for word in words if text and word.startswith(text)), None]


def _append_to_history(line: str, history: Path) -> None:
    import readline

    count = readline.get_current_history_length()
    if not line.strip() or (count and readline.get_history_item(count) == line):
        return
    readline.add_history(line)
    with suppress(OSError):
        readline.append_history_file(1, history)
