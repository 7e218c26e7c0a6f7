"""Which columns a name may mean: those of the relations of a SELECT, of its list, and of the queries around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from mcp_server.models import TableInfo
from mcp_server.sql.typed.nodes import Call, Parameter
from mcp_server.sql.typed.relations import (
    Cte,
    Item,
    Join,
    LateralView,
    Output,
    Relation,
    Sample,
    Table,
)
from mcp_server.sql.typed.types import Type


@dataclass(frozen=True)
class TableSource:
    """Says which table of the lake stands at a token, None for a WITH name, and gives its columns' types."""

    find: Callable[[int], TableInfo | None]
    columns: Callable[[TableInfo, int], tuple[Output, ...] | None]
    schema: tuple[str, ...]


Order = Literal["columns", "items"]
"""Which Spark tries first: columns (GROUP BY, WHERE, QUALIFY, the list itself) or items (HAVING, ORDER BY)."""


@dataclass(frozen=True, slots=True)
class Visible:
    """A column as a name may reach it. `qualifiers` are lower-case names that may stand before it, from the last one
    on; a `hidden` one is reached with a qualifier alone, as the sides of USING are."""

    name: str
    type: Type | None
    source: int
    qualifiers: tuple[str, ...] = ()
    hidden: bool = False
    piped: bool = False
    origin: tuple[int, str] | None = None

    def matches(self, parts: Sequence[str], name: str) -> bool:
        """Whether `parts.name` may mean it."""
        if self.name.lower() != name or len(parts) > len(self.qualifiers):
            return False
        return not parts or tuple(parts) == self.qualifiers[len(self.qualifiers) - len(parts) :]


@dataclass(frozen=True)
class Columns:
    """The columns of a FROM, in order. `complete` is False where some relation's columns are not known."""

    listed: tuple[Visible, ...] = ()
    complete: bool = True

    def shown(self, parts: Sequence[str] = ()) -> tuple[Visible, ...] | None:
        """Return what `*` or `t.*` stands for, None where it is not known."""
        if not self.complete:
            return None
        if not parts:
            return tuple(each for each in self.listed if not each.hidden)
        lower = [part.lower() for part in parts]
        return tuple(each for each in self.listed if each.matches(lower, each.name.lower()))


NO_COLUMNS: Final = Columns()


@dataclass
class Scope:
    """Where a name is looked up: here, then in `outer`. `ctes` are the WITH names that may be read.

    `items` are those of the SELECT list that may be named here; `order` says whether they come before columns.
    """

    columns: Columns = NO_COLUMNS
    outer: Scope | None = None
    ctes: Mapping[str, Cte] = field(default_factory=dict)
    items: Sequence[Item] = ()
    order: Order = "columns"
    lateral: bool = False
    """Whether an item of the list is read, which may name those before it."""
    generates: bool = False
    """Whether an item of the list makes rows: its columns may be named anywhere in the list."""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    in_aggregate: bool = False
    grouped: frozenset[tuple[int | None, str]] = frozenset()
    """Columns that are groups, by relation and lower-case name: in HAVING their names mean them before items."""

    windows: Mapping[str, Call] = field(default_factory=dict)
    """GROUP BY window(…) makes a column of that name (`TimeWindowing`, `SessionWindowing`)."""

    passes: bool = False
    """Whether it is that of a query in FROM, which has no columns but sees those around the SELECT."""

    def with_parameters(self, parameters: Sequence[Parameter]) -> Scope:
        """Return the scope within a lambda."""
        return replace(self, parameters={**self.parameters, **{each.name.lower(): each for each in parameters}})

    def inside_aggregate(self) -> Scope:
        """Return the scope within an aggregate function, which looks below the list first."""
        return (
            self if self.in_aggregate or self.order == "columns" else replace(self, order="columns", in_aggregate=True)
        )

    @property
    def complete(self) -> bool:
        """Whether every name that may be meant is known, here and around."""
        named = all(each.name for each in self.columns.listed) and not self.generates
        listed = all(each.outputs is not None and all(output.name for output in each.outputs) for each in self.items)
        return named and listed and self.columns.complete and (self.outer is None or self.outer.complete)

    def find_items(self, name: str) -> list[int]:
        """Return the places of the items of that name."""
        return [index for index, item in enumerate(self.items) if item_name(item) == name]


