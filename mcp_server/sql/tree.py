"""A statement's tree: sqlglot's nodes, with the sender's tokens that they were read from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from sqlglot import exp

from lakehouse.errors import Refused
from mcp_server.sql.analysis_copy import Copy
from mcp_server.sql.clauses import Reading, TableRef
from mcp_server.sql.refusal import refused
from mcp_server.sql.source import Source

T = TypeVar("T", bound=exp.Expr)


@dataclass(frozen=True)
class Tree:
    """What the rules look at. `nodes` are all below the root, parents before children.

    `tables` and `calls` map nodes (by id) to the sender's tokens.
    """

    source: Source
    reading: Reading
    root: exp.Expr
    nodes: tuple[exp.Expr, ...]
    tables: dict[int, TableRef]
    calls: dict[int, int]
    copy: Copy

    def every(self, *kinds: type[T]) -> Iterator[T]:
        """All nodes of some kinds, parents before children: `root.find_all`, without walking the tree each time."""
        return (node for node in self.nodes if isinstance(node, kinds))

    def called(self, node: exp.Expr) -> str:
        """The name of the function that a node calls, lower case; empty where it is no call."""
        index = self.calls.get(id(node))
        return "" if index is None else self.reading.calls[index]

    def index(self, node: exp.Expr) -> int | None:
        """The sender's token of a node, or of the first node in it that has a place."""
        return find_token(self.copy, node)

    def refused_at(self, code: str, message: str, node: exp.Expr) -> Refused:
        """A refusal that points at a node."""
        index = self.index(node)
        return refused(
            code, message, text=self.source.text, at=self.source.tokens[index].start if index is not None else None
        )


def find_token(copy: Copy, node: exp.Expr) -> int | None:
    """The sender's token of a node or of the first node in it that has a place."""
    for each in node.walk():
        found = copy.origin.get(each.meta.get("start", -1))
        if found is not None:
            return found
    return None
