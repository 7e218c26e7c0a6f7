"""Sub-queries in the expressions of one SELECT: those that Sail answers as Spark does stay as they are.

Measured on Sail 0.7.2. It answers rightly, by joins that mark rows: EXISTS in WHERE and in the SELECT list, with any
comparison of the row around it in its WHERE; `x IN (…)` in WHERE and HAVING under AND and OR alone; `x NOT IN (…)` as a
whole part of an AND, over one column and a query that reads nothing around it; an aggregate as a value that compares
columns of one type by equality. It has no IN in the SELECT list, no sub-query within an aggregate or ORDER BY that
reads the row around it, and takes NOT IN elsewhere, or of constants and several columns, for true where NULL decides.

Spark takes IN for a join that marks rows as well: it is false, not NULL, wherever it is no part of an AND of WHERE, and
NOT IN is false where a comparison is NULL (`RewritePredicateSubquery`).
"""

from __future__ import annotations

from typing import Literal, cast

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.decorrelation import decorrelate
from mcp_server.dialects.sail.rules.kit import compare, named, number
from mcp_server.dialects.sail.rules.outer_values import Host
from mcp_server.dialects.sail.rules.query_nodes import (
    INNER,
    Inner,
    copy_fresh,
    has_aggregate,
    has_query,
    is_aggregate,
    is_aggregated,
    is_one_group,
    list_visible,
    reads,
    same,
    walk_scope,
)
from mcp_server.dialects.sail.rules.query_parts import (
    all_of,
    any_of,
    column_of,
    derive,
    is_null,
    make_query,
    negate,
    null,
    qualify,
    split_and,
    truth,
)
from mcp_server.dialects.sail.rules.subquery_values import Again, attach, count_rows, in_place, or_null
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import (
    Binary,
    Call,
    Case,
    Column,
    Constant,
    Exists,
    Expression,
    InQuery,
    Logic,
    Not,
    ScalarQuery,
)
from mcp_server.sql.typed.relations import Derived, Query, Relation, Select
from mcp_server.sql.typed.types import BOOLEAN

Place = Literal["where", "item", "having", "other"]


