"""One run of an AI function over some facts: its requests, their maximum cost, and their outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ai_functions.cache import Cached, CacheKey
from ai_functions.charges import Bounds
from ai_functions.functions import AiFunction
from ai_functions.outbox import ReadyCall
from ai_functions.tokens import input_tokens
from ai_functions.types import AiEstimate, Facts, Outcome, Price, Usage

_NO_TIME = "There was no time left to ask the model, or to wait for another query that asks it the same. Ask again."


@dataclass(frozen=True)
class ModelTerms:
    """Which model applies a function, and what it costs."""

    model: str
    price: Price


class Job:
    """One run: requests and outcomes by cache key. `open` are the keys without an outcome."""

    def __init__(self, function: AiFunction, terms: ModelTerms, items: Sequence[Facts]) -> None:
        self.terms = terms
        self.outcomes: dict[CacheKey, Outcome] = {}
        self._function = function
        self._order = [CacheKey.of(function.name, function.version, terms.model, facts) for facts in items]
        self._requests = {
            key: function.build_request(facts, terms.model) for key, facts in zip(self._order, items, strict=True)
        }
        self._input_tokens: dict[CacheKey, int] = {}

    @property
    def count(self) -> int:
        return len(self._requests)

    @property
    def done(self) -> int:
        return len(self.outcomes)

    @property
    def nanos(self) -> int:
        return sum(outcome.nanos for outcome in self.outcomes.values())

    @property
    def open(self) -> list[CacheKey]:
        return [key for key in self._requests if key not in self.outcomes]

    def take_cached(self, found: Mapping[CacheKey, Cached]) -> None:
        """Take the outcomes of cached answers, which cost nothing."""
        for key, entry in found.items():
            self.outcomes[key] = Outcome(entry.text, None, cached=True, usage=entry.usage, nanos=0)

    def estimate(self) -> AiEstimate:
        calls = self.open
        tokens = sum(self._count_tokens(key) for key in calls)
        written = self._function.max_output_tokens * len(calls)
        nanos = self.terms.price.of(Usage(tokens, written))
        return AiEstimate(len(self._order), len(calls), len(self.outcomes), tokens, written, nanos)

    def ready_calls(self) -> list[ReadyCall]:
        """The open calls with the bounds of each."""
        return [self._ready_call(key) for key in self.open]

    def close_open(self) -> None:
        """Close all open keys with the reason that there was no time."""
        for key in self.open:
            self.outcomes[key] = Outcome(None, _NO_TIME, cached=False, usage=None, nanos=0)

    def in_order(self) -> list[Outcome]:
        """The outcomes in the order of the items. Only the first of equal items has a cost."""
        seen: set[CacheKey] = set()
        found = []
        for key in self._order:
            outcome = self.outcomes[key]
            again = replace(outcome, cached=outcome.text is not None, nanos=0, doubt=None)
            found.append(again if key in seen else outcome)
            seen.add(key)
        return found

    def _ready_call(self, key: CacheKey) -> ReadyCall:
        request = self._requests[key]
        most = Usage(self._count_tokens(key), self._function.max_output_tokens)
        return ReadyCall(key, request, Bounds.of(request.system + request.user, most), self.terms.price)

    def _count_tokens(self, key: CacheKey) -> int:
        if key not in self._input_tokens:
            self._input_tokens[key] = input_tokens(self._requests[key])
        return self._input_tokens[key]
