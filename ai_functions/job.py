"""One run of an AI function over some facts: what is asked, what it may cost, and what came of it."""

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
class Terms:
    """Which model applies a function, and what it costs."""

    model: str
    price: Price


class Job:
    """One run: what is asked, and what came of it. `open` is what has no outcome."""

    def __init__(self, function: AiFunction, terms: Terms, items: Sequence[Facts]) -> None:
        self.terms = terms
        self.outcomes: dict[CacheKey, Outcome] = {}
        self._function = function
        self._order = [CacheKey.of(function.name, function.version, terms.model, facts) for facts in items]
        self._requests = {
            key: function.request(facts, terms.model) for key, facts in zip(self._order, items, strict=True)
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
        """Note what somebody paid for before."""
        for key, entry in found.items():
            self.outcomes[key] = Outcome(entry.text, None, cached=True, usage=entry.usage, nanos=0)

    def estimate(self) -> AiEstimate:
        calls = self.open
        tokens = sum(self._tokens(key) for key in calls)
        written = self._function.max_output_tokens * len(calls)
        nanos = self.terms.price.of(Usage(tokens, written))
        return AiEstimate(len(self._order), len(calls), len(self.outcomes), tokens, written, nanos)

    def calls(self) -> list[ReadyCall]:
        """All that is open, with what each call can take."""
        return [self._call(key) for key in self.open]

    def conclude(self) -> None:
        """Give all that is still open the reason that there was no time."""
        for key in self.open:
            self.outcomes[key] = Outcome(None, _NO_TIME, cached=False, usage=None, nanos=0)

    def in_order(self) -> list[Outcome]:
        """An outcome for each item. Only the first of equal ones has a cost."""
        seen: set[CacheKey] = set()
        found = []
        for key in self._order:
            outcome = self.outcomes[key]
            again = replace(outcome, cached=outcome.text is not None, nanos=0, doubt=None)
            found.append(again if key in seen else outcome)
            seen.add(key)
        return found

    def _call(self, key: CacheKey) -> ReadyCall:
        request = self._requests[key]
        most = Usage(self._tokens(key), self._function.max_output_tokens)
        return ReadyCall(key, request, Bounds.of(request.system + request.user, most), self.terms.price)

    def _tokens(self, key: CacheKey) -> int:
        if key not in self._input_tokens:
            self._input_tokens[key] = input_tokens(self._requests[key])
        return self._input_tokens[key]
