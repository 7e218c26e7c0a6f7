"""The calls of a run: reserved, taken one by one, each stored and settled before the next is taken.

A reservation that was not taken is released when the run or its process ends; one that was taken is charged at its
maximum unless a result says otherwise.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ai_functions.cache import Cached, CacheKey
from ai_functions.calls import LOST, NOT_MADE, CallResult, Numbered
from ai_functions.charges import Bounds, Charge
from ai_functions.ledger import Ledger
from ai_functions.types import AiUnavailable, Completion, ModelRequest, Outcome, Price, Spender

log = logging.getLogger(__name__)

MOST_TEXT_CHARS = 4_000
"""Maximum length of an answer; no function asks for so much."""

# Control characters but the line break; marks that make text read otherwise than it is stored (Unicode TR 9); and what
# a person does not see and a model reads: tags, and marks of no width but the joiners that scripts and emoji need.
_UNSHOWN = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069"
    r"\ufeff\U000e0000-\U000e007f]+"
)

_NOTHING = "The model answered with nothing."
_REASONS = {"refused": "The model refused to answer.", "empty": _NOTHING}


@dataclass(frozen=True)
class ReadyCall:
    """A call with its bounds and price."""

    key: CacheKey
    request: ModelRequest
    bounds: Bounds
    price: Price

    @property
    def most(self) -> int:
        """Its maximum, in nano-dollars."""
        return self.price.of(self.bounds.most)


class ReservedCalls:
    """The outbox of one run. Safe for several threads.

    `store` stores answers, or raises AiUnavailable. `clock` returns the seconds since 1970.
    """

    def __init__(
        self, ledger: Ledger, store: Callable[[Mapping[CacheKey, Cached]], None], clock: Callable[[], float]
    ) -> None:
        self.stopped = threading.Event()
        self._ledger, self._store, self._clock = ledger, store, clock
        self._keeping = threading.Lock()
        self._changed = threading.Condition()
        # All that follows is read and written under `_changed`.
        self._calls: list[ReadyCall] = []
        self._held: dict[CacheKey, int] = {}
        self._queue: list[int] = []
        self._under_way: dict[int, int] = {}
        self._arrived: list[tuple[int, CallResult]] = []
        self._outcomes: dict[CacheKey, Outcome] = {}
        self._begun = False

    @property
    def reserved(self) -> bool:
        """Whether calls were reserved."""
        return bool(self._calls)

    @property
    def begun(self) -> bool:
        """Whether any call was made."""
        return self._begun

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def reserve(self, spender: Spender, calls: Sequence[ReadyCall]) -> None:
        """Reserve every call at its maximum, or none. Raises AiUnavailable, BudgetExceeded and RateLimited."""
        with self._changed:  # so that `stop` finds either nothing or all of it
            if self.stopped.is_set():
                raise AiUnavailable("AI functions are off: the program is ending. Ask again once it has started again.")
            numbers = self._ledger.reserve(spender, [call.most for call in calls])
            self._calls = list(calls)
            self._held = {call.key: number for call, number in zip(calls, numbers, strict=True)}

    def give_back(self, keys: Iterable[CacheKey]) -> None:
        """Release calls that another run has made meanwhile."""
        with self._changed:
            numbers = [self._held.pop(key) for key in keys if key in self._held]
        self._release_calls(numbers)

    def make_ready(self, keys: Iterable[CacheKey]) -> None:
        """Queue reserved calls to be taken."""
        wanted = set(keys)
        with self._changed:
            self._queue = [number for number, call in enumerate(self._calls) if call.key in wanted]

    def take(self, most: int) -> Sequence[Numbered]:
        with self._changed:
            taken = [] if self.stopped.is_set() else self._queue[:most]
            del self._queue[: len(taken)]
            for number in taken:
                self._under_way[number] = self._held.pop(self._calls[number].key)
            self._begun = self._begun or bool(taken)
            return [(number, self._calls[number].request) for number in taken]

    def put(self, results: Sequence[tuple[int, CallResult]]) -> None:
        with self._changed:
            self._arrived += results
        # The first thread stores what all have put by then: a commit of the cache takes 20 ms.
        with self._keeping:
            with self._changed:
                arrived = [(number, result) for number, result in self._arrived if number in self._under_way]
                self._arrived = []
            if arrived:
                self._keep_results(arrived)

    def stop(self) -> None:
        """Let no further call begin, and release the reservations of those that have not."""
        self.stopped.set()
        with self._changed:
            numbers = [*self._held.values()]
            self._held.clear()
        self._release_calls(numbers)

    def give_up(self) -> None:
        """Put calls that have not returned as lost."""
        with self._changed:
            lost = [(number, LOST) for number in self._under_way]
        self.put(lost)

    def collect(self) -> dict[CacheKey, Outcome]:
        """Return the outcomes that are new since the last call."""
        with self._changed:
            found, self._outcomes = self._outcomes, {}
            return found

    def skip_queue(self) -> None:
        """Conclude calls that were not taken: they were not made."""
        with self._changed:
            for number in self._queue:
                self._outcomes[self._calls[number].key] = Outcome(None, NOT_MADE, cached=False, usage=None, nanos=0)
            self._queue = []

    def wait(self, seconds: float) -> bool:
        """Wait until no call is under way. False where that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._under_way, max(0.0, seconds))

    def _keep_results(self, arrived: Sequence[tuple[int, CallResult]]) -> None:
        """Store answers, then settle their calls, so that a settled call is never paid for again."""
        outcomes: dict[int, Outcome] = {}
        for number, result in arrived:
            call = self._calls[number]
            outcomes[number] = outcome_of(result, result.charge(call.bounds, call.price))
        try:
            self._store(
                {
                    self._calls[number].key: Cached(outcome.text, outcome.usage, outcome.nanos, self._clock())
                    for number, outcome in outcomes.items()
                    if outcome.text is not None
                }
            )
        except AiUnavailable as error:
            log.warning("Answers of a model could not be kept. %s", error)
        try:
            self._ledger.settle_all({self._under_way[number]: outcome.nanos for number, outcome in outcomes.items()})
        except AiUnavailable as error:
            log.warning("Model calls could not be settled; no further one is made. %s", error)
            self.stop()
            outcomes = {number: replace(found, nanos=self._calls[number].most) for number, found in outcomes.items()}
        with self._changed:
            for number, outcome in outcomes.items():
                del self._under_way[number]
                self._outcomes[self._calls[number].key] = outcome
            self._changed.notify_all()

    def _release_calls(self, numbers: Sequence[int]) -> None:
        if numbers:
            with suppress(AiUnavailable):  # then they stay charged
                self._ledger.release(*numbers)


def outcome_of(result: CallResult, charged: Charge) -> Outcome:
    """The outcome of a call with its charge."""
    completion = result.completion
    if completion is None:
        return Outcome(None, result.reason, cached=False, usage=None, nanos=charged.nanos)
    text = _clean_text(completion)
    reason = None if text else _REASONS.get(completion.finish, _NOTHING)
    return Outcome(text, reason, cached=False, usage=charged.usage, nanos=charged.nanos, doubt=charged.doubt)


def _clean_text(completion: Completion) -> str | None:
    """Clean a model's text: without characters that could mislead a terminal or a reader, and cut to the maximum."""
    text = _UNSHOWN.sub(" ", completion.text or "").strip()
    text = text.encode("utf-8", "replace").decode()
    cut = len(text) > MOST_TEXT_CHARS or completion.finish == "length"
    return f"{text[:MOST_TEXT_CHARS].rstrip()}…" if text and cut else text or None
