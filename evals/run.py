"""Question after question, within the budget; what is known is on the disk before the next one is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from bridge.client import Lakehouse
from bridge.model import ChatModel
from bridge.turn import Turn, TurnContext, TurnLimits, run_turn
from evals.compare import Gold
from evals.gold import described, known
from evals.questions import Question
from evals.results import Key, ResultFile
from evals.score import Score, facts, score
from lakehouse.ai.types import Usage, dollars

_MOST_ERRORS = 3
"""Questions one after the other that could not be asked: then the run ends."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is asked: `repeat` times each question, for `nanos` nano-dollars in all, None for any."""

    questions: tuple[Question, ...]
    repeat: int
    limits: TurnLimits
    nanos: int | None

    @property
    def keys(self) -> list[Key]:
        """All attempts, in the order in which they are made: every question once, then again."""
        return [(question.id, attempt) for attempt in range(1, self.repeat + 1) for question in self.questions]


@dataclass(frozen=True)
class Ended:
    """`unknown` are questions without a gold result, which are not asked; `early` says why the run ended early."""

    unknown: Mapping[str, str]
    early: str | None


async def evaluate(plan: Plan, model: ChatModel, lakehouse: Lakehouse, results: ResultFile, say: Say) -> Ended:
    """Ask all that has not been asked. Raises ServerGoneError where the gold statements cannot be run."""
    golds, unknown = await _golds(plan, lakehouse, results, say)
    questions = {question.id: question for question in plan.questions}
    keys = [key for key in plan.keys if key[0] in golds and not results.done(key)]
    errors = 0
    for number, key in enumerate(keys, start=1):
        asking = _Asking(questions[key[0]], golds[key[0]], key, plan, results)
        found = await asking.put(model, lakehouse)
        say(f"[{number}/{len(keys)}] {_line(key, found, plan)}; {_so_far(results)}")
        if found.verdict == "budget":
            return Ended(unknown, _spent_up(plan, results))
        errors = errors + 1 if found.verdict == "error" else 0
        if errors == _MOST_ERRORS:
            return Ended(unknown, f"{errors} questions one after the other could not be asked. {found.reason}")
    return Ended(unknown, None)


async def _golds(
    plan: Plan, lakehouse: Lakehouse, results: ResultFile, say: Say
) -> tuple[dict[str, Gold], dict[str, str]]:
    """The gold results of all questions that are to be asked, before anything is spent."""
    golds: dict[str, Gold] = {}
    unknown: dict[str, str] = {}
    started = time.monotonic()
    for question in plan.questions:
        if all(results.done((question.id, attempt)) for attempt in range(1, plan.repeat + 1)):
            continue
        found = await known(question, lakehouse)
        if found.gold is None:
            unknown[question.id] = found.fault
            say(f"{question.id} is not asked: {found.fault}")
        else:
            golds[question.id] = found.gold
    if golds:
        say(f"{len(golds)} gold results in {time.monotonic() - started:.1f} s")
    return golds, unknown


class _Asking:
    """An attempt under way."""

    def __init__(self, question: Question, gold: Gold, key: Key, plan: Plan, results: ResultFile) -> None:
        self._question, self._gold, self._key, self._results = question, gold, key, results
        left = plan.limits.nanos if plan.nanos is None else max(plan.nanos - results.spent, 0)
        self._poor = left < plan.limits.nanos
        self._limits = replace(plan.limits, nanos=min(left, plan.limits.nanos))
        self._nanos = 0

    async def put(self, model: ChatModel, lakehouse: Lakehouse) -> Score:
        """Ask, score and keep it."""
        self._results.begin(self._key, self._limits.nanos)
        try:
            turn = await run_turn(
                self._question.text, model, lakehouse, self._limits, context=TurnContext(on_cost=self._meter)
            )
        except BaseException:
            self._results.lose(self._nanos)
            raise
        found = score(turn, self._gold, poor=self._poor)
        self._results.end(self._record(turn, found))
        return found

    def _meter(self, _: Usage, nanos: int) -> None:
        self._nanos = nanos

    def _record(self, turn: Turn, found: Score) -> dict[str, Any]:
        name, attempt = self._key
        return {
            "id": name,
            "attempt": attempt,
            "question": self._question.text,
            "match": found.match,
            "verdict": found.verdict,
            "reason": found.reason,
            "any_match": found.any_match,
            "rows_match": found.rows_match,
            "extra_columns": found.extra_columns,
            "rows": found.rows,
            "sql": found.sql,
            "gold": {"sql": self._question.sql, **described(self._gold)},
            **facts(turn),
            **{name: list(values) for name, values in self._question.groups.items()},
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _line(key: Key, found: Score, plan: Plan) -> str:
    name, attempt = key
    which = f"{name} (time {attempt})" if plan.repeat > 1 else name
    return f"{which}: {found.verdict}" + (f" ({found.reason.splitlines()[0]})" if found.reason else "")


def _so_far(results: ResultFile) -> str:
    judged: Sequence[Mapping[str, Any]] = [each for key, each in results.latest.items() if results.done(key)]
    return f"so far {sum(each['match'] for each in judged)} of {len(judged)}, {dollars(results.spent)}"


def _spent_up(plan: Plan, results: ResultFile) -> str:
    return (
        f"The budget of {dollars(plan.nanos or 0)} does not suffice for another question: {dollars(results.spent)} are "
        "spent. Run it again with a larger --budget; what is done is kept."
    )
