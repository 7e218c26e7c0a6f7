"""The types of AI functions. Imports no provider, database or driver.

Money is counted in whole nano-dollars (billionths of a US dollar), so that sums are exact: a price of $0.15 per
million tokens is 150 of them per token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lakehouse.errors import LakehouseError, QueryError

NANOS_PER_DOLLAR = 1_000_000_000


def dollars(nanos: int) -> str:
    """Format an amount: two to six decimals, rounded up so that no cost looks like nothing."""
    micros = -(-nanos // 1_000)
    whole, rest = divmod(micros, 1_000_000)
    return f"${whole:,}.{f'{rest:06}'.rstrip('0'):0<2}"


@dataclass(frozen=True)
class Usage:
    """Tokens that a provider reports for one call."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Price:
    """What a model costs, in nano-dollars per token."""

    input_nanos: int
    output_nanos: int

    def of(self, usage: Usage) -> int:
        """The cost of a call, in nano-dollars."""
        return usage.input_tokens * self.input_nanos + usage.output_tokens * self.output_nanos


@dataclass(frozen=True)
class ModelRequest:
    """One complete call of a model; nothing is added later."""

    model: str
    system: str
    user: str
    max_output_tokens: int


@dataclass(frozen=True)
class Completion:
    """The answer of a model. `text` is None for `refused` and `empty`; `usage` is None where none was reported."""

    finish: Literal["stop", "length", "refused", "empty"]
    text: str | None
    usage: Usage | None


class CallFailedError(LakehouseError):
    """One call of a model gave no answer.

    `retryable` says that the same call may succeed later, `retry_after` how many seconds the provider asks for.
    `billed` is True where the provider may charge for it all the same (time-out, cut connection, an answer that is
    none): then it is never repeated within its reservation, and counts at its maximum.
    """

    def __init__(
        self, message: str, *, retryable: bool = False, retry_after: float | None = None, billed: bool = False
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after
        self.billed = billed


class ModelProvider(Protocol):
    """A model provider. Safe for several threads."""

    name: str

    def complete(self, request: ModelRequest, timeout_seconds: float) -> Completion:
        """Make one attempt. Raises CallFailedError."""

    def close(self) -> None:
        """End all connections."""


@dataclass(frozen=True)
class Facts:
    """The facts about one thing: its key (a tconst, an nconst) and a JSON-safe record."""

    key: str
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Spender:
    """The caller whose budgets count, and the query that the calls belong to."""

    caller: str
    query_id: str


@dataclass(frozen=True)
class AiEstimate:
    """The maximum cost of applying a function: `calls` are distinct items, `hits` of the cache not among them.

    `nanos` is the price of the counted input tokens and of the maximum of output tokens.
    """

    items: int
    calls: int
    hits: int
    input_tokens: int
    output_tokens: int
    nanos: int


@dataclass(frozen=True)
class Outcome:
    """The outcome of one item: a text, or None and the `reason`. A cached one costs nothing.

    `doubt` is the reason why an answered call was charged at its maximum.
    """

    text: str | None
    reason: str | None
    cached: bool
    usage: Usage | None
    nanos: int
    doubt: str | None = None


class AiUnavailable(QueryError):  # noqa: N818  (a name of the domain)
    """AI functions cannot be used now: no provider or price is set, or the ledger cannot be trusted."""

    code = "ai_unavailable"


class BudgetExceeded(QueryError):  # noqa: N818
    """A spend cap would be exceeded. Nothing was spent."""

    code = "ai_budget"


class RateLimited(QueryError):  # noqa: N818
    """The caller has used up its AI queries for now. The text says when the next is free."""

    code = "ai_rate"
