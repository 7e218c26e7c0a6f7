"""Stars written out where Sail gives other columns for them than Spark, or none.

Measured on Sail 0.7.2: `* EXCEPT (a)` and `(struct).*` are not read; `t.*` gives no column where its spelling is not
that of the alias; a star over groups, over the sides of USING, or as an argument is refused or gives other columns.
"""

from __future__ import annotations

from collections.abc import Sequence

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kit import has, is_aggregate, iter_relations, leaves, named, spelled_name
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Alias, Call, Column, Expression, Field, In, Row, Star
from mcp_server.sql.typed.relations import Item, Join, Output, Relation, Select, Table
from mcp_server.sql.typed.scopes import NO_COLUMNS, Columns, Visible, see_columns
from mcp_server.sql.typed.types import Struct, Type


def expand_stars(select: Select, context: Context, *, every: bool = False) -> Select | None:
    """Write out the stars of a list where Sail needs it, or `every` one, and those among arguments."""
    if not has(select.replace(base=None), lambda each: isinstance(each, Star)):
        return None
    return _Stars(select, context, every=every).expand()


class _Stars:
    """The stars of one SELECT."""

    def __init__(self, select: Select, context: Context, *, every: bool) -> None:
        self.every = every
        self.base = None if select.base is None else name_relations(select.base, context)
        self.select = select
        self.columns: Columns = see_columns(self.base) if self.base is not None else NO_COLUMNS
        self.names = {each.id: spelled_name(each) for each in leaves(self.base)} if self.base is not None else {}

    def expand(self) -> Select | None:
        select = self.select
        items: list[Item] = []
        for item in select.items:
            if isinstance(item.operand, Star) and self._is_odd(item.operand):
                items += self._items(item, item.operand)
            else:
                items.append(item)
        if not items:
            raise lacking("* EXCEPT", "a list without columns", "Keep a column.")
        before = select.replace(items=tuple(items))
        after = before.map_children(
            lambda each: each if isinstance(each, (Relation, Item)) and _is_plain(each) else self._in_calls(each)
        )
        if after is before and all(one is other for one, other in zip(items, select.items, strict=False)):
            return None
        return after.replace(base=self.base)

    def _is_odd(self, star: Star) -> bool:
        """Whether Sail does not give for it what Spark does."""
        select = self.select
        if self.every or star.excluded or star.renewals or star.base is not None or select.group is not None:
            return True
        grouped = select.having is not None or any(has(item, is_aggregate) for item in select.items)
        joins = [each for each in iter_relations(select.base) if isinstance(each, Join)] if select.base else []
        if grouped or any(each.shared for each in joins):
            return True
        if not star.parts:
            return False
        found = [self.names.get(source) for source in star.sources]
        return len(star.parts) > 1 or found != [star.parts[0]] or self._reads_table(star)

    def _reads_table(self, star: Star) -> bool:
        """Whether it stands for a table without an alias, which runs under the name of its schema."""
        tables = [each for each in leaves(self.base) if isinstance(each, Table)] if self.base is not None else []
        return any(each.id in star.sources and each.alias is None for each in tables)

    def _items(self, item: Item, star: Star) -> list[Item]:
        listed = self._listed(star)
        if not listed and star.parts:
            listed = _around(star, item.outputs)
        if listed is None:
            raise lacking("SELECT *", "* over columns that cannot be told", "Write the columns out.")
        return [named(operand, name, at=item.at) for name, operand in listed]

    def _listed(self, star: Star) -> list[tuple[str, Expression]] | None:
        """Return the names and values that a star stands for."""
        found: list[tuple[str, Expression]] = []
        if star.base is not None:
            if not isinstance(star.base.type, Struct):
                return None
            found = [(name, Field(star.base, name, type=kind)) for name, kind in star.base.type.fields]
        else:
            shown = self.columns.shown(star.parts)
            if shown is None:
                return None
            found = [(each.name, self._column(each)) for each in shown]
        excluded = [tuple(map(str.lower, parts)) for parts in star.excluded]
        kept = [each for name, operand in found for each in _without(name, operand, excluded)]
        renewed = dict(zip(map(str.lower, star.renewed), star.renewals, strict=True))
        return [(name, renewed.get(name.lower(), operand)) for name, operand in kept]

    def _column(self, visible: Visible) -> Column:
        """Return a column, with its relation where the name alone does not tell it."""
        alike = [each for each in self.columns.listed if each.name.lower() == visible.name.lower() and not each.hidden]
        name = self.names.get(visible.source)
        parts = (name,) if name is not None and (visible.hidden or len(alike) > 1) else ()
        return Column(visible.name, parts, visible.source, type=visible.type)

    def _in_calls(self, node: Node) -> Node:
        """Return a node with the stars among arguments written out."""
        node = node.map_children(lambda each: self._in_calls(each) if not isinstance(each, Select) else each)
        if isinstance(node, Call) and any(isinstance(each, Star) for each in node.arguments):
            first = node.arguments[0]
            if node.name == "count" and not node.distinct and isinstance(first, Star) and not first.parts:
                return node
            return node.replace(arguments=self._arguments(node.arguments, named_=node.name in {"struct", "to_json"}))
        if isinstance(node, In) and any(isinstance(each, Star) for each in node.items):
            return node.replace(items=self._arguments(node.items))
        if isinstance(node, Row) and any(isinstance(each, Star) for each in node.items):
            return node.replace(items=self._arguments(node.items))
        return node

    def _arguments(self, arguments: Sequence[Expression], *, named_: bool = False) -> tuple[Expression, ...]:
        found: list[Expression] = []
        for each in arguments:
            if not isinstance(each, Star):
                found.append(each)
                continue
            listed = self._listed(each)
            if listed is None:
                raise lacking("*", "a * of columns that cannot be told as an argument", "Name the columns.")
            plain = (operand for _, operand in listed)
            found += [Alias(value, name, type=value.type) for name, value in listed] if named_ else plain
        return tuple(found)


