"""Runs the questions within the budget; each result is on disk before the next question is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ai_functions.types import Usage, dollars
from imdb_lakehouse.bridge.client import Lakehouse
from imdb_lakehouse.bridge.model import ChatModel
from imdb_lakehouse.bridge.transcript import Exchange
from imdb_lakehouse.bridge.turn import Turn, TurnContext, TurnLimits, run_turn
from imdb_lakehouse.evals.compare import Gold
from imdb_lakehouse.evals.gold import describe_gold, fetch_gold
from imdb_lakehouse.evals.questions import Question
from imdb_lakehouse.evals.results import Key, ResultFile
from imdb_lakehouse.evals.score import Score, describe_turn, score_turn

_MAX_ERRORS = 3
"""Consecutive questions that could not be asked before the run ends."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class EvaluationPlan:
    """The questions, asked `repeat` times each, for at most `nanos` nano-dollars in total (None: no limit)."""

    questions: tuple[Question, ...]
    repeat: int
    limits: TurnLimits
    nanos: int | None

    @property
    def keys(self) -> list[Key]:
        """All attempts in order: every question once, then again."""
        return [(question.id, attempt) for attempt in range(1, self.repeat + 1) for question in self.questions]


@dataclass(frozen=True)
class EvaluationEnd:
    """End of a run. `unknown` maps questions without a gold result, which are not asked, to the reason; `early` is the
    reason of an early end, else None.
    """

    unknown: Mapping[str, str]
    early: str | None


async def run_plan(
    plan: EvaluationPlan, model: ChatModel, lakehouse: Lakehouse, results: ResultFile, say: Say
) -> EvaluationEnd:
    """Ask all questions that have no judged attempt. Raises ServerGoneError if the gold statements cannot be run."""
    golds, unknown = await _fetch_golds(plan, lakehouse, results, say)
    questions = {question.id: question for question in plan.questions}
    keys = [key for key in plan.keys if key[0] in golds and not results.is_done(key)]
    errors = 0
    for number, key in enumerate(keys, start=1):
        attempt = _Attempt(questions[key[0]], golds[key[0]], key, plan, results)
        found = await attempt.run_attempt(model, lakehouse)
        say(f"[{number}/{len(keys)}] {_format_line(key, found, plan)}; {_format_progress(results)}")
        if found.verdict == "budget":
            return EvaluationEnd(unknown, _describe_budget_end(plan, results))
        errors = errors + 1 if found.verdict == "error" else 0
        if errors == _MAX_ERRORS:
            return EvaluationEnd(unknown, f"{errors} questions one after the other could not be asked. {found.reason}")
    return EvaluationEnd(unknown, None)


async def _fetch_golds(
    plan: EvaluationPlan, lakehouse: Lakehouse, results: ResultFile, say: Say
) -> tuple[dict[str, Gold], dict[str, str]]:
    """Fetch the gold results of all questions to ask, before anything is spent."""
    golds: dict[str, Gold] = {}
    unknown: dict[str, str] = {}
    started = time.monotonic()
    for question in plan.questions:
        if all(results.is_done((question.id, attempt)) for attempt in range(1, plan.repeat + 1)):
            continue
        found = await fetch_gold(question, lakehouse)
        if found.gold is None:
            unknown[question.id] = found.fault
            say(f"{question.id} is not asked: {found.fault}")
        else:
            golds[question.id] = found.gold
    if golds:
        say(f"{len(golds)} gold results in {time.monotonic() - started:.1f} s")
    return golds, unknown


class _Attempt:
    """One attempt at a question."""

    def __init__(self, question: Question, gold: Gold, key: Key, plan: EvaluationPlan, results: ResultFile) -> None:
        self._question, self._gold, self._key, self._results = question, gold, key, results
        left = plan.limits.nanos if plan.nanos is None else max(plan.nanos - results.spent, 0)
        self._has_less_budget = left < plan.limits.nanos
        self._limits = replace(plan.limits, nanos=min(left, plan.limits.nanos))
        self._nanos = 0

    async def run_attempt(self, model: ChatModel, lakehouse: Lakehouse) -> Score:
        """Ask the question, score the turn and store the result."""
        self._results.begin_attempt(self._key, self._limits.nanos)
        try:
            history = [Exchange(question, answer) for question, answer in self._question.before]
            context = TurnContext(on_cost=self._record_cost)
            turn = await run_turn(self._question.text, model, lakehouse, self._limits, history=history, context=context)
        except BaseException:
            self._results.add_lost(self._nanos)
            raise
        found = score_turn(turn, self._gold, poor=self._has_less_budget)
        self._results.end_attempt(self._to_record(turn, found))
        return found

    def _record_cost(self, _: Usage, nanos: int) -> None:
        self._nanos = nanos

    def _to_record(self, turn: Turn, found: Score) -> dict[str, Any]:
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
            "gold": {"sql": self._question.sql, **describe_gold(self._gold)},
            **describe_turn(turn),
            **{name: list(values) for name, values in self._question.groups.items()},
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _format_line(key: Key, found: Score, plan: EvaluationPlan) -> str:
    name, attempt = key
    which = f"{name} (time {attempt})" if plan.repeat > 1 else name
    return f"{which}: {found.verdict}" + (f" ({found.reason.splitlines()[0]})" if found.reason else "")


def _format_progress(results: ResultFile) -> str:
    judged: Sequence[Mapping[str, Any]] = [each for key, each in results.latest.items() if results.is_done(key)]
    return f"so far {sum(each['match'] for each in judged)} of {len(judged)}, {dollars(results.spent)}"


def _describe_budget_end(plan: EvaluationPlan, results: ResultFile) -> str:
    return (
        f"The budget of {dollars(plan.nanos or 0)} does not suffice for another question: {dollars(results.spent)} are "
        "spent. Run it again with a larger --budget; what is done is kept."
    )
