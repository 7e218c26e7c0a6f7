"""One run of an AI function over some facts: what is asked, what is reserved for it, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from lakehouse.ai.cache import Cached, CacheKey
from lakehouse.ai.calls import CallResult
from lakehouse.ai.functions import AiFunction
from lakehouse.ai.ledger import Ledger
from lakehouse.ai.tokens import input_tokens
from lakehouse.ai.types import (
    AiEstimate,
    AiUnavailable,
    Completion,
    Facts,
    ModelRequest,
    Outcome,
    Price,
    Spender,
    Usage,
)

MOST_TEXT_CHARS = 4_000
"""Length of an answer; no function asks for so much."""

# Control characters but the line break; marks that make text read otherwise than it is stored (Unicode TR 9); and what
# a person does not see and a model reads: tags, and marks of no width but the joiners that scripts and emoji need.
_UNSHOWN = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069"
    r"\ufeff\U000e0000-\U000e007f]+"
)

_NOTHING = "The model answered with nothing."
_REASONS = {"refused": "The model refused to answer.", "empty": _NOTHING}
_NO_TIME = "There was no time left to ask the model, or to wait for another query that asks it the same. Ask again."


@dataclass(frozen=True)
class Terms:
    """Which model applies a function, and what it costs."""

    model: str
    price: Price


@dataclass(frozen=True)
class Sent:
    """A call that is reserved and on its way: the number of its reservation, and its maximum."""

    key: CacheKey
    request: ModelRequest
    number: int
    most: int


class Job:
    """One run: what is asked, what is reserved, and what came of it. `open` is what has no outcome and was not sent."""

    def __init__(self, function: AiFunction, terms: Terms, items: Sequence[Facts]) -> None:
        self.terms = terms
        self.outcomes: dict[CacheKey, Outcome] = {}
        self.held: dict[CacheKey, int] = {}
        self._function = function
        self._order = [CacheKey.of(function.name, function.version, terms.model, facts) for facts in items]
        self._requests = {
            key: function.request(facts, terms.model) for key, facts in zip(self._order, items, strict=True)
        }
        self._sent: set[CacheKey] = set()
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
        return [key for key in self._requests if key not in self.outcomes and key not in self._sent]

    @property
    def reserved(self) -> bool:
        """Whether calls are reserved, or were."""
        return bool(self.held or self._sent)

    @property
    def begun(self) -> bool:
        """Whether anything was sent."""
        return bool(self._sent)

    def take_cached(self, found: Mapping[CacheKey, Cached], ledger: Ledger) -> None:
        """Note what somebody paid for before, and give back what was reserved for it."""
        for key, entry in found.items():
            self.outcomes[key] = Outcome(entry.text, None, cached=True, usage=entry.usage, nanos=0)
            if key in self.held:
                _release(ledger, self.held.pop(key))

    def estimate(self) -> AiEstimate:
        calls = self.open
        tokens = sum(self._tokens(key) for key in calls)
        written = self._function.max_output_tokens * len(calls)
        nanos = self.terms.price.of(Usage(tokens, written))
        return AiEstimate(len(self._order), len(calls), len(self.outcomes), tokens, written, nanos)

    def reserve(self, ledger: Ledger, spender: Spender) -> None:
        """Reserve every open call at its maximum, or none."""
        numbers = ledger.reserve(spender, [self._most(key) for key in self.open])
        self.held = dict(zip(self.open, numbers, strict=True))

    def send(self, keys: list[CacheKey]) -> list[Sent]:
        """From now on these are charged, unless a result says otherwise."""
        self._sent.update(keys)
        return [Sent(key, self._requests[key], self.held.pop(key), self._most(key)) for key in keys]

    def release_rest(self, ledger: Ledger) -> None:
        """Give back what was reserved and never sent."""
        for key in self.open:
            self.outcomes[key] = Outcome(None, _NO_TIME, cached=False, usage=None, nanos=0)
        for number in self.held.values():
            _release(ledger, number)
        self.held = {}

    def in_order(self) -> list[Outcome]:
        """An outcome for each item. Only the first of equal ones has a cost."""
        seen: set[CacheKey] = set()
        found = []
        for key in self._order:
            outcome = self.outcomes[key]
            found.append(replace(outcome, cached=outcome.text is not None, nanos=0) if key in seen else outcome)
            seen.add(key)
        return found

    def _tokens(self, key: CacheKey) -> int:
        if key not in self._input_tokens:
            self._input_tokens[key] = input_tokens(self._requests[key])
        return self._input_tokens[key]

    def _most(self, key: CacheKey) -> int:
        return self.terms.price.of(Usage(self._tokens(key), self._function.max_output_tokens))


def _release(ledger: Ledger, number: int) -> None:
    with suppress(AiUnavailable):  # then it stays charged
        ledger.release(number)


def outcome_of(result: CallResult, nanos: int) -> Outcome:
    """What a caller gets of a call that was charged so much."""
    completion = result.completion
    if completion is None:
        return Outcome(None, result.reason, cached=False, usage=None, nanos=nanos)
    text = _shown(completion)
    reason = None if text else _REASONS.get(completion.finish, _NOTHING)
    return Outcome(text, reason, cached=False, usage=completion.usage, nanos=nanos)


def _shown(completion: Completion) -> str | None:
    """A model's words as data: without what a terminal or a reader could be misled with, and not too long."""
    text = _UNSHOWN.sub(" ", completion.text or "").strip()
    text = text.encode("utf-8", "replace").decode()
    cut = len(text) > MOST_TEXT_CHARS or completion.finish == "length"
    return f"{text[:MOST_TEXT_CHARS].rstrip()}…" if text and cut else text or None
