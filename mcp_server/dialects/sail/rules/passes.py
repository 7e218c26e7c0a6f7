"""Passes over a tree: each asks the rules of a node's class for every node once, children first.

Most passes change nothing in most statements, and the tree is then not walked for them: nodes are listed by class once
for as long as the tree stays the same.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.size import check_size
from mcp_server.sql.typed.node import Node, transform
from mcp_server.sql.typed.relations import Query

Rule = Callable[[Any, Context], Node | None]
"""Returns what stands for a node, None where it stays."""

Rules = Mapping[type[Node], tuple[Rule, ...]]
"""For each class the rules that its nodes are asked for, in order, until one makes a node of another class."""


class Passes:
    """The tree of one statement, `root`, while it is compiled."""

    def __init__(self, root: Query, context: Context) -> None:
        self.root = root
        self._context = context
        self._listed: tuple[Query, Mapping[type[Node], list[tuple[int, Node]]]] | None = None

    def run(self, rules: Rules) -> bool:
        """Run one pass; whether it changed the tree. Errors: what rules raise, and EngineLacks for too long a tree.

        What a rule makes is not visited by the same pass.
        """
        asked: dict[Node, Node] = {}
        for node in self._find(rules):
            asked[node] = self._ask(rules, node)
            if asked[node] is not node:
                break
        else:
            return False

        def change(node: Node) -> Node:
            found = asked.get(node)
            return self._ask(rules, node) if found is None else found

        self.root = check_size(transform(self.root, change))
        return True

    def _ask(self, rules: Rules, node: Node) -> Node:
        kind = type(node)
        for rule in rules.get(kind, ()):
            found = rule(node, self._context)
            if found is not None:
                node = found
                if type(found) is not kind:
                    break
        return node

    def _find(self, rules: Rules) -> Iterable[Node]:
        """Return the nodes that have rules, children first."""
        if self._listed is None or self._listed[0] is not self.root:
            self._listed = self.root, _list_nodes(self.root)
        listed = [each for kind in rules for each in self._listed[1].get(kind, ())]
        if len(rules) > 1:
            listed.sort(key=itemgetter(0))
        return (node for _, node in listed)


def _list_nodes(root: Node) -> Mapping[type[Node], list[tuple[int, Node]]]:
    """Return the nodes of a tree by class, each once, with their places in an order that has children first."""
    listed: defaultdict[type[Node], list[tuple[int, Node]]] = defaultdict(list)
    seen: set[Node] = set()
    places = itertools.count()

    def visit(node: Node) -> None:
        if node not in seen:
            seen.add(node)
            for child in node.children:
                visit(child)
            listed[type(node)].append((next(places), node))

    visit(root)
    return listed
