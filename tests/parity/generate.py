"""Queries that one number reproduces."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz.generate import Generator
from tests.parity.grammar import GRAMMAR

_DEEPEST = 4


def queries(seed: int) -> Iterator[str]:
    """An endless stream; each has a seed of its own, so that one more form changes not all that follow."""
    number = 0
    while True:
        made = Generator(seed * 1_000_003 + number, attacks=False, grammar=GRAMMAR).expand("{query}", _DEEPEST)
        yield " ".join(made.split())
        number += 1
