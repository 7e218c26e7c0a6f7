"""Resolves what FROM reads, and which columns it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from mcp_server.sql.typed import functions, nodes, typing
from mcp_server.sql.typed.coercion import common_type
from mcp_server.sql.typed.naming import name_of
from mcp_server.sql.typed.nodes import Call, Expression
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import (
    CteUse,
    Derived,
    FunctionTable,
    InlineTable,
    Item,
    Join,
    LateralView,
    Named,
    Output,
    Pivot,
    Query,
    Relation,
    Sample,
    Table,
    Unpivot,
)
from mcp_server.sql.typed.resolve_expression import ExpressionResolver
from mcp_server.sql.typed.scopes import (
    NO_COLUMNS,
    Columns,
    Scope,
    TableSource,
    Visible,
    hide_shared,
    see_columns,
    shown_outputs,
)
from mcp_server.sql.typed.types import STRING, Struct


class RelationResolver(ExpressionResolver):
    """Resolves relations. `before` are the columns that a lateral one may name. Errors: SparkRefuses."""

    def __init__(self, source: TableSource) -> None:
        self.source = source

    def resolve_relation(self, relation: Relation, scope: Scope, before: Columns = NO_COLUMNS) -> Relation:
        """Return a relation with its columns. `scope` is what stands around the SELECT."""
        return self._RELATIONS[type(relation)](self, relation, scope, before)

    def _inside(self, relation: Derived | FunctionTable, scope: Scope, before: Columns) -> Scope:
        """Return the scope of what stands in a relation: only a lateral one sees the columns before it."""
        around = self.around(scope)
        return (
            Scope(before, around, scope.ctes) if relation.lateral else Scope(outer=around, ctes=scope.ctes, passes=True)
        )

    def _resolve_derived(self, derived: Derived, scope: Scope, before: Columns) -> Relation:
        query = self.resolve_query(derived.query, self._inside(derived, scope, before))
        return self._named(derived.replace(query=query), query.outputs)

    def _resolve_inline(self, inline: InlineTable, scope: Scope, _: Columns) -> Relation:
        rows = self.resolve_many(inline.rows, Scope(outer=self.around(scope), ctes=scope.ctes, passes=True))
        return self._named(inline.replace(rows=rows), typing.row_outputs(rows))

    def _resolve_function(self, function: FunctionTable, scope: Scope, before: Columns) -> Relation:
        call = cast("Call", self.resolve(function.call, self._inside(function, scope, before)))
        return self._named(function.replace(call=call), functions.generated(call))

    def _resolve_sample(self, sample: Sample, scope: Scope, before: Columns) -> Relation:
        base = self.resolve_relation(sample.base, scope, before)
        return self._named(sample.replace(base=base), shown_outputs(see_columns(base)))

    def around(self, scope: Scope) -> Scope | None:
        """Return the scope that a sub-query may name columns of, None where there is nothing to name."""
        something = scope.columns.listed or not scope.columns.complete or scope.outer or scope.parameters or scope.items
        return scope if something else None

    def _named(self, relation: Relation, outputs: tuple[Output, ...] | None) -> Relation:
        keep = isinstance(relation, Derived) and relation.piped
        return relation.replace(outputs=name_outputs(outputs, relation.names, relation.id, keep=keep))

    def _resolve_name(self, named: Named, scope: Scope, _: Columns) -> Relation:
        at = -1 if named.at is None else named.at
        info = self.source.find(at)
        name, alias, names = named.name, named.alias, named.names
        if info is not None:
            outputs = self.source.columns(info, at)
            found = name_outputs(outputs, names, named.id)
            schema = self.source.schema
            return Table(
                name, info, named.text, schema, id=named.id, alias=alias, names=names, outputs=found, at=named.at
            )
        cte = scope.ctes.get(name[-1].lower())
        if cte is None:
            raise SparkRefuses("TABLE_OR_VIEW_NOT_FOUND", f"There is no table {'.'.join(name)}.", named.at)
        found = name_outputs(cte.outputs, names, named.id)
        return CteUse(name[-1], cte.id, id=named.id, alias=alias, names=names, outputs=found, at=named.at)

    def _resolve_join(self, join: Join, scope: Scope, before: Columns) -> Relation:
        left = self.resolve_relation(join.left, scope, before)
        seen = see_columns(left)
        right = self.resolve_relation(join.right, scope, _beside(before, seen))
        found = join.replace(left=left, right=right)
        other = see_columns(right)
        shared = join.shared
        if join.natural and seen.complete and other.complete:
            names = {each.name.lower() for each in other.shown() or ()}
            shared = tuple(each.name for each in seen.shown() or () if each.name.lower() in names)
        if join.on is not None:
            both = Columns((*seen.listed, *other.listed), seen.complete and other.complete)
            inner = Scope(_beside(before, both), self.around(scope), scope.ctes)
            found = found.replace(on=self.resolve(join.on, inner))
        outputs = self._join_outputs(found, shared, seen, other)
        return found.replace(shared=shared, outputs=name_outputs(outputs, join.names, join.id if join.alias else None))

    def _join_outputs(
        self, join: Join, shared: Sequence[str], left: Columns, right: Columns
    ) -> tuple[Output, ...] | None:
        """Return the columns of a join: those that USING shares first."""
        if not (left.complete and right.complete):
            return None
        if join.kind in {"semi", "anti"}:
            return shown_outputs(left)
        merged: list[Output] = []
        for name in shared:
            one, other = (_only(each, name, join) for each in (left, right))
            kind = common_type([one.type, other.type]) if join.kind == "full" else one.type
            merged.append(Output(one.name, other.type if join.kind == "right" else kind, join.id))
        rest = shown_outputs(Columns((*hide_shared(left, shared), *hide_shared(right, shared))))
        return (*merged, *(rest or ()))

    def _resolve_view(self, view: LateralView, scope: Scope, before: Columns) -> Relation:
        base = None if view.base is None else self.resolve_relation(view.base, scope, before)
        columns = NO_COLUMNS if base is None else see_columns(base)
        inner = Scope(_beside(before, columns), self.around(scope), scope.ctes)
        call = cast("Call", self.resolve(view.call, inner))
        return self._named(view.replace(base=base, call=call), functions.generated(call))

    def _resolve_pivot(self, pivot: Pivot, scope: Scope, before: Columns) -> Relation:
        base = self.resolve_relation(pivot.base, scope, before)
        columns = see_columns(base)
        inner = Scope(columns, self.around(scope), scope.ctes)
        aggregates = tuple(self._resolve_aggregate(item, inner) for item in pivot.aggregates)
        by = self.resolve_many(pivot.columns, inner)
        values = tuple(item.replace(operand=self.resolve(item.operand, inner)) for item in pivot.values)
        found = pivot.replace(base=base, aggregates=aggregates, columns=by, values=values)
        return self._named(found, _pivot_outputs(found, columns))

    def _resolve_aggregate(self, item: Item, scope: Scope) -> Item:
        operand = self.resolve(item.operand, scope)
        return item.replace(operand=operand, outputs=self.outputs_of_item(operand, item.aliases, scope))

    def _resolve_unpivot(self, unpivot: Unpivot, scope: Scope, before: Columns) -> Relation:
        base = self.resolve_relation(unpivot.base, scope, before)
        columns = see_columns(base)
        inner = Scope(columns, self.around(scope), scope.ctes)
        groups = tuple(each.replace(columns=self.resolve_many(each.columns, inner)) for each in unpivot.groups)
        found = unpivot.replace(base=base, groups=groups)
        shown = columns.shown()
        if shown is None:
            return self._named(found, None)
        used = {
            (each.source, each.name.lower())
            for group in groups
            for each in group.columns
            if isinstance(each, nodes.Column)
        }
        kept = [Output(each.name, each.type) for each in shown if (each.source, each.name.lower()) not in used]
        kinds = [common_type([group.columns[at].type for group in groups]) for at in range(len(unpivot.values))]
        made = [Output(name, kind) for name, kind in zip(unpivot.values, kinds, strict=True)]
        return self._named(found, (*kept, Output(unpivot.label, STRING), *made))

    def outputs_of_item(self, operand: Expression, aliases: Sequence[str], scope: Scope) -> tuple[Output, ...] | None:
        """Return the columns of one item of a SELECT list."""
        if isinstance(operand, nodes.Star):
            return self._star_outputs(operand, scope)
        generated = functions.generated(operand) if isinstance(operand, Call) and operand.window is None else None
        if generated is not None:
            return name_outputs(generated, aliases, None)
        if isinstance(operand, Call) and functions.is_generator(operand.name):
            return None if len(aliases) != 1 else (Output(aliases[0], None),)
        if isinstance(operand, nodes.Column) and not aliases and operand.source is not None:
            origin = (operand.source, operand.name.lower())
            return (Output(operand.name, operand.type, operand.source, origin=origin),)
        return (Output(aliases[0] if aliases else name_of(operand), operand.type),)

    def _star_outputs(self, star: nodes.Star, scope: Scope) -> tuple[Output, ...] | None:
        if star.base is not None:
            kind = star.base.type
            fields = kind.fields if isinstance(kind, Struct) else None
            return None if fields is None else tuple(Output(name, type_) for name, type_ in fields)
        shown = self.columns_of(star, scope).shown(star.parts)
        if shown is None:
            return None
        excluded = [[part.lower() for part in each] for each in star.excluded]
        if any(not any(_names(each, parts) for each in shown) and len(parts) == 1 for parts in excluded):
            raise SparkRefuses(
                "EXCEPT_UNRESOLVED_COLUMNS_IN_STRUCT_EXPANSION", "EXCEPT names a column that is not there.", star.at
            )
        renewed = dict(zip(map(str.lower, star.renewed), star.renewals, strict=True))
        return tuple(
            Output(
                each.name,
                renewed[each.name.lower()].type if each.name.lower() in renewed else each.type,
                each.source,
                each.qualifiers[-1] if each.qualifiers else None,
            )
            for each in shown
            if not any(_names(each, parts) for parts in excluded)
        )

    def reads(self, query: Query, name: str) -> bool:
        """Whether a query names a relation."""
        return any(isinstance(node, Named) and node.name[-1].lower() == name.lower() for node in query.walk())

    _RELATIONS: Final[Mapping[type[Relation], Callable[[RelationResolver, Any, Scope, Columns], Relation]]] = {
        Named: _resolve_name,
        Derived: _resolve_derived,
        InlineTable: _resolve_inline,
        FunctionTable: _resolve_function,
        Join: _resolve_join,
        LateralView: _resolve_view,
        Sample: _resolve_sample,
        Pivot: _resolve_pivot,
        Unpivot: _resolve_unpivot,
    }


def name_outputs(
    outputs: tuple[Output, ...] | None, names: Sequence[str], source: int | None, *, keep: bool = False
) -> tuple[Output, ...] | None:
    """Return columns under the names that follow an alias, as those of a relation. Errors: SparkRefuses."""
    if outputs is None:
        return tuple(Output(name, None, source) for name in names) or None
    if names and len(names) != len(outputs):
        raise SparkRefuses(
            "ASSIGNMENT_ARITY_MISMATCH", f"{len(names)} names are given to {len(outputs)} columns: list as many."
        )
    given: Sequence[str | None] = names or [each.name for each in outputs]
    return tuple(
        Output(name, each.type, source, each.qualifier if keep and not names else None, each.origin)
        for name, each in zip(given, outputs, strict=True)
    )


def _beside(before: Columns, more: Columns) -> Columns:
    return Columns((*more.listed, *before.listed), before.complete and more.complete)


def _only(columns: Columns, name: str, join: Join) -> Visible:
    """Return the column that USING means: the first of that name."""
    found = [each for each in columns.shown() or () if each.name.lower() == name.lower()]
    if not found:
        raise SparkRefuses("UNRESOLVED_USING_COLUMN_FOR_JOIN", f"One side of the join has no column {name}.", join.at)
    return found[0]


def _names(column: Visible, parts: Sequence[str]) -> bool:
    return column.matches(parts[:-1], parts[-1])


def _pivot_outputs(pivot: Pivot, columns: Columns) -> tuple[Output, ...] | None:
    """Return the groups, which are the columns that PIVOT does not name, and a column for each value and aggregate."""
    shown = columns.shown()
    if shown is None:
        return None
    used = {
        (node.source, node.name.lower())
        for part in (*pivot.aggregates, *pivot.columns)
        for node in part.walk()
        if isinstance(node, nodes.Column)
    }
    groups = [Output(each.name, each.type) for each in shown if (each.source, each.name.lower()) not in used]
    made: list[Output] = []
    for value in pivot.values:
        label = value.aliases[0] if value.aliases else _pivot_label(value)
        for aggregate in pivot.aggregates:
            output = (aggregate.outputs or (Output(None, None),))[0]
            name = (
                label
                if len(pivot.aggregates) == 1
                else None
                if label is None or output.name is None
                else f"{label}_{output.name}"
            )
            made.append(Output(name, output.type))
    return (*groups, *made)


def _pivot_label(value: Item) -> str | None:
    """Return how Spark names a value: the text of a constant."""
    operand = value.operand
    if isinstance(operand, nodes.Constant) and isinstance(operand.value, str | int):
        return str(operand.value)
    return None