def _around(star: Star, outputs: Sequence[Output] | None) -> list[tuple[str, Expression]] | None:
    """Return the columns of a relation around the sub-query that a star stands for; None where there are none."""
    found = [
        (each.name or "", Column(each.name or "", star.parts, each.source, type=each.type)) for each in outputs or ()
    ]
    return list(found) or None


def _is_plain(node: Node) -> bool:
    """Whether no star stands among the arguments of calls below."""
    return isinstance(node, Relation) or isinstance(getattr(node, "operand", None), Star)


def differ_in_case(join: Join) -> bool:
    """Whether a shared column is spelled in two ways, which Sail takes for two columns."""
    names = {name.lower() for name in join.shared}
    sides = (see_columns(join.left), see_columns(join.right))
    spelled = {each.name for side in sides for each in side.listed if each.name.lower() in names}
    return len(spelled) > len(names)


def _without(name: str, operand: Expression, excluded: Sequence[tuple[str, ...]]) -> list[tuple[str, Expression]]:
    """Return a column without what EXCEPT names: all of it, or some fields of a struct."""
    own = name.lower()
    qualified = (operand.parts[-1].lower(),) if isinstance(operand, Column) and operand.parts else ()
    inner: list[tuple[str, ...]] = []
    for parts in excluded:
        ends = [parts[at + 1 :] for at, part in enumerate(parts) if part == own and _may_precede(parts[:at], qualified)]
        if () in ends:
            return []
        inner += ends
    if not inner:
        return [(name, operand)]
    return [(name, _without_fields(operand, inner))]


def _may_precede(before: tuple[str, ...], qualified: tuple[str, ...]) -> bool:
    return not before or not qualified or before[-1:] == qualified


def _without_fields(operand: Expression, excluded: Sequence[tuple[str, ...]]) -> Expression:
    if not isinstance(operand.type, Struct):
        raise lacking("* EXCEPT", "fields of what is no struct", "Write the columns out.")
    arguments: list[Expression] = []
    kinds: list[tuple[str, Type | None]] = []
    for name, kind in operand.type.fields:
        for _, each in _without(name, Field(operand, name, type=kind), excluded):
            arguments.append(Alias(each, name, type=each.type))
            kinds.append((name, each.type))
    return Call("struct", tuple(arguments), type=Struct(tuple(kinds)))


def name_relations(base: Relation, context: Context) -> Relation:
    """Return a FROM in which every relation has a name, so that its columns can be written with it."""
    match base:
        case Join() if base.alias is None:
            left, right = name_relations(base.left, context), name_relations(base.right, context)
            return base if left is base.left and right is base.right else base.replace(left=left, right=right)
    if spelled_name(base) is None and base.children and not _holds_others(base):
        return base.replace(alias=context.fresh("__r"))
    return base


def _holds_others(base: Relation) -> bool:
    """Whether the names of the relations below stay visible."""
    return any(isinstance(each, Relation) for each in base.children)


def outputs_of(items: Sequence[Item]) -> tuple[Output, ...]:
    """Return the columns of a list without stars."""
    return tuple(output for item in items for output in item.outputs or ())
