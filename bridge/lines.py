"""Lines that a person types, or that another program sends."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

MOST_KEPT = 1_000
"""Lines of history that are kept."""


def piped(stream: TextIO) -> Iterator[str]:
    """The lines of a pipe or file."""
    for line in stream:
        yield line.rstrip("\n")


def typed(prompt: str, history: Path, words: Sequence[str]) -> Iterator[str]:
    """The lines that are typed, until Ctrl-D. Ctrl-C gives up a line.

    They can be edited and are kept in `history`, which its owner alone may read; Tab completes one of the words.
    """
    _set_up(history, words)
    while True:
        try:
            line = input(prompt)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            continue
        _keep(line, history)
        yield line


def _set_up(history: Path, words: Sequence[str]) -> None:
    import readline  # late: only a terminal has lines to edit

    with suppress(OSError):  # without its history the program is as good
        os.close(os.open(history, os.O_CREAT | os.O_RDONLY, 0o600))
        history.chmod(0o600)
        readline.read_history_file(history)
    readline.set_auto_history(False)
    readline.set_history_length(MOST_KEPT)
    readline.set_completer_delims(" \t\n")
    readline.set_completer(lambda text, state: _completed(text, words)[state])
    is_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")


def _completed(text: str, words: Sequence[str]) -> list[str | None]:
    return [*(word for word in words if text and word.startswith(text)), None]


def _keep(line: str, history: Path) -> None:
    import readline

    count = readline.get_current_history_length()
    if not line.strip() or (count and readline.get_history_item(count) == line):
        return
    readline.add_history(line)
    with suppress(OSError):
        readline.append_history_file(1, history)