class Places:
    """The sub-queries of one SELECT over `base`. `base` grows by joins that find values."""

    def __init__(self, select: Select, context: Context, again: Again) -> None:
        self.base: Relation | None = select.base
        self.visible = list_visible(select.base)
        self.ids = frozenset(self.visible)
        self.first = select.base
        self.where = select.where
        self.grouped = is_aggregated(select)
        self.context = context
        self.again = again
        self.done: list[tuple[Expression, Expression]] = []

    @property
    def attached(self) -> bool:
        """Whether the FROM has got joins."""
        return self.base is not self.first

    @property
    def host(self) -> Host:
        """The rows that sub-queries read."""
        return Host(cast("Relation", self.first), self.where)

    def visit(  # noqa: PLR0911  (a form each)
        self, e: Expression, place: Place, *, conjunct: bool = False, positive: bool = False
    ) -> Expression:
        """Return an expression with sub-queries that Sail answers.

        `conjunct` says that it is a whole part of an AND, `positive` that only AND and OR stand above it.
        """
        match e:
            case Logic():
                part = conjunct and e.operator == "and"
                operands = tuple(self.visit(each, place, conjunct=part, positive=positive) for each in e.operands)
                changed = any(one is not other for one, other in zip(operands, e.operands, strict=True))
                return e.replace(operands=operands) if changed else e
            case Not(operand=InQuery() | Exists() as inner):
                return self.visit(inner.replace(negated=not inner.negated), place, conjunct=conjunct, positive=positive)
            case Not(operand=Not(operand=inner)) if has_query(inner):
                return self.visit(inner, place, conjunct=conjunct, positive=positive)
            case Not(operand=Logic() as inner) if any(isinstance(each, InQuery) for each in walk_scope(inner)):
                operator = "or" if inner.operator == "and" else "and"
                turned = inner.replace(operator=operator, operands=tuple(map(negate, inner.operands)))
                return self.visit(turned, place, conjunct=conjunct, positive=positive)
            case Binary(operator="=", left=InQuery() as inner, right=Constant(value=bool() as value)):
                return self.visit(inner if value else negate(inner), place, conjunct=conjunct, positive=positive)
            case InQuery() | Exists() | ScalarQuery():
                return self.once(e, place, conjunct=conjunct, positive=positive)
        within: Place = "other" if isinstance(e, Call) and (is_aggregate(e) or e.window is not None) else place
        return e.map_children(lambda each: self.below(each, within))

    def below(self, node: Node, place: Place) -> Node:
        if isinstance(node, Expression):
            return self.visit(node, place)
        return node if isinstance(node, Query) else node.map_children(lambda each: self.below(each, place))

    def once(self, e: Expression, place: Place, *, conjunct: bool, positive: bool) -> Expression:
        """Sub-queries that are written twice are answered once, so that a group and its use stay the same."""
        for before, after in self.done:
            if not has_query(after) and same(before, e):
                return after
        if isinstance(e, InQuery):
            found = self.member(e, place, conjunct=conjunct, positive=positive)
        elif isinstance(e, Exists):
            found = self.exists(e, place, conjunct=conjunct)
        else:
            found = self.value(cast("ScalarQuery", e), place)
        self.done.append((e, found))
        return found

    def member(self, e: InQuery, place: Place, *, conjunct: bool, positive: bool) -> Expression:
        """IN, as EXISTS where Sail does not have it."""
        operands = tuple(self.visit(each, "other") for each in e.operands)
        e = e.replace(operands=operands) if any(map(has_query, e.operands)) else e
        if e.query.order and e.query.limit is None and e.query.offset is None:
            e = e.replace(query=e.query.replace(order=()))
        if self.has_member(e, place, conjunct=conjunct, positive=positive):
            return e
        if self.is_nothing(operands) and not reads(e.query, self.ids):
            some = self.exists(Exists(query=e.query, type=BOOLEAN), "other", conjunct=False)
            return Case(
                operand=None, conditions=(some,), results=(null(BOOLEAN),), otherwise=truth(e.negated), type=BOOLEAN
            )
        if e.query.outputs is None or len(e.query.outputs) != len(operands):
            raise lacking("IN", "IN with a sub-query whose columns are not known", "Write its columns out.")
        outer = [qualify(each, self.visible) for each in operands]
        if e.negated and len(outer) == 1:
            return self.not_member(outer[0], e.query, place, conjunct=conjunct)
        rows = self.rows_of(e.query)
        columns = [column_of(rows, output.name or "") for output in rows.outputs or ()]
        parts: list[Expression] = []
        for column, value in zip(columns, outer, strict=True):
            equal = compare(column, "=", value)
            parts.append(any_of((equal, is_null(column), is_null(value))) if e.negated else equal)
        return self.exists(self.exists_in(rows, all_of(parts), negated=e.negated), place, conjunct=conjunct)

    def is_nothing(self, operands: tuple[Expression, ...]) -> bool:
        return len(operands) == 1 and isinstance(operands[0], Constant) and operands[0].value is None

    def has_member(self, e: InQuery, place: Place, *, conjunct: bool, positive: bool) -> bool:
        """Whether Sail answers an IN as Spark does."""
        if place not in {"where", "having"} or any(map(has_query, e.operands)):
            return False
        read = reads(e.query, self.ids)
        if e.negated:
            own = any(reads(each, self.ids) for each in e.operands) and len(e.operands) == 1
            return conjunct and own and not read
        if not read:
            return positive
        body = e.query.body
        plain = positive and place == "where" and len(e.operands) == 1 and self.is_plain(e.query, compares=False)
        return plain and isinstance(body, Select) and not any(reads(each, self.ids) for each in body.items)

    def not_member(self, value: Expression, query: Query, place: Place, *, conjunct: bool) -> Expression:
        """NOT IN over one column: nothing is equal, nothing is NULL, and NULL itself is not looked for in anything."""
        rows = self.rows_of(query)
        column = column_of(rows, (rows.outputs or ())[0].name or "")
        equal = self.exists(self.exists_in(rows, compare(column, "=", value), negated=True), place, conjunct=conjunct)
        parts = [equal]
        if not isinstance(value, Constant) or value.value is None:
            other = copy_fresh(rows, self.context)
            some = self.exists(self.exists_in(other, None, negated=True), place, conjunct=False)
            parts.append(some if isinstance(value, Constant) else any_of((is_null(value, negated=True), some)))
        other = copy_fresh(rows, self.context)
        column = column_of(other, (other.outputs or ())[0].name or "")
        parts.append(self.exists(self.exists_in(other, is_null(column), negated=True), place, conjunct=False))
        return cast("Expression", all_of(parts))

    def known_member(self, e: InQuery) -> Exists:
        """IN as Spark has it in the condition of a join where it stays there: [NOT] EXISTS of equal rows."""
        if e.query.outputs is None or len(e.query.outputs) != len(e.operands):
            raise lacking("IN", "IN with a sub-query whose columns are not known", "Write its columns out.")
        rows = self.rows_of(e.query)
        columns = [column_of(rows, output.name or "") for output in rows.outputs or ()]
        outer = [qualify(each, self.visible) for each in e.operands]
        equal = (compare(column, "=", value) for column, value in zip(columns, outer, strict=True))
        return self.exists_in(rows, all_of(equal), negated=e.negated)

    def rows_of(self, query: Query) -> Derived:
        names = tuple(self.context.fresh("__c") for _ in query.outputs or ())
        return derive(query, self.context.fresh("__q"), self.context, names)

    def exists_in(self, rows: Relation, where: Expression | None, *, negated: bool = False) -> Exists:
        one = named(number(1), self.context.fresh("__c"))
        return Exists(query=make_query((one,), rows, where), negated=negated, type=BOOLEAN)

    def exists(self, e: Exists, place: Place, *, conjunct: bool) -> Expression:  # noqa: PLR0911  (a form each)
        """EXISTS, without what the row around it does not need."""
        query, body = e.query, e.query.body
        limited = query.limit is not None or query.offset is not None
        if isinstance(body, Select) and is_one_group(body) and body.having is None and not limited:
            return truth(not e.negated)
        if isinstance(query.limit, Constant) and query.limit.value == 0:
            return truth(e.negated)
        if query.order and not limited:
            query = query.replace(order=())
        one = isinstance(query.limit, Constant) and query.offset is None
        if one and query.limit is not None:
            query = query.replace(limit=None, order=())
        e = e if query is e.query else e.replace(query=query)
        if not reads(query, self.ids):
            if place == "item" or (conjunct and place in {"where", "having"}):
                return e
            limit = query.limit or number(1)
            return _turned(count_rows(query.replace(limit=limit), self.context), e.negated)
        if place == "where" or (place == "item" and not self.grouped):
            if self.is_plain(query, compares=False):
                return e
            found = decorrelate(query, self.host, self.context, self.again)
            return self.exists_in(found.relation, all_of(found.conditions), negated=e.negated)
        return _turned(self.value(count_rows(query, self.context), place), e.negated)

    def value(self, e: ScalarQuery, place: Place) -> Expression:
        """A query as a value."""
        if not reads(e.query, self.ids):
            return or_null(e, self.context)
        inside = in_place(e.query)
        if inside is not None:
            return self.visit(inside, place)
        allowed = place in {"where", "item"}
        if allowed and self.is_plain(e.query, compares=True) and self.has_value(e.query):
            return e
        self.base, found = attach(cast("Relation", self.base), self.where, e.query, self.context, self.again)
        return found

    def has_value(self, query: Query) -> bool:
        """Whether Sail answers a plain query as a value: one aggregate, compared by equal columns."""
        body = query.body
        if not isinstance(body, Select) or len(body.items) != 1 or not is_aggregated(body) or body.having is not None:
            return False
        return not reads(body.items[0], self.ids) and has_aggregate(body.items[0])

    def is_plain(self, query: Query, *, compares: bool) -> bool:  # noqa: PLR0911  (a reason each)
        """Whether a query reads the row around it in its WHERE alone; `compares` asks for equalities of columns."""
        body = query.body
        if not isinstance(body, Select) or query.limit is not None or query.offset is not None or query.ctes:
            return False
        if body.having is not None or body.qualify is not None or reads(body.base, self.ids):
            return False
        if body.group is not None and not (compares and self.groups_ties(body)):
            return False
        if not compares and is_aggregated(body):
            return False
        if any(reads(each, self.ids) for each in body.items) and (compares or any(map(has_query, body.items))):
            return False
        for part in split_and(body.where):
            if not reads(part, self.ids):
                continue
            if has_query(part) or (compares and not self.ties_columns(part)):
                return False
        return True

    def groups_ties(self, body: Select) -> bool:
        """Whether a query groups by what its WHERE ties to the row around it, so that it has one row for each."""
        keys = body.group.keys if body.group is not None and not body.group.all else ()
        sides = [
            side
            for part in split_and(body.where)
            if isinstance(part, Binary) and self.ties_columns(part)
            for side in (part.left, part.right)
        ]
        return bool(keys) and all(isinstance(key, Column) and any(same(key, each) for each in sides) for key in keys)

    def ties_columns(self, part: Expression) -> bool:
        if not isinstance(part, Binary) or part.operator != "=":
            return False
        for outer, inner in ((part.left, part.right), (part.right, part.left)):
            columns = [each for each in outer.walk() if isinstance(each, Column)]
            if not columns or any(each.source not in self.ids for each in columns) or not isinstance(inner, Column):
                continue
            plain = isinstance(outer, Column) or not self.grouped
            return inner.source not in self.ids and plain and inner.type is not None and inner.type == outer.type
        return False


