"""Asks contenders questions in turn and keeps what each took. A failure is a result."""

from __future__ import annotations

import math
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.contenders import AskError, Contender
from bench.memory import read_peaks, read_processor_seconds, reset_peaks

_SAME = 1e-6
"""Relative difference up to which two numbers are one: engines add doubles up in another order."""


@dataclass(frozen=True)
class Question:
    """A question and the text that each contender gets. `group` is `questions` or `look-ups`."""

    id: str
    group: str
    texts: Mapping[str, str]


@dataclass
class Measurement:
    """What one contender took for one question: milliseconds, bytes, and what it answered.

    `cpu_ms` is the processor time of each run, the first one included: on a busy machine it says more than the clock.
    """

    first_ms: float | None = None
    warm_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    rows: int = 0
    row: list[Any] | None = None
    error: str | None = None
    differs: str | None = None

    @property
    def ms(self) -> float | None:
        """Median of the warm runs, or the first where time was up before another. None where it was not answered."""
        if self.error is not None:
            return None
        return statistics.median(self.warm_ms) if self.warm_ms else self.first_ms

    @property
    def cpu(self) -> float | None:
        """Median of the processor time in milliseconds. None where the question was not answered."""
        return statistics.median(self.cpu_ms) if self.cpu_ms and self.error is None else None


@dataclass
class LakeResult:
    """All that was measured on one lake. `found` is by question and contender."""

    name: str
    titles: int
    credits: int
    groups: dict[str, str]
    start_ms: dict[str, float]
    load_before: float
    load_after: float
    found: dict[str, dict[str, Measurement]]

    def medians(self, contender: str, group: str, *, cpu: bool = False) -> dict[str, float]:
        """The median in milliseconds of each question of a group that a contender has answered; of its processor time
        with `cpu`."""
        found = {
            question: measured[contender].cpu if cpu else measured[contender].ms
            for question, measured in self.found.items()
            if self.groups[question] == group and contender in measured
        }
        return {question: each for question, each in found.items() if each is not None}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_questions(
    questions: Sequence[Question],
    contenders: Sequence[Contender],
    runs: Mapping[str, int],
    enough_seconds: float,
    until: float = math.inf,
) -> dict[str, dict[str, Measurement]]:
    """Ask each question of each contender, first once and then `runs` times, all contenders in turn.

    Who begins changes from round to round. A contender that has failed a question is not asked it again, nor is one
    whose warm runs of it have taken `enough_seconds` in all. From `until` on, by `time.monotonic`, none is repeated.
    """
    found = {question.id: {contender.name: Measurement() for contender in contenders} for question in questions}
    for turn in range(max(runs.values()) + 1):
        for question in questions:
            for place in range(len(contenders)):
                contender = contenders[(turn + place) % len(contenders)]
                measured = found[question.id][contender.name]
                is_enough = turn > runs[contender.name] or sum(measured.warm_ms) >= enough_seconds * 1_000
                is_enough = is_enough or (turn > 0 and time.monotonic() >= until)
                if measured.error is None and not is_enough:
                    _ask(contender, question.texts[contender.name], measured)
        print(f"  round {turn} done, load average {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    for question in questions:
        _compare_answers(found[question.id])
    return found


def _ask(contender: Contender, sql: str, measured: Measurement) -> None:
    before = 0.0
    if contender.pid is not None:
        reset_peaks(contender.pid)
        before = read_processor_seconds(contender.pid)
    try:
        answer = contender.ask(sql)
    except AskError as error:
        measured.error = str(error)
        return
    if contender.pid is not None:
        measured.peak_bytes = max(measured.peak_bytes, read_peaks(contender.pid))
        if (spent := read_processor_seconds(contender.pid) - before) > 0:  # else a process was replaced meanwhile
            measured.cpu_ms.append(spent * 1_000)
    measured.rows, measured.row = answer.rows, answer.first
    if measured.first_ms is None:
        measured.first_ms = answer.ms
    else:
        measured.warm_ms.append(answer.ms)


def _compare_answers(measured: Mapping[str, Measurement]) -> None:
    """Say of each answer how it differs from that of the first contender: another question would have been timed."""
    reference, *others = measured.values()
    for other in others:
        if reference.error or other.error:
            continue
        if reference.rows != other.rows:
            other.differs = f"{other.rows} rows instead of {reference.rows}"
        elif not _is_same(reference.row, other.row):
            other.differs = f"first row {other.row} instead of {reference.row}"


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if one == other:
        return True
    try:  # decimals come as texts
        return math.isclose(float(one), float(other), rel_tol=_SAME)
    except (TypeError, ValueError):
        return False
