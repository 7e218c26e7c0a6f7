"""What a call of a model is charged: what its provider reports, where the call can have taken that, else its maximum.

A report comes from outside. A budget holds only where no report can lower a charge to nothing or raise it above what
was reserved.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ai_functions.types import Price, Usage

log = logging.getLogger(__name__)

_TOKEN_BYTES = 128
"""Bytes of text that one token stands for at most: the longest of OpenAI's vocabularies are runs of 128 blanks."""


@dataclass(frozen=True)
class Bounds:
    """What a call can take, in tokens: `most` is what was reserved for it, `least` follows from the text it was sent.

    No model reads a prompt, or writes an answer, in fewer tokens than its bytes divided by those of the longest token.
    """

    least: int
    most: Usage

    @classmethod
    def of(cls, prompt: str, most: Usage) -> Bounds:
        """The bounds of a call with a prompt."""
        return cls(max(1, _least_tokens(prompt)), most)

    def allow(self, reported: Usage, answer: str) -> bool:
        """Whether a call with this answer can have taken what was reported of it."""
        return (
            self.least <= reported.input_tokens <= self.most.input_tokens
            and _least_tokens(answer) <= reported.output_tokens <= self.most.output_tokens
        )


@dataclass(frozen=True)
class Charge:
    """What a call is charged, in nano-dollars. `usage` is what was reported, None where that is not believed.

    `doubt` says why the maximum is charged in the place of what was reported; None where it is not, or costs nothing.
    """

    usage: Usage | None
    nanos: int
    doubt: str | None = None


def charge(reported: Usage | None, answer: str, bounds: Bounds, price: Price) -> Charge:
    """Charge an answered call as reported, or at its maximum where that is no count of tokens or cannot be true."""
    if reported is not None and bounds.allow(reported, answer):
        return Charge(reported, price.of(reported))
    most = bounds.most
    nanos = price.of(most)
    if not nanos:
        return Charge(None, 0)
    said = "no count of its tokens"
    if reported is not None:
        said = f"{reported.input_tokens:,} tokens read and {reported.output_tokens:,} written, which it cannot be"
    maximum = f"{most.input_tokens:,} and {most.output_tokens:,} tokens"
    doubt = f"The model's provider reported {said}: charged at the maximum of {maximum}."
    log.warning("%s", doubt)
    return Charge(None, nanos, doubt)


def _least_tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // _TOKEN_BYTES)
