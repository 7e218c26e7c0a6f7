"""The only way to spend: look into the cache, estimate, reserve, call, settle, store.

Nothing is opened, and no provider's package imported, before the first AI call needs it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakSet

from ai_functions.cache import Cache, Cached, CacheKey
from ai_functions.calls import BEAT_SECONDS, GRACE_SECONDS, Caller, Dispatch
from ai_functions.flights import Flights
from ai_functions.functions import MOST_FACTS_BYTES, AiFunction, price
from ai_functions.job import Job, ModelTerms
from ai_functions.ledger import Ledger, Limits
from ai_functions.outbox import ReservedCalls
from ai_functions.providers import ProviderConfig, configured, open_provider
from ai_functions.tokens import input_tokens
from ai_functions.types import AiEstimate, AiUnavailable, Facts, Outcome, Spender, Usage

if TYPE_CHECKING:
    from ai_functions.settings import AiSettings
    from lakehouse.storage import Lake

log = logging.getLogger(__name__)

Report = Callable[[int, int, int], None]
"""Called with progress, at least twice a second: distinct items done, distinct items in all, and their cost so far in
nano-dollars. May raise, which ends the run."""

_CLOSE_SECONDS = 1.0
"""How long `close` waits for calls under way; those that wait for another attempt return at once."""

_NO_PROVIDER = (
    "No model provider is configured. Whoever runs the server can set OPENAI_API_KEY, or OPENAI_BASE_URL for a server "
    "that speaks like OpenAI's, or AZURE_OPENAI_ENDPOINT. Ask without AI functions meanwhile."
)


class AiService:
    """Applies AI functions. Safe for several threads; several processes may share its ledger, cache and claims."""

    def __init__(
        self,
        settings: AiSettings,
        *,
        ledger: Ledger,
        cache: Callable[[], Cache],
        flights: Flights,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ledger = ledger
        self._settings = settings
        self._open_cache = cache
        self._flights = flights
        self._clock = clock
        self._opening = threading.Lock()
        self._caller: Caller | None = None
        self._outboxes: WeakSet[ReservedCalls] = WeakSet()
        self._ending = False

    @cached_property
    def provider(self) -> ProviderConfig | None:
        """The provider, or None where the settings name none."""
        return configured(self._settings)

    @cached_property
    def cache(self) -> Cache:
        """The cache of answers."""
        return self._open_cache()

    @property
    def has_called(self) -> bool:
        """Whether this process may have called a model."""
        return self._caller is not None

    @property
    def unavailable(self) -> str | None:
        """The reason why no function can be applied, or None."""
        return None if self.provider else _NO_PROVIDER

    def terms(self, function: AiFunction) -> ModelTerms:
        """The model and price of a function: the settings' own, else those of its file. Raises AiUnavailable."""
        if self.provider is None:
            raise AiUnavailable(_NO_PROVIDER)
        model = self.provider.model or function.model
        dollars = (self._settings.ai_input_price, self._settings.ai_output_price)
        match dollars:
            case float(given), float(written):
                return ModelTerms(model, price(given, written))
            case None, None if model == function.model and function.price is not None:
                return ModelTerms(model, function.price)
        raise AiUnavailable(
            f"The model {model} cannot be called: its price is not set. Whoever runs the server can set "
            "IMDB_AI_INPUT_PRICE and IMDB_AI_OUTPUT_PRICE, in US dollars per million tokens (0 for a model of one's "
            "own). Ask without AI functions meanwhile."
        )

    def estimate(self, function: AiFunction, items: Sequence[Facts]) -> AiEstimate:
        """The maximum cost of applying a function to these facts. Nothing is called. Raises AiUnavailable."""
        job = Job(function, self.terms(function), items)
        job.take_cached(self.cache.look_up(job.open))
        return job.estimate()

    def ceiling(self, function: AiFunction, items: int) -> AiEstimate:
        """The maximum cost for `items` items whose facts are not known yet: with the largest prompt and no cache hit.

        A token has at least one byte, so facts have at most as many tokens as they may have bytes.
        """
        terms = self.terms(function)
        tokens = (input_tokens(function.build_request(Facts("", {}), terms.model)) + MOST_FACTS_BYTES) * items
        written = function.max_output_tokens * items
        return AiEstimate(items, items, 0, tokens, written, terms.price.of(Usage(tokens, written)))

    def run(
        self,
        function: AiFunction,
        items: Sequence[Facts],
        spender: Spender,
        *,
        deadline_seconds: float,
        report: Report | None = None,
        dispatch: Dispatch | None = None,
    ) -> list[Outcome]:
        """Apply a function to facts. The outcomes are in the order of `items`; equal ones are one call.

        Every call is reserved at its maximum before the first is made; where another query is making all of them
        already, none is. One item's failure is its outcome's reason.
        Where `report` raises, no further call begins, and what is under way is settled and stored in the background.
        `dispatch` makes the calls; threads of this process where it is None.
        Raises AiUnavailable, BudgetExceeded and RateLimited before anything is spent.
        """
        deadline = time.monotonic() + deadline_seconds
        report = report or _ignore_progress
        job = Job(function, self.terms(function), items)
        with self._open_outbox() as outbox:
            try:
                with closing(self._take_turns(job, outbox, deadline, report)) as turns:
                    for mine, claims in turns:
                        dispatch = dispatch or self._open_threads()
                        if not outbox.reserved:
                            outbox.reserve(spender, job.ready_calls())
                        self._make_calls(job, outbox, mine, claims, dispatch, deadline, report)
            except AiUnavailable as error:
                if not outbox.begun:
                    raise
                log.warning("An AI query ends with the answers that it has. %s", error)
        job.close_open()
        report(job.done, job.count, job.nanos)
        return job.in_order()

    def close(self) -> None:
        """Begin no further call, release the reservations of those, and close provider and ledger.

        Calls under way have `_CLOSE_SECONDS` to return; otherwise they stay charged at their maximum.
        """
        with self._opening:
            self._ending = True
            outboxes = list(self._outboxes)
        for outbox in outboxes:
            outbox.stop()
        until = time.monotonic() + _CLOSE_SECONDS
        for outbox in outboxes:
            outbox.wait(until - time.monotonic())
        with self._opening:
            if self._caller is not None:
                self._caller.close()
                self._caller = None
        self.ledger.close()

    def _open_threads(self) -> Dispatch:
        with self._opening:
            if self._caller is None and self.provider is not None:
                self._caller = Caller(open_provider(self.provider), self._settings.ai_call_seconds)
            caller = self._caller
        if caller is None:
            raise AiUnavailable(_NO_PROVIDER)
        return caller.in_threads(self._settings.ai_concurrency)

    @contextmanager
    def _open_outbox(self) -> Iterator[ReservedCalls]:
        """The outbox of a run, which `close` stops too: reservations of unsent calls are released in either case."""
        outbox = ReservedCalls(self.ledger, self._store_answers, self._clock)
        with self._opening:
            self._outboxes.add(outbox)
            ending = self._ending
        if ending:
            outbox.stop()
        try:
            yield outbox
        finally:
            outbox.stop()

    def _store_answers(self, answers: Mapping[CacheKey, Cached]) -> None:
        self.cache.store(answers)  # opened when the first answer is there

    def _take_turns(
        self, job: Job, outbox: ReservedCalls, deadline: float, report: Report
    ) -> Generator[tuple[list[CacheKey], ExitStack], None, None]:
        """Yield the keys that this run has to call, until none is open or time is over; wait for calls of other runs.

        The claims are held until the next turn, or until the stack that took them over is closed.
        """
        while job.open and (left := deadline - time.monotonic()) > 0:
            by_digest = {key.digest: key for key in job.open}
            with ExitStack() as claims:
                claimed = {by_digest[digest] for digest in claims.enter_context(self._flights.claim(by_digest))}
                # After the claim: what is not there now is being made by nobody else.
                cached = self.cache.look_up(job.open)
                job.take_cached(cached)
                outbox.give_back(cached)
                if mine := [key for key in job.open if key in claimed]:
                    yield mine, claims
            if outbox.reserved and outbox.stopped.is_set():
                return
            if job.open:
                report(job.done, job.count, job.nanos)
                self._flights.wait([key.digest for key in job.open], min(left, BEAT_SECONDS))

    def _make_calls(
        self,
        job: Job,
        outbox: ReservedCalls,
        mine: list[CacheKey],
        claims: ExitStack,
        dispatch: Dispatch,
        deadline: float,
        report: Report,
    ) -> None:
        """Call the model for these keys, and take each outcome as it comes."""
        outbox.make_ready(mine)
        try:
            for _ in dispatch(outbox, deadline):
                job.outcomes |= outbox.collect()
                report(job.done, job.count, job.nanos)
        except BaseException:
            outbox.stop()
            rest = (outbox, claims.pop_all(), deadline + GRACE_SECONDS)
            threading.Thread(target=_hold_claims, args=rest, name="model calls, cancelled", daemon=True).start()
            raise
        outbox.give_up()
        outbox.skip_queue()
        job.outcomes |= outbox.collect()


def open_service(settings: AiSettings, lake: Lake | None, *, limits: Limits | None = None) -> AiService:
    """The service of a state folder and a lake. `limits` are those of the settings where none are given."""
    from ai_functions.alerts import Alerts

    webhook = settings.ai_webhook.get_secret_value() if settings.ai_webhook else None
    ledger = Ledger(settings.state, limits or Limits.of(settings), tell=Alerts(webhook).tell)
    return AiService(
        settings,
        ledger=ledger,
        cache=lambda: Cache.for_lake(lake, settings),
        flights=Flights(settings.state),
    )


def urls_of(settings: AiSettings) -> list[str]:
    """The URLs that a service with these settings calls: provider, sign-in and webhook."""
    provider = configured(settings)
    webhook = [settings.ai_webhook.get_secret_value()] if settings.ai_webhook else []
    return webhook if provider is None else [*provider.urls, *webhook]


def _hold_claims(outbox: ReservedCalls, claims: ExitStack, until: float) -> None:
    """Hold the claims of calls under way, so that no other run pays for the same answers."""
    with claims:
        outbox.wait(until - time.monotonic())


def _ignore_progress(_done: int, _of: int, _nanos: int) -> None:
    pass
