"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "warning", "failure"]
"""`failure`: the server would not start or not answer; `warning`: it works, and something is missing or unprotected."""

LEVELS: Final[tuple[Level, ...]] = ("ok", "warning", "failure")


@dataclass(frozen=True)
class Finding:
    """One line of a report. `advice` says what to do; it is empty where nothing has to be done."""

    check: str
    level: Level
    text: str
    advice: str = ""