def item_name(item: Item) -> str | None:
    """Return the one name of an item in lower case."""
    names = [output.name for output in item.outputs or () if output.name is not None]
    return names[0].lower() if len(names) == 1 and item.outputs is not None and len(item.outputs) == 1 else None


def see_columns(relation: Relation) -> Columns:
    """Return the columns of a resolved relation, as names reach them."""
    if isinstance(relation, Join):
        return _see_join(relation)
    if isinstance(relation, LateralView):
        base = see_columns(relation.base) if relation.base is not None else NO_COLUMNS
        return _join_columns(base, _see_outputs(relation))
    if isinstance(relation, Sample) and relation.alias is None:
        return see_columns(relation.base)
    return _see_outputs(relation)


def _see_outputs(relation: Relation) -> Columns:
    if relation.outputs is None:
        return Columns((), complete=False)
    names = _qualifiers(relation)
    listed = tuple(
        Visible(
            output.name or "",
            output.type,
            relation.id,
            names or ((output.qualifier.lower(),) if output.qualifier else ()),
            piped=not names and output.qualifier is not None,
            origin=output.origin,
        )
        for output in relation.outputs
    )
    return Columns(listed)


def _qualifiers(relation: Relation) -> tuple[str, ...]:
    if relation.alias is not None:
        return (relation.alias.lower(),)
    if isinstance(relation, Table):
        # Spark qualifies a table's columns with spark_catalog.schema.table; any end of that may be written.
        parts = tuple(part.lower() for part in relation.name)
        return parts if len(parts) > 1 else (*relation.schema, *parts)
    name = getattr(relation, "name", None)
    return (name.lower(),) if isinstance(name, str) else ()


def _see_join(join: Join) -> Columns:
    left = see_columns(join.left)
    if join.kind in {"semi", "anti"}:
        return left
    right = see_columns(join.right)
    if join.alias is not None and join.outputs is not None:
        return _see_outputs(join)
    if not join.shared:
        return _join_columns(left, right)
    merged = tuple(Visible(each.name or "", each.type, join.id) for each in (join.outputs or ())[: len(join.shared)])
    rest = (*hide_shared(left, join.shared), *hide_shared(right, join.shared))
    return Columns((*merged, *rest), left.complete and right.complete)


def hide_shared(columns: Columns, shared: Sequence[str]) -> Iterator[Visible]:
    """Yield the columns of one side, those that USING shares first and hidden: one of each name."""
    found: dict[str, Visible] = {}
    for each in columns.listed:
        if not each.hidden and each.name.lower() not in found:
            found[each.name.lower()] = each
    hidden = [found[name.lower()] for name in shared if name.lower() in found]
    yield from (replace(each, hidden=True) for each in hidden)
    yield from (each for each in columns.listed if not any(each is one for one in hidden))


def _join_columns(left: Columns, right: Columns) -> Columns:
    return Columns((*left.listed, *right.listed), left.complete and right.complete)


def iter_leaves(relation: Relation) -> Iterator[Relation]:
    """Yield the relations of a FROM that are no joins, in order."""
    if isinstance(relation, Join):
        yield from iter_leaves(relation.left)
        yield from iter_leaves(relation.right)
    elif isinstance(relation, LateralView):
        if relation.base is not None:
            yield from iter_leaves(relation.base)
        yield relation
    else:
        yield relation


def shown_outputs(columns: Columns) -> tuple[Output, ...] | None:
    """Return the columns that `*` stands for as outputs."""
    shown = columns.shown()
    if shown is None:
        return None
    return tuple(
        Output(each.name, each.type, each.source, each.qualifiers[-1] if each.qualifiers else None) for each in shown
    )
