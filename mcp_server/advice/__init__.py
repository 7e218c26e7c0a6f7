"""How a query could be better: sentences, with the better query where it can be written.

A query is only written out where it gives the same answer; it is read by the guard again before it is shown. What
makes a query better is told from the catalogue alone: row counts, keys, the order of files, kinds and comments.
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
"""Rows that meet without an equality from which it is said: some seconds of work."""

_WIDE = 8
_MOST = 4
"""Sentences for one query: those that say most come first."""


def advise(case: Case, catalog: Catalog, scans: Iterable[Scan]) -> tuple[str, ...]:
    """What to tell the sender of a query, most useful first; nothing for most."""
    scans = list(scans)
    found: dict[str, None] = {}
    for rule in _RULES:
        for suggestion in rule(case, catalog, scans):
            found.setdefault(_sentence(suggestion, catalog))
    return tuple(found)[:_MOST]


def _sentence(suggestion: Suggestion, catalog: Catalog) -> str:
    if suggestion.sql is None or not _may_run(suggestion.sql, catalog):
        return f"{suggestion.text}."
    return f"{suggestion.text}: {suggestion.sql}"


def _may_run(sql: str, catalog: Catalog) -> bool:
    """Whether the guard lets a query of ours pass, as it would its sender's."""
    try:
        reread_query(sql, catalog)
    except Refused:
        return False
    return True


def _unfiltered(_: Case, catalog: Catalog, scans: list[Scan]) -> Iterator[Suggestion]:
    """The largest table that no condition narrows by a column by which its files are ordered."""
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


def _all_columns(_: Case, catalog: Catalog, scans: list[Scan]) -> Iterator[Suggestion]:
    """All columns of a wide and large table."""
    for each in scans:
        info = catalog.by_name[each.table.lower()]
        if each.columns is None and len(info.columns) >= _WIDE and (info.rows or 0) >= LARGE_ROWS:
            yield Suggestion(
                f"All {len(info.columns)} columns of {info.name} are read; only those that are named are read from "
                "its files: name the ones that the answer needs in the place of *"
            )


def _pairs(case: Case, _: Catalog, __: list[Scan]) -> Iterator[Suggestion]:
    """Relations that are multiplied row by row."""
    for select in case.tree.find_all(exp.Select):
        met = find_untied(select, case.relations)
        if met is not None and met.pairs >= _MANY_PAIRS:
            yield Suggestion(
                f"{met.one} and {met.other} are tied by no equality, so about {met.pairs:,.0f} rows meet: add a "
                f"condition such as {met.condition}"
            )


def _recursive(case: Case, _: Catalog, __: list[Scan]) -> Iterator[Suggestion]:
    for table in sorted(find_recursive_reads(case)):
        yield Suggestion(f"{table} is read once for each step of a recursive WITH; an estimate counts it once")


_Rule = Callable[[Case, Catalog, list[Scan]], Iterator[Suggestion]]
_RULES: Final[tuple[_Rule, ...]] = (
    views_for_joins,
    functions_around_columns,
    _pairs,
    _unfiltered,
    _all_columns,
    _recursive,
)
