"""How large a statement may become.

What a rule uses in several places is one object, so that a tree of a few nodes may be of any size when it is written.
"""

from __future__ import annotations

from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.sql.source import MAX_TOKENS
from mcp_server.sql.typed.node import N, Node

MAX_NODES: Final = 2 * MAX_TOKENS
"""Nodes of what is written: each is a token at least, but for a few that hold others."""


def check_size(root: N) -> N:
    """Return the tree. Errors: EngineLacks, where more than `MAX_NODES` nodes would be written."""
    _count(root, {})
    return root


def _count(node: Node, sizes: dict[Node, int]) -> int:
    size = sizes.get(node)
    if size is None:
        size = sizes[node] = 1 + sum(_count(each, sizes) for each in node.children)
    if size > MAX_NODES:
        raise lacking("length", "so long a statement in the words of this engine", "Use WITH, or send it in parts.")
    return size
