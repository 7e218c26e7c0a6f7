"""AI functions in the server: what the guard is told of them, and the things and rows that they are applied to.

resolve   arguments → the things that are meant
apply     things → facts → texts in the rows, and what it cost

Spending, and all that it needs, is `ai_functions.service`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ai_functions.functions import AiFunction, functions
from ai_functions.service import AiService
from ai_functions.types import NANOS_PER_DOLLAR, AiEstimate, AiUnavailable, Facts, Outcome, Spender
from mcp_server.ai.apply import ARGUMENT_CHARS, EnterStage, fill_columns, prepare_tasks, run_tasks
from mcp_server.ai.resolve import LookUp
from mcp_server.models import Caps, CheckedQuery, ResultSet
from mcp_server.results.ai import AiPlan, AiUse, plan_of, to_dollars
from mcp_server.settings import Settings

__all__ = ["Ai", "AiText", "argument_caps", "key_columns"]


def argument_caps(caps: Caps) -> Caps:
    """The caps on rows that AI functions are applied to: names have to come whole."""
    return replace(caps, cell_chars=max(caps.cell_chars, ARGUMENT_CHARS))


def key_columns() -> Mapping[str, str]:
    """All AI functions by name, and the key column of what each is about, lower case."""
    return {name.lower(): function.key.lower() for name, function in functions().items()}


@dataclass(frozen=True)
class AiText:
    """What a function wrote of one thing: the model, the most that it could cost, and what came of it."""

    function: str
    model: str
    estimate: AiEstimate
    outcome: Outcome

    @property
    def was_called(self) -> bool:
        """Whether the model was called for it, rather than the cache asked."""
        return not self.outcome.cached and bool(self.outcome.text or self.outcome.usage or self.outcome.nanos)


class Ai:
    """The AI functions of a server. Thread-safe."""

    def __init__(self, service: AiService, settings: Settings) -> None:
        self._service = service
        self._budget_nanos = round(settings.ai_query_budget * NANOS_PER_DOLLAR)

    def require_models(self, query: CheckedQuery) -> None:
        """Raise AiUnavailable where a function of a query could not be applied to its rows."""
        for column in query.ai:
            self._service.terms(functions()[column.function])

    def plan(self, query: CheckedQuery) -> AiPlan:
        """Return the maximal cost of the functions of a query, without running anything."""
        names = list(dict.fromkeys(column.function for column in query.ai))
        try:
            models = [self._service.terms(functions()[name]).model for name in names]
            parts = [self._service.ceiling(functions()[column.function], query.limit.rows) for column in query.ai]
        except AiUnavailable as why:
            calls = query.limit.rows * len(query.ai)
            return AiPlan(
                functions=names,
                models=[],
                calls=calls,
                input_tokens=None,
                output_tokens=None,
                estimate_usd=None,
                note=str(why),
            )
        return plan_of(names, list(dict.fromkeys(models)), _add_estimates(parts), self._budget_nanos)

    def charged_usd(self, spender: Spender) -> float:
        """Return the charges of a query so far, running calls at their maximum; 0 where the ledger is unavailable."""
        try:
            return to_dollars(self._service.ledger.read_charged(spender))
        except AiUnavailable:
            return 0.0

    def write_text(
        self, function: AiFunction, facts: Facts, spender: Spender, *, seconds: float, tick: Callable[[], None]
    ) -> AiText:
        """Apply a function to one thing, within so many seconds; `tick` is called meanwhile and may raise to end it.

        Raises AiUnavailable, BudgetExceeded and RateLimited before anything is spent; what `tick` raises.
        """
        estimate = self._service.estimate(function, [facts])
        (outcome,) = self._service.run(function, [facts], spender, deadline_seconds=seconds, report=lambda *_: tick())
        return AiText(function.name, self._service.terms(function).model, estimate, outcome)

    def apply_functions(
        self,
        found: ResultSet,
        query: CheckedQuery,
        *,
        look_up: LookUp,
        spender: Spender,
        seconds_left: Callable[[], float],
        enter_stage: EnterStage,
    ) -> tuple[ResultSet, AiUse]:
        """The rows of a query with the texts of its functions, and what they took.

        `look_up` runs statements on the query's engine; it is not called any more once something is spent.
        Raises AiUnavailable, BudgetExceeded and RateLimited before anything is; what `look_up` and `enter_stage` raise.
        """
        tasks = prepare_tasks(functions(), found, query, look_up)
        done = run_tasks(self._service, tasks, spender, self._budget_nanos, seconds_left, enter_stage)
        return fill_columns(found, query, tasks, done)


def _add_estimates(parts: list[AiEstimate]) -> AiEstimate:
    return AiEstimate(
        items=sum(part.items for part in parts),
        calls=sum(part.calls for part in parts),
        hits=0,
        input_tokens=sum(part.input_tokens for part in parts),
        output_tokens=sum(part.output_tokens for part in parts),
        nanos=sum(part.nanos for part in parts),
    )
