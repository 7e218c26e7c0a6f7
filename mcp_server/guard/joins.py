"""Joins that can be carried out: every relation is tied to the others by an equality, or is known to be small.

Relations are nodes of a graph and equalities its edges. What is not connected is multiplied row by row, so
at most one part may be of unknown size, and the known sizes of the others must multiply to little. How many
rows an equality on a poor key makes is not known here: the engine's limits end it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from sqlglot import exp

from mcp_server.guard.relations import Relation, Relations, equalities, is_bracket, qualifiers
from mcp_server.guard.tree import Tree

MAX_FACTOR = 1_000
"""How often a table of the lake may be repeated by small relations beside it."""

MAX_PRODUCT = 10_000_000
"""Rows that small relations may make among themselves."""

MAX_RELATIONS = 32
"""Relations of one FROM. Engines search the order of joins; people write ten."""

MAX_GENERATORS = 4
"""Lists that one SELECT may take apart beside each other: every one multiplies the rows."""


def check_joins(tree: Tree, relations: Relations) -> None:
    """Errors: Refused, with the code `cross_join`, `too_many_reads` or `too_large`."""
    for select in tree.root.find_all(exp.Select):
        found = relations.of(select)
        generated = relations.generated(select)
        if len(found) > MAX_RELATIONS or len(generated) > MAX_GENERATORS:
            raise tree.refused_at(
                "too_many_reads",
                f"One SELECT joins at most {MAX_RELATIONS} tables and takes at most {MAX_GENERATORS} lists apart. "
                "Use WITH for steps that make the rows few.",
                select,
            )
        _connect(select, found)
        _measure(tree, found, generated)
        _check_correlation(tree, select, found, relations)


def _connect(select: exp.Select, relations: list[Relation]) -> None:
    """Joins the parts of relations that an equality, USING or NATURAL ties together."""
    where = select.args.get("where")
    ties = list(equalities(where.this if where is not None else None))
    by_node = {id(relation.node): number for number, relation in enumerate(relations)}
    for join in _joins(select):
        number = by_node.get(id(join.this))
        ties += equalities(join.args.get("on"))
        if number and (join.args.get("using") or _has_natural_key(join, relations, number)):
            _merge(relations, relations[0], relations[number])
    for tie in ties:
        left, right = _owners(tie.left, relations), _owners(tie.right, relations)
        if len(left) == 1 and len(right) == 1 and left[0] is not right[0]:
            _merge(relations, left[0], right[0])
    for before, relation in pairwise(relations):
        if relation.per_row:
            _merge(relations, before, relation)


def _measure(tree: Tree, relations: list[Relation], generated: list[float | None]) -> None:
    """Refuses where the parts multiply to too much."""
    parts: dict[int, float | None] = {}
    for relation in relations:
        size = parts.get(relation.part, 1.0)
        parts[relation.part] = None if size is None or relation.rows is None else size * relation.rows
    product = 1.0
    for size in [*parts.values(), *generated]:
        product *= 1.0 if size is None else max(size, 1.0)
    unknown = sum(1 for size in parts.values() if size is None)
    if unknown <= 1 and product <= (MAX_FACTOR if unknown else MAX_PRODUCT):
        return
    apart = [relation for relation in relations if relation.part != relations[0].part]
    if not apart:
        raise tree.refused_at(
            "too_large",
            f"Every row would become {product:,.0f}, and at most {MAX_FACTOR:,} are allowed. Make the list shorter.",
            relations[0].node if relations else tree.root,
        )
    one, other = relations[0].alias or "a", apart[-1].alias or "b"
    raise tree.refused_at(
        "cross_join",
        f"{other} is joined without an equality, so every row would meet every row. Add a condition such as "
        f"ON {one}.tconst = {other}.tconst, or make one side small with an aggregate or LIMIT.",
        apart[-1].node,
    )


def _check_correlation(tree: Tree, select: exp.Select, relations: list[Relation], all_of: Relations) -> None:
    """A sub-query that looks at the row outside does so by an equality, or reads little."""
    if all(relation.rows is not None for relation in relations) or any(r.per_row for r in relations):
        return
    own = {relation.alias for relation in relations}
    outer: set[str] = set()
    ancestor = select.find_ancestor(exp.Select)
    while ancestor is not None:
        outer |= {relation.alias for relation in all_of.of(ancestor)} - own - {""}
        ancestor = ancestor.find_ancestor(exp.Select)
    looks_out = [
        column
        for column in (select.find_all(exp.Column) if outer else ())
        if column.table.lower() in outer and column.find_ancestor(exp.Select) is select
    ]
    where = select.args.get("where")
    tied = any(
        (qualifiers(tie.left) & outer) != (qualifiers(tie.right) & outer)
        for tie in equalities(where.this if where is not None else None)
    )
    if looks_out and not tied:
        raise tree.refused_at(
            "cross_join",
            f"This sub-query reads its tables again for every row of {looks_out[0].table}. Compare with it by an "
            f"equality, such as WHERE x.tconst = {looks_out[0].table}.tconst.",
            looks_out[0],
        )


def _joins(select: exp.Select) -> Iterator[exp.Join]:
    """The joins of a SELECT and of the brackets in its FROM, not those of sub-queries."""
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


def _owners(node: exp.Expr, relations: list[Relation]) -> list[Relation]:
    """The relations whose columns one side of an equality uses.

    A column that could belong to several counts as the first's: engines refuse it if it really does.
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
    """Whether a NATURAL JOIN has a column to join by; columns that are not known may be."""
    columns = relations[number].columns
    return join.args.get("method") == "NATURAL" and any(
        columns is None or other.columns is None or bool(columns & other.columns) for other in relations[:number]
    )


def _merge(relations: list[Relation], one: Relation, other: Relation) -> None:
    old, new = other.part, one.part
    for relation in relations:
        if relation.part == old:
            relation.part = new
