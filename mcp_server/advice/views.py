"""Suggests a view of the lake that already holds a join.

The catalogue shows it: the view's comment names exactly the tables that are joined, it has all the
columns that are used, with their types, its key is that of one of them, and the others are joined by their keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from sqlglot import exp

from lakehouse.quoting import quote_identifier
from mcp_server.advice.suggestion import Change, Suggestion, apply_changes
from mcp_server.models import Scan, TableInfo
from mcp_server.sql.blocks import Block
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.expr import Expr
from mcp_server.sql.expressions import read_expression
from mcp_server.sql.relations import iter_conjuncts
from mcp_server.sql.scans import FromClause, FromItem, read_from

_WORD = re.compile(r"\w+", re.ASCII)
_Tables = Mapping[int, TableInfo]


def views_for_joins(case: Case, catalog: Catalog, scans: Iterable[Scan]) -> Iterator[Suggestion]:
    """Yield a suggestion for each SELECT whose join is held by a view."""
    views = [table for table in catalog.tables if table.kind == "view" and table.key]
    if len(case.names.tables) < 2 or not views:
        return
    columns = {scan.table: scan.columns for scan in scans}
    for select in case.tree.find_all(exp.Select):
        if not select.args.get("joins"):
            continue
        found = read_from(select, case.relations)
        items = [item for item in found.relations if not isinstance(item.node, exp.Lateral)]
        known = [case.names.tables[id(item.node)] for item in items if id(item.node) in case.names.tables]
        firm = all(item.firm for item in items) and not found.turned
        if len(known) < len(items) or not firm or any(case.tree.tables[id(item.node)].travels for item in items):
            continue
        for view in views:
            if _holds_join(view, known, columns, _find_ties(select, found), catalog):
                names = " and ".join(table.name for table in known)
                text = f"{view.name} already holds the join of {names}; read it in their place"
                yield Suggestion(text, _write_query(case, select, found, view))
                break


def _holds_join(
    view: TableInfo,
    tables: list[TableInfo],
    columns: Mapping[str, frozenset[str] | None],
    ties: frozenset[str],
    catalog: Catalog,
) -> bool:
    """Whether a view is the join of these tables by these columns, and has all columns in use."""
    joined = {table.name.lower() for table in tables}
    told = {word.lower() for word in _WORD.findall(view.comment)} & set(catalog.by_name)
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


def _find_ties(select: exp.Select, found: FromClause) -> frozenset[str]:
    """Find the columns of the same name that tie two relations."""
    names = {name.name for join in select.args.get("joins") or [] for name in join.args.get("using") or []}
    ties = (part.find(exp.Column) for part in found.conditions if _is_tie(part))
    return frozenset(names | {column.name for column in ties if column is not None})


def _is_tie(part: exp.Expr) -> bool:
    return (
        isinstance(part, exp.EQ)
        and isinstance(part.left, exp.Column)
        and isinstance(part.right, exp.Column)
        and part.left.name.lower() == part.right.name.lower()
        and part.left.table.lower() != part.right.table.lower()
    )


def _write_query(case: Case, select: exp.Select, found: FromClause, view: TableInfo) -> str | None:
    """Replace the join by the view in the statement; None where more than names would have to change."""
    lateral = any(isinstance(item.node, exp.Lateral) for item in found.relations)
    block = None if lateral else _find_block(case, found.relations)
    joins: list[exp.Join] = select.args.get("joins") or []
    plain = all(_is_tie(part) for join in joins if join.args.get("on") for part in iter_conjuncts(join.args["on"]))
    if block is None or not plain or any(query.pipes for query in case.blocks.queries):
        return None
    aliases = {item.alias for item in found.relations}
    inner = [each for each in select.find_all(exp.Select) if each is not select]
    if any(relation.alias in aliases for each in inner for relation in case.relations.list_relations(each)):
        return None
    first = found.relations[0]
    named = first.node.args.get("alias")
    name = view.name if _WORD.fullmatch(view.name) else quote_identifier(view.name)
    alias = named.name if named is not None else view.name
    alias = alias if _WORD.fullmatch(alias) else quote_identifier(alias)
    clause = block.clauses["FROM"]
    edits = [Change(clause.body, clause.end, f"{name} AS {alias}" if named is not None else name)]
    edits += _remove_ties(case, block, aliases)
    for column in select.find_all(exp.Column):
        if column.table.lower() in aliases:
            at = case.tree.token_index(column.args["table"])
            if at is None or column.args.get("db"):
                return None
            if not any(edit.first <= at < edit.end for edit in edits):
                edits.append(Change(at, at + 1, alias))
    return apply_changes(case.source, edits)


def _remove_ties(case: Case, block: Block, aliases: set[str]) -> list[Change]:
    """Remove the equalities that tied the tables from WHERE: in the view they hold for every row."""
    where = block.clauses.get("WHERE")
    condition = read_expression(case, where.body) if where is not None else None
    if where is None or condition is None:
        return []
    parts = condition.parts if condition.kind == "logic" and condition.word == "and" else (condition,)
    kept = [part for part in parts if not _is_tie_of(part, aliases)]
    if not kept:
        return [Change(where.first, where.end, "")]
    edits = [
        Change(part.first, after.first, "")
        for part, after in pairwise(parts)
        if part not in kept and part.first < kept[-1].first
    ]
    return [*edits, Change(kept[-1].end, parts[-1].end, "")] if kept[-1] is not parts[-1] else edits


def _is_tie_of(part: Expr, aliases: set[str]) -> bool:
    """Whether a condition is `a.key = b.key` of two of the tables."""
    names = [each.word.rpartition(".") for each in part.parts if each.kind == "name"]
    tied = part.kind == "binary" and part.word in {"=", "=="} and len(names) == 2
    return tied and names[0][2] == names[1][2] and {names[0][0], names[1][0]} <= aliases


def _find_block(case: Case, items: list[FromItem]) -> Block | None:
    """Find the SELECT, by its tokens, whose FROM names these relations."""
    at = [case.tree.tables[id(item.node)].first for item in items]
    around = [
        block
        for block in case.blocks.selects
        if "FROM" in block.clauses
        and all(block.clauses["FROM"].first < index < block.clauses["FROM"].end for index in at)
    ]
    return min(around, key=lambda block: block.end - block.first) if around else None
