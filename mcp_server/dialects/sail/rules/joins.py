"""Joins in the words that Sail has.

Measured on Sail 0.7.2: an outer, semi or anti join without a condition becomes a cross join; NATURAL without a shared
column and CROSS JOIN with a condition are refused; behind `a JOIN b USING (k)` the one column `k` belongs to nobody, so
that `a.k` is not found, and names that differ in case alone are not shared.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kit import TRUE, E, both, compare, label, leaves, named, replace_in, spelled_name
from mcp_server.dialects.sail.rules.query_nodes import find_generator
from mcp_server.dialects.sail.rules.stars import differ_in_case, name_relations
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Column, Expression
from mcp_server.sql.typed.relations import Derived, FunctionTable, Item, Join, Query, Relation, Select
from mcp_server.sql.typed.scopes import Visible, see_columns


def spell_join(join: Join, context: Context) -> Node | None:
    """Write the condition that a join does not have, USING for NATURAL, and INNER for CROSS with a condition."""
    del context
    if join.natural:
        if join.shared:
            return join.replace(natural=False, using=True)
        if see_columns(join.left).complete and see_columns(join.right).complete:
            join = join.replace(natural=False)
            return join.replace(kind="cross") if join.kind == "inner" else join.replace(on=TRUE)
        raise lacking("NATURAL JOIN", "the shared columns of tables that cannot be told", "Join with ON.")
    if join.on is None and join.kind == "left" and _generates(join.right):
        what = "LEFT JOIN LATERAL of a generator without ON, which Spark joins as an inner one"
        raise lacking("LATERAL", what, "Write ON true, or JOIN LATERAL.")
    if join.on is None and not join.shared and join.kind not in {"inner", "cross"}:
        return join.replace(on=TRUE)
    if join.on is not None and join.kind == "cross":
        return join.replace(kind="inner")
    return None


def _generates(relation: Relation) -> bool:
    """Whether it is `LATERAL explode(x)`, or `LATERAL (SELECT explode(x))`."""
    if isinstance(relation, Derived):
        return relation.lateral and find_generator(relation) is not None
    return isinstance(relation, FunctionTable) and relation.lateral


def name_sides(query: Query, context: Context) -> Node | None:
    """Name the sub-queries of a join, and write their columns with the name: the guard asks a join for its equality."""
    select = query.body
    if not isinstance(select, Select) or not isinstance(select.base, Join):
        return None
    base = name_relations(select.base, context)
    if base is select.base:
        return None
    before = {each.id: spelled_name(each) for each in leaves(select.base)}
    names = {each.id: name for each in leaves(base) if (name := spelled_name(each)) and before[each.id] is None}

    def find(node: Node) -> Node | None:
        if isinstance(node, Column) and not node.parts and node.source in names:
            return node.replace(parts=(names[node.source],))
        return None

    return replace_in(query.replace(body=select.replace(base=base)), find)


def spell_usings(query: Query, context: Context) -> Node | None:
    """Write ON for USING where a shared column is named with its relation, or the names differ in case."""
    select = query.body
    if not isinstance(select, Select) or select.base is None:
        return None
    joins = [each for each in _joins(select.base) if each.shared]
    if not joins or not any(differ_in_case(each) or _names_a_side(query, each) for each in joins):
        return None
    base = name_relations(select.base, context)
    usings = _Usings({each.id: each for each in leaves(base)})
    base = usings.spell(base)
    items = tuple(_keep_name(item) for item in select.items)
    rest = query.replace(body=select.replace(items=items, base=None))
    after = usings.replace(rest)
    body = after.body
    assert isinstance(body, Select)  # noqa: S101  (its list was changed and nothing else)
    return after.replace(body=body.replace(base=base))


def _joins(base: Relation) -> list[Join]:
    found = [base] if isinstance(base, Join) else []
    return found + [each for child in base.children if isinstance(child, Relation) for each in _joins(child)]


def _names_a_side(query: Query, join: Join) -> bool:
    """Whether a shared column of a side is named, which its relation alone can mean."""
    shared = {name.lower() for name in join.shared}
    sides = {each.id for each in (*leaves(join.left), *leaves(join.right))}
    for each in query.walk():
        if isinstance(each, Column) and each.source in sides and each.name.lower() in shared:
            return True
    return False


def _keep_name(item: Item) -> Item:
    return (
        item if item.aliases or not isinstance(item.operand, Column) else named(item.operand, label(item), at=item.at)
    )


@dataclass
class _Usings:
    """The shared columns of a FROM: what each means, by the id of its join and its name."""

    relations: dict[int, Relation]
    meant: dict[tuple[int, str], Expression] = field(default_factory=dict)

    def spell(self, relation: Relation) -> Relation:
        """Return a relation with ON in the place of USING, the innermost first."""
        if not isinstance(relation, Join):
            return relation
        left, right = self.spell(relation.left), self.spell(relation.right)
        if not relation.shared:
            on = None if relation.on is None else self.replace(relation.on)
            return relation.replace(left=left, right=right, on=on)
        pairs: list[Expression] = []
        seen = see_columns(relation.left), see_columns(relation.right)
        for name in relation.shared:
            one, other = (self._column(_shown(columns.shown(), name)) for columns in seen)
            pairs.append(compare(one, "=", other))
            kind = next(
                (each.type for each in relation.outputs or () if (each.name or "").lower() == name.lower()), None
            )
            meant = other if relation.kind == "right" else one
            if relation.kind == "full":
                meant = Call("coalesce", (one, other), type=kind)
            self.meant[relation.id, name.lower()] = meant
        return relation.replace(left=left, right=right, on=both(*pairs), using=False, natural=False, shared=())

    def _column(self, visible: Visible) -> Expression:
        key = (visible.source, visible.name.lower())
        if key in self.meant:
            return self.meant[key]
        relation = self.relations.get(visible.source)
        name = spelled_name(relation) if relation is not None else None
        if name is None:
            raise lacking("USING", f"the shared column {visible.name} here", "Join with ON.")
        return Column(visible.name, (name,), visible.source, type=visible.type)

    def replace(self, node: E) -> E:
        """Return a node with what the shared columns mean in their place."""
        return replace_in(node, self._find)

    def _find(self, node: Node) -> Expression | None:
        if isinstance(node, Column) and node.source is not None:
            return self.meant.get((node.source, node.name.lower()))
        return None


def _shown(columns: tuple[Visible, ...] | None, name: str) -> Visible:
    found = next((each for each in columns or () if each.name.lower() == name.lower()), None)
    if found is None:
        raise lacking("USING", f"the shared column {name} here", "Join with ON.")
    return found
