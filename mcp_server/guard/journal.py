"""What each layer said of a statement, for those who ask why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lakehouse.errors import QueryError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """One layer that was reached: whether it let the statement pass, and what it found or why not."""

    layer: str
    passed: bool
    said: str


@dataclass
class Journal:
    """The layers in the order in which they were reached; the last one is where a refusal stands."""

    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def layer(self, name: str) -> Iterator[Say]:
        """Notes a layer as passed, with what was said within, or with the refusal that it raised."""
        said: list[str] = []
        try:
            yield said.append
        except QueryError as refusal:
            self.steps.append(Step(name, False, f"{refusal.code}: {refusal}"))
            raise
        self.steps.append(Step(name, True, "; ".join(said)))
