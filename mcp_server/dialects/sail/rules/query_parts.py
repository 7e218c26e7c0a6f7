"""Makes parts of typed trees: what the rules for sub-queries write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kit import compare
from mcp_server.dialects.sail.rules.query_nodes import list_visible, put, qualifier
from mcp_server.sql.compose import compose
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import (
    Binary,
    Call,
    Cast,
    Column,
    Constant,
    Expression,
    Is,
    ItemUse,
    Logic,
    Not,
    Star,
)
from mcp_server.sql.typed.relations import (
    Derived,
    FunctionTable,
    InlineTable,
    Item,
    Join,
    JoinKind,
    LateralView,
    Output,
    Query,
    Relation,
    Select,
    SetOperation,
)
from mcp_server.sql.typed.types import BOOLEAN, VOID, Array, Type

N = TypeVar("N", bound=Node)


def truth(value: bool) -> Constant:
    """TRUE or FALSE."""
    return Constant(text=compose("TRUE" if value else "FALSE"), value=value, type=BOOLEAN)


def null(kind: Type | None = None) -> Expression:
    """NULL, of a type where one is given."""
    found = Constant(text=compose("NULL"), value=None, type=VOID)
    return found if kind is None or kind == VOID else Cast(operand=found, type=kind)


def compare_safely(left: Expression, right: Expression) -> Binary:
    """`<=>` in the condition of a join.

    Sail takes `a <=> b` for the key of a hash join, and an equality of a WHERE around it for another key that it then
    compares in the same way: NULL = NULL would be true. Arrays are compared as Spark does, and are keys as well.
    """
    arrays = [call("array", each, kind=Array(each.type)) for each in (left, right)]
    return compare(arrays[0], "=", arrays[1])


def is_null(operand: Expression, *, negated: bool = False) -> Is:
    """IS [NOT] NULL."""
    return Is(operand=operand, value="null", negated=negated, type=BOOLEAN)


def negate(operand: Expression) -> Expression:
    """NOT."""
    return Not(operand=operand, type=BOOLEAN)


def any_of(operands: Iterable[Expression]) -> Expression:
    """OR of at least one operand."""
    found = tuple(operands)
    return found[0] if len(found) == 1 else Logic(operator="or", operands=found, type=BOOLEAN)


def all_of(operands: Iterable[Expression]) -> Expression | None:
    """AND, None of nothing."""
    found = tuple(part for each in operands for part in split_and(each))
    if len(found) < 2:
        return found[0] if found else None
    return Logic(operator="and", operands=found, type=BOOLEAN)


def split_and(condition: Expression | None) -> list[Expression]:
    """The parts of an AND."""
    if condition is None:
        return []
    if isinstance(condition, Logic) and condition.operator == "and":
        return [part for each in condition.operands for part in split_and(each)]
    return [condition]


def call(name: str, *arguments: Expression, kind: Type | None = None) -> Call:
    """A call."""
    return Call(name=name, arguments=arguments, type=kind)


def qualify(node: N, visible: Mapping[int, Relation]) -> N:
    """Qualify columns of some relations that were sent without: elsewhere their names may mean others."""

    def find(column: Column) -> Expression | None:
        if column.parts or column.source is None or column.source not in visible:
            return None
        parts = qualifier(visible[column.source])
        return column.replace(parts=parts) if parts else None

    return put(node, find)


def make_query(
    items: tuple[Item, ...], base: Relation | None, where: Expression | None = None, *, distinct: bool = False
) -> Query:
    """SELECT items FROM base WHERE …"""
    select = Select(items=items, base=base, where=where, distinct=distinct)
    known = all(each.outputs is not None for each in items)
    outputs = tuple(output for each in items for output in each.outputs or ())
    return Query(body=select, outputs=outputs if known else None)


def derive(
    query: Query, alias: str, context: Context, names: tuple[str, ...] = (), number: int | None = None
) -> Derived:
    """A query as a relation. `names` rename its columns; `number` is the id of the relation that it stands for."""
    number = context.new_id() if number is None else number
    outputs = None
    if query.outputs is not None:
        named: tuple[str | None, ...] = names or tuple(each.name for each in query.outputs)
        outputs = tuple(Output(name, each.type, number) for name, each in zip(named, query.outputs, strict=True))
    return Derived(id=number, query=query, alias=alias, names=names, outputs=outputs)


def column_of(relation: Relation, name: str, kind: Type | None = None) -> Column:
    """A column of a relation that has an alias."""
    if kind is None:
        kind = next((each.type for each in relation.outputs or () if each.name == name), None)
    return Column(name=name, parts=qualifier(relation), source=relation.id, type=kind)


def name_outputs(outputs: Sequence[Output], context: Context) -> tuple[str, ...]:
    """Names for columns: their own, new ones where they have none or share it."""
    shown = [(each.name or "").lower() for each in outputs]
    return tuple(
        (each.name or "") if low and shown.count(low) == 1 else context.fresh("__c")
        for each, low in zip(outputs, shown, strict=True)
    )


def has_names(query: Query) -> bool:
    """Whether the sender has named the columns of a query: automatic names are other ones to Sail than to Spark."""
    body = query.body
    if isinstance(body, SetOperation):
        return has_names(body.left)
    if isinstance(body, Query):
        return has_names(body)
    if not isinstance(body, Select):
        return True
    return all(each.aliases or isinstance(each.operand, Column | Star | ItemUse) for each in body.items)


def name_relations(relation: Relation, context: Context) -> Relation:
    """A FROM in which everything that is no table has an alias, so that its columns can be qualified."""
    if isinstance(relation, Join):
        left, right = name_relations(relation.left, context), name_relations(relation.right, context)
        same_sides = left is relation.left and right is relation.right
        return relation if same_sides else relation.replace(left=left, right=right)
    if isinstance(relation, Derived) and not relation.names and relation.outputs and not has_names(relation.query):
        names = name_outputs(relation.outputs, context)
        if relation.lateral:
            return relation.replace(alias=relation.alias or context.fresh("__q"))
        return relation.replace(alias=relation.alias or context.fresh("__q"), names=names)
    if isinstance(relation, Derived | FunctionTable | InlineTable) and relation.alias is None:
        return relation.replace(alias=context.fresh("__q"))
    return relation


def write_stars(items: tuple[Item, ...], base: Relation | None, is_hit: Callable[[Star], bool]) -> tuple[Item, ...]:
    """Write out stars, such as those that would show columns that rules have added. Errors: EngineLacks."""
    visible = list_visible(base)
    made: list[Item] = []
    for each in items:
        star = each.operand
        if not isinstance(star, Star) or star.base is not None or not is_hit(star):
            made.append(each)
            continue
        if each.outputs is None or star.renewed:
            raise lacking("*", "a star over columns that are not known here", "Write the columns out.")
        places: dict[int | None, int] = {}
        for output in each.outputs:
            at = places.get(output.source, 0)
            places[output.source] = at + 1
            relation = visible.get(output.source) if output.source is not None else None
            name = output.name or ""
            shown = [(other.name or "").lower() for other in (relation.outputs or ())] if relation else []
            if relation is not None and (not name or shown.count(name.lower()) != 1):
                if star.excluded or at >= len(shown):
                    raise lacking("*", "a star over columns without names", "Write the columns out.")
                name = (relation.outputs or ())[at].name or ""
            if not name:
                raise lacking("*", "a star over columns without names", "Write the columns out.")
            column = Column(name=name, parts=qualifier(relation), source=output.source, type=output.type)
            aliases = (output.name,) if output.name and output.name.lower() != name.lower() else ()
            made.append(Item(operand=column, aliases=aliases, outputs=(output,)))
    return tuple(made)


def keep_name(each: Item, operand: Expression) -> Item:
    """An item with another operand and the same name, as far as a name is needed."""
    names = [output.name for output in each.outputs or ()]
    aliases = each.aliases
    if (
        not aliases
        and len(names) == 1
        and names[0]
        and (isinstance(operand, Column) or isinstance(each.operand, Column))
    ):
        aliases = (names[0],)
    return each.replace(operand=operand, aliases=aliases)


def join(kind: JoinKind, left: Relation, right: Relation, on: Expression | None, context: Context) -> Join:
    """A join. Commas before it become cross joins, since ON would see only the last relation of them."""
    outputs = None
    if left.outputs is not None and right.outputs is not None:
        outputs = (*left.outputs, *right.outputs)
    return Join(id=context.new_id(), left=uncomma(left), right=right, kind=kind, on=on, outputs=outputs)


def uncomma(relation: Relation) -> Relation:
    """A relation with CROSS JOIN for commas at its top."""
    if isinstance(relation, Join) and relation.comma:
        return relation.replace(left=uncomma(relation.left), comma=False, kind="cross")
    if isinstance(relation, LateralView) and relation.base is not None:
        return relation.replace(base=uncomma(relation.base))
    return relation
