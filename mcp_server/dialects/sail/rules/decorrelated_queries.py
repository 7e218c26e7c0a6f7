"""Queries and SELECTs with the outer values beside their columns: see `decorrelation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.decorrelated_relations import push_relation
from mcp_server.dialects.sail.rules.kit import compare, named
from mcp_server.dialects.sail.rules.outer_values import Known, OuterValues
from mcp_server.dialects.sail.rules.query_nodes import (
    change_scope,
    find_columns,
    is_aggregate,
    is_one_group,
    list_visible,
    put,
    same,
)
from mcp_server.dialects.sail.rules.query_parts import (
    all_of,
    column_of,
    derive,
    is_null,
    join,
    keep_name,
    make_query,
    name_relations,
    split_and,
    truth,
    write_stars,
)
from mcp_server.dialects.sail.rules.query_rows import keep_rows
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Column, Expression, Star
from mcp_server.sql.typed.relations import Grouping, Item, Output, Query, Relation, Select, SetOperation, Values


class Queries(OuterValues):
    """The work on one query, and on those in its FROM."""

    def query(self, query: Query, need: tuple[str, ...], *, fill: bool, top: bool = False) -> Query:
        """A query with the outer values behind its columns."""
        body = query.body
        limited = query.limit is not None or query.offset is not None
        if self.found(query.limit) or self.found(query.offset):
            raise lacking("LIMIT", "LIMIT by a value of the row around the sub-query", "Use row_number.")
        if limited:
            return keep_rows(query, need, self, fill=fill)
        made: Select | SetOperation | Values | Query
        if isinstance(body, Select):
            made = self.select(body, need, fill=fill, top=top)
        elif isinstance(body, SetOperation):
            left, right = (self.query(each, need, fill=True) for each in (body.left, body.right))
            made = body.replace(left=left, right=right)
        elif isinstance(body, Values):
            inner = derive(query, self.context.fresh("__q"), self.context)
            star = Item(operand=Star(parts=(inner.alias or "",), sources=(inner.id,)), outputs=inner.outputs)
            made = self.select(Select(items=(star,), base=inner), need, fill=fill)
            return Query(body=made, outputs=self.widen(query.outputs, need))
        else:
            made = self.query(body, need, fill=fill)
        return query.replace(
            body=made, order=(), order_all=None, sort=(), distribute=(), outputs=self.widen(query.outputs, need)
        )

    def widen(self, outputs: tuple[Output, ...] | None, need: tuple[str, ...]) -> tuple[Output, ...] | None:
        if outputs is None:
            return None
        more = [output for each in need for output in named(self.values[each], self.hidden[each]).outputs or ()]
        return (*outputs, *more)

    def select(self, select: Select, need: tuple[str, ...], *, fill: bool, top: bool = False) -> Select:
        """A SELECT with the outer values behind its columns."""
        base, known, loose = select.base, Known(), list[Expression]()
        if base is not None and (self.found(base) or self.needs_domain(select, need)):
            base, known, loose = push_relation(name_relations(base, self.context), self, inner=True)
        known = {name: each for name, each in known.items() if name in need}
        bound = Known()
        parts: list[Expression] = []
        ties: list[Expression] = []
        for part in [*split_and(select.where), *loose]:
            binding = self.binding(part)
            if binding is None or binding[0] in known or binding[0] in bound or binding[0] not in need:
                parts.append(part)
                continue
            bound[binding[0]] = binding[1]
            ties.append(part)
        tied = frozenset(bound)
        missing = [each for each in need if each not in known and each not in bound]
        if missing:
            # With the bound values beside them, rows meet only outer rows that the equalities let them meet.
            never_null = tied - self.joined if top and not (is_one_group(select) and fill) else frozenset[str]()
            domain, columns = self.domain([*missing, *bound])
            self.joined -= never_null
            base = domain if base is None else join("cross", base, domain, None, self.context)
            parts += ties
            known |= columns
        else:
            parts += [is_null(each, negated=True) for each in bound.values() if not top]
            known |= bound
        where = all_of(parts)
        if is_one_group(select) and fill:
            return self.again(self.one_group(select, base, where, known, tied, need))
        made = select.replace(base=base, where=where)
        made = cast("Select", self.put(made, known))
        made = made.replace(items=self.written(select.items, made.items, base, changed=base is not select.base))
        values = [known[each] for each in need]
        made = self.partition(made, values)
        if (made.group is not None and not made.group.all) or is_one_group(made):
            keys = made.group.keys if made.group is not None else ()
            more = (each for each in values if not any(same(each, key) for key in keys))
            made = made.replace(group=Grouping(keys=(*keys, *more)))
        made = made.replace(items=(*made.items, *self.hidden_items(known, need)))
        return self.again(made)

    def needs_domain(self, select: Select, need: tuple[str, ...]) -> bool:
        """Whether a SELECT has to be joined with outer values, by what its WHERE binds."""
        bound = {found[0] for each in split_and(select.where) if (found := self.binding(each)) is not None}
        return not set(need) <= bound

    def written(
        self, before: tuple[Item, ...], items: tuple[Item, ...], base: Relation | None, *, changed: bool
    ) -> tuple[Item, ...]:
        """Items with the names that they had, and without the hidden columns that a star would show."""
        kept = [
            new if new.operand is old.operand else keep_name(old, new.operand)
            for old, new in zip(before, items, strict=True)
        ]
        if not changed:
            return tuple(kept)
        return write_stars(tuple(kept), base, lambda star: not star.parts or bool(self.widened & set(star.sources)))

    def hidden_items(self, known: Mapping[str, Expression], need: tuple[str, ...]) -> list[Item]:
        return [named(known[each], self.hidden[each]) for each in need]

    def partition(self, select: Select, values: list[Expression]) -> Select:
        """Windows that do not mix the rows of different outer values."""

        def change(node: Node) -> Node:
            if isinstance(node, Call) and node.window is not None and node.window.base is None:
                window = node.window.replace(partition=(*node.window.partition, *values))
                return node.replace(window=window)
            return node

        if not values:
            return select
        items = tuple(change_scope(each, change) for each in select.items)
        qualify_by = change_scope(select.qualify, change) if select.qualify is not None else None
        windows = tuple(
            each.replace(window=each.window.replace(partition=(*each.window.partition, *values)))
            if each.window.base is None
            else each
            for each in select.windows
        )
        return select.replace(items=items, qualify=qualify_by, windows=windows)

    def one_group(
        self, select: Select, base: Relation | None, where: Expression | None, known: Known,
        bound: frozenset[str], need: tuple[str, ...],
    ) -> Select:  # fmt: skip
        """An aggregate without GROUP BY over the outer values, each joined with the rows that it finds.

        The rows have a flag, by which the aggregates tell them from what an outer value without rows is joined with.
        """
        ids = frozenset(list_visible(base))
        wanted: list[tuple[str, Expression]] = []
        for column in find_columns(select.replace(base=None, where=None), ids):
            if not any(same(column, each) for _, each in wanted):
                wanted.append((self.context.fresh("__c"), column))
        flag = self.context.fresh("__f")
        inner_items = [named(each, name) for name, each in wanted]
        inner_items += [named(known[each], self.hidden[each]) for each in need]
        inner_items.append(named(truth(True), flag))
        inner = make_query(tuple(inner_items), base, where)
        placed = cast("Query", self.put(inner, known))
        body = cast("Select", placed.body)
        rows = derive(placed.replace(body=self.again(body)), self.context.fresh("__q"), self.context)
        domain, columns = self.domain(need)
        on = [
            compare(columns[each], "=" if each in bound else "<=>", column_of(rows, self.hidden[each])) for each in need
        ]
        found = column_of(rows, flag)

        def change(node: Node) -> Node:
            if isinstance(node, Call) and is_aggregate(node):
                return node.replace(filter=all_of([found, *split_and(node.filter)]))
            return node

        def find(column: Column) -> Expression | None:
            if column.source == self.number:
                return columns.get(column.name)
            for name, each in wanted:
                if same(each, column):
                    return column_of(rows, name, column.type)
            return None

        made = put(select.replace(base=None, where=None), find)
        made = self.partition(made, list(columns.values()))
        made = made.replace(
            items=tuple(change_scope(each, change) for each in made.items),
            having=change_scope(made.having, change) if made.having is not None else None,
            base=join("left", domain, rows, all_of(on), self.context),
            group=Grouping(keys=tuple(columns[each] for each in need)),
        )
        return made.replace(items=(*made.items, *self.hidden_items(columns, need)))
