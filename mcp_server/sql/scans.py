"""What a query must read: each reading of a table, the columns it needs, and conditions that all its rows meet.

A condition counts only where it certainly holds for every row that is used: `column op literal`, an AND-part of the
WHERE, or of the ON of an inner join, of the SELECT that names the table. What stands outside a sub-query, behind OR,
in HAVING, or about the side of an outer join that is filled with nulls does not: an estimate errs upwards only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from lakehouse.manifest import Column
from mcp_server.models import Filter, FilterOp, Scan, TableInfo
from mcp_server.sql.case import Case, once
from mcp_server.sql.relations import Relations, conjuncts, is_bracket
from mcp_server.sql.tree import Tree
from mcp_server.sql.values import Value, as_type, literal

_COMPARISONS: Mapping[type[exp.Expr], tuple[FilterOp, FilterOp]] = {
    exp.EQ: ("=", "="),
    exp.NullSafeEQ: ("=", "="),
    exp.LT: ("<", ">"),
    exp.LTE: ("<=", ">="),
    exp.GT: (">", "<"),
    exp.GTE: (">=", "<="),
}
"""How a comparison is written with the column on its left, and on its right."""

_HIDING = frozenset({"SEMI", "ANTI"})
_INNER = frozenset({"", "INNER", "CROSS"})


@dataclass
class FromItem:
    """One relation of a FROM. `named`: conditions can name its columns; `firm`: those that do hold for all its rows."""

    node: exp.Expr
    alias: str
    columns: frozenset[str] | None
    named: bool = True
    firm: bool = True


@dataclass
class From:
    """The FROM of one SELECT: relations, the conditions that its rows meet, and columns that USING joins by."""

    relations: list[FromItem] = field(default_factory=list)
    conditions: list[exp.Expr] = field(default_factory=list)
    using: set[str] = field(default_factory=set)
    natural: bool = False
    turned: bool = False
    """Whether a RIGHT or FULL JOIN may fill what stands before it with nulls."""

    def owners(self, column: exp.Column) -> list[FromItem]:
        """The relations that a column certainly is of: several only where USING makes one column of theirs."""
        table, name = column.table.lower(), column.name.lower()
        known = [relation for relation in self.relations if relation.named]
        if column.args.get("db"):
            return []
        if table:
            meant = [relation for relation in known if relation.alias == table]
            return meant if len(meant) == 1 and name in (meant[0].columns or ()) else []
        if any(relation.columns is None for relation in known):
            return []
        meant = [relation for relation in known if name in (relation.columns or ())]
        return meant if len(meant) == 1 or name in self.using else []


@once
def scans(case: Case) -> tuple[Scan, ...]:
    """Every reading of a table of the lake, those within a WITH name once for each use of the name."""
    return tuple(_Scans(case).within(case.tree.root))


def recursive_reads(case: Case) -> frozenset[str]:
    """Tables that are read within a recursive WITH name: once for every step, which no estimate knows."""
    clauses = [clause for clause in case.tree.every(exp.With) if clause.recursive]
    nodes = (node for clause in clauses for node in clause.find_all(exp.Table))
    return frozenset(case.names.tables[id(node)].name for node in nodes if id(node) in case.names.tables)


class _Scans:
    def __init__(self, case: Case) -> None:
        self._tree, self._names, self._relations = case.tree, case.names, case.relations
        self._made: dict[int, Scan] = {}
        self._open: set[int] = set()

    def within(self, root: exp.Expr) -> Iterator[Scan]:
        for node in root.walk(prune=lambda each: isinstance(each, exp.With)):
            cte = self._names.ctes.get(id(node))
            if id(node) in self._names.tables:
                yield self._scan(node)
            elif cte is not None and id(cte) not in self._open:
                self._open.add(id(cte))
                yield from self.within(cte.this)
                self._open.discard(id(cte))

    def _scan(self, node: exp.Expr) -> Scan:
        if id(node) not in self._made:
            select = node.find_ancestor(exp.Select)
            if select is not None:
                self._read(select)
            self._made.setdefault(id(node), Scan(self._names.tables[id(node)].name, None))
        return self._made[id(node)]

    def _read(self, select: exp.Select) -> None:
        """The scans of all tables that one SELECT names."""
        found = read_from(select, self._relations)
        filters: dict[int, list[Filter]] = {}
        for condition in found.conditions:
            for relation, made in self._filters(condition, found):
                filters.setdefault(id(relation.node), []).extend(made)
        columns = _Columns(self._tree, select, found)
        for relation in found.relations:
            info = self._names.tables.get(id(relation.node))
            if info is not None:
                self._made[id(relation.node)] = Scan(
                    info.name,
                    columns.of(relation, info),
                    tuple(filters.get(id(relation.node), ())) if relation.firm and not found.turned else (),
                    self._names.versions.get(self._tree.tables[id(relation.node)].first),
                )

    def _filters(self, condition: exp.Expr, found: From) -> Iterator[tuple[FromItem, list[Filter]]]:
        for column, test in _tests(self._tree, condition):
            for relation in found.owners(column):
                info = self._names.tables.get(id(relation.node))
                of = _column(info, column.name) if info is not None and relation.firm else None
                made = [_typed(of, op, values) for op, values in test] if of is not None else []
                yield relation, [each for each in made if each is not None]


def read_from(select: exp.Select, relations: Relations) -> From:
    """What one SELECT reads from, and the AND-parts of its conditions."""
    found = From()
    from_, where = select.args.get("from_"), select.args.get("where")
    if from_ is not None:
        _unfold(found, relations, from_.this, firm=True, named=True)
    for join in select.args.get("joins") or []:
        _join(found, relations, join, firm=True, named=True)
    for lateral in select.args.get("laterals") or []:
        alias = lateral.args.get("alias")
        names = alias.columns if isinstance(alias, exp.TableAlias) else []
        columns = frozenset(name.name.lower() for name in names) or None
        found.relations.append(FromItem(lateral, lateral.alias.lower(), columns, firm=False))
    if where is not None:
        found.conditions += conjuncts(where.this)
    return found


def _unfold(found: From, relations: Relations, node: exp.Expr, *, firm: bool, named: bool) -> None:
    nested = node.args.get("joins") or []
    changed = bool(node.args.get("pivots") or node.args.get("sample"))
    if is_bracket(node):
        hidden = changed or bool(node.args.get("alias"))
        if hidden:
            found.relations.append(FromItem(node, node.alias.lower(), None, named=named, firm=False))
        firm, named = firm and not hidden, named and not hidden
        _unfold(found, relations, node.this, firm=firm, named=named)
    else:
        alias = node.args.get("alias")
        renamed = isinstance(node, exp.Table) and isinstance(alias, exp.TableAlias) and bool(alias.columns)
        columns = None if changed or renamed else relations.columns(node)
        plain = firm and columns is not None
        found.relations.append(FromItem(node, node.alias_or_name.lower(), columns, named=named, firm=plain))
    for join in nested:
        _join(found, relations, join, firm=firm, named=named)


def _join(found: From, relations: Relations, join: exp.Join, *, firm: bool, named: bool) -> None:
    side, kind = (str(join.args.get(name) or "").upper() for name in ("side", "kind"))
    inner = not side and kind in _INNER
    found.turned |= side in {"RIGHT", "FULL"}
    found.natural |= join.args.get("method") == "NATURAL"
    found.using |= {name.name.lower() for name in join.args.get("using") or []}
    _unfold(found, relations, join.this, firm=firm and inner, named=named and kind not in _HIDING)
    on = join.args.get("on")
    if inner and firm and on is not None:
        found.conditions += conjuncts(on)


_Test = list[tuple[FilterOp, list[Value]]]
_ENDS: tuple[tuple[FilterOp, str], ...] = ((">=", "low"), ("<=", "high"))


def _tests(tree: Tree, node: exp.Expr) -> Iterator[tuple[exp.Column, _Test]]:
    """A column and what it is compared with, where a condition is that and nothing else."""
    match node:
        case exp.Between() if isinstance(node.this, exp.Column) and not node.args.get("symmetric"):
            ends = [(op, literal(tree, node.args[end])) for op, end in _ENDS]
            yield node.this, [(op, [value]) for op, value in ends if value is not None]
        case exp.In() if isinstance(node.this, exp.Column) and node.expressions:
            values = [literal(tree, each) for each in node.expressions]
            known = [value for value in values if value is not None]
            if len(known) == len(values):
                yield node.this, [("in", known)]
        case exp.Is(this=exp.Column() as column, expression=exp.Null()):
            yield column, [("is null", [])]
        case exp.Not(this=exp.Is(this=exp.Column() as column, expression=exp.Null())):
            yield column, [("is not null", [])]
        case exp.Binary() if type(node) in _COMPARISONS:
            for side, other, op in _sides(node):
                value = literal(tree, other)
                if isinstance(side, exp.Column) and value is not None:
                    yield side, [(op, [value])]


def _sides(node: exp.Binary) -> Iterator[tuple[exp.Expr, exp.Expr, FilterOp]]:
    """A comparison as it is written and the other way round."""
    as_written, turned = _COMPARISONS[type(node)]
    yield node.left, node.right, as_written
    yield node.right, node.left, turned


def _typed(column: Column, op: FilterOp, values: Sequence[Value]) -> Filter | None:
    """The filter, where every value has a meaning for the column's type."""
    kind = column.type.lower().replace(" ", "")
    typed = [as_type(value, kind) for value in values]
    if any(value is None for value in typed):
        return None
    return Filter(column.name, op, tuple(typed))


