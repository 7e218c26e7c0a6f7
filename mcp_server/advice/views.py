"""Suggests a view of the lake that already holds a join.

The catalogue shows it: the view's comment says in its first sentence what is "joined", and names there exactly the
tables that the statement joins; the view has all the columns that are used, with their types, its key is that of one of
them, and the others are joined by their keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from lakehouse.quoting import quote_identifier
from mcp_server.advice.suggestion import Change, Suggestion, apply_changes
from mcp_server.models import Scan, TableInfo
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.typed.nodes import Binary, Column, Expression, Star, iter_conjuncts
from mcp_server.sql.typed.read import find_typed
from mcp_server.sql.typed.relations import Join, LateralView, Query, Relation, Select, Table
from mcp_server.sql.typed.scopes import iter_leaves
from mcp_server.sql.typed.spans import Spans, read_spans

_WORD = re.compile(r"\w+", re.ASCII)


def views_for_joins(case: Case, catalog: Catalog, scans: Iterable[Scan]) -> Iterator[Suggestion]:
    """Yield a suggestion for each SELECT whose join is held by a view."""
    views = [table for table in catalog.tables if table.kind == "view" and table.key]
    if len(case.names.tables) < 2 or not views:
        return
    columns = {scan.table: scan.columns for scan in scans}
    versioned = {ref.first for ref in case.reading.tables if ref.travels}
    whole = find_typed(case, catalog)
    for query in whole.walk() if whole is not None else ():
        select = query.body if isinstance(query, Query) else None
        if not isinstance(query, Query) or not isinstance(select, Select) or select.base is None:
            continue
        tables = _find_tables(select.base)
        if len(tables) < 2 or any(table.at in versioned for table in tables):
            continue
        known = [table.info for table in tables]
        for view in views:
            if _holds_join(view, known, columns, _find_ties(select, tables), catalog):
                names = " and ".join(table.name for table in known)
                text = f"{view.name} already holds the join of {names}; read it in their place"
                yield Suggestion(text, _write_query(case, query, select, tables, view))
                break


def _find_tables(base: Relation) -> list[Table]:
    """Return the tables that inner joins connect; none where anything else is joined, in another way."""
    found = list[Table]()
    for leaf in iter_leaves(base):
        if isinstance(leaf, Table) and not leaf.names:
            found.append(leaf)
        elif not isinstance(leaf, LateralView):
            return []
    inner = all(each.kind in {"inner", "cross"} and each.alias is None for each in _iter_joins(base))
    return found if inner else []


def _iter_joins(relation: Relation | None) -> Iterator[Join]:
    if isinstance(relation, LateralView):
        yield from _iter_joins(relation.base)
    elif isinstance(relation, Join):
        yield relation
        yield from _iter_joins(relation.left)
        yield from _iter_joins(relation.right)


def _holds_join(
    view: TableInfo,
    tables: list[TableInfo],
    columns: Mapping[str, frozenset[str] | None],
    ties: frozenset[str],
    catalog: Catalog,
) -> bool:
    """Whether a view is the join of these tables by these columns, and has all columns in use."""
    joined = {table.name.lower() for table in tables}
    said = view.comment.partition(". ")[0]
    told = {word.lower() for word in _WORD.findall(said)} & set(catalog.by_name) if " joined " in said else set()
    if told - {view.name.lower()} != joined or len(joined) < len(tables):
        return False
    types = {column.name: column.type for column in view.columns}
    owners: dict[str, int] = {}
    for table in tables:
        used = columns[table.name]
        own = {column.name: column.type for column in table.columns}
        if used is None or any(types.get(name) != own[name] for name in used):
            return False
        for name in used - ties:
            owners[name] = owners.get(name, 0) + sum(name in _list_names(each) for each in tables)
    facts = [table for table in tables if set(table.key) == set(view.key)]
    dimensions = [table for table in tables if table is not facts[0]] if facts else []
    return (
        bool(facts)
        and max(owners.values(), default=1) == 1
        and all(table.key and set(table.key) <= ties for table in dimensions)
    )


def _list_names(table: TableInfo) -> set[str]:
    return {column.name for column in table.columns}


def _find_ties(select: Select, tables: list[Table]) -> frozenset[str]:
    """Find the columns of the same name that tie two relations."""
    joins = list(_iter_joins(select.base))
    conditions = [part for each in (*(join.on for join in joins), select.where) for part in iter_conjuncts(each)]
    shared = (name for join in joins for name in join.shared)
    return frozenset({*shared, *filter(None, (_find_tie(part, tables) for part in conditions))})


def _find_tie(part: Expression, tables: list[Table]) -> str | None:
    """Return the name of the key of `a.key = b.key` of two of the tables, None for other conditions."""
    left, right = (part.left, part.right) if isinstance(part, Binary) and part.operator == "=" else (None, None)
    if not isinstance(left, Column) or not isinstance(right, Column) or left.source == right.source:
        return None
    own = {table.id for table in tables}
    return left.name if left.name.lower() == right.name.lower() and {left.source, right.source} <= own else None


def _write_query(case: Case, query: Query, select: Select, tables: list[Table], view: TableInfo) -> str | None:
    """Replace the join by the view in the statement; None where more than names would have to change."""
    base = select.base
    if base is None:
        return None
    plain = all(_find_tie(part, tables) for join in _iter_joins(base) for part in iter_conjuncts(join.on))
    if not plain or isinstance(base, LateralView) or "|>" in case.source.keys:
        return None
    aliases = {_name_of(table) for table in tables}
    nodes = [node for part in (select, *query.order, *query.sort, *query.distribute) for node in part.walk()]
    if any(isinstance(node, Relation) and node not in tables and _name_of(node) in aliases for node in nodes):
        return None
    spans = read_spans(case.source)
    if base.id not in spans.froms:
        return None
    first, end = spans.froms[base.id]
    alias = view.name if tables[0].alias is None else tables[0].alias
    name, alias = (each if _WORD.fullmatch(each) else quote_identifier(each) for each in (view.name, alias))
    edits = [Change(first + 1, end, name if tables[0].alias is None else f"{name} AS {alias}")]
    edits += _remove_ties(select, tables, spans, end)
    renamed = set[int]()
    for node in nodes:
        if isinstance(node, (Column, Star)) and node.parts and node.parts[0].lower() in aliases:
            if node.at is None or len(node.parts) > 1 or isinstance(node, Star):
                return None
            renamed.add(node.at)
    kept = (at for at in sorted(renamed) if not any(edit.first <= at < edit.end for edit in edits))
    return apply_changes(case.source, [*edits, *(Change(at, at + 1, alias) for at in kept)])


def _name_of(relation: Relation) -> str:
    """Return the name that qualifies columns of a relation, in lower case."""
    name = relation.alias if relation.alias is not None or not isinstance(relation, Table) else relation.name[-1]
    return (name or "").lower()


def _remove_ties(select: Select, tables: list[Table], spans: Spans, first: int) -> list[Change]:
    """Remove the equalities that tied the tables from WHERE: in the view they hold for every row.

    `first` is the token after FROM.
    """
    if spans.source.key(first) != "WHERE" or select.where is None:
        return []
    tied = {spans.comparisons.get(part.at or -1) for part in iter_conjuncts(select.where) if _find_tie(part, tables)}
    parts = list(spans.iter_conjuncts(first + 1))
    kept = [part for part in parts if part not in tied]
    if not kept:
        return [Change(first, parts[-1][1], "")]
    edits = [
        Change(part[0], after[0], "") for part, after in pairwise(parts) if part not in kept and part[0] < kept[-1][0]
    ]
    return [*edits, Change(kept[-1][1], parts[-1][1], "")] if kept[-1] is not parts[-1] else edits
