"""Writes a query that reads the rows around it as one that does not, with columns to join them by.

A condition `x.k = outer.v` makes `x.k` such a column. What no equality binds is joined from the distinct values of the
outer rows (T. Neumann, A. Kemper: Unnesting Arbitrary Queries), as in Spark's `DecorrelateInnerQuery`. The columns go up
through every operator: they become groups of an aggregate, partitions of a window and of LIMIT, and columns of both
sides of a set operation. An aggregate without GROUP BY has a row for outer values without rows too, so it is computed
over the outer values, joined with what they find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.query_nodes import (
    INNER,
    all_of,
    change_scope,
    column_of,
    compare,
    compare_safely,
    copy_fresh,
    derive,
    find_columns,
    has_query,
    is_aggregate,
    is_fixed,
    is_null,
    is_one_group,
    item,
    join,
    keep_name,
    list_ids,
    list_visible,
    make_query,
    name_outputs,
    name_relations,
    put,
    qualify,
    reads,
    same,
    split_and,
    truth,
    walk_select,
    write_stars,
)
from mcp_server.dialects.sail.rules.query_rows import keep_rows
from mcp_server.sql.typed.nodes import Binary, Call, Column, Expression, Node, Star
from mcp_server.sql.typed.relations import (
    Cte,
    CteUse,
    Derived,
    Grouping,
    Item,
    Join,
    Query,
    Relation,
    Select,
    SetOperation,
    Values,
)

Known = dict[str, Expression]
"""What has the outer values, by their names."""


@dataclass(frozen=True)
class Host:
    """What stands around a query: the FROM whose columns it reads, and conditions that these rows fulfil."""

    base: Relation
    where: Expression | None = None

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(list_visible(self.base))


@dataclass(frozen=True)
class Key:
    """An outer value and the column of the query that it is compared with: by = or by <=>."""

    outer: Expression
    column: str
    binds: bool


def tie_keys(keys: Iterable[Key], relation: Relation) -> list[Expression]:
    """The comparisons with the columns of a relation that holds the query."""
    keys = list(keys)
    plain = any(key.binds for key in keys)
    made: list[Expression] = []
    for key in keys:
        column = column_of(relation, key.column, key.outer.type)
        if key.binds or plain:
            made.append(compare(key.outer, column, "=" if key.binds else "<=>"))
        else:
            made.append(compare_safely(key.outer, column))
    return made


@dataclass(frozen=True)
class Decorrelated:
    """A query without outer columns. `across` are conditions of the join, over columns of `relation` and of the host."""

    relation: Derived
    keys: tuple[Key, ...]
    across: tuple[Expression, ...] = ()

    @property
    def conditions(self) -> list[Expression]:
        return [*tie_keys(self.keys, self.relation), *self.across]


def decorrelate(
    query: Query, host: Host, context: Context, again: Callable[[Select], Select], *, names: tuple[str, ...] = (),
    alias: str | None = None, number: int | None = None, fill: bool = True, across: bool = False,
) -> Decorrelated:  # fmt: skip
    """Return the query as a relation without columns of the host.

    `fill` asks for a row of an aggregate without GROUP BY where nothing is found. `across` allows conditions of the
    join that are no equalities. `again` rewrites a SELECT whose sub-queries have got other columns.
    Errors: EngineLacks.
    """
    work = _Work(host, context, again)
    inner = work.name_values(_inline_ctes(query, host.ids, context))
    name = alias or context.fresh("__q")
    hidden: list[tuple[str, Expression]] = []
    pulled: list[Expression] = []
    if across and isinstance(inner.body, Select) and _is_plain(inner):
        body, pulled, hidden = work.pull_across(inner.body)
        inner = inner.replace(body=body)
        work.count_uses(inner)
    need = tuple(each for each in work.values if reads_value(inner, work.number, each))
    work.need = need
    made = work.query(inner, need, fill=fill, top=True)
    if hidden:
        items = tuple(item(operand, each) for each, operand in hidden)
        made = _with_items(made, items)
    shown = names
    if not names and inner.outputs is not None:
        shown = name_outputs(inner.outputs, context)
        if shown == tuple(each.name for each in inner.outputs):
            shown = ()
    columns = (*shown, *(work.hidden[each] for each in need), *(each for each, _ in hidden)) if shown else ()
    relation = derive(made, name, context, columns, number)
    keys = tuple(Key(work.values[each], work.hidden[each], each not in work.joined) for each in need)
    by_name = dict(hidden)
    conditions = tuple(
        put(
            each,
            lambda c: (
                column_of(relation, c.name, c.type)
                if c.source == work.moved and c.name in by_name
                else work.values.get(c.name)
                if c.source == work.number
                else None
            ),
        )
        for each in pulled
    )
    return Decorrelated(relation, keys, conditions)


def _with_items(query: Query, items: tuple[Item, ...]) -> Query:
    body = query.body
    assert isinstance(body, Select)
    outputs = None
    if query.outputs is not None:
        outputs = (*query.outputs, *(output for each in items for output in each.outputs or ()))
    return query.replace(body=body.replace(items=(*body.items, *items)), outputs=outputs)


def _is_plain(query: Query) -> bool:
    body = query.body
    if not isinstance(body, Select) or query.limit is not None or query.offset is not None:
        return False
    calls = [each for each in walk_select(body) if isinstance(each, Call)]
    windowed = any(each.window is not None or is_aggregate(each) for each in calls)
    return not (windowed or body.distinct or body.group or body.having or body.qualify)


def reads_value(node: Node, number: int, name: str) -> bool:
    """Whether a tree has the column that stands for an outer value."""
    return any(isinstance(each, Column) and each.source == number and each.name == name for each in node.walk())


def _inline_ctes(query: Query, ids: frozenset[int], context: Context) -> Query:
    """Write the queries of WITH that read the rows around them where they are used."""
    read = [cte for each in query.walk() if isinstance(each, Query) for cte in each.ctes if reads(cte, ids)]
    if not read:
        return query
    by_id: dict[int, Cte] = {}

    def change(node: Node) -> Node:
        made = node.map_children(change)
        if isinstance(made, CteUse) and made.cte in by_id:
            cte = by_id[made.cte]
            return Derived(
                id=made.id, alias=made.alias or made.name, names=made.names or cte.names, outputs=made.outputs,
                query=copy_fresh(cte.query, context),
            )  # fmt: skip
        if isinstance(made, Cte) and made.id in {each.id for each in read}:
            by_id[made.id] = made
        if isinstance(made, Query) and made.ctes:
            return made.replace(ctes=tuple(each for each in made.ctes if each.id not in by_id))
        return made

    def ordered(node: Query) -> Query:
        if node.ctes:
            ctes = tuple(change(each) for each in node.ctes)
            node = node.replace(ctes=ctes)
        made = change(node)
        assert isinstance(made, Query)
        return made

    return ordered(query)


@dataclass
class _Work:
    """The work on one query. Outer values are columns of a relation that does not exist, `number`, until they are
    replaced by `put` with what has them.
    """

    host: Host
    context: Context
    again: Callable[[Select], Select]
    values: dict[str, Expression] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    uses: dict[str, int] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)
    """Values that come from the outer rows somewhere, so that they may be NULL."""
    need: tuple[str, ...] = ()
    widened: set[int] = field(default_factory=set)
    """Relations that have got hidden columns."""

    def __post_init__(self) -> None:
        self.number = self.context.new_id()
        self.moved = self.context.new_id()
        self.visible = list_visible(self.host.base)
        self.ids = frozenset(self.visible)

    def name_values(self, query: Query) -> Query:
        """Put columns of `number` for the columns of the host, and for the outer sides of equalities."""

        def change(node: Node) -> Node:
            if isinstance(node, Binary) and node.operator in {"=", "<=>"}:
                left, right = self.outer_side(node.left), self.outer_side(node.right)
                if left is not None and right is None and not isinstance(node.left, Column):
                    return node.replace(left=left, right=change(node.right))
                if right is not None and left is None and not isinstance(node.right, Column):
                    return node.replace(left=change(node.left), right=right)
            if isinstance(node, Column) and node.source in self.ids:
                return self.value(node)
            return node.map_children(change)

        made = change(query)
        assert isinstance(made, Query)
        self.count_uses(made)
        return made

    def outer_side(self, side: Expression) -> Expression | None:
        columns = [each for each in side.walk() if isinstance(each, Column)]
        if not columns or any(each.source not in self.ids for each in columns):
            return None
        plain = not any(isinstance(each, INNER) or is_aggregate(each) for each in side.walk())
        return self.value(side) if plain and is_fixed(side) else None

    def value(self, outer: Expression) -> Column:
        for name, known in self.values.items():
            if same(known, outer):
                return Column(name=name, source=self.number, type=outer.type)
        name = self.context.fresh("__v")
        self.values[name] = qualify(outer, self.visible)
        self.hidden[name] = self.context.fresh("__o")
        return Column(name=name, source=self.number, type=outer.type)

    def count_uses(self, query: Query) -> None:
        self.uses = {}
        for each in query.walk():
            if isinstance(each, Column) and each.source == self.number:
                self.uses[each.name] = self.uses.get(each.name, 0) + 1

    def put(self, node: Node, known: Mapping[str, Expression]) -> Node:
        return put(node, lambda column: known.get(column.name) if column.source == self.number else None)

    def found(self, node: Node | None) -> tuple[str, ...]:
        """The outer values in a tree, in order."""
        if node is None:
            return ()
        names = {each.name for each in node.walk() if isinstance(each, Column) and each.source == self.number}
        return tuple(each for each in self.values if each in names)

    def pull_across(self, select: Select) -> tuple[Select, list[Expression], list[tuple[str, Expression]]]:
        """Take the conditions out of a plain SELECT that compare with outer values otherwise than by equality."""
        own = frozenset(list_visible(select.base))
        stay: list[Expression] = []
        pulled: list[Expression] = []
        hidden: list[tuple[str, Expression]] = []
        for part in split_and(select.where):
            if not self.found(part) or self.binding(part) is not None or has_query(part):
                stay.append(part)
                continue

            def move(column: Column) -> Expression | None:
                if column.source not in own:
                    return None
                for name, known in hidden:
                    if same(known, column):
                        return Column(name=name, source=self.moved, type=column.type)
                hidden.append((self.context.fresh("__o"), column))
                return Column(name=hidden[-1][0], source=self.moved, type=column.type)

            pulled.append(put(part, move))
        return select.replace(where=all_of(stay)), pulled, hidden

    def binding(self, condition: Expression) -> tuple[str, Expression] | None:
        """The outer value that an equality binds to an expression over rows of the query."""
        if not isinstance(condition, Binary) or condition.operator not in {"=", "<=>"}:
            return None
        for outer, inner in ((condition.left, condition.right), (condition.right, condition.left)):
            if not isinstance(outer, Column) or outer.source != self.number:
                continue
            if self.found(inner) or has_query(inner) or not any(isinstance(each, Column) for each in inner.walk()):
                continue
            alike = outer.type is not None and outer.type == inner.type
            if (alike or self.uses.get(outer.name, 0) == 1) and condition.operator == "=":
                return outer.name, inner
        return None

    def domain(self, names: Iterable[str]) -> tuple[Derived, Known]:
        """The distinct outer values, and the columns that have them."""
        wanted = list(names)
        self.joined |= set(wanted)
        base, where = self.narrow([self.values[each] for each in wanted])
        fresh = {each: self.context.fresh("__o") for each in wanted}
        items = tuple(item(self.values[each], fresh[each]) for each in wanted)
        query = copy_fresh(make_query(items, base, where, distinct=True), self.context)
        relation = derive(query, self.context.fresh("__d"), self.context)
        return relation, {each: column_of(relation, fresh[each], self.values[each].type) for each in wanted}

    def narrow(self, values: list[Expression]) -> tuple[Relation, Expression | None]:
        """The smallest part of the host's FROM that has all of some values, with the conditions on it."""
        base = self.host.base
        conditions = [each for each in split_and(self.host.where) if not has_query(each) and is_fixed(each)]
        while isinstance(base, Join) and not base.using and not base.natural:
            sides = [(base.left, base.kind in {"inner", "cross", "left", "semi", "anti"})]
            sides.append((base.right, base.kind in {"inner", "cross", "right"}))
            ids = {column.source for each in values for column in each.walk() if isinstance(column, Column)}
            inner = [side for side, whole in sides if whole and ids <= set(list_visible(side))]
            if not inner or any(getattr(each, "lateral", False) for each in list_visible(inner[0]).values()):
                break
            base = inner[0]
        within = list_ids(base)
        kept = [
            each
            for each in conditions
            if all(column.source in within for column in each.walk() if isinstance(column, Column))
        ]
        return base, all_of(kept)

    def query(self, query: Query, need: tuple[str, ...], *, fill: bool, top: bool = False) -> Query:
        """A query with the outer values behind its columns."""
        body = query.body
        limited = query.limit is not None or query.offset is not None
        if self.found(query.limit) or self.found(query.offset):
            raise lacking("LIMIT", "LIMIT by a value of the row around the sub-query", "Use row_number.")
        if limited:
            return keep_rows(query, need, self, fill=fill)
        made: Select | SetOperation | Values | Query
        if isinstance(body, Select):
            made = self.select(body, need, fill=fill, top=top)
        elif isinstance(body, SetOperation):
            left, right = (self.query(each, need, fill=True) for each in (body.left, body.right))
            made = body.replace(left=left, right=right)
        elif isinstance(body, Values):
            inner = derive(query, self.context.fresh("__q"), self.context)
            star = Item(operand=Star(parts=(inner.alias or "",), sources=(inner.id,)), outputs=inner.outputs)
            made = self.select(Select(items=(star,), base=inner), need, fill=fill)
            return Query(body=made, outputs=self.widen(query.outputs, need))
        else:
            made = self.query(body, need, fill=fill)
        return query.replace(
            body=made, order=(), order_all=None, sort=(), distribute=(), outputs=self.widen(query.outputs, need)
        )

    def widen(self, outputs: tuple | None, need: tuple[str, ...]) -> tuple | None:
        if outputs is None:
            return None
        more = [output for each in need for output in item(self.values[each], self.hidden[each]).outputs or ()]
        return (*outputs, *more)

    def select(self, select: Select, need: tuple[str, ...], *, fill: bool, top: bool = False) -> Select:
        """A SELECT with the outer values behind its columns."""
        from mcp_server.dialects.sail.rules.decorrelated_relations import push_relation

        base, known, loose = select.base, Known(), list[Expression]()
        if base is not None and (self.found(base) or self.needs_domain(select, need)):
            base, known, loose = push_relation(name_relations(base, self.context), self, inner=True)
        known = {name: each for name, each in known.items() if name in need}
        bound = Known()
        parts: list[Expression] = []
        for part in [*split_and(select.where), *loose]:
            binding = self.binding(part)
            if binding is None or binding[0] in known or binding[0] in bound or binding[0] not in need:
                parts.append(part)
                continue
            bound[binding[0]] = binding[1]
            if not top:
                parts.append(is_null(binding[1], negated=True))
        missing = [each for each in need if each not in known and each not in bound]
        if missing:
            domain, columns = self.domain(missing)
            base = domain if base is None else join("cross", base, domain, None, self.context)
            known |= columns
        known |= bound
        where = all_of(parts)
        if is_one_group(select) and fill:
            return self.again(self.one_group(select, base, where, known, frozenset(bound), need))
        made = select.replace(base=base, where=where)
        made = self.put(made, known)
        assert isinstance(made, Select)
        made = made.replace(items=self.written(select.items, made.items, base, changed=base is not select.base))
        values = [known[each] for each in need]
        made = self.partition(made, values)
        if (made.group is not None and not made.group.all) or is_one_group(made):
            keys = made.group.keys if made.group is not None else ()
            more = (each for each in values if not any(same(each, key) for key in keys))
            made = made.replace(group=Grouping(keys=(*keys, *more)))
        made = made.replace(items=(*made.items, *self.hidden_items(known, need)))
        return self.again(made)

    def written(
        self, before: tuple[Item, ...], items: tuple[Item, ...], base: Relation | None, *, changed: bool
    ) -> tuple[Item, ...]:
        """Items with the names that they had, and without the hidden columns that a star would show."""
        named = [
            new if new.operand is old.operand else keep_name(old, new.operand)
            for old, new in zip(before, items, strict=True)
        ]
        if not changed:
            return tuple(named)
        return write_stars(tuple(named), base, lambda star: not star.parts or bool(self.widened & set(star.sources)))

    def needs_domain(self, select: Select, need: tuple[str, ...]) -> bool:
        """Whether a SELECT has to be joined with outer values, by what its WHERE binds."""
        bound = {found[0] for each in split_and(select.where) if (found := self.binding(each)) is not None}
        return not set(need) <= bound

    def hidden_items(self, known: Mapping[str, Expression], need: tuple[str, ...]) -> list[Item]:
        return [item(known[each], self.hidden[each]) for each in need]

    def partition(self, select: Select, values: list[Expression]) -> Select:
        """Windows that do not mix the rows of different outer values."""

        def change(node: Node) -> Node:
            if isinstance(node, Call) and node.window is not None and node.window.base is None:
                window = node.window.replace(partition=(*node.window.partition, *values))
                return node.replace(window=window)
            return node

        if not values:
            return select
        items = tuple(change_scope(each, change) for each in select.items)
        qualify_by = change_scope(select.qualify, change) if select.qualify is not None else None
        windows = tuple(
            each.replace(window=each.window.replace(partition=(*each.window.partition, *values)))
            if each.window.base is None
            else each
            for each in select.windows
        )
        return select.replace(items=items, qualify=qualify_by, windows=windows)

    def one_group(
        self, select: Select, base: Relation | None, where: Expression | None, known: Known,
        bound: frozenset[str], need: tuple[str, ...],
    ) -> Select:  # fmt: skip
        """An aggregate without GROUP BY over the outer values, each joined with the rows that it finds.

        The rows have a flag, by which the aggregates tell them from what an outer value without rows is joined with.
        """
        ids = frozenset(list_visible(base))
        wanted: list[tuple[str, Expression]] = []
        for column in find_columns(select.replace(base=None, where=None), ids):
            if not any(same(column, each) for _, each in wanted):
                wanted.append((self.context.fresh("__c"), column))
        flag = self.context.fresh("__f")
        inner_items = [item(each, name) for name, each in wanted]
        inner_items += [item(known[each], self.hidden[each]) for each in need]
        inner_items.append(item(truth(True), flag))
        inner = make_query(tuple(inner_items), base, where)
        placed = self.put(inner, known)
        assert isinstance(placed, Query)
        body = placed.body
        assert isinstance(body, Select)
        rows = derive(placed.replace(body=self.again(body)), self.context.fresh("__q"), self.context)
        domain, columns = self.domain(need)
        on = [
            compare(columns[each], column_of(rows, self.hidden[each]), "=" if each in bound else "<=>") for each in need
        ]
        found = column_of(rows, flag)

        def change(node: Node) -> Node:
            if isinstance(node, Call) and is_aggregate(node):
                return node.replace(filter=all_of([found, *split_and(node.filter)]))
            return node

        def find(column: Column) -> Expression | None:
            if column.source == self.number:
                return columns.get(column.name)
            for name, each in wanted:
                if same(each, column):
                    return column_of(rows, name, column.type)
            return None

        made = put(select.replace(base=None, where=None), find)
        made = self.partition(made, list(columns.values()))
        made = made.replace(
            items=tuple(change_scope(each, change) for each in made.items),
            having=change_scope(made.having, change) if made.having is not None else None,
            base=join("left", domain, rows, all_of(on), self.context),
            group=Grouping(keys=tuple(columns[each] for each in need)),
        )
        return made.replace(items=(*made.items, *self.hidden_items(columns, need)))
