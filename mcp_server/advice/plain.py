"""Finds conditions that hide a column in a function or cast, which prevents the pruning of files.

Only columns by which a table's files are ordered are examined. The condition is rewritten where the plain one
holds for the same rows whatever the values are; else it is only mentioned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Final

from mcp_server.advice.suggestion import Change, Suggestion, apply_changes
from mcp_server.models import Scan, TableInfo
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import copy_tokens
from mcp_server.sql.typed.nodes import Binary, Call, Cast, Column, Constant, Expression, iter_conjuncts
from mcp_server.sql.typed.read import find_typed
from mcp_server.sql.typed.relations import Join, Relation, Select, Table
from mcp_server.sql.typed.scopes import iter_leaves
from mcp_server.sql.typed.spans import read_spans
from mcp_server.sql.typed.types import DATE, INTEGERS, STRING, TIMESTAMP, Type

_TURNED: Final[Mapping[str, str]] = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
"""Comparisons, and how they are written with their sides exchanged."""

_TIMES: Final[Mapping[Type | None, str]] = {DATE: "DATE", TIMESTAMP: "TIMESTAMP"}
_CANONICAL = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9 .:,/+-]+", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def functions_around_columns(case: Case, catalog: Catalog, _: Iterable[Scan]) -> Iterator[Suggestion]:
    """Yield a suggestion for each condition of this kind."""
    if not any(info.clustered_by for info in case.names.tables.values()):
        return
    query = find_typed(case, catalog)
    for select in query.walk() if query is not None else ():
        if isinstance(select, Select) and select.base is not None and select.where is not None:
            for condition in (*iter_conjuncts(select.where), *_iter_join_conditions(select.base)):
                if isinstance(condition, Binary) and condition.operator in _TURNED:
                    yield from _suggest_plain(case, select.base, condition)


def _iter_join_conditions(relation: Relation) -> Iterator[Expression]:
    """Yield the conditions of the inner joins of a FROM."""
    if isinstance(relation, Join):
        yield from _iter_join_conditions(relation.left)
        if relation.kind == "inner":
            yield from _iter_join_conditions(relation.right)
            yield from iter_conjuncts(relation.on)


def _suggest_plain(case: Case, base: Relation, condition: Binary) -> Iterator[Suggestion]:
    as_written, turned = condition.operator, _TURNED[condition.operator]
    sides = ((condition.left, condition.right, as_written), (condition.right, condition.left, turned))
    for side, other, sign in sides:
        columns = [each for each in side.walk() if isinstance(each, Column)]
        value = _read_value(other)
        if value is None or isinstance(side, Column) or len(columns) != 1:
            continue
        for info, name in _find_clustered(base, columns[0]):
            better = _write_plain(case, side, sign, value, columns[0])
            yield Suggestion(
                f"A condition on {name} as it stands, without a function or cast around it, lets files of {info.name} "
                "be left out, which are ordered by it",
                None if better is None else _replace_comparison(case, condition, better),
            )


def _read_value(node: Expression) -> object:
    """Return the value of a literal, a date for that of a day; None for anything else."""
    if isinstance(node, Cast) and not node.tries and node.type == DATE and isinstance(node.operand, Constant):
        node = node.operand.replace(type=DATE)
    if not isinstance(node, Constant):
        return None
    if node.type != DATE:
        return node.value
    try:
        return date.fromisoformat(str(node.value)) if _DAY.fullmatch(str(node.value)) else None
    except ValueError:
        return None


def _find_clustered(base: Relation, column: Column) -> Iterator[tuple[TableInfo, str]]:
    """Yield the table of a column, and the column's name there, if the table's files are ordered by it."""
    joined = [each.id for each in base.walk() if isinstance(each, Join) and each.using]
    for leaf in iter_leaves(base):
        if isinstance(leaf, Table) and not leaf.names and column.source in {leaf.id, *joined}:
            names = {each.name.lower(): each.name for each in leaf.info.columns}
            name = names.get(column.name.lower())
            if name is not None:
                yield from [(leaf.info, name)] if name in leaf.info.clustered_by else []
                return


def _write_plain(case: Case, side: Expression, sign: str, value: object, column: Column) -> str | None:
    """Rewrite a condition to the bare column; None where it is not known to be equivalent for every value."""
    if column.at is None:
        return None
    name = copy_tokens(case.source, column.at, column.at + 2 * len(column.parts) + 1)
    if isinstance(side, Cast):
        return None if side.tries or side.operand is not column else _remove_cast(name, side.type, sign, value, column)
    if not isinstance(side, Call) or not side.arguments or side.arguments[0] is not column:
        return None
    if side.name == "year" and column.type in _TIMES and type(value) is int and 1 <= value < 9999:
        return _write_span(name, sign, date(value, 1, 1), date(value + 1, 1, 1), _TIMES[column.type])
    if sign != "=" or column.type != STRING or not isinstance(value, str) or not _PREFIX.fullmatch(value):
        return None
    return f"{name} LIKE '{value}%'" if _find_prefix_length(side) == len(value) else None


def _remove_cast(name: str, kind: Type | None, sign: str, value: object, column: Column) -> str | None:
    """`CAST(whole AS STRING) = '5'`, `CAST(moment AS DATE) < DATE '2020-01-01'` without the cast."""
    if kind == STRING and column.type in INTEGERS and isinstance(value, str):
        return f"{name} = {value}" if sign == "=" and _CANONICAL.fullmatch(value) else None
    if kind == DATE and column.type == TIMESTAMP and isinstance(value, date) and value < date.max:
        return _write_span(name, sign, value, value + timedelta(days=1), "TIMESTAMP")
    return None


def _find_prefix_length(call: Call) -> int | None:
    """Return the length of the prefix that a call takes."""
    numbers = [each.value if isinstance(each, Constant) else None for each in call.arguments[1:]]
    wanted = {"left": 1, "substring": 2, "substr": 2}.get(call.name)
    if wanted != len(numbers) or (wanted == 2 and numbers[0] != 1):
        return None
    length = numbers[-1]
    return length if type(length) is int else None


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


def _replace_comparison(case: Case, condition: Binary, better: str) -> str | None:
    """Replace a comparison by `better` in the statement."""
    span = read_spans(case.source).comparisons.get(-1 if condition.at is None else condition.at)
    return None if span is None else apply_changes(case.source, [Change(*span, better)])
