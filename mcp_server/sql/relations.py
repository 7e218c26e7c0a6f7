"""The relations of a FROM: alias, columns and an upper bound of the rows.

`rows` is known from the text alone: VALUES, range(), LIMIT, an aggregate without groups. The lake's row count is kept
apart from it as `counted`: a bound in the text holds tomorrow too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from mcp_server.sql.constants import count_elements, measure_width
from mcp_server.sql.functions import functions
from mcp_server.sql.names import TableNames
from mcp_server.sql.tree import Tree

SET_OPERATIONS = (exp.Union, exp.Except, exp.Intersect)


@dataclass
class Relation:
    """One relation of a FROM. `rows`, `counted` and `columns` are None where they are unknown.

    `counted` is the lake's row count of a table. `per_row` says that the relation is evaluated for each row before it,
    from the values of that row. `part` numbers the group of relations that equalities connect. `keys` are the key
    columns of a table, in lower case.
    """

    node: exp.Expr
    alias: str
    rows: float | None
    counted: float | None
    columns: frozenset[str] | None
    per_row: bool
    part: int
    keys: frozenset[str] = frozenset()


@dataclass
class Relations:
    """The relations of a tree. Bounds are computed once per node."""

    tree: Tree
    names: TableNames
    known: dict[int, float | None] = field(default_factory=dict)

    def list_relations(self, select: exp.Select) -> list[Relation]:
        """Return what FROM and JOIN name, in order."""
        from_ = select.args.get("from_")
        nodes = _iter_relations([from_.this] if from_ is not None else [], select.args.get("joins") or [])
        return [
            Relation(
                n,
                _find_alias(n),
                self.bound_rows(n),
                self._find_row_count(n),
                self.find_columns(n),
                self._per_row(n),
                part,
                self._find_keys(n),
            )
            for part, n in enumerate(nodes)
        ]

    def _find_row_count(self, node: exp.Expr) -> float | None:
        info = self.names.tables.get(id(node))
        return None if info is None or info.rows is None else float(info.rows)

    def _find_keys(self, node: exp.Expr) -> frozenset[str]:
        info = self.names.tables.get(id(node))
        return frozenset() if info is None else frozenset(column.lower() for column in info.key)

    def _per_row(self, node: exp.Expr) -> bool:
        if isinstance(node, exp.Lateral) and isinstance(node.this, exp.Subquery):
            return _is_tied(node.this)
        call = node.this if isinstance(node, (exp.Lateral, exp.Table)) else None
        return isinstance(call, exp.Anonymous) and call.find(exp.Column) is not None

    def bound_generated(self, select: exp.Select) -> list[float | None]:
        """Bound the rows that each generator makes of one row: LATERAL VIEW, and explode() in the select list."""
        calls = [lateral.this for lateral in select.args.get("laterals") or []]
        for expression in select.expressions:
            calls += [
                call
                for call in expression.find_all(exp.Anonymous)
                if functions().classes.get(self.tree.called_name(call)) == "generator"
                and call.find_ancestor(exp.Select) is select
            ]
        return [self._bound_call(call) for call in calls if isinstance(call, exp.Anonymous)]

    def bound_rows(self, node: exp.Expr) -> float | None:
        """Return an upper bound of the rows of a relation or query, or None where it is unknown."""
        if id(node) not in self.known:
            self.known[id(node)] = None  # a recursive name reads itself: not known
            self.known[id(node)] = self._bound_query(node)
        return self.known[id(node)]

    def _bound_query(self, node: exp.Expr) -> float | None:
        if isinstance(node, exp.Values):
            return float(len(node.expressions))
        if isinstance(node, (exp.Table, exp.Lateral)):
            if isinstance(node.this, exp.Anonymous):
                return self._bound_call(node.this)
            cte = self.names.ctes.get(id(node))
            inner = node.this if isinstance(node, exp.Lateral) else cte.this if cte is not None else None
            return None if inner is None else self.bound_rows(inner)
        return _find_least(_read_limit(node), self._bound_unlimited(node))

    def _bound_unlimited(self, node: exp.Expr) -> float | None:
        """Return the bound of a query without its LIMIT."""
        if isinstance(node, exp.Subquery):
            return self.bound_rows(node.this) if not node.args.get("joins") else None
        if isinstance(node, SET_OPERATIONS):
            left, right = self.bound_rows(node.this), self.bound_rows(node.expression)
            return None if left is None or right is None else left + right
        if not isinstance(node, exp.Select):
            return None
        if not node.args.get("group") and self.is_aggregated(node):
            return 1.0
        product = 1.0
        for size in [*(relation.rows for relation in self.list_relations(node)), *self.bound_generated(node)]:
            if size is None:
                return None
            product *= size
        return product

    def is_grouped(self, node: exp.Expr) -> bool:
        """Whether a relation is a query for groups or distinct rows."""
        cte = self.names.ctes.get(id(node))
        query = cte.this if cte is not None else node
        while isinstance(query, exp.Subquery):
            query = query.this
        return isinstance(query, exp.Select) and bool(query.args.get("group") or query.args.get("distinct"))

    def is_aggregated(self, select: exp.Select) -> bool:
        """Whether the select list aggregates all rows into one."""
        return any(
            functions().classes.get(self.tree.called_name(call)) in {"aggregate", "collecting"}
            and call.find_ancestor(exp.Window, exp.Select) is select
            for expression in select.expressions
            for call in expression.find_all(exp.Anonymous)
        )

    def _bound_call(self, call: exp.Anonymous) -> float | None:
        """Bound the rows of `range(10)` or `explode(array(1, 2))`. None where a column decides."""
        if call.find(exp.Column) is not None:
            return None
        return (
            count_elements(self.tree, call)
            if self.tree.called_name(call) == "range"
            else max(measure_width(self.tree, call), 1.0)
        )

    def find_columns(self, node: exp.Expr) -> frozenset[str] | None:
        """Return the names of a relation's columns in lower case, or None where they are unknown."""
        alias = node.args.get("alias")
        cte = self.names.ctes.get(id(node))
        named = alias.columns if isinstance(alias, exp.TableAlias) else []
        named = named or (cte.args["alias"].columns if cte is not None else [])
        info = self.names.tables.get(id(node))
        if named or info is not None:
            listed = named or (info.columns if info is not None else ())
            return frozenset(column.name.lower() for column in listed) or None
        if cte is not None:
            return _find_output(cte.this)
        return _find_output(node.this) if isinstance(node, exp.Subquery) else None


