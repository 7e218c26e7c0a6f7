"""Joins that can be carried out: every relation is tied to the others by an equality, or is known to be small.

Relations are nodes of a graph and equalities its edges. What is not connected is multiplied row by row, so
at most one part may be of unknown size, and the sizes of the other parts, known from LIMIT, VALUES, range()
or an aggregate without groups, must multiply to little. How many rows an equality on a poor key makes is
not known here: the engine's limits end it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from mcp_server.guard.functions import functions
from mcp_server.guard.growth import span, width
from mcp_server.guard.names import Names
from mcp_server.guard.tree import Tree

MAX_FACTOR = 1_000
"""How often a table of the lake may be repeated by small relations beside it."""

MAX_PRODUCT = 10_000_000
"""Rows that small relations may make among themselves."""

_SET_OPERATIONS = (exp.Union, exp.Except, exp.Intersect)


@dataclass
class _Relation:
    """One relation of a FROM. `rows` is at most how many it has, `columns` what it is called by; None is unknown."""

    node: exp.Expr
    alias: str
    rows: float | None
    columns: frozenset[str] | None
    part: int
    tied: bool = False


@dataclass
class Joins:
    """The rule, and the sizes that it needs, worked out once per node."""

    tree: Tree
    names: Names
    known: dict[int, float | None] = field(default_factory=dict)

    def check(self) -> None:
        """Errors: Refused, with the code `cross_join`."""
        for select in self.tree.root.find_all(exp.Select):
            relations = list(self.relations(select))
            if len(relations) > 1:
                self._connect(select, relations)
                self._measure(relations)

    def relations(self, select: exp.Select) -> Iterator[_Relation]:
        """Everything that FROM and JOIN name, in order; LATERAL VIEW only multiplies by what a row holds."""
        from_ = select.args.get("from_")
        sources = [from_.this] if from_ is not None else []
        for number, node in enumerate(_unfold(sources, select.args.get("joins") or [])):
            yield _Relation(
                node, node.alias_or_name.lower(), self.rows(node), self.columns(node), number, self._is_lateral(node)
            )

    def _is_lateral(self, node: exp.Expr) -> bool:
        """Whether a relation is made anew for each row before it, from that row's values."""
        if isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            return _correlated(node.this)
        call = node.this if isinstance(node, (exp.Lateral, exp.Table)) else None
        return isinstance(call, exp.Anonymous) and call.find(exp.Column) is not None

    # ── sizes ────────────────────────────────────────────────────────────────────────────────────

    def rows(self, node: exp.Expr) -> float | None:
        """At most how many rows a relation has, or None where that is not known."""
        if id(node) not in self.known:
            self.known[id(node)] = None  # a recursive name reads itself: not known
            self.known[id(node)] = self._rows(node)
        return self.known[id(node)]

    def _rows(self, node: exp.Expr) -> float | None:
        if isinstance(node, exp.Values):
            return float(len(node.expressions))
        if isinstance(node, (exp.Table, exp.Lateral)):
            if isinstance(node.this, exp.Anonymous):
                return self._generated(node.this)
            cte = self.names.ctes.get(id(node))
            inner = node.this if isinstance(node, exp.Lateral) else cte.this if cte is not None else None
            return None if inner is None else self.rows(inner)
        return _least(_limit(node), self._unlimited(node))

    def _unlimited(self, node: exp.Expr) -> float | None:
        """The rows of a query without its LIMIT."""
        if isinstance(node, exp.Subquery):
            return self.rows(node.this) if not node.args.get("joins") else None
        if isinstance(node, _SET_OPERATIONS):
            left, right = self.rows(node.this), self.rows(node.expression)
            return None if left is None or right is None else left + right
        return self._selected(node) if isinstance(node, exp.Select) else None

    def _selected(self, select: exp.Select) -> float | None:
        """The rows of a SELECT without its LIMIT."""
        generated = [self._generated(call) for call in self._generators(select)]
        if not select.args.get("group") and self._aggregates(select):
            return 1.0
        product = 1.0
        for size in [*(relation.rows for relation in self.relations(select)), *generated]:
            if size is None:
                return None
            product *= size
        return None if select.args.get("laterals") else product

    def _aggregates(self, select: exp.Select) -> bool:
        """Whether the select list aggregates all rows into one."""
        return any(
            functions().allowed.get(self.tree.called(call)) in {"aggregate", "collecting"}
            and not isinstance(call.parent, exp.Window)
            and call.find_ancestor(exp.Select) is select
            and call.find_ancestor(exp.Window, exp.Select) is select
            for expression in select.expressions
            for call in expression.find_all(exp.Anonymous)
        )

    def _generators(self, select: exp.Select) -> list[exp.Anonymous]:
        return [
            call
            for expression in select.expressions
            for call in expression.find_all(exp.Anonymous)
            if functions().allowed.get(self.tree.called(call)) == "generator"
        ]

    def _generated(self, call: exp.Anonymous) -> float | None:
        """The rows of `range(10)` or `explode(array(1, 2))`; None where a column decides."""
        if call.find(exp.Column) is not None:
            return None
        return span(self.tree, call) if self.tree.called(call) == "range" else max(width(self.tree, call), 1.0)

    # ── columns ──────────────────────────────────────────────────────────────────────────────────

    def columns(self, node: exp.Expr) -> frozenset[str] | None:
        """The names of a relation's columns, lower case, or None where they are not known."""
        alias = node.args.get("alias")
        if isinstance(alias, exp.TableAlias) and alias.columns:
            return frozenset(column.name.lower() for column in alias.columns)
        if isinstance(node, exp.Table):
            info = self.names.tables.get(id(node))
            if info is not None:
                return frozenset(column.name.lower() for column in info.columns) or None
            cte = self.names.ctes.get(id(node))
            named = cte.args["alias"].columns if cte is not None else []
            if named:
                return frozenset(column.name.lower() for column in named)
            return None if cte is None else _output(cte.this)
        return _output(node.this) if isinstance(node, exp.Subquery) else None

    # ── the graph ────────────────────────────────────────────────────────────────────────────────

    def _connect(self, select: exp.Select, relations: list[_Relation]) -> None:
        """Joins the parts of relations that an equality, USING or NATURAL ties together."""
        where = select.args.get("where")
        conditions = list(_conjuncts(where.this)) if where is not None else []
        by_node = {id(relation.node): relation for relation in relations}
        for join in _joins(select):
            relation = by_node.get(id(join.this))
            if relation is None:
                continue
            before = relations[: relations.index(relation)]
            if join.args.get("using") or (join.args.get("method") == "NATURAL" and _share(relation, before)):
                _merge(relations, before[0] if before else relation, relation)
            if join.args.get("on") is not None:
                conditions += _conjuncts(join.args["on"])
        for condition in conditions:
            if isinstance(condition, (exp.EQ, exp.NullSafeEQ)):
                left, right = _sides(condition.left, relations), _sides(condition.right, relations)
                if len(left) == 1 and len(right) == 1 and left[0] is not right[0]:
                    _merge(relations, left[0], right[0])
        for index, relation in enumerate(relations):
            if relation.tied and index:
                _merge(relations, relations[index - 1], relation)

    def _measure(self, relations: list[_Relation]) -> None:
        """Refuses where the parts multiply to too much."""
        parts: dict[int, float | None] = {}
        for relation in relations:
            size = parts.get(relation.part, 1.0)
            parts[relation.part] = None if size is None or relation.rows is None else size * relation.rows
        product = 1.0
        for size in parts.values():
            product *= 1.0 if size is None else max(size, 1.0)
        unknown = sum(1 for size in parts.values() if size is None)
        if unknown > 1 or (unknown and product > MAX_FACTOR) or product > MAX_PRODUCT:
            last = next(r for r in reversed(relations) if r.part != relations[0].part)
            raise self.tree.refused_at(
                "cross_join",
                f"{last.alias or 'This relation'} is joined without an equality, so every row would meet every row. "
                f"Add a condition such as ON {relations[0].alias or 'a'}.tconst = {last.alias or 'b'}.tconst, or make "
                "one side small with an aggregate or LIMIT.",
                last.node,
            )