def _turned(value: Expression, negated: bool) -> Expression:
    return negate(value) if negated else value


def needs_groups(places: Places, e: Expression | None, place: Place) -> bool:
    """Whether a sub-query that reads groups, outside of aggregates, needs the groups to be a FROM."""
    if e is None:
        return False
    stack: list[tuple[Node, bool, bool]] = [(e, True, True)]
    while stack:
        node, conjunct, positive = stack.pop()
        if isinstance(node, Query) or is_aggregate(node):
            continue
        if isinstance(node, INNER):
            if _reads_groups(places, node, place, conjunct=conjunct, positive=positive):
                return True
            continue
        part = isinstance(node, Logic)
        both = part and isinstance(node, Logic) and node.operator == "and"
        stack += [(each, conjunct and both, positive and part) for each in node.children]
    return False


def _reads_groups(places: Places, node: Inner, place: Place, *, conjunct: bool, positive: bool) -> bool:
    if isinstance(node, InQuery):
        if places.has_member(node, place, conjunct=conjunct, positive=positive):
            return False
        return any(reads(each, places.ids) or has_aggregate(each) for each in (*node.operands, node.query))
    if not reads(node.query, places.ids):
        return False
    if isinstance(node, Exists) and isinstance(node.query.body, Select) and is_one_group(node.query.body):
        return node.query.body.having is not None
    return not (
        isinstance(node, ScalarQuery)
        and place == "item"
        and places.is_plain(node.query, compares=True)
        and places.has_value(node.query)
    )
