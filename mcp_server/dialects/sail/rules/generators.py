"""Functions that make rows, such as explode, in FROM and in LATERAL VIEW.

Measured on Sail 0.7.2: WHERE is applied before a LATERAL VIEW gives its columns; LATERAL with a function keeps the rows
that it makes nothing of; explode of a map panics; json_tuple is no relation. In the list of a SELECT they are right, so
what FROM asks for otherwise is computed by the list of a SELECT below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.below import Below
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kit import (
    TRUE,
    E,
    are_same,
    both,
    has,
    is_aggregate,
    is_generator,
    is_volatile,
    label,
    name_keys,
    named,
    own_ids,
    reads_own,
    replace_in,
    walk_here,
)
from mcp_server.dialects.sail.rules.query_nodes import replace_uses
from mcp_server.dialects.sail.rules.stars import expand_stars
from mcp_server.dialects.sail.rules.unions import derive
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Column, Expression, Field, ItemUse, Star, iter_conjuncts
from mcp_server.sql.typed.relations import (
    Derived,
    FunctionTable,
    Item,
    Join,
    LateralView,
    Output,
    Query,
    Relation,
    Select,
)
from mcp_server.sql.typed.types import INT, Array, Map, Struct, Type

_KEEPS_LEFT: Final = frozenset({"inner", "cross", "left", "semi", "anti"})
_KEEPS_RIGHT: Final = frozenset({"inner", "cross", "right"})
"""Joins after which a condition on rows of that side may be asked as well."""

_LISTED_ONLY: Final = frozenset({"json_tuple"})
"""Functions that Sail knows in the list of a SELECT alone."""


def list_generators(query: Query, context: Context) -> Node | None:
    """Compute the generators of a FROM in the list of a SELECT below it."""
    select = query.body
    if not isinstance(select, Select) or select.base is None or not _is_odd(select):
        return None
    if any(isinstance(item.operand, Star) for item in select.items):
        select = expand_stars(select, context, every=True) or select
        query = query.replace(body=select)
    return _Lists(query, context).rewrite(select)


def _is_odd(select: Select) -> bool:
    """Whether a generator stands where Sail gives other rows than Spark."""
    base = select.base
    if base is None:
        return False
    ids = set[int]()
    top: Relation | None = base
    while isinstance(top, LateralView):
        ids.add(top.id)
        top = top.base
    if any(_is_lateral(each) or isinstance(each, LateralView) for each in _relations(top)):
        return True
    views = [each for each in _relations(base) if isinstance(each, LateralView)]
    if any(_takes_map(each.call) for each in views):
        return True
    where = select.where
    return where is not None and any(isinstance(each, Column) and each.source in ids for each in where.walk())


def _relations(base: Relation | None) -> Sequence[Relation]:
    if base is None:
        return ()
    inner = [each for child in base.children if isinstance(child, Relation) for each in _relations(child)]
    return [base, *inner]


def _is_lateral(relation: Relation) -> bool:
    return isinstance(relation, Join) and _generates(relation.right)


def _generates(relation: Relation) -> bool:
    return (
        isinstance(relation, FunctionTable)
        and relation.lateral
        and is_generator(relation.call)
        and relation.call.name != "range"
    )


def _takes_map(call: Call) -> bool:
    return call.name.startswith(("explode", "posexplode")) and isinstance(call.arguments[0].type, Map)


class _Lists:
    """The generators of one SELECT, the innermost first."""

    def __init__(self, query: Query, context: Context) -> None:
        self.query = query
        self.context = context
        self.conditions: list[Expression] = []
        self.done: list[tuple[Column, Expression]] = []
        self.waiting: list[Expression] = []

    def rewrite(self, select: Select) -> Query:
        assert select.base is not None  # noqa: S101  (its caller looked)
        self.waiting = list(iter_conjuncts(select.where))
        base = self._lower(select.base, self._reads(select), inner=True)
        where = both(*map(self._substitute, self.waiting), *self.conditions)
        rest = self.query.replace(body=select.replace(base=None, where=None))
        after = self._substitute(rest)
        body = after.body
        assert isinstance(body, Select)  # noqa: S101  (as it was)
        items = tuple(
            now if was.aliases or now.operand is was.operand else named(now.operand, _name(was), at=was.at)
            for was, now in zip(select.items, body.items, strict=True)
        )
        return after.replace(body=body.replace(base=base, where=where, items=items))

    def _reads(self, select: Select) -> list[Column]:
        """Return every column that the SELECT reads of its FROM, in it and in its order."""
        ids = own_ids(select.base)
        found: list[Column] = []
        for each in self.query.walk():
            if isinstance(each, Column) and each.source in ids and not any(are_same(each, known) for known in found):
                found.append(each)
        return found

    def _lower(self, relation: Relation, reads: Sequence[Column], *, inner: bool) -> Relation:
        """Return a relation without generators. `inner`: what WHERE leaves out of its rows is left out of all."""
        match relation:
            case LateralView():
                base = self._lower(relation.base, reads, inner=inner) if relation.base is not None else None
                where = self._take_conditions(relation.base) if inner else None
                return self._list(relation, base, relation.call, reads, outer=relation.outer, where=where)
            case Join() if _generates(relation.right):
                base = self._lower(relation.left, reads, inner=inner and relation.kind in _KEEPS_LEFT)
                right = relation.right
                where = self._take_conditions(relation.left) if inner and relation.kind in _KEEPS_LEFT else None
                assert isinstance(right, FunctionTable)  # noqa: S101  (as tested)
                outer = relation.kind == "left"
                if relation.on is not None and not are_same(relation.on, TRUE):
                    if outer or not inner:
                        raise lacking("LATERAL", "a generator joined by a condition", "Put the condition into WHERE.")
                    listed = self._list(right, base, right.call, reads, outer=False, where=where)
                    self.conditions.append(self._substitute(relation.on))
                    return listed
                return self._list(right, base, right.call, reads, outer=outer, where=where)
            case Join():
                left = self._lower(relation.left, reads, inner=inner and relation.kind in _KEEPS_LEFT)
                right_ = self._substitute(relation.right)  # a lateral one may read what was listed
                right_ = self._lower(right_, reads, inner=inner and relation.kind in _KEEPS_RIGHT)
                on = self._substitute(relation.on) if relation.on is not None else None
                return relation.replace(left=left, right=right_, on=on)
        return relation

    def _take_conditions(self, base: Relation | None) -> Expression | None:
        """Return the conditions of WHERE on a base that joins without ON, which they join."""
        if base is None or not any(isinstance(each, Join) and each.on is None for each in _relations(base)):
            return None
        ids = own_ids(base)
        taken = [
            each
            for each in self.waiting
            if not has(each, lambda node: isinstance(node, Query) or is_volatile(node), into=True)
            and all(node.source in ids for node in each.walk() if isinstance(node, Column))
        ]
        self.waiting = [each for each in self.waiting if each not in taken]
        return both(*map(self._substitute, taken))

    def _list(
        self,
        made: Relation,
        base: Relation | None,
        call: Call,
        reads: Sequence[Column],
        *,
        outer: bool,
        where: Expression | None,
    ) -> Derived:
        """Return a SELECT over `base` that lists its columns and the generator."""
        below = Below(self.context)
        ids = own_ids(base)
        for each in reads:
            read = self._substitute(each)
            for column in read.walk():
                if isinstance(column, Column) and column.source in ids:
                    below.column(column)
        item, values = list_call(self._substitute(call), made.outputs, self.context, outer=outer)
        derived = below.derive_with(Select((), base, where=where), item)
        renewed = [(old, below.substitute(new)) for old, new in self.done]
        for known, column in below.pairs:
            if isinstance(known, Column) and not any(are_same(known, new) for _, new in self.done):
                renewed.append((known, column))
        self.done = renewed
        for output, value in zip(made.outputs or (), values, strict=False):
            name = output.name or ""
            placed = replace_in(value, lambda each: _placed(each, below))
            self.done.append((Column(name, (), made.id, type=output.type), placed))
        return derived

    def _substitute(self, node: E) -> E:
        """Return a node with the columns of what was listed in the place of those that it listed."""
        return replace_in(node, self._find)

    def _find(self, node: Node) -> Expression | None:
        if not isinstance(node, Column):
            return None
        return next((new for old, new in self.done if are_same(old, node)), None)


def _placed(node: Node, below: Below) -> Expression | None:
    if isinstance(node, Column) and node.source is None:
        return node.replace(parts=(below.alias,), source=below.id)
    return None


def _name(item: Item) -> str:
    outputs = item.outputs or ()
    return outputs[0].name or "" if outputs else ""


def list_call(
    call: Call, outputs: Sequence[Output] | None, context: Context, *, outer: bool = False
) -> tuple[Item, tuple[Expression, ...]]:
    """Return a generator as an item with fresh aliases, and the values of its columns, which name those aliases."""
    if not outputs:
        raise lacking("LATERAL", f"{call.name} with columns that cannot be told", "Name its columns behind AS.")
    name = call.name if not outer or call.name.endswith("_outer") else f"{call.name}_outer"
    if outer and call.name in {"stack", "json_tuple"}:
        name = call.name
    if _takes_map(call):
        return _list_map(call, name, outputs, context)
    aliases = tuple(context.fresh("__c") for _ in outputs)
    made = tuple(Output(alias, each.type) for alias, each in zip(aliases, outputs, strict=True))
    values = tuple(Column(alias, type=each.type) for alias, each in zip(aliases, outputs, strict=True))
    return Item(call.replace(name=name), aliases, made), values


def _list_map(
    call: Call, name: str, outputs: Sequence[Output], context: Context
) -> tuple[Item, tuple[Expression, ...]]:
    """Return explode of a map by its entries."""
    kind = call.arguments[0].type
    assert isinstance(kind, Map)  # noqa: S101  (its caller looked)
    entry = Struct((("key", kind.key), ("value", kind.value)))
    entries = Call("map_entries", call.arguments, type=Array(entry))
    place, pair = context.fresh("__c"), context.fresh("__c")
    column = Column(pair, type=entry)
    values: list[Expression] = [Field(column, "key", type=kind.key), Field(column, "value", type=kind.value)]
    aliases: tuple[str, ...] = (pair,)
    kinds: list[Type | None] = [entry]
    if name.startswith("posexplode"):
        values = [Column(place, type=INT), *values]
        aliases, kinds = (place, pair), [INT, entry]
    made = tuple(Output(alias, each) for alias, each in zip(aliases, kinds, strict=True))
    del outputs
    return Item(call.replace(name=name, arguments=(entries,)), aliases, made), tuple(values)


def derive_function(table: FunctionTable, context: Context) -> Node | None:
    """A function that Sail knows in lists alone, or explode of a map, as a relation: SELECT of it."""
    if table.lateral or not is_generator(table.call) or not table.outputs:
        return None
    if table.call.name not in _LISTED_ONLY and not _takes_map(table.call):
        return None
    item, values = list_call(table.call, table.outputs, context)
    below = Below(context)
    derived = below.derive_with(Select(()), item)
    items = tuple(
        named(replace_in(value, lambda each: _placed(each, below)), output.name or "")
        for value, output in zip(values, table.outputs, strict=True)
    )
    query = Query(Select(items, derived), outputs=tuple(each for item in items for each in item.outputs or ()))
    return Derived(query, id=table.id, alias=table.alias, outputs=table.outputs, at=table.at)


def explode_maps(query: Query, context: Context) -> Node | None:
    """explode of a map in a list, by its entries, which are taken apart above."""
    select = query.body
    if not isinstance(select, Select) or not any(_is_map_item(item) for item in select.items):
        return None
    if select.group is not None or any(isinstance(item.operand, Star) for item in select.items):
        return None
    below, ids = Below(context), own_ids(select.base)
    items: list[Item] = []
    lists: list[Item] = []
    for item in select.items:
        if not _is_map_item(item):
            items.append(
                item if item.aliases or not item.outputs else named(item.operand, _name(item) or "c", at=item.at)
            )
            continue
        call = item.operand
        assert isinstance(call, Call)  # noqa: S101  (as tested)
        one, values = list_call(call, item.outputs, context)
        lists.append(one)
        items += [
            named(replace_in(value, lambda each: _placed(each, below)), output.name or "")
            for value, output in zip(values, item.outputs or (), strict=True)
        ]
    upper = select.replace(items=tuple(items), base=None, where=None)
    for part in (upper, *query.order):
        below.own(part, ids)
    derived = below.derive_with(Select((), select.base, where=select.where), *lists)
    return query.replace(
        body=(done := below.substitute(upper)).replace(base=derived),
        order=name_keys(tuple(map(below.substitute, query.order)), done.items),
    )


def _is_map_item(item: Item) -> bool:
    return isinstance(item.operand, Call) and is_generator(item.operand) and _takes_map(item.operand)


def filter_rows(query: Query, context: Context) -> Node | None:
    """HAVING on the columns of a generator in the list, as a WHERE around the SELECT."""
    select = query.body
    if not isinstance(select, Select) or select.having is None:
        return None
    used = [each.index for each in walk_here(select.having) if isinstance(each, ItemUse)]
    if not any(has(select.items[index], is_generator) for index in used if index < len(select.items)):
        return None
    whole = all(item.outputs and len(item.outputs) == 1 for item in select.items)
    if not whole or reads_own(select.having, own_ids(select.base)) or has(select.having, is_aggregate) or query.order:
        raise lacking("HAVING", "HAVING on what a function of rows gives", "Put the function into a sub-query.")
    below, columns = derive(query.replace(body=select.replace(having=None), limit=None, offset=None), context)
    where = replace_uses(select.having, lambda use: columns[use.index])
    items = tuple(named(column, label(item)) for column, item in zip(columns, select.items, strict=True))
    return query.replace(body=Select(items, below, where=where), ctes=())
