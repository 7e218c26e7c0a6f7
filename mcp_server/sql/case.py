"""A query that two readers have read and whose names are known: what rules, rewrites and advice look at."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlglot import exp

from mcp_server.sql.blocks import Blocks, read_blocks
from mcp_server.sql.clauses import Reading
from mcp_server.sql.names import Names
from mcp_server.sql.relations import Relations
from mcp_server.sql.source import Source
from mcp_server.sql.tree import Tree


@dataclass(frozen=True)
class Case:
    """A query whose names are known."""

    tree: Tree
    names: Names
    relations: Relations
    reckoned: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    """What `once` keeps."""

    @property
    def source(self) -> Source:
        return self.tree.source

    @property
    def reading(self) -> Reading:
        return self.tree.reading

    @functools.cached_property
    def blocks(self) -> Blocks:
        """Its SELECTs and their clauses, for rewrites; the rules need none."""
        return read_blocks(self.tree)

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


def once(reckon: Callable[[Case], T]) -> Callable[[Case], T]:
    """The same of a case each time it is asked for: rewrite after rewrite looks at one that never changes."""

    @functools.wraps(reckon, updated=())
    def kept(case: Case) -> T:
        if reckon not in case.reckoned:
            case.reckoned[reckon] = reckon(case)
        found: T = case.reckoned[reckon]
        return found

    return kept


def top_limit(tree: Tree) -> int | None:
    """The LIMIT of the whole query, where there is one."""
    limit = tree.root.args.get("limit")
    value = limit.expression if isinstance(limit, exp.Limit) else None
    return int(value.name) if isinstance(value, exp.Literal) and value.name.isdigit() else None
