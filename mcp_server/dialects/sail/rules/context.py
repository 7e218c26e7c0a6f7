"""What rules share while one statement is compiled."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from mcp_server.sql.catalog import Catalog
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.relations import Query


@dataclass
class Context:
    """The names, ids and caveats of one statement. `taken` are names in lower case that a fresh one must not have."""

    catalog: Catalog
    taken: set[str]
    ids: Iterator[int]
    caveats: list[str] = field(default_factory=list)
    parameters: dict[tuple[str, int], str] = field(default_factory=dict)
    ctes: dict[int, Query] = field(default_factory=dict)
    """The queries of WITH by their ids, as they were read."""
    rules: list[str] = field(default_factory=list)
    """The rules for expressions that took effect and have a name of their own."""
    tables: frozenset[int] = frozenset()
    """The ids of relations that are tables of the lake."""
    steps: frozenset[Node] = frozenset()
    """Intervals that say in which steps sequence goes: the guard measures them as they were sent."""
    framed: frozenset[str | None] = frozenset()
    """The names of windows that have an order or a frame."""

    @classmethod
    def start(cls, catalog: Catalog, names: Iterable[str], first_id: int) -> Context:
        """The context of a statement that has these names, and relations with ids below `first_id`."""
        return cls(catalog, {name.lower() for name in names}, itertools.count(first_id))

    def fresh(self, base: str) -> str:
        """Return a name like `base` that nothing in the statement has."""
        for number in itertools.count(1):
            name = base if number == 1 else f"{base}{number}"
            if name.lower() not in self.taken:
                self.taken.add(name.lower())
                return name
        raise AssertionError

    def parameter(self, base: str, depth: int) -> str:
        """Return a name for the parameter of a lambda, one for each depth, so that equal expressions stay equal."""
        if (base, depth) not in self.parameters:
            self.parameters[base, depth] = self.fresh(base)
        return self.parameters[base, depth]

    def parameter_beside(self, base: str, used: Collection[str]) -> str:
        """Return a name for the parameter of a lambda around what uses these names (`names_of_parameters`)."""
        depth = len(used)
        while self.parameter(base, depth) in used:
            depth += 1
        return self.parameter(base, depth)

    def new_id(self) -> int:
        """Return an id for a relation that a rule makes."""
        return next(self.ids)

    def warn(self, sentence: str) -> None:
        """Tell the caller, with the answer, where it may differ from Spark's."""
        if sentence not in self.caveats:
            self.caveats.append(sentence)
