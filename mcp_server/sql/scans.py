"""The scans of a query: each reading of a table, the columns it needs, and the conditions that all its rows meet.

A condition counts only where it certainly holds for every row that is used: `column op literal`, as an operand of the
ANDs of the WHERE, or of the ON of an inner join, of the SELECT that names the table. Conditions outside a sub-query,
under OR, in HAVING, or about the nullable side of an outer join do not count: an estimate errs upwards only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from lakehouse.manifest import Column
from mcp_server.models import Filter, FilterOp, Scan, TableInfo
from mcp_server.sql.case import Case, memoize
from mcp_server.sql.relations import Relations, is_bracket, iter_conjuncts
from mcp_server.sql.tree import Tree
from mcp_server.sql.values import Value, as_type, read_literal

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
    """A relation of a FROM. `named`: conditions can name its columns. `firm`: such conditions hold for all its rows."""

    node: exp.Expr
    alias: str
    columns: frozenset[str] | None
    named: bool = True
    firm: bool = True


@dataclass
class FromClause:
    """The FROM of one SELECT: relations, the conditions that its rows meet, and the columns of USING."""

    relations: list[FromItem] = field(default_factory=list)
    conditions: list[exp.Expr] = field(default_factory=list)
    using: set[str] = field(default_factory=set)
    natural: bool = False
    turned: bool = False
    """Whether a RIGHT or FULL JOIN may fill what stands before it with nulls."""

    def find_owners(self, column: exp.Column) -> list[FromItem]:
        """Return the relations that certainly have a column: several only where USING merges their columns."""
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


@memoize
def find_scans(case: Case) -> tuple[Scan, ...]:
    """Return every reading of a table of the lake. A WITH name counts once for each of its uses."""
    return tuple(_Scans(case).iter_scans(case.tree.root))


def find_recursive_reads(case: Case) -> frozenset[str]:
    """Return the tables that a recursive WITH name reads: once per step, and no estimate knows the steps."""
    clauses = [clause for clause in case.tree.find_all(exp.With) if clause.recursive]
    nodes = (node for clause in clauses for node in clause.find_all(exp.Table))
    return frozenset(case.names.tables[id(node)].name for node in nodes if id(node) in case.names.tables)


class _Scans:
    def __init__(self, case: Case) -> None:
        self._tree, self._names, self._relations = case.tree, case.names, case.relations
        self._made: dict[int, Scan] = {}
        self._open: set[int] = set()

    def iter_scans(self, root: exp.Expr) -> Iterator[Scan]:
        for node in root.walk(prune=lambda each: isinstance(each, exp.With)):
            cte = self._names.ctes.get(id(node))
            if id(node) in self._names.tables:
                yield self._find_scan(node)
            elif cte is not None and id(cte) not in self._open:
                self._open.add(id(cte))
                yield from self.iter_scans(cte.this)
                self._open.discard(id(cte))

    def _find_scan(self, node: exp.Expr) -> Scan:
        if id(node) not in self._made:
            select = node.find_ancestor(exp.Select)
            if select is not None:
                self._read_select(select)
            self._made.setdefault(id(node), Scan(self._names.tables[id(node)].name, None))
        return self._made[id(node)]

    def _read_select(self, select: exp.Select) -> None:
        """Make the scans of all tables that one SELECT names."""
        found = read_from(select, self._relations)
        filters: dict[int, list[Filter]] = {}
        for condition in found.conditions:
            for relation, made in self._read_filters(condition, found):
                filters.setdefault(id(relation.node), []).extend(made)
        columns = _Columns(self._tree, select, found)
        for relation in found.relations:
            info = self._names.tables.get(id(relation.node))
            if info is not None:
                self._made[id(relation.node)] = Scan(
                    info.name,
                    columns.find_columns(relation, info),
                    tuple(filters.get(id(relation.node), ())) if relation.firm and not found.turned else (),
                    self._names.versions.get(self._tree.tables[id(relation.node)].first),
                )

    def _read_filters(self, condition: exp.Expr, found: FromClause) -> Iterator[tuple[FromItem, list[Filter]]]:
        for column, test in _read_tests(self._tree, condition):
            for relation in found.find_owners(column):
                info = self._names.tables.get(id(relation.node))
                of = _find_column(info, column.name) if info is not None and relation.firm else None
                made = [_make_filter(of, op, values) for op, values in test] if of is not None else []
                yield relation, [each for each in made if each is not None]


def read_from(select: exp.Select, relations: Relations) -> FromClause:
    """Read what one SELECT reads from, and the operands of the ANDs of its conditions."""
    found = FromClause()
    from_, where = select.args.get("from_"), select.args.get("where")
    if from_ is not None:
        _add_item(found, relations, from_.this, firm=True, named=True)
    for join in select.args.get("joins") or []:
        _add_join(found, relations, join, firm=True, named=True)
    for lateral in select.args.get("laterals") or []:
        alias = lateral.args.get("alias")
        names = alias.columns if isinstance(alias, exp.TableAlias) else []
        columns = frozenset(name.name.lower() for name in names) or None
        found.relations.append(FromItem(lateral, lateral.alias.lower(), columns, firm=False))
    if where is not None:
        found.conditions += iter_conjuncts(where.this)
    return found


def _add_item(found: FromClause, relations: Relations, node: exp.Expr, *, firm: bool, named: bool) -> None:
    nested = node.args.get("joins") or []
    changed = bool(node.args.get("pivots") or node.args.get("sample"))
    if is_bracket(node):
        hidden = changed or bool(node.args.get("alias"))
        if hidden:
            found.relations.append(FromItem(node, node.alias.lower(), None, named=named, firm=False))
        firm, named = firm and not hidden, named and not hidden
        _add_item(found, relations, node.this, firm=firm, named=named)
    else:
        alias = node.args.get("alias")
        renamed = isinstance(node, exp.Table) and isinstance(alias, exp.TableAlias) and bool(alias.columns)
        columns = None if changed or renamed else relations.find_columns(node)
        plain = firm and columns is not None
        found.relations.append(FromItem(node, node.alias_or_name.lower(), columns, named=named, firm=plain))
    for join in nested:
        _add_join(found, relations, join, firm=firm, named=named)


def _add_join(found: FromClause, relations: Relations, join: exp.Join, *, firm: bool, named: bool) -> None:
    side, kind = (str(join.args.get(name) or "").upper() for name in ("side", "kind"))
    inner = not side and kind in _INNER
    found.turned |= side in {"RIGHT", "FULL"}
    found.natural |= join.args.get("method") == "NATURAL"
    found.using |= {name.name.lower() for name in join.args.get("using") or []}
    _add_item(found, relations, join.this, firm=firm and inner, named=named and kind not in _HIDING)
    on = join.args.get("on")
    if inner and firm and on is not None:
        found.conditions += iter_conjuncts(on)


_Test = list[tuple[FilterOp, list[Value]]]
_ENDS: tuple[tuple[FilterOp, str], ...] = ((">=", "low"), ("<=", "high"))


def _read_tests(tree: Tree, node: exp.Expr) -> Iterator[tuple[exp.Column, _Test]]:
    """Yield a column and what it is compared with, where a condition is such a comparison."""
    match node:
        case exp.Between() if isinstance(node.this, exp.Column) and not node.args.get("symmetric"):
            ends = [(op, read_literal(tree, node.args[end])) for op, end in _ENDS]
            yield node.this, [(op, [value]) for op, value in ends if value is not None]
        case exp.In() if isinstance(node.this, exp.Column) and node.expressions:
            values = [read_literal(tree, each) for each in node.expressions]
            known = [value for value in values if value is not None]
            if len(known) == len(values):
                yield node.this, [("in", known)]
        case exp.Is(this=exp.Column() as column, expression=exp.Null()):
            yield column, [("is null", [])]
        case exp.Not(this=exp.Is(this=exp.Column() as column, expression=exp.Null())):
            yield column, [("is not null", [])]
        case exp.Like() | exp.ILike():
            yield from _as_part(_find_cased_column(tree, node.this), _read_pattern(tree, node))
        case exp.Binary() if type(node) in _COMPARISONS:
            yield from _read_comparison(tree, node)


def _read_comparison(tree: Tree, node: exp.Binary) -> Iterator[tuple[exp.Column, _Test]]:
    for side, other, op in _iter_sides(node):
        value = read_literal(tree, other)
        if isinstance(side, exp.Column) and value is not None:
            yield side, [(op, [value])]
        elif op == "=":
            yield from _as_part(_find_cased_column(tree, side), value)


def _as_part(column: exp.Column | None, text: object) -> Iterator[tuple[exp.Column, _Test]]:
    """Yield the condition that a column has a text in it, in some case of its letters."""
    if column is not None and isinstance(text, str) and text:
        yield column, [("contains", [text])]


def _find_cased_column(tree: Tree, node: exp.Expr) -> exp.Column | None:
    """Return a column, also from within `lower(column)` and `upper(column)`."""
    if isinstance(node, exp.Anonymous) and tree.called_name(node) in {"lower", "upper"} and len(node.expressions) == 1:
        node = node.expressions[0]
    return node if isinstance(node, exp.Column) else None


def _read_pattern(tree: Tree, like: exp.Like | exp.ILike) -> str | None:
    """Read the text of a LIKE that has wildcards only around it: `%spielberg%`."""
    value = None if like.args.get("negate") else read_literal(tree, like.expression)
    text = value.strip("%") if isinstance(value, str) else ""
    return None if any(sign in text for sign in "%_\\") else text


def _iter_sides(node: exp.Binary) -> Iterator[tuple[exp.Expr, exp.Expr, FilterOp]]:
    """Yield a comparison as written, and with its sides exchanged."""
    as_written, turned = _COMPARISONS[type(node)]
    yield node.left, node.right, as_written
    yield node.right, node.left, turned


def _make_filter(column: Column, op: FilterOp, values: Sequence[Value]) -> Filter | None:
    """Return the filter, where every value has a meaning for the column's type."""
    kind = column.type.lower().replace(" ", "")
    typed = [as_type(value, kind) for value in values]
    if any(value is None for value in typed):
        return None
    return Filter(column.name, op, tuple(typed))


