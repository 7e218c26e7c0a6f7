"""The charge for a model call: the usage that its provider reports where that is possible, else its maximum.

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
    """The tokens that a call can use: `most` is its reservation, `least` follows from the prompt that was sent.

    No model reads a prompt, or writes an answer, in fewer tokens than its bytes divided by those of the longest token.
    """

    least: int
    most: Usage

    @classmethod
    def of(cls, prompt: str, most: Usage) -> Bounds:
        """The bounds of a call with a prompt."""
        return cls(max(1, _least_tokens(prompt)), most)

    def allow(self, reported: Usage, answer: str) -> bool:
        """Whether a call with this answer can have used the tokens that were reported."""
        return (
            self.least <= reported.input_tokens <= self.most.input_tokens
            and _least_tokens(answer) <= reported.output_tokens <= self.most.output_tokens
        )


@dataclass(frozen=True)
class Charge:
    """The charge for a call, in nano-dollars. `usage` is what was reported, None where the report is not accepted.

    `doubt` is the reason why the maximum is charged instead of the reported usage; None where it is not, or is nothing.
    """

    usage: Usage | None
    nanos: int
    doubt: str | None = None


def charge(reported: Usage | None, answer: str, bounds: Bounds, price: Price) -> Charge:
    """Charge an answered call as reported, or at its maximum where the report is missing or impossible."""
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