def _least(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)


def _limit(node: exp.Expr) -> float | None:
    limit = node.args.get("limit")
    value = limit.expression if isinstance(limit, exp.Limit) else None
    return float(value.name) if isinstance(value, exp.Literal) and value.name.isdigit() else None


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
            if _is_bracket(node):
                stack.append(node.this)


def _is_bracket(node: exp.Expr) -> bool:
    """Whether a node is brackets around relations and not around a query."""
    return isinstance(node, (exp.Subquery, exp.Paren)) and isinstance(node.this, (exp.Table, exp.Subquery, exp.Lateral))


def _unfold(sources: list[exp.Expr], joins: list[exp.Join]) -> Iterator[exp.Expr]:
    for node in [*sources, *(join.this for join in joins)]:
        nested = node.args.get("joins") or []
        if _is_bracket(node):
            yield from _unfold([node.this], nested)
        else:
            yield node
            yield from _unfold([], nested)


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    """The parts of a condition that must all hold."""
    stack = [condition]
    while stack:
        node = stack.pop()
        if isinstance(node, exp.And):
            stack += [node.left, node.right]
        elif isinstance(node, exp.Paren):
            stack.append(node.this)
        else:
            yield node


def _sides(node: exp.Expr, relations: list[_Relation]) -> list[_Relation]:
    """The relations whose columns one side of an equality uses; a column that could be anybody's counts as the first
    of those that may have it."""
    found: list[_Relation] = []
    for column in node.find_all(exp.Column):
        table, name = column.table.lower(), column.name.lower()
        if table:
            owners = [r for r in relations if r.alias == table] or [r for r in relations if not r.alias]
        else:
            owners = [r for r in relations if r.columns is not None and name in r.columns]
            owners = owners or [r for r in relations if r.columns is None]
        for owner in owners[:1]:
            if owner not in found:
                found.append(owner)
    return found


