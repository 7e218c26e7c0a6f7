"""The only way to spend: look into the cache, estimate, reserve, call, settle, store.

Nothing is opened, and no provider's package imported, before the first AI call needs it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import cached_property
from typing import TYPE_CHECKING

from lakehouse.ai.cache import Cache, Cached, CacheKey
from lakehouse.ai.calls import BEAT_SECONDS, Caller, CallResult, Dispatch
from lakehouse.ai.flights import Flights
from lakehouse.ai.functions import MOST_FACTS_BYTES, AiFunction, price
from lakehouse.ai.job import Job, Sent, Terms, outcome_of
from lakehouse.ai.ledger import Ledger, Limits
from lakehouse.ai.providers import ProviderConfig, configured, open_provider
from lakehouse.ai.tokens import input_tokens
from lakehouse.ai.types import AiEstimate, AiUnavailable, Facts, Outcome, Spender, Usage

if TYPE_CHECKING:
    from lakehouse.settings import Settings
    from lakehouse.storage import Lake

log = logging.getLogger(__name__)

Report = Callable[[int, int, int], None]
"""Hears of progress, and twice a second that there is none: how many different items are done, of how many, and what
they cost so far in nano-dollars. May raise, which ends the run."""

_NO_PROVIDER = (
    "No model provider is configured. Whoever runs the server can set OPENAI_API_KEY, or OPENAI_BASE_URL for a server "
    "that speaks like OpenAI's, or AZURE_OPENAI_ENDPOINT. Ask without AI functions meanwhile."
)


class AiService:
    """Applies AI functions. Safe for several threads; several processes may share its ledger, cache and claims.

    `calls` is what makes the calls where a run does not say otherwise.
    """

    def __init__(
        self,
        settings: Settings,
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

    @cached_property
    def provider(self) -> ProviderConfig | None:
        """What is called, None where the settings name nothing."""
        return configured(self._settings)

    @cached_property
    def cache(self) -> Cache:
        """What was answered before."""
        return self._open_cache()

    @property
    def has_called(self) -> bool:
        """Whether this process may have called a model."""
        return self._caller is not None

    @property
    def unavailable(self) -> str | None:
        """Why no function can be applied: a sentence, or None where nothing speaks against it."""
        return None if self.provider else _NO_PROVIDER

    def terms(self, function: AiFunction) -> Terms:
        """The model and price of a function: the settings' own, else those of its file. Raises AiUnavailable."""
        if self.provider is None:
            raise AiUnavailable(_NO_PROVIDER)
        model = self.provider.model or function.model
        dollars = (self._settings.ai_input_price, self._settings.ai_output_price)
        match dollars:
            case float(given), float(written):
                return Terms(model, price(given, written))
            case None, None if model == function.model and function.price is not None:
                return Terms(model, function.price)
        raise AiUnavailable(
            f"The model {model} cannot be called: its price is not set. Whoever runs the server can set "
            "IMDB_AI_INPUT_PRICE and IMDB_AI_OUTPUT_PRICE, in US dollars per million tokens (0 for a model of one's "
            "own). Ask without AI functions meanwhile."
        )

    def estimate(self, function: AiFunction, items: Sequence[Facts]) -> AiEstimate:
        """What applying a function to these facts would take at most. Nothing is called. Raises AiUnavailable."""
        job = Job(function, self.terms(function), items)
        job.take_cached(self.cache.look_up(job.open), self.ledger)
        return job.estimate()

    def ceiling(self, function: AiFunction, items: int) -> AiEstimate:
        """The same for so many items whose facts nobody knows yet: with the largest prompt, and no hit of the cache.

        A token has at least one byte, so facts have at most as many tokens as they may have bytes.
        """
        terms = self.terms(function)
        tokens = (input_tokens(function.request(Facts("", {}), terms.model)) + MOST_FACTS_BYTES) * items
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
        report = report or _to_nobody
        job = Job(function, self.terms(function), items)
        try:
            with closing(self._turns(job, deadline, report)) as turns:
                for mine, claims in turns:
                    if not job.reserved:
                        dispatch = dispatch or self._threads()
                        job.reserve(self.ledger, spender)
                    self._make(job, mine, claims, dispatch or self._threads(), deadline, report)
        except AiUnavailable as error:
            if not job.begun:
                raise
            log.warning("An AI query ends with the answers that it has. %s", error)
        finally:
            job.release_rest(self.ledger)
        report(job.done, job.count, job.nanos)
        return job.in_order()

    def close(self) -> None:
        """End the connections to the provider and let go of the ledger."""
        with self._opening:
            if self._caller is not None:
                self._caller.close()
                self._caller = None
        self.ledger.close()

    def _threads(self) -> Dispatch:
        with self._opening:
            if self._caller is None and self.provider is not None:
                self._caller = Caller(open_provider(self.provider), self._settings.ai_call_seconds)
            caller = self._caller
        if caller is None:
            raise AiUnavailable(_NO_PROVIDER)
        return caller.in_threads(self._settings.ai_concurrency)

    def _turns(
        self, job: Job, deadline: float, report: Report
    ) -> Generator[tuple[list[CacheKey], ExitStack], None, None]:
        """What is ours to call, until nothing is open or the time is over: others' calls are waited for.

        The claims are held until the next turn, or by whoever takes them out of the stack.
        """
        while job.open and (left := deadline - time.monotonic()) > 0:
            by_digest = {key.digest: key for key in job.open}
            with ExitStack() as claims:
                claimed = {by_digest[digest] for digest in claims.enter_context(self._flights.claim(by_digest))}
                # After the claim: what is not there now is being made by nobody else.
                job.take_cached(self.cache.look_up(job.open), self.ledger)
                if mine := [key for key in job.open if key in claimed]:
                    yield mine, claims
            if job.open:
                report(job.done, job.count, job.nanos)
                self._flights.wait([key.digest for key in job.open], min(left, BEAT_SECONDS))

    def _make(
        self,
        job: Job,
        mine: list[CacheKey],
        claims: ExitStack,
        dispatch: Dispatch,
        deadline: float,
        report: Report,
    ) -> None:
        """Call the model for what is ours, and note every result as it comes."""
        stop = threading.Event()
        sent = job.send(mine)
        batches = dispatch([call.request for call in sent], deadline, stop)
        try:
            for batch in batches:
                self._note(job, sent, batch, stop)
                report(job.done, job.count, job.nanos)
        except BaseException:
            stop.set()
            rest = (job, sent, batches, claims.pop_all(), stop)
            threading.Thread(target=self._note_rest, args=rest, name="model calls, cancelled", daemon=True).start()
            raise

    def _note_rest(
        self,
        job: Job,
        sent: list[Sent],
        batches: Iterator[list[tuple[int, CallResult]]],
        claims: ExitStack,
        stop: threading.Event,
    ) -> None:
        with claims:
            for batch in batches:
                self._note(job, sent, batch, stop)

    def _note(self, job: Job, sent: list[Sent], batch: list[tuple[int, CallResult]], stop: threading.Event) -> None:
        """Settle what calls cost, keep what they answered."""
        answers: dict[CacheKey, Cached] = {}
        for index, result in batch:
            call = sent[index]
            nanos = result.nanos(job.terms.price, call.most)
            try:
                self.ledger.settle(call.number, nanos)
            except AiUnavailable as error:  # the call stays charged at its maximum
                log.warning("A model call could not be settled; no further one is made. %s", error)
                nanos = call.most
                stop.set()
            outcome = outcome_of(result, nanos)
            job.outcomes[call.key] = outcome
            if outcome.text is not None:
                answers[call.key] = Cached(outcome.text, outcome.usage, nanos, self._clock())
        try:
            self.cache.store(answers)
        except AiUnavailable as error:
            log.warning("Answers of a model could not be kept. %s", error)


def open_service(settings: Settings, lake: Lake | None, *, limits: Limits | None = None) -> AiService:
    """The service of a state folder and a lake. `limits` are those of the settings where none are given."""
    from lakehouse.ai.alerts import Alerts

    webhook = settings.ai_webhook.get_secret_value() if settings.ai_webhook else None
    ledger = Ledger(settings.state, limits or Limits.of(settings), tell=Alerts(webhook).tell)
    return AiService(
        settings,
        ledger=ledger,
        cache=lambda: Cache.beside(lake, settings),
        flights=Flights(settings.state),
    )


def _to_nobody(_done: int, _of: int, _nanos: int) -> None:
    pass
