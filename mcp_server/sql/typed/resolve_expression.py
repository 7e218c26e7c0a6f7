"""Resolves the names in expressions, and has each node typed once its parts are.

`ColumnResolutionHelper`, `ResolveReferences` and `ResolveLateralColumnAliasReference` of Spark 4.2 say what is tried in
which order: columns, items of the list, the queries around; behind a column's name follow fields of structs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from lakehouse.quoting import quote_identifier
from mcp_server.sql.typed import functions, nodes, typing
from mcp_server.sql.typed.call_checks import check_sort_key
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Column, Expression, Lambda, SortKey, Window
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import Query
from mcp_server.sql.typed.scopes import Columns, Scope
from mcp_server.sql.typed.types import VARIANT, VOID, Array, Map, Struct, Type

BARE_FUNCTIONS: Final = frozenset(
    {
        *("current_catalog", "current_database", "current_date", "current_schema", "current_time"),
        *("current_timestamp", "current_user", "localtimestamp", "user", "session_user", "grouping__id"),
    }
)
"""Functions that may be called without brackets, where no column has their name (`LiteralFunctionResolution`)."""


class ExpressionResolver(ABC):
    """Resolves expressions. Errors: SparkRefuses."""

    @abstractmethod
    def resolve_query(self, query: Query, scope: Scope) -> Query:
        """Resolve a query; `scope` is what stands around it."""

    def resolve(self, node: Expression, scope: Scope) -> Expression:
        """Return an expression with its names and types."""
        return cast("Expression", self._resolve_node(node, scope))

    def resolve_many(self, nodes_: Sequence[Expression], scope: Scope) -> tuple[Expression, ...]:
        return tuple(self.resolve(node, scope) for node in nodes_)

    def resolve_key(self, key: SortKey, scope: Scope) -> SortKey:
        """Return a key of an order; a whole number in it is the place of an item."""
        operand = self.resolve_ordinal(key.operand, scope)
        check_sort_key(operand.type)
        return key.replace(operand=operand)

    def resolve_ordinal(self, node: Expression, scope: Scope) -> Expression:
        """Return an expression that may be the place of an item, from 1."""
        if isinstance(node, nodes.Constant) and type(node.value) is int:
            index = node.value
            known = scope.items and all(item.outputs is not None for item in scope.items)
            kind = None
            if 1 <= index <= len(scope.items) and known:
                outputs = scope.items[index - 1].outputs
                kind = outputs[0].type if outputs else None
            return nodes.Ordinal(index, type=kind, at=node.at)
        return self.resolve(node, scope)

    def resolve_window(self, window: Window, scope: Scope) -> Window:
        """Return a window with its names."""
        return window.map_children(lambda each: self._resolve_node(each, scope))

    def _resolve_node(self, node: Node, scope: Scope) -> Node:
        resolve = self._EXPRESSIONS.get(type(node))
        if resolve is not None:
            return resolve(self, node, scope)
        found = node.map_children(lambda each: self._resolve_node(each, scope))
        return typing.complete(found) if isinstance(found, Expression) else found

    def _resolve_subquery(self, node: nodes.ScalarQuery | nodes.Exists, scope: Scope) -> Expression:
        return typing.complete(node.replace(query=self.resolve_query(node.query, scope)))

    def _resolve_membership(self, node: nodes.InQuery, scope: Scope) -> Expression:
        operands = self.resolve_many(node.operands, scope)
        return typing.complete(node.replace(operands=operands, query=self.resolve_query(node.query, scope)))

    def _resolve_plain_lambda(self, node: Lambda, scope: Scope) -> Expression:
        return self._resolve_lambda(node, scope, ())

    def _resolve_element(self, node: nodes.Element, scope: Scope) -> Node:
        """Resolve `name[index]` behind a list: where the item of that name has no elements, the column is meant."""
        orders = (scope, replace(scope, order="columns")) if scope.order == "items" else (scope,)
        for each in orders:
            base = self.resolve(node.base, each)
            if base.type is None or isinstance(base.type, Array | Map) or base.type in {VARIANT, VOID}:
                break
        return typing.complete(node.replace(base=base, index=self.resolve(node.index, scope)))

    def _resolve_call(self, call: Call, scope: Scope) -> Expression:
        inner = scope
        if call.window is None and functions.is_aggregate(call.name):
            inner = scope.inside_aggregate()
        plain = tuple(
            each if isinstance(each, Lambda) else self.resolve(each, inner)
            for each in functions.place_arguments(call).arguments
        )
        kinds = [None if isinstance(each, Lambda) else each.type for each in plain]
        arguments = tuple(
            self._resolve_lambda(each, inner, typing.bind_parameters(call.name, kinds, index))
            if isinstance(each, Lambda)
            else each
            for index, each in enumerate(plain)
        )
        return typing.complete(
            call.replace(
                arguments=arguments,
                filter=None if call.filter is None else self.resolve(call.filter, inner),
                within=tuple(key.replace(operand=self.resolve(key.operand, inner)) for key in call.within),
                window=None if call.window is None else self.resolve_window(call.window, scope),
            )
        )

    def _resolve_lambda(self, node: Lambda, scope: Scope, kinds: Sequence[Type | None]) -> Expression:
        known = [*kinds, *[None] * len(node.parameters)]
        parameters = tuple(each.replace(type=kind) for each, kind in zip(node.parameters, known, strict=False))
        body = self.resolve(node.body, scope.with_parameters(parameters))
        return typing.complete(node.replace(parameters=parameters, body=body))

    def _resolve_star(self, star: nodes.Star, scope: Scope) -> Expression:
        if star.base is not None:
            return star.replace(base=self.resolve(star.base, scope))
        renewals = self.resolve_many(star.renewals, scope)
        shown = self.columns_of(star, scope).shown(star.parts)
        if shown == () and star.parts:
            found = self._find(scope, [*map(str.lower, star.parts)], scope.outer)
            if found is not None:
                base = found.replace(at=star.at)
                return star.replace(base=base, parts=(), renewals=renewals)
            if scope.complete and not scope.parameters:
                name = ".".join(star.parts)
                raise SparkRefuses("CANNOT_RESOLVE_STAR_EXPAND", f"There is no relation {name} for {name}.*.", star.at)
        sources = tuple(dict.fromkeys(each.source for each in shown or ()))
        return star.replace(sources=sources, renewals=renewals)

    def columns_of(self, star: nodes.Star, scope: Scope) -> Columns:
        """Return the columns that a star is over: `t.*` may be of a query around."""
        found: Scope | None = scope
        while star.parts and found is not None:
            if found.columns.shown(star.parts) != ():
                return found.columns
            found = found.outer if found is scope or found.passes else None
        return scope.columns

    def _resolve_column(self, column: Column, scope: Scope) -> Expression:
        names = [*(part.lower() for part in column.parts), column.name.lower()]
        if not column.parts and names[0] in scope.parameters:
            parameter = scope.parameters[names[0]]
            return nodes.Parameter(column.name, type=parameter.type, at=column.at)
        found = self._find(scope, names, scope.outer)
        if found is None and column.parts and names[0] in scope.parameters:
            first = scope.parameters[names[0]]
            base: Expression = nodes.Parameter(column.parts[0], type=first.type, at=column.at)
            found = self._add_fields(base, [*column.parts[1:], column.name], column.at)
        if found is None and not column.parts and names[0] in BARE_FUNCTIONS:
            return typing.complete(Call(names[0], how="bare", at=column.at))
        if found is None:
            if scope.complete and not scope.parameters:
                sent = ".".join(map(quote_identifier, [*column.parts, column.name]))
                said = f"A column, variable, or function parameter with name {sent} cannot be resolved."
                raise SparkRefuses("UNRESOLVED_COLUMN.WITH_SUGGESTION", said, column.at)
            return column
        return self._as_own(self._spell(found, column), scope)

    def _as_own(self, found: Expression, scope: Scope) -> Expression:
        """Return the operand of an item of a query around: within a sub-query the place of an item says nothing."""
        if not isinstance(found, nodes.ItemUse) or found.index in scope.find_items(found.name.lower()):
            return found
        outer = scope.outer
        while outer is not None and found.index not in outer.find_items(found.name.lower()):
            outer = outer.outer
        return found if outer is None else _write_out(found, outer)

    def _spell(self, found: Expression, column: Column) -> Expression:
        """Return what was found in the sender's spelling, at the sender's token."""
        spelled = [*column.parts, column.name]
        chain = list[Expression]()
        node = found
        while isinstance(node, nodes.Field):
            chain.append(node)
            node = node.base
        if isinstance(node, Column):
            width = len(node.parts) + 1
            piped = node.at == -1
            node = node.replace(
                name=spelled[width - 1], parts=() if piped else tuple(spelled[: width - 1]), at=column.at
            )
        elif isinstance(node, nodes.ItemUse | nodes.Parameter):
            width = 1
            node = node.replace(name=spelled[0], at=column.at)
        else:
            width = 1
        for name in spelled[width:]:
            node = typing.complete(nodes.Field(node, name, at=column.at))
        return node

    def _find(self, scope: Scope, names: list[str], outer: Scope | None) -> Expression | None:
        """Return what a dotted name means: a column or item with fields behind it."""
        if scope.grouped and (group := self._find_column(scope, names)) is not None and _is_grouped(group, scope):
            return group
        finders = (self._find_column, self._find_item)
        if scope.order == "items":
            finders = finders[::-1]
        for find in (*finders, self._find_window):
            found = find(scope, names)
            if found is not None:
                return found
        if not scope.columns.complete or outer is None:
            return None
        further = outer.outer
        if not outer.passes:  # Spark looks into the one query around, not into those around that
            further = None
        if outer.lateral:  # what a list names is for itself alone
            outer = replace(outer, items=())
        return self._find(outer, names, further)

    def _find_window(self, scope: Scope, names: list[str]) -> Expression | None:
        """Return the window of time that rows are grouped by, or a field of it."""
        if names[0] not in scope.windows:
            return None
        call = self.resolve(scope.windows[names[0]], replace(scope, windows={}))
        return self._add_fields(call, names[1:], None)

    def _find_column(self, scope: Scope, names: list[str]) -> Expression | None:
        """Try the longest qualifier first, as `AttributeSeq.resolve` does."""
        for width in range(min(len(names), 4), 0, -1):
            parts, name = names[: width - 1], names[width - 1]
            hits = [each for each in scope.columns.listed if each.matches(parts, name) and (parts or not each.hidden)]
            if not hits:
                continue
            if len({each.origin or each for each in hits}) > 1:
                raise SparkRefuses("AMBIGUOUS_REFERENCE", f"Several relations have a column {'.'.join(names)}.")
            hit = hits[0]
            base = Column(hit.name, tuple(parts), hit.source, type=hit.type, at=-1 if hit.piped and parts else None)
            found = self._add_fields(base, names[width:], None)
            if found is not None:
                return found
        return None

    def _find_item(self, scope: Scope, names: list[str]) -> Expression | None:
        found = scope.find_items(names[0])
        if not found:
            return None
        if len(found) > 1 and scope.lateral:
            raise SparkRefuses("AMBIGUOUS_LATERAL_COLUMN_ALIAS", f"Several items are called {names[0]}.")
        outputs = scope.items[found[0]].outputs or ()
        use = nodes.ItemUse(names[0], found[0], type=outputs[0].type)
        return self._add_fields(use, names[1:], None)

    def _add_fields(self, base: Expression, names: Sequence[str], at: int | None) -> Expression | None:
        """Return `base.a.b`, None where its type has no such field. Fields of an unknown type are believed."""
        for name in names:
            kind = base.type.element if isinstance(base.type, Array) else base.type
            if kind is not None and not isinstance(kind, Struct) and not _may_have_fields(kind):
                return None
            if isinstance(kind, Struct) and name.lower() not in {field.lower() for field, _ in kind.fields}:
                return None
            base = typing.complete(nodes.Field(base, name, at=at))
        return base

    _EXPRESSIONS: Final[Mapping[type[Node], Callable[[ExpressionResolver, Any, Scope], Node]]] = {
        Column: _resolve_column,
        nodes.Star: _resolve_star,
        nodes.ScalarQuery: _resolve_subquery,
        nodes.Exists: _resolve_subquery,
        nodes.InQuery: _resolve_membership,
        Call: _resolve_call,
        Lambda: _resolve_plain_lambda,
        nodes.Element: _resolve_element,
    }


def _write_out(use: nodes.ItemUse, scope: Scope) -> Expression:
    """Return the operand of an item, with those of the items before it that it names."""

    def visit(node: Node) -> Node:
        if isinstance(node, nodes.ItemUse):
            return _write_out(node, scope)
        return node if isinstance(node, Query) else node.map_children(visit)

    return cast("Expression", visit(scope.items[use.index].operand))


def _may_have_fields(kind: Type) -> bool:
    return kind in {VARIANT, VOID} or isinstance(kind, Map)


def _is_grouped(found: Expression, scope: Scope) -> bool:
    """Whether a column, or that of which a field was found, is a group."""
    while isinstance(found, nodes.Field):
        found = found.base
    return isinstance(found, Column) and (found.source, found.name.lower()) in scope.grouped
