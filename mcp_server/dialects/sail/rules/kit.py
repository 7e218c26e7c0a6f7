"""What rules for clauses build with: comparing and replacing nodes, finding what a SELECT reads, and making nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Final, TypeVar, cast

from mcp_server.dialects.sail.rules.query_nodes import same as same_queries
from mcp_server.sql.compose import compose, quote_text
from mcp_server.sql.functions import functions as classes_of
from mcp_server.sql.typed import functions, relations
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import (
    Binary,
    BinaryOperator,
    Call,
    Column,
    Constant,
    Exists,
    Expression,
    InQuery,
    ItemUse,
    Logic,
    ScalarQuery,
    SortKey,
)
from mcp_server.sql.typed.printer import print_expression
from mcp_server.sql.typed.relations import Item, Join, LateralView, Output, Query, Relation, Sample
from mcp_server.sql.typed.types import BIGINT, BOOLEAN, INT, STRING

E = TypeVar("E", bound=Node)

GROUPING: Final = frozenset({"grouping", "grouping_id", "grouping__id"})
_VOLATILE: Final = frozenset({"uuid", "shuffle", "monotonically_increasing_id", "spark_partition_id"})
_IGNORED: Final = frozenset({"at", "type", "text", "outputs"})
_WRAPPED: Final = (Join, LateralView, Sample)


def are_same(one: object, other: object) -> bool:
    """Whether two nodes mean the same, wherever they stand. Names are compared without regard to case."""
    match one, other:
        case Column(), Column():
            same = one.source == other.source and one.name.lower() == other.name.lower()
            return same and (one.source is not None or one.parts == other.parts)
        case (Exists() | InQuery() | ScalarQuery(), Node()):
            return same_queries(one, other)  # their relations have ids of their own
        case Node(), Node():
            if type(one) is not type(other) or (isinstance(one, Constant) and one.type != getattr(other, "type", None)):
                return False
            names = (each.name for each in fields(one) if each.name not in _IGNORED)
            return all(are_same(getattr(one, name), getattr(other, name)) for name in names)
        case tuple(), tuple():
            return len(one) == len(other) and all(map(are_same, one, other))
    return type(one) is type(other) and one == other


def replace_in(node: E, find: Callable[[Node], Node | None]) -> E:
    """Return the tree with what `find` returns in the place of nodes, from the top down. What it makes stays."""
    done: dict[Node, Node] = {}

    def visit(each: Node) -> Node:
        if each not in done:
            found = find(each)
            done[each] = each.map_children(visit) if found is None else found
        return done[each]

    return cast("E", visit(node))


def walk_here(node: Node, *, into: bool = False) -> Iterator[Node]:
    """Yield a node and all below it, those of sub-queries only with `into`."""
    stack, seen = [node], set[Node]()
    while stack:
        each = stack.pop()
        if each not in seen:
            seen.add(each)
            yield each
            stack += [child for child in reversed(each.children) if into or not isinstance(child, Query)]


def iter_relations(relation: Relation) -> Iterator[Relation]:
    """Yield the relations of a FROM, joins included."""
    yield relation
    for child in relation.children:
        if isinstance(child, Relation):
            yield from iter_relations(child)


def own_ids(base: Relation | None) -> frozenset[int]:
    """Return the ids by which the columns of a FROM name their relation."""
    return frozenset(each.id for each in iter_relations(base)) if base is not None else frozenset()


def is_aggregate(node: Node) -> bool:
    """Whether a node aggregates rows of the SELECT that it stands in, or asks for its grouping set."""
    plain = isinstance(node, Call) and node.window is None
    return plain and (functions.is_aggregate(cast("Call", node).name) or cast("Call", node).name in GROUPING)


def is_generator(node: Node) -> bool:
    """Whether a node makes rows."""
    return isinstance(node, Call) and functions.is_generator(node.name)


def is_volatile(node: Node) -> bool:
    """Whether a node by itself gives another value each time."""
    return isinstance(node, Call) and (node.name in _VOLATILE or classes_of().classes.get(node.name) == "random")


def has(node: Node | None, test: Callable[[Node], bool], *, into: bool = False) -> bool:
    """Whether some node in a tree passes a test; those of sub-queries are asked only with `into`."""
    return node is not None and any(test(each) for each in walk_here(node, into=into))


def reads_own(node: Node, ids: frozenset[int]) -> bool:
    """Whether a column of these relations is read, in sub-queries too."""
    return has(node, lambda each: isinstance(each, Column) and each.source in ids, into=True)


def has_query(node: Node) -> bool:
    """Whether a sub-query stands in an expression."""
    return any(isinstance(each, Query) for part in walk_here(node) for each in part.children)


def use_of(use: Node, items: tuple[Item, ...]) -> Expression | None:
    """Return the expression that the name of an item stands for."""
    if isinstance(use, ItemUse) and use.index < len(items):
        return items[use.index].operand
    return None


def label(item: Item) -> str:
    """Return the name of an item's column; for one without a name, its text."""
    if item.aliases:
        return item.aliases[0]
    name = item.outputs[0].name if item.outputs else None
    return name if name is not None else str(print_expression(item.operand))


