"""Which columns of a table a statement uses."""

from __future__ import annotations

from dataclasses import dataclass, field

from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Column, Star
from mcp_server.sql.typed.relations import Join, Pivot, Query, Select, SetOperation, Table, Unpivot


@dataclass
class Uses:
    """The columns that a statement names, by the relation that has them; None for all of them."""

    names: dict[int, set[str]] = field(default_factory=dict)
    whole: set[int] = field(default_factory=set)
    all: bool = False

    def of(self, table: Table) -> set[str] | None:
        """The names in lower case, None for all columns."""
        if self.all or table.id in self.whole or table.names:
            return None
        return self.names.get(table.id, set())


def find_uses(root: Node) -> Uses:
    """The uses of a whole statement."""
    uses, shared = Uses(), set[str]()
    _collect(root, uses, shared)
    for names in uses.names.values():
        names.update(shared)
    return uses


def _collect(node: Node, uses: Uses, shared: set[str]) -> None:
    if isinstance(node, Column):
        if node.source is None:
            shared.add(node.name.lower())
        else:
            uses.names.setdefault(node.source, set()).add(node.name.lower())
            shared.add(node.name.lower())
    elif isinstance(node, Star):
        uses.whole.update(node.sources)
        uses.all = uses.all or not node.sources
    elif isinstance(node, Pivot | Unpivot) or (isinstance(node, Join) and node.natural):
        uses.all = True
    elif isinstance(node, Join):
        shared.update(name.lower() for name in node.shared)
    elif isinstance(node, Table):
        uses.names.setdefault(node.id, set())
    elif isinstance(node, Call) and node.name == "count" and any(isinstance(each, Star) for each in node.arguments):
        return  # it counts rows
    for child in node.children:
        _collect(child, uses, shared)


def only_lists(root: Query) -> bool:
    """Whether a statement gives columns as they are, without a condition, an order or an expression."""
    for node in root.walk():
        if isinstance(node, SetOperation | Join | Call):
            return False
        if isinstance(node, Query) and (node.order or node.order_all or node.sort or node.distribute):
            return False
        if isinstance(node, Select) and (node.where or node.group or node.having or node.qualify or node.distinct):
            return False
    return all(
        isinstance(item.operand, Column | Star)
        for node in root.walk()
        if isinstance(node, Select)
        for item in node.items
    )