def _share(relation: _Relation, before: list[_Relation]) -> bool:
    """Whether a NATURAL JOIN has a column to join by; columns that are not known may be."""
    return any(
        relation.columns is None or other.columns is None or bool(relation.columns & other.columns) for other in before
    )


def _merge(relations: list[_Relation], one: _Relation, other: _Relation) -> None:
    old, new = other.part, one.part
    for relation in relations:
        if relation.part == old:
            relation.part = new


def _output(query: exp.Expr) -> frozenset[str] | None:
    """The columns that a query gives, where all have names."""
    while isinstance(query, (exp.Subquery, *_SET_OPERATIONS)):
        query = query.this
    if not isinstance(query, exp.Select) or any(e.is_star or not e.alias_or_name for e in query.expressions):
        return None
    return frozenset(e.alias_or_name.lower() for e in query.expressions)


def _correlated(subquery: exp.Subquery) -> bool:
    """Whether a sub-query compares a column of its own with one from outside by an equality."""
    select = subquery.this
    if not isinstance(select, exp.Select):
        return False
    own = {node.alias_or_name.lower() for node in select.find_all(exp.Table, exp.Subquery)}
    where = select.args.get("where")
    if where is None and select.args.get("from_") is None:
        return True
    for part in _conjuncts(where.this) if where is not None else ():
        if isinstance(part, exp.EQ):
            left, right = _qualifiers(part.left), _qualifiers(part.right)
            if (left & own and right - own) or (right & own and left - own):
                return True
    return False


def _qualifiers(node: exp.Expr) -> set[str]:
    return {column.table.lower() for column in node.find_all(exp.Column) if column.table}
