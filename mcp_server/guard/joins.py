"""Joins that an engine can carry out: every relation is connected to the others by an equality, or small.

Relations are the nodes of a graph and equalities its edges. Unconnected parts are multiplied row by row. At most one of
them may be large, and the bounds that the text gives for the others must multiply to little; the lake's row counts say
how many rows result. What an equality on a poor key produces is not known here: the engine's limits end such a query.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from sqlglot import exp

from lakehouse.errors import Refused
from mcp_server.sql.relations import Relation, Relations, find_equalities, find_qualifiers, is_bracket
from mcp_server.sql.tree import Tree

MAX_FACTOR = 1_000
"""How often a table of the lake may be repeated by small relations beside it."""

MAX_PRODUCT = 10_000_000
"""Rows that small relations may make among themselves."""

MAX_PAIRS = 1_000_000_000
"""Rows that a join without an equality may make, by the lake's row counts: a minute's work of two cores."""

FEW_PAIRS = 250_000
"""Rows that it may make whatever it joins: 500 by 500, which is done in a blink."""

MAX_RELATIONS = 32
"""Relations of one FROM. Engines search the order of joins; people write ten."""

MAX_GENERATORS = 4
"""Lists that one SELECT may take apart beside each other: every one multiplies the rows."""


def check_joins(tree: Tree, relations: Relations) -> None:
    """Refuse unconnected joins that produce too many rows.

    Errors: Refused, with the code `cross_join`, `too_many_reads` or `too_large`.
    """
    for select in tree.find_all(exp.Select):
        found = relations.list_relations(select)
        generated = relations.bound_generated(select)
        if len(found) > MAX_RELATIONS or len(generated) > MAX_GENERATORS:
            raise tree.refusal_at(
                "too_many_reads",
                f"One SELECT joins at most {MAX_RELATIONS} tables and takes at most {MAX_GENERATORS} lists apart. "
                "Use WITH for steps that make the rows few.",
                select,
            )
        _connect_relations(select, found)
        _check_product(tree, found, generated, relations)
        _check_correlation(tree, select, found, relations)


class Untied(NamedTuple):
    """Two relations without a connecting equality, the number of pairs, and a condition that would connect them."""

    one: str
    other: str
    pairs: float
    condition: str


def find_untied(select: exp.Select, relations: Relations) -> Untied | None:
    """Return what a FROM multiplies row by row, or None where all is connected or a size is unknown."""
    found = relations.list_relations(select)
    _connect_relations(select, found)
    apart = [relation for relation in found if relation.part != found[0].part]
    if not apart:
        return None
    parts = {relation.part: [each for each in found if each.part == relation.part] for relation in found}
    pairs = _estimate_pairs(list(parts.values()), 1.0)
    one, other = found[0].alias or "a", apart[-1].alias or "b"
    return None if pairs is None else Untied(one, other, pairs, _suggest_tie(found[0], apart[-1], one, other))


def find_repeating(select: exp.Select, relations: Relations) -> str | None:
    """Return what repeats the rows of a SELECT (an unconnected relation, a list of constants), or None."""
    found = relations.list_relations(select)
    _connect_relations(select, found)
    for relation in found:
        if relation.part != found[0].part and (relation.rows is None or relation.rows > 1):
            return relation.alias or "a relation that is joined without an equality"
    return "a list made of constants" if any((size or 0) > 1 for size in relations.bound_generated(select)) else None


def _connect_relations(select: exp.Select, relations: list[Relation]) -> None:
    """Give relations that an equality, USING or NATURAL connects the same part number."""
    where = select.args.get("where")
    ties = list(find_equalities(where.this if where is not None else None))
    by_node = {id(relation.node): number for number, relation in enumerate(relations)}
    for join in _iter_joins(select):
        number = by_node.get(id(join.this))
        ties += find_equalities(join.args.get("on"))
        if number and (join.args.get("using") or _has_natural_key(join, relations, number)):
            _merge_parts(relations, relations[0], relations[number])
    for tie in ties:
        left, right = _find_owners(tie.left, relations), _find_owners(tie.right, relations)
        if len(left) == 1 and len(right) == 1 and left[0] is not right[0]:
            _merge_parts(relations, left[0], right[0])
    for before, relation in pairwise(relations):
        if relation.per_row:
            _merge_parts(relations, before, relation)


def _check_product(tree: Tree, relations: list[Relation], generated: list[float | None], all_of: Relations) -> None:
    """Refuse parts whose product is too large."""
    parts: dict[int, list[Relation]] = {}
    for relation in relations:
        parts.setdefault(relation.part, []).append(relation)
    factor = math.prod(max(size, 1.0) for size in generated if size is not None)
    large = []
    for part in parts.values():
        if any(relation.rows is None for relation in part):
            large.append(part)
        else:
            factor *= max(math.prod(relation.rows or 0.0 for relation in part), 1.0)
    pairs = _estimate_pairs(large, factor)
    bounded = len(large) <= 1 and factor <= (MAX_FACTOR if large else MAX_PRODUCT)
    if bounded and (factor == 1 or pairs is None or pairs <= MAX_PAIRS):
        return
    if pairs is not None and pairs <= FEW_PAIRS:
        return
    raise _refuse_product(tree, relations, pairs, factor, all_of)


def _estimate_pairs(large: list[list[Relation]], factor: float) -> float | None:
    """Estimate the number of rows that the parts produce, or None where a size is unknown.

    A table counts with the lake's row count, a part with its largest table.
    """
    sizes = [[r.rows if r.rows is not None else r.counted for r in part] for part in large]
    if any(size is None for part in sizes for size in part):
        return None
    return math.prod((max(size or 1.0 for size in part) for part in sizes), start=factor)


def _refuse_product(
    tree: Tree, relations: list[Relation], pairs: float | None, factor: float, all_of: Relations
) -> Refused:
    """The refusal of a product, with a condition that would connect the relations."""
    about = "" if pairs is None else f", about {pairs:,.0f} rows"
    apart = [relation for relation in relations if relation.part != relations[0].part]
    if not apart:
        return tree.refusal_at(
            "too_large",
            f"Every row would become {factor:,.0f}{about}. At most {MAX_FACTOR:,} for each row and {MAX_PAIRS:,} in "
            "all are allowed. Make the list shorter.",
            relations[0].node if relations else tree.root,
        )
    one, other = relations[0].alias or "a", apart[-1].alias or "b"
    if "array_contains" in tree.reading.calls.values():
        return tree.refusal_at(
            "cross_join",
            f"{other} is joined by array_contains, so every row would meet every row{about}. Give each element a row "
            f"first, explode(list) AS element in a sub-query {one}, and join by it: ON {other}.id = {one}.element.",
            apart[-1].node,
        )
    select = apart[-1].node.find_ancestor(exp.Select)
    if select is not None and select.args.get("laterals"):
        return tree.refusal_at(
            "cross_join",
            f"{other} is joined without an equality, so every row would meet every row{about}. LATERAL VIEW comes "
            "after every JOIN, so no ON may name what it gives. Give each element a row first, explode(list) AS "
            f"element in a sub-query {one}, and join by it: ON {other}.id = {one}.element.",
            apart[-1].node,
        )
    return tree.refusal_at(
        "cross_join",
        f"{other} is joined without an equality, so every row would meet every row{about}. Add a condition such as "
        f"ON {_suggest_tie(relations[0], apart[-1], one, other)}{_suggest_bound(relations, all_of)}.",
        apart[-1].node,
    )


def _suggest_bound(relations: list[Relation], all_of: Relations) -> str:
    """Write what makes a side small. Of groups nobody knows how many there are: a LIMIT that cuts none says it."""
    grouped = [each for each in relations if each.rows is None and all_of.is_grouped(each.node)]
    if not grouped:
        return ", or make one side small with an aggregate or LIMIT"
    beside = math.prod(each.counted or 1.0 for each in relations if each.rows is None and each not in grouped)
    name = grouped[-1].alias or "the query"
    said = f". If {name} has at most {MAX_FACTOR} groups, write LIMIT {MAX_FACTOR} at its end"
    ranges = any(isinstance(each.node.parent, exp.Join) and each.node.parent.args.get("on") for each in relations)
    total = ". A running total needs no join: sum(count(*)) OVER (ORDER BY key)"
    return (said if MAX_FACTOR * beside <= MAX_PAIRS else "") + (total if ranges else "")


def _suggest_tie(left: Relation, right: Relation, one: str, other: str) -> str:
    """Write an equality on a column that both relations have, on a key where there is one."""
    keys = left.keys | right.keys
    shared = (left.columns or frozenset()) & (right.columns or frozenset())
    name = min(shared, key=lambda column: (column not in keys, column), default=None)
    return f"{one}.a = {other}.b" if name is None else f"{one}.{name} = {other}.{name}"


def _check_correlation(tree: Tree, select: exp.Select, relations: list[Relation], all_of: Relations) -> None:
    """Refuse a sub-query that refers to the outer row without an equality and reads a large table."""
    if all(relation.rows is not None for relation in relations) or any(r.per_row for r in relations):
        return
    own = {relation.alias for relation in relations}
    outer: set[str] = set()
    ancestor = select.find_ancestor(exp.Select)
    while ancestor is not None:
        outer |= {relation.alias for relation in all_of.list_relations(ancestor)} - own - {""}
        ancestor = ancestor.find_ancestor(exp.Select)
    looks_out = [
        column
        for column in (select.find_all(exp.Column) if outer else ())
        if column.table.lower() in outer and column.find_ancestor(exp.Select) is select
    ]
    where = select.args.get("where")
    tied = any(
        (find_qualifiers(tie.left) & outer) != (find_qualifiers(tie.right) & outer)
        for tie in find_equalities(where.this if where is not None else None)
    )
    if looks_out and not tied:
        raise tree.refusal_at(
            "cross_join",
            f"This sub-query reads its tables again for every row of {looks_out[0].table}. Compare with it by an "
            f"equality, such as WHERE x.{looks_out[0].name} = {looks_out[0].table}.{looks_out[0].name}.",
            looks_out[0],
        )


def _iter_joins(select: exp.Select) -> Iterator[exp.Join]:
    """Yield the joins of a SELECT and of the brackets in its FROM, not those of sub-queries."""
    from_ = select.args.get("from_")
    stack: list[exp.Expr] = [*(select.args.get("joins") or []), *([from_.this] if from_ is not None else [])]
    while stack:
        node = stack.pop(0)
        if isinstance(node, exp.Join):
            yield node
            stack.append(node.this)
        else:
            stack.extend(node.args.get("joins") or [])
            if is_bracket(node):
                stack.append(node.this)


def _find_owners(node: exp.Expr, relations: list[Relation]) -> list[Relation]:
    """Return the relations whose columns one side of an equality uses.

    A column that several relations could have counts as the first one's: engines refuse it if it is ambiguous.
    """
    found: list[Relation] = []
    for column in node.find_all(exp.Column):
        table, name = column.table.lower(), column.name.lower()
        if table:
            owners = [r for r in relations if r.alias == table] or [r for r in relations if not r.alias]
        else:
            owners = [r for r in relations if r.columns is not None and name in r.columns]
            owners = owners or [r for r in relations if r.columns is None]
        found += [owner for owner in owners[:1] if owner not in found]
    return found


def _has_natural_key(join: exp.Join, relations: list[Relation], number: int) -> bool:
    """Whether a NATURAL JOIN has a column to join on. Unknown columns may be one."""
    columns = relations[number].columns
    return join.args.get("method") == "NATURAL" and any(
        columns is None or other.columns is None or bool(columns & other.columns) for other in relations[:number]
    )


def _merge_parts(relations: list[Relation], one: Relation, other: Relation) -> None:
    old, new = other.part, one.part
    for relation in relations:
        if relation.part == old:
            relation.part = new
