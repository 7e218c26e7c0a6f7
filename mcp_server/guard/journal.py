"""A record of what each layer decided about a statement, for `imdb-mcp check --explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lakehouse.errors import QueryError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """One layer that was reached: whether the statement passed, and what was found or why it was refused."""

    layer: str
    passed: bool
    said: str


@dataclass
class Journal:
    """The layers in the order in which they were reached. A refusal is the last step."""

    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def layer(self, name: str) -> Iterator[Say]:
        """Record a layer as passed, with the messages of its body, or with the refusal that the body raises."""
        said: list[str] = []
        try:
            yield said.append
        except QueryError as refusal:
            self.steps.append(Step(name, False, f"{refusal.code}: {refusal}"))
            raise
        self.steps.append(Step(name, True, "; ".join(said)))