def iter_conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the operands of the ANDs of a condition."""
    return _iter_operands(condition, exp.And)


def _iter_operands(condition: exp.Expr, operator: type[exp.And | exp.Or]) -> Iterator[exp.Expr]:
    stack = [condition]
    while stack:
        node = stack.pop()
        if isinstance(node, operator):
            stack += [node.left, node.right]
        elif isinstance(node, exp.Paren):
            stack.append(node.this)
        else:
            yield node


def find_equalities(condition: exp.Expr | None) -> Iterator[exp.Binary]:
    """Yield the equalities that hold where a condition does: operands of its ANDs, and those in each part of an OR."""
    for part in iter_conjuncts(condition) if condition is not None else ():
        if isinstance(part, (exp.EQ, exp.NullSafeEQ)):
            yield part
        elif isinstance(part, exp.Or):
            first, *others = (
                {_spell(each): each for each in find_equalities(one)} for one in _iter_operands(part, exp.Or)
            )
            yield from (each for name, each in first.items() if all(name in found for found in others))


def _spell(equality: exp.Binary) -> tuple[str, frozenset[str]]:
    """Write an equality so that `a = b` and `B = A` are the same."""
    return equality.key, frozenset(side.sql().lower() for side in (equality.left, equality.right))


def find_qualifiers(node: exp.Expr) -> set[str]:
    """Return the table names that qualify the columns in `node`."""
    return {column.table.lower() for column in node.find_all(exp.Column) if column.table}


def is_bracket(node: exp.Expr) -> bool:
    """Whether a node is brackets around relations and not around a query."""
    return isinstance(node, (exp.Subquery, exp.Paren)) and isinstance(node.this, (exp.Table, exp.Subquery, exp.Lateral))


def _find_alias(node: exp.Expr) -> str:
    """Return the name that qualifies columns of a relation. An alias after PIVOT or UNPIVOT hides the one before."""
    pivots = [pivot.alias for pivot in node.args.get("pivots") or [] if pivot.alias]
    return (pivots[-1] if pivots else node.alias_or_name).lower()


def _iter_relations(sources: list[exp.Expr], joins: list[exp.Join]) -> Iterator[exp.Expr]:
    for node in [*sources, *(join.this for join in joins)]:
        nested = node.args.get("joins") or []
        if is_bracket(node):
            yield from _iter_relations([node.this], nested)
        else:
            yield node
            yield from _iter_relations([], nested)


def _is_tied(subquery: exp.Subquery) -> bool:
    """Whether a LATERAL sub-query reads only the row before it, or compares with it by an equality."""
    select = subquery.this
    if not isinstance(select, exp.Select):
        return False
    if select.args.get("from_") is None:
        return True
    own = {node.alias_or_name.lower() for node in select.find_all(exp.Table, exp.Subquery)}
    where = select.args.get("where")
    for part in find_equalities(where.this if where is not None else None):
        left, right = find_qualifiers(part.left), find_qualifiers(part.right)
        if (left & own and right - own) or (right & own and left - own):
            return True
    return False


def _find_output(query: exp.Expr) -> frozenset[str] | None:
    """Return the columns of a query, where all have names."""
    while isinstance(query, (exp.Subquery, *SET_OPERATIONS)):
        query = query.this
    if not isinstance(query, exp.Select) or any(e.is_star or not e.alias_or_name for e in query.expressions):
        return None
    return frozenset(e.alias_or_name.lower() for e in query.expressions)


def _read_limit(node: exp.Expr) -> float | None:
    limit = node.args.get("limit")
    value = limit.expression if isinstance(limit, exp.Limit) else None
    return float(value.name) if isinstance(value, exp.Literal) and value.name.isdigit() else None


def _find_least(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)
