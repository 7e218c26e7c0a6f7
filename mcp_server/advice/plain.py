"""Finds conditions that hide a column in a function or cast, which prevents the pruning of files.

Only columns by which a table's files are ordered are examined. The condition is rewritten where the plain one
holds for the same rows whatever the values are; else it is only mentioned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta

from sqlglot import exp

from lakehouse.manifest import Column
from mcp_server.advice.suggestion import Change, Suggestion, apply_changes
from mcp_server.models import Scan, TableInfo
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.expr import Expr
from mcp_server.sql.expressions import read_expressions
from mcp_server.sql.scans import FromClause, read_from
from mcp_server.sql.values import Value, read_literal

_SIGNS: Mapping[type[exp.Expr], tuple[str, str]] = {
    exp.EQ: ("=", "="),
    exp.LT: ("<", ">"),
    exp.LTE: ("<=", ">="),
    exp.GT: (">", "<"),
    exp.GTE: (">=", "<="),
}
_INTEGERS = frozenset({"tinyint", "smallint", "int", "bigint"})
_TIMES: Mapping[str, str] = {"date": "DATE", "timestamp": "TIMESTAMP"}
_CANONICAL = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9 .:,/+-]+", re.ASCII)


def functions_around_columns(case: Case, _: Catalog, __: Iterable[Scan]) -> Iterator[Suggestion]:
    """Yield a suggestion for each condition of this kind."""
    for select in case.tree.find_all(exp.Select):
        where = select.args.get("where")
        if where is None or not any(info.clustered_by for info in case.names.tables.values()):
            continue
        found = read_from(select, case.relations)
        for condition in found.conditions:
            if type(condition) in _SIGNS and isinstance(condition, exp.Binary):
                yield from _suggest_plain(case, found, condition)


def _suggest_plain(case: Case, found: FromClause, condition: exp.Binary) -> Iterator[Suggestion]:
    as_written, turned = _SIGNS[type(condition)]
    sides = ((condition.left, condition.right, as_written), (condition.right, condition.left, turned))
    for side, other, sign in sides:
        value = read_literal(case.tree, other)
        columns = list(side.find_all(exp.Column))
        if value is None or isinstance(side, exp.Column) or len(columns) != 1:
            continue
        for info, column in _find_clustered(case, found, columns[0]):
            better = _write_plain(case, side, sign, value, columns[0], column)
            yield Suggestion(
                f"A condition on {column.name} as it stands, without a function or cast around it, lets files of "
                f"{info.name} be left out, which are ordered by it",
                None if better is None else _replace_comparison(case, columns[0], better),
            )


def _find_clustered(case: Case, found: FromClause, column: exp.Column) -> Iterator[tuple[TableInfo, Column]]:
    """Yield the table and column of a reference, if the files are ordered by the column."""
    for item in found.find_owners(column)[:1]:
        info = case.names.tables.get(id(item.node))
        for each in info.columns if info is not None else ():
            if info is not None and each.name.lower() == column.name.lower() and each.name in info.clustered_by:
                yield info, each


def _write_plain(case: Case, side: exp.Expr, sign: str, value: Value, node: exp.Column, column: Column) -> str | None:
    """Rewrite a condition to the bare column; None where it is not known to be equivalent for every value."""
    name = _write_name(case, node)
    if isinstance(side, exp.Cast) and side.this is node and not isinstance(side, exp.TryCast):
        return _remove_cast(name, side.to.this.name, sign, value, column)
    called, arguments = _read_call(case, side)
    if not arguments or arguments[0] is not node:
        return None
    if called == "year" and column.type in _TIMES and type(value) is int and 1 <= value < 9999:
        return _write_span(name, sign, date(value, 1, 1), date(value + 1, 1, 1), _TIMES[column.type])
    length = _prefix_length(case, called, arguments)
    plain = sign == "=" and column.type == "string" and isinstance(value, str) and _PREFIX.fullmatch(value)
    return f"{name} LIKE '{value}%'" if plain and isinstance(value, str) and length == len(value) else None


def _read_call(case: Case, node: exp.Expr) -> tuple[str, list[exp.Expr]]:
    """Return the name and the arguments of a call."""
    if isinstance(node, exp.Substring):
        return "substring", [part for name in ("this", "start", "length") if (part := node.args.get(name)) is not None]
    return case.tree.called_name(node), node.expressions if isinstance(node, exp.Anonymous) else []


def _remove_cast(name: str, kind: str, sign: str, value: Value, column: Column) -> str | None:
    """`CAST(whole AS STRING) = '5'`, `CAST(moment AS DATE) < DATE '2020-01-01'` without the cast."""
    if kind == "TEXT" and column.type in _INTEGERS and isinstance(value, str):
        return f"{name} = {value}" if sign == "=" and _CANONICAL.fullmatch(value) else None
    if kind == "DATE" and column.type == "timestamp" and type(value) is date and value < date.max:
        return _write_span(name, sign, value, value + timedelta(days=1), "TIMESTAMP")
    return None


def _prefix_length(case: Case, called: str, arguments: list[exp.Expr]) -> int | None:
    """Return the length of the prefix that a call takes."""
    numbers = [read_literal(case.tree, argument) for argument in arguments[1:]]
    wanted = {"left": 1, "substring": 2}.get(called)
    if wanted != len(numbers) or (wanted == 2 and numbers[0] != 1):
        return None
    return numbers[-1] if type(numbers[-1]) is int else None


def _write_span(name: str, sign: str, first: date, after: date, kind: str) -> str:
    """Write a condition on days from `first` up to, and excluding, `after`."""
    start, end = (f"{kind} '{day.isoformat()}{' 00:00:00' if kind == 'TIMESTAMP' else ''}'" for day in (first, after))
    return {
        "=": f"({name} >= {start} AND {name} < {end})",
        "<": f"{name} < {start}",
        "<=": f"{name} < {end}",
        ">": f"{name} >= {end}",
        ">=": f"{name} >= {start}",
    }[sign]


def _write_name(case: Case, node: exp.Column) -> str:
    """Return a column as written in the statement."""
    tokens = [case.tree.token_index(part) for part in node.parts]
    return ".".join(case.source.tokens[at].text for at in tokens if at is not None)


def _replace_comparison(case: Case, node: exp.Column, better: str) -> str | None:
    """Replace the comparison around `node` by `better` in the statement."""
    at = case.tree.token_index(node)
    around = [each for each in _find_comparisons(case) if at is not None and each.first <= at < each.end]
    if not around:
        return None
    old = min(around, key=lambda each: each.end - each.first)
    return apply_changes(case.source, [Change(old.first, old.end, better)])


def _find_comparisons(case: Case) -> Iterator[Expr]:
    for root in read_expressions(case):
        for each in root.walk():
            if each.kind == "binary" and each.word in {"=", "==", "<", "<=", ">", ">="}:
                yield each
