"""Advice on better queries: sentences, with the better query where it can be written.

A query is written out only where it gives the same answer; the guard reads it again before it is shown. The rules
use the catalogue alone: row counts, keys, the order of files, kinds and comments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from sqlglot import exp

from lakehouse.errors import Refused
from mcp_server.advice.plain import functions_around_columns
from mcp_server.advice.suggestion import LARGE_ROWS, Suggestion
from mcp_server.advice.views import views_for_joins
from mcp_server.guard.joins import find_untied
from mcp_server.guard.rules import reread_query
from mcp_server.models import Scan, TableInfo
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.scans import find_recursive_reads

__all__ = ["advise"]

_MANY_PAIRS = 10_000_000
"""Number of row pairs without an equality from which to warn: some seconds of work."""

_WIDE = 8
_MOST = 4
"""Maximal number of sentences for one query, the most useful first."""


def advise(case: Case, catalog: Catalog, scans: Iterable[Scan]) -> tuple[str, ...]:
    """Return advice on a query, most useful first; none for most queries."""
    scans = list(scans)
    found: dict[str, None] = {}
    for rule in _RULES:
        for suggestion in rule(case, catalog, scans):
            found.setdefault(_write_sentence(suggestion, catalog))
    return tuple(found)[:_MOST]


def _write_sentence(suggestion: Suggestion, catalog: Catalog) -> str:
    if suggestion.sql is None or not _may_run(suggestion.sql, catalog):
        return f"{suggestion.text}."
    return f"{suggestion.text}: {suggestion.sql}"


def _may_run(sql: str, catalog: Catalog) -> bool:
    """Whether the guard accepts a query of ours, as it would its sender's."""
    try:
        reread_query(sql, catalog)
    except Refused:
        return False
    return True


def _find_unfiltered(_: Case, catalog: Catalog, scans: list[Scan]) -> Iterator[Suggestion]:
    """Find the largest table without a condition on a column by which its files are ordered."""
    whole: list[TableInfo] = []
    for each in scans:
        info = catalog.by_name[each.table.lower()]
        narrowed = {condition.column for condition in each.filters} & set(info.clustered_by)
        if (info.rows or 0) >= LARGE_ROWS and info.clustered_by and not narrowed:
            whole.append(info)
    for info in sorted(whole, key=lambda info: -(info.rows or 0))[:1]:
        order = " and ".join(info.clustered_by[:2])
        yield Suggestion(
            f"{info.name} has {info.rows:,} rows and no plain condition on {order}, by which its files are ordered: "
            f"where the question allows, filter it by {info.clustered_by[0]}"
        )


def _find_all_columns(_: Case, catalog: Catalog, scans: list[Scan]) -> Iterator[Suggestion]:
    """Find reads of all columns of a wide and large table."""
    for each in scans:
        info = catalog.by_name[each.table.lower()]
        if each.columns is None and len(info.columns) >= _WIDE and (info.rows or 0) >= LARGE_ROWS:
            yield Suggestion(
                f"All {len(info.columns)} columns of {info.name} are read; only those that are named are read from "
                "its files: name the ones that the answer needs in the place of *"
            )


def _find_pairs(case: Case, _: Catalog, __: list[Scan]) -> Iterator[Suggestion]:
    """Find relations that are multiplied row by row."""
    for select in case.tree.find_all(exp.Select):
        met = find_untied(select, case.relations)
        if met is not None and met.pairs >= _MANY_PAIRS:
            yield Suggestion(
                f"{met.one} and {met.other} are tied by no equality, so about {met.pairs:,.0f} rows meet: add a "
                f"condition such as {met.condition}"
            )


def _find_recursive(case: Case, _: Catalog, __: list[Scan]) -> Iterator[Suggestion]:
    for table in sorted(find_recursive_reads(case)):
        yield Suggestion(f"{table} is read once for each step of a recursive WITH; an estimate counts it once")


_Rule = Callable[[Case, Catalog, list[Scan]], Iterator[Suggestion]]
_RULES: Final[tuple[_Rule, ...]] = (
    views_for_joins,
    functions_around_columns,
    _find_pairs,
    _find_unfiltered,
    _find_all_columns,
    _find_recursive,
)
