"""Resolves a parsed query: which table or WITH each relation is, which columns each name means, and all types.

`Analyzer.scala` of Spark 4.2 says in which order names are tried. What cannot be told stays unknown: a relation whose
columns are not known makes unqualified names around it unknown, and no error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mcp_server.sql.typed import functions, nodes, typing
from mcp_server.sql.typed.call_checks import check_named_windows
from mcp_server.sql.typed.naming import TIME_WINDOWS
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Expression
from mcp_server.sql.typed.relations import (
    Cte,
    Grouping,
    GroupingSets,
    Item,
    Keys,
    Output,
    Query,
    Select,
    SetOperation,
    Values,
)
from mcp_server.sql.typed.resolve_relation import RelationResolver, name_outputs
from mcp_server.sql.typed.scopes import NO_COLUMNS, Scope, TableSource, see_columns

_WINDOWS: Final = frozenset({"window", "session_window"})


def resolve_query(query: Query, source: TableSource) -> Query:
    """Return the query with names and types. Errors: SparkRefuses."""
    return QueryResolver(source).resolve_query(query, Scope())


class QueryResolver(RelationResolver):
    """Resolves queries."""

    def resolve_query(self, query: Query, scope: Scope) -> Query:
        inner = self._resolve_ctes(query, scope)
        ctes = tuple(inner.ctes[each.name.lower()] for each in query.ctes)
        body, below = self._resolve_body(query.body, inner)
        outputs = body.outputs if isinstance(body, Query) else self.outputs_of(body)
        order = tuple(self.resolve_key(key, below) for key in query.order)
        return query.replace(
            body=body,
            ctes=ctes,
            order=order,
            sort=tuple(self.resolve_key(key, below) for key in query.sort),
            distribute=self.resolve_many(query.distribute, below),
            limit=None if query.limit is None else self.resolve(query.limit, Scope()),
            offset=None if query.offset is None else self.resolve(query.offset, Scope()),
            outputs=outputs,
        )

    def _resolve_ctes(self, query: Query, scope: Scope) -> Scope:
        """Return the scope in which the body is read: each WITH sees those before it."""
        for cte in query.ctes:
            scope = replace(scope, ctes={**scope.ctes, cte.name.lower(): self._resolve_cte(cte, query, scope)})
        return scope

    def _resolve_cte(self, cte: Cte, query: Query, scope: Scope) -> Cte:
        # A WITH that is no LATERAL sub-query sees no column around it, but in an expression it does.
        if query.recursive and isinstance(cte.query.body, SetOperation) and self.reads(cte.query, cte.name):
            anchor = self.resolve_query(cte.query.body.left, scope)
            known = cte.replace(outputs=name_outputs(anchor.outputs, cte.names, None))
            scope = replace(scope, ctes={**scope.ctes, cte.name.lower(): known})
        inner = self.resolve_query(cte.query, scope)
        return cte.replace(query=inner, outputs=name_outputs(inner.outputs, cte.names, None))

    def _resolve_body(
        self, body: Select | SetOperation | Values | Query, scope: Scope
    ) -> tuple[Select | SetOperation | Values | Query, Scope]:
        """Return the body, and the scope of what orders it."""
        match body:
            case Query():
                inner = self.resolve_query(body, scope)
                return inner, self._scope_of_outputs(inner.outputs, scope)
            case Select():
                return self._resolve_select(body, scope)
            case SetOperation():
                left, right = self.resolve_query(body.left, scope), self.resolve_query(body.right, scope)
                both = body.replace(left=left, right=right)
                return both, self._scope_of_outputs(self.outputs_of(both), scope)
            case Values():
                rows = self.resolve_many(body.rows, replace(scope, columns=NO_COLUMNS))
                values = body.replace(rows=rows)
                return values, self._scope_of_outputs(self.outputs_of(values), scope)

    def _scope_of_outputs(self, outputs: tuple[Output, ...] | None, scope: Scope) -> Scope:
        """Return the scope of an ORDER BY behind a query that is no SELECT: its columns are items."""
        if outputs is None:
            return replace(scope, columns=replace(NO_COLUMNS, complete=False), items=())
        items = tuple(Item(nodes.Column(each.name or "", type=each.type), outputs=(each,)) for each in outputs)
        return Scope(NO_COLUMNS, scope.outer, scope.ctes, items, "items")

    def _resolve_select(self, select: Select, scope: Scope) -> tuple[Select, Scope]:
        base = None if select.base is None else self.resolve_relation(select.base, scope)
        columns = NO_COLUMNS if base is None else see_columns(base)
        generates = any(
            isinstance(item.operand, nodes.Call) and functions.is_generator(item.operand.name) for item in select.items
        )
        own = Scope(columns, self.around(scope), scope.ctes, generates=generates, windows=_time_windows(select))
        items: list[Item] = []
        for item in select.items:
            items.append(self._resolve_item(item, replace(own, items=tuple(items), lateral=True)))
        listed = tuple(items)
        named = replace(own, items=listed)
        late = replace(named, order="items")
        group = select.group
        if group is not None and group.all:
            group = self._resolve_all(group, named)
        if group is not None:
            group = group.replace(
                keys=tuple(self._resolve_group(key, named) for key in group.keys),
                given=tuple(self.resolve_ordinal(key, named) for key in group.given),
            )
        windows = tuple(each.replace(window=self.resolve_window(each.window, named)) for each in select.windows)
        found = select.replace(
            base=base,
            items=listed,
            where=None if select.where is None else self.resolve(select.where, own),
            group=group,
            having=None if select.having is None else self.resolve(select.having, self._scope_of_having(late, group)),
            qualify=None if select.qualify is None else self.resolve(select.qualify, named),
            windows=windows,
        )
        check_named_windows(found)
        return found, late

    def _resolve_all(self, group: Grouping, scope: Scope) -> Grouping:
        """Return GROUP BY ALL; where a column or an item is called so, the group is that (`ResolveReferences`)."""
        columns = [each.name.lower() for each in scope.columns.listed]
        if "all" not in columns and not scope.find_items("all"):
            return group
        return Grouping((nodes.Column("all", at=group.at),), at=group.at)

    def _scope_of_having(self, scope: Scope, group: Grouping | None) -> Scope:
        """Return the scope of HAVING, where the names of groups mean them (SPARK-31519)."""
        todo: list[Node] = list(group.keys) if group is not None else []
        found = set[tuple[int | None, str]]()
        while todo:
            key = todo.pop()
            if isinstance(key, nodes.Column):
                found.add((key.source, key.name.lower()))
            elif isinstance(key, (GroupingSets, Keys)):
                todo += key.children
        return replace(scope, grouped=frozenset(found))

    def _resolve_item(self, item: Item, scope: Scope) -> Item:
        operand = self.resolve(item.operand, scope)
        return item.replace(operand=operand, outputs=self.outputs_of_item(operand, item.aliases, scope))

    def _resolve_group(self, key: Expression | GroupingSets, scope: Scope) -> Expression | GroupingSets:
        if isinstance(key, GroupingSets):
            return self._resolve_sets(key, scope)
        return self.resolve_ordinal(key, scope)

    def _resolve_sets(self, sets: GroupingSets, scope: Scope) -> GroupingSets:
        return sets.replace(
            sets=tuple(
                self._resolve_sets(each, scope)
                if isinstance(each, GroupingSets)
                else each.replace(operands=tuple(self.resolve_ordinal(key, scope) for key in each.operands))
                for each in sets.sets
            )
        )

    def outputs_of(self, body: Select | SetOperation | Values) -> tuple[Output, ...] | None:
        """Return the columns that a resolved body gives."""
        match body:
            case Select():
                found: list[Output] = []
                for item in body.items:
                    if item.outputs is None:
                        return None
                    found += item.outputs
                return tuple(found)
            case SetOperation():
                return typing.common_outputs(body)
            case Values():
                return name_outputs(typing.row_outputs(body.rows), body.names, None)


def _time_windows(select: Select) -> dict[str, nodes.Call]:
    """Return the calls by which rows are grouped into windows of time, by name."""
    keys = select.group.keys if select.group is not None else ()
    return {key.name: key for key in keys if isinstance(key, nodes.Call) and key.name in TIME_WINDOWS}