def named(operand: Expression, name: str, *, at: int | None = None) -> Item:
    """Return an item of a list with an alias."""
    return Item(operand, (name,), (Output(name, operand.type),), at=at)


def number(value: int, kind: object = INT) -> Constant:
    """Return a whole number."""
    return Constant(compose("{}", value) if value >= 0 else compose("({})", value), value, type=cast("type", kind))  # type: ignore[arg-type]


def text(value: str) -> Constant:
    """Return a text."""
    return Constant(quote_text(value), value, type=STRING)


TRUE: Final = Constant(compose("TRUE"), True, type=BOOLEAN)


def compare(left: Expression, operator: BinaryOperator, right: Expression) -> Binary:
    """Return a comparison."""
    return Binary(operator, left, right, type=BOOLEAN)


def name_keys(order: tuple[SortKey, ...], items: tuple[Item, ...]) -> tuple[SortKey, ...]:
    """Return an order that names the items of its list: what the list has need not be computed once more for it."""
    return tuple(_name_key(key, items) for key in order)


def _name_key(key: SortKey, items: tuple[Item, ...]) -> SortKey:
    names = [label(item).lower() for item in items]
    for index, item in enumerate(items):
        if len(item.aliases) == 1 and names.count(names[index]) == 1 and are_same(item.operand, key.operand):
            return key.replace(operand=ItemUse(item.aliases[0], index, type=item.operand.type))
    return key


def both(*conditions: Expression | None) -> Expression | None:
    """Return the conditions that there are, joined by AND."""
    found = tuple(each for each in conditions if each is not None)
    if len(found) < 2:
        return found[0] if found else None
    return Logic("and", found, type=BOOLEAN)


def count_rows() -> Call:
    """Return count(1)."""
    return Call("count", (number(1),), type=BIGINT)


def leaves(relation: Relation) -> Iterator[Relation]:
    """Yield the relations of a FROM that have columns of their own, in order."""
    if isinstance(relation, Join) and relation.alias is None:
        yield from leaves(relation.left)
        yield from leaves(relation.right)
    elif isinstance(relation, LateralView):
        if relation.base is not None:
            yield from leaves(relation.base)
        yield relation
    elif isinstance(relation, Sample) and relation.alias is None:
        yield from leaves(relation.base)
    else:
        yield relation


def spelled_name(relation: Relation) -> str | None:
    """Return the name that qualifies a relation's columns."""
    if relation.alias is not None:
        return relation.alias
    if isinstance(relation, relations.Table):
        return relation.name[-1]
    if isinstance(relation, relations.CteUse):
        return relation.name
    return None
