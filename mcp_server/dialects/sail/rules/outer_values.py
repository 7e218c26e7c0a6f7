"""The outer values of a query that reads the rows around it: their names, what binds them, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kit import named
from mcp_server.dialects.sail.rules.query_nodes import (
    INNER,
    copy_fresh,
    has_query,
    is_aggregate,
    is_fixed,
    list_ids,
    list_visible,
    put,
    same,
)
from mcp_server.dialects.sail.rules.query_parts import all_of, column_of, derive, make_query, qualify, split_and
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Binary, Column, Expression
from mcp_server.sql.typed.relations import Derived, Join, Query, Relation, Select

Known = dict[str, Expression]
"""What has the outer values, by their names."""


@dataclass(frozen=True)
class Host:
    """What stands around a query: the FROM whose columns it reads, and conditions that these rows fulfil."""

    base: Relation
    where: Expression | None = None

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(list_visible(self.base))


@dataclass
class OuterValues:
    """The work on one query. Outer values are columns of a relation that does not exist, `number`, until they are
    replaced by `put` with what has them.
    """

    host: Host
    context: Context
    again: Callable[[Select], Select]
    values: dict[str, Expression] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    uses: dict[str, int] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)
    """Values that come from the outer rows somewhere, so that they may be NULL."""
    need: tuple[str, ...] = ()
    widened: set[int] = field(default_factory=set)
    """Relations that have got hidden columns."""

    def __post_init__(self) -> None:
        self.number = self.context.new_id()
        self.moved = self.context.new_id()
        self.visible = list_visible(self.host.base)
        self.ids = frozenset(self.visible)

    def name_values(self, query: Query) -> Query:
        """Put columns of `number` for the columns of the host, and for the outer sides of equalities."""

        def change(node: Node) -> Node:
            if isinstance(node, Binary) and node.operator in {"=", "<=>"}:
                left, right = self.outer_side(node.left), self.outer_side(node.right)
                if left is not None and right is None and not isinstance(node.left, Column):
                    return node.replace(left=left, right=change(node.right))
                if right is not None and left is None and not isinstance(node.right, Column):
                    return node.replace(left=change(node.left), right=right)
            if isinstance(node, Column) and node.source in self.ids:
                return self.value(node)
            return node.map_children(change)

        made = cast("Query", change(query))
        self.count_uses(made)
        return made

    def outer_side(self, side: Expression) -> Expression | None:
        columns = [each for each in side.walk() if isinstance(each, Column)]
        if not columns or any(each.source not in self.ids for each in columns):
            return None
        plain = not any(isinstance(each, INNER) or is_aggregate(each) for each in side.walk())
        return self.value(side) if plain and is_fixed(side) else None

    def value(self, outer: Expression) -> Column:
        for name, known in self.values.items():
            if same(known, outer):
                return Column(name=name, source=self.number, type=outer.type)
        name = self.context.fresh("__v")
        self.values[name] = qualify(outer, self.visible)
        self.hidden[name] = self.context.fresh("__o")
        return Column(name=name, source=self.number, type=outer.type)

    def count_uses(self, query: Query) -> None:
        self.uses = {}
        for each in query.walk():
            if isinstance(each, Column) and each.source == self.number:
                self.uses[each.name] = self.uses.get(each.name, 0) + 1

    def put(self, node: Node, known: Mapping[str, Expression]) -> Node:
        return put(node, lambda column: known.get(column.name) if column.source == self.number else None)

    def found(self, node: Node | None) -> tuple[str, ...]:
        """The outer values in a tree, in order."""
        if node is None:
            return ()
        names = {each.name for each in node.walk() if isinstance(each, Column) and each.source == self.number}
        return tuple(each for each in self.values if each in names)

    def pull_across(self, select: Select) -> tuple[Select, list[Expression], list[tuple[str, Expression]]]:
        """Take the conditions out of a plain SELECT that compare with outer values otherwise than by equality."""
        own = frozenset(list_visible(select.base))
        stay: list[Expression] = []
        pulled: list[Expression] = []
        hidden: list[tuple[str, Expression]] = []
        for part in split_and(select.where):
            if not self.found(part) or self.binding(part) is not None or has_query(part):
                stay.append(part)
                continue

            def move(column: Column) -> Expression | None:
                if column.source not in own:
                    return None
                for name, known in hidden:
                    if same(known, column):
                        return Column(name=name, source=self.moved, type=column.type)
                hidden.append((self.context.fresh("__o"), column))
                return Column(name=hidden[-1][0], source=self.moved, type=column.type)

            pulled.append(put(part, move))
        return select.replace(where=all_of(stay)), pulled, hidden

    def binding(self, condition: Expression) -> tuple[str, Expression] | None:
        """The outer value that an equality binds to an expression over rows of the query."""
        if not isinstance(condition, Binary) or condition.operator not in {"=", "<=>"}:
            return None
        for outer, inner in ((condition.left, condition.right), (condition.right, condition.left)):
            if not isinstance(outer, Column) or outer.source != self.number:
                continue
            if self.found(inner) or has_query(inner) or not any(isinstance(each, Column) for each in inner.walk()):
                continue
            alike = outer.type is not None and outer.type == inner.type
            if (alike or self.uses.get(outer.name, 0) == 1) and condition.operator == "=":
                return outer.name, inner
        return None

    def domain(self, names: Iterable[str]) -> tuple[Derived, Known]:
        """The distinct outer values, and the columns that have them."""
        wanted = list(names)
        self.joined |= set(wanted)
        base, where = self.narrow([self.values[each] for each in wanted])
        fresh = {each: self.context.fresh("__o") for each in wanted}
        items = tuple(named(self.values[each], fresh[each]) for each in wanted)
        query = copy_fresh(make_query(items, base, where, distinct=True), self.context)
        relation = derive(query, self.context.fresh("__d"), self.context)
        return relation, {each: column_of(relation, fresh[each], self.values[each].type) for each in wanted}

    def narrow(self, values: list[Expression]) -> tuple[Relation, Expression | None]:
        """The smallest part of the host's FROM that has all of some values, with the conditions on it."""
        base = self.host.base
        conditions = [each for each in split_and(self.host.where) if not has_query(each) and is_fixed(each)]
        while isinstance(base, Join) and not base.using and not base.natural:
            sides = [(base.left, base.kind in {"inner", "cross", "left", "semi", "anti"})]
            sides.append((base.right, base.kind in {"inner", "cross", "right"}))
            ids = {column.source for each in values for column in each.walk() if isinstance(column, Column)}
            inner = [side for side, whole in sides if whole and ids <= set(list_visible(side))]
            if not inner or any(getattr(each, "lateral", False) for each in list_visible(inner[0]).values()):
                break
            base = inner[0]
        within = list_ids(base)
        kept = [
            each
            for each in conditions
            if all(column.source in within for column in each.walk() if isinstance(column, Column))
        ]
        return base, all_of(kept)

    def query(self, query: Query, need: tuple[str, ...], *, fill: bool, top: bool = False) -> Query:
        """A query with the outer values behind its columns. `fill`: see `decorrelate`."""
        raise NotImplementedError
