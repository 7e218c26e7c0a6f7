"""A SELECT below another: it gives columns to the one around it, which reads nothing else."""

from __future__ import annotations

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kit import E, are_same, named, replace_in
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Column, Expression
from mcp_server.sql.typed.relations import Derived, Item, Output, Query, Select


class Below:
    """Collects the expressions that the lower SELECT computes; each becomes a column with a fresh name."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.id = context.new_id()
        self.alias = context.fresh("__below")
        self.pairs: list[tuple[Expression, Column]] = []

    def column(self, operand: Expression) -> Column:
        """Return the column that an expression becomes."""
        found = self._find(operand)
        if found is None:
            name = self.context.fresh("__c")
            found = Column(name, (self.alias,), self.id, type=operand.type)
            self.pairs.append((operand, found))
        return found

    def own(self, node: Node, ids: frozenset[int]) -> None:
        """Have the lower SELECT give every column of these relations that a node reads, in sub-queries too."""
        for each in node.walk():
            if isinstance(each, Column) and (each.source in ids):
                self.column(each)

    def substitute(self, node: E) -> E:
        """Return a node with columns of the lower SELECT in the place of what it computes."""
        return replace_in(node, lambda each: self._find(each) if isinstance(each, Expression) else None)

    def derive(self, select: Select) -> Derived:
        """Return the lower SELECT as a relation: `select` with another list."""
        items = tuple(named(operand, column.name) for operand, column in self.pairs)
        return self._derived(select.replace(items=items), items)

    def derive_with(self, select: Select, *more: Item) -> Derived:
        """Return the lower SELECT with items that have aliases of their own."""
        items = (*(named(operand, column.name) for operand, column in self.pairs), *more)
        return self._derived(select.replace(items=items), items)

    def derive_all(self, select: Select) -> Derived:
        """Return a SELECT with a list of its own as the relation."""
        return self._derived(select, select.items)

    def _derived(self, select: Select, items: tuple[Item, ...]) -> Derived:
        outputs = tuple(output for item in items for output in item.outputs or ())
        query = Query(select, outputs=outputs)
        seen = tuple(Output(each.name, each.type, self.id) for each in outputs)
        return Derived(query, id=self.id, alias=self.alias, outputs=seen)

    def _find(self, operand: Expression) -> Column | None:
        return next((column for known, column in self.pairs if are_same(known, operand)), None)