def _find_column(info: TableInfo, name: str) -> Column | None:
    return next((column for column in info.columns if column.name.lower() == name.lower()), None)


class _Columns:
    """The columns that one SELECT names, sub-queries included: possibly more than it needs, never fewer."""

    def __init__(self, tree: Tree, select: exp.Select, found: FromClause) -> None:
        self._all = found.natural
        self._stars: set[str] = set()
        self._names: set[tuple[str, str]] = {("", name) for name in found.using}
        for node in select.find_all(exp.Column, exp.Star):
            if isinstance(node, exp.Column):
                self._note_column(node)
            elif not isinstance(node.parent, exp.Column):
                self._all |= not _is_counted(tree, node) and node.find_ancestor(exp.Select) is select

    def _note_column(self, column: exp.Column) -> None:
        if isinstance(column.this, exp.Star):
            self._stars.add(column.table.lower())
        else:
            parts = [part.name.lower() for part in column.parts]
            # `a.b` may be a field of the column a.
            self._names |= {(column.table.lower(), parts[-1]), *(("", part) for part in parts[:-1])}

    def find_columns(self, relation: FromItem, info: TableInfo) -> frozenset[str] | None:
        """Return the columns of a table in the catalogue's spelling, or None where all may be needed."""
        if self._all or relation.columns is None or not self._stars.isdisjoint({relation.alias}):
            return None
        names = {name for table, name in self._names if table in {"", relation.alias}}
        return frozenset(column.name for column in info.columns if column.name.lower() in names)


def _is_counted(tree: Tree, star: exp.Expr) -> bool:
    """Whether a star is that of `count(*)`, which needs no column."""
    return isinstance(star.parent, exp.Anonymous) and tree.called_name(star.parent) == "count"