def _column(info: TableInfo, name: str) -> Column | None:
    return next((column for column in info.columns if column.name.lower() == name.lower()), None)


class _Columns:
    """The columns that one SELECT names, sub-queries included: more than it needs, never fewer."""

    def __init__(self, tree: Tree, select: exp.Select, found: From) -> None:
        self._all = found.natural
        self._stars: set[str] = set()
        self._names: set[tuple[str, str]] = {("", name) for name in found.using}
        for node in select.find_all(exp.Column, exp.Star):
            if isinstance(node, exp.Column):
                self._note(node)
            elif not isinstance(node.parent, exp.Column):
                self._all |= not _counts(tree, node) and node.find_ancestor(exp.Select) is select

    def _note(self, column: exp.Column) -> None:
        if isinstance(column.this, exp.Star):
            self._stars.add(column.table.lower())
        else:
            parts = [part.name.lower() for part in column.parts]
            # `a.b` may be a field of the column a.
            self._names |= {(column.table.lower(), parts[-1]), *(("", part) for part in parts[:-1])}

    def of(self, relation: FromItem, info: TableInfo) -> frozenset[str] | None:
        """The columns of a table, in the catalogue's spelling; None where all may be needed."""
        if self._all or relation.columns is None or not self._stars.isdisjoint({relation.alias}):
            return None
        names = {name for table, name in self._names if table in {"", relation.alias}}
        return frozenset(column.name for column in info.columns if column.name.lower() in names)


def _counts(tree: Tree, star: exp.Expr) -> bool:
    """Whether a star is that of `count(*)`, which needs no column."""
    return isinstance(star.parent, exp.Anonymous) and tree.called(star.parent) == "count"
