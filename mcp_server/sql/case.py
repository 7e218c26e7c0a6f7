"""A query that was read by two readers, with its names resolved: the input of rules, rewrites and advice."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlglot import exp

from mcp_server.sql.clauses import Reading
from mcp_server.sql.names import TableNames
from mcp_server.sql.relations import Relations
from mcp_server.sql.source import Source
from mcp_server.sql.tree import Tree


@dataclass(frozen=True)
class Case:
    """A query with its names resolved."""

    tree: Tree
    names: TableNames
    relations: Relations
    memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    """The values of `memoize`, by function."""

    @property
    def source(self) -> Source:
        return self.tree.source

    @property
    def reading(self) -> Reading:
        return self.tree.reading

    @property
    def tables(self) -> frozenset[str]:
        """The tables of the lake that it reads, in their canonical spelling."""
        return frozenset(info.name for _, info in self.names.refs)

    @property
    def functions(self) -> frozenset[str]:
        return frozenset(self.reading.calls.values())

    @property
    def limit(self) -> int | None:
        """The LIMIT of the whole query, where there is one."""
        return top_limit(self.tree)


T = TypeVar("T")


def memoize(compute: Callable[[Case], T]) -> Callable[[Case], T]:
    """Compute a value once per case. A case never changes, and every rewrite looks at it."""

    @functools.wraps(compute, updated=())
    def look_up(case: Case) -> T:
        if compute not in case.memo:
            case.memo[compute] = compute(case)
        found: T = case.memo[compute]
        return found

    return look_up


def top_limit(tree: Tree) -> int | None:
    """Return the LIMIT of the whole query, if it has one."""
    limit = tree.root.args.get("limit")
    value = limit.expression if isinstance(limit, exp.Limit) else None
    return int(value.name) if isinstance(value, exp.Literal) and value.name.isdigit() else None
