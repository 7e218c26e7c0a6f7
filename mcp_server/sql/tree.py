"""The tree of a statement: sqlglot's nodes, with the caller's tokens that they were read from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from sqlglot import exp

from lakehouse.errors import Refused
from mcp_server.sql.analysis_copy import Copy
from mcp_server.sql.clauses import Reading, TableRef
from mcp_server.sql.refusal import make_refusal
from mcp_server.sql.source import Source

T = TypeVar("T", bound=exp.Expr)


@dataclass(frozen=True)
class Tree:
    """The tree of a statement. `nodes` has all nodes, parents before children.

    `tables` and `calls` map the id of a node to the caller's tokens.
    """

    source: Source
    reading: Reading
    root: exp.Expr
    nodes: tuple[exp.Expr, ...]
    tables: dict[int, TableRef]
    calls: dict[int, int]
    copy: Copy

    def find_all(self, *kinds: type[T]) -> Iterator[T]:
        """Yield the nodes of some kinds, parents before children, without walking the tree."""
        return (node for node in self.nodes if isinstance(node, kinds))

    def called_name(self, node: exp.Expr) -> str:
        """Return the name of the function that a node calls, in lower case, or an empty string."""
        index = self.calls.get(id(node))
        return "" if index is None else self.reading.calls[index]

    def token_index(self, node: exp.Expr) -> int | None:
        """Return the caller's token of a node, or of the first node below it that has one."""
        return find_token(self.copy, node)

    def refusal_at(self, code: str, message: str, node: exp.Expr) -> Refused:
        """The refusal of a node."""
        index = self.token_index(node)
        return make_refusal(
            code, message, text=self.source.text, at=self.source.tokens[index].start if index is not None else None
        )


def find_token(copy: Copy, node: exp.Expr) -> int | None:
    """Return the caller's token of a node, or of the first node below it that has one."""
    for each in node.walk():
        found = copy.origin.get(each.meta.get("start", -1))
        if found is not None:
            return found
    return None
