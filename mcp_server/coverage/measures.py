"""Which measures of the lake's context concern a statement, as the context declares them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from lakehouse.context import Entity, Measure
from lakehouse.coverage import MeasureCoverage
from mcp_server.coverage.reading import KnownCoverage
from mcp_server.models import CheckedQuery, Scan, TableInfo

_COLUMN = re.compile(r"[a-z_]\w*")
_PART: Final = re.compile(r"(?is)(?:SELECT|,)\s((?:(?!SELECT|,).){1,200}?)\sAS\s+part\b")
"""The expression that is named `part`, from the nearest SELECT or comma before it."""
_EQUALS: Final = frozenset({"=", "in"})


@dataclass(frozen=True)
class CoveredStatement:
    """One statement, with the tables that it may read by their names in lower case, and what is known of the lake.

    `found_nothing` says that the answer is empty: then what is named by its key may be missing as well.
    """

    query: CheckedQuery
    tables: Mapping[str, TableInfo]
    known: KnownCoverage
    found_nothing: bool

    @cached_property
    def entities(self) -> tuple[Entity, ...]:
        """The kinds of things of which the statement names some, by id or by what people call them."""
        declared = self.known.context.declarations.entity
        return tuple(each for each in declared if {each.id.lower(), each.column.lower()} & self._equal)

    @cached_property
    def named(self) -> frozenset[str]:
        """The columns by which the statement names single things, in lower case."""
        return self._equal | {each.id.lower() for each in self.entities}

    @cached_property
    def _equal(self) -> frozenset[str]:
        return frozenset(
            each.column.lower() for scan in self.query.scans for each in scan.filters if each.op in _EQUALS
        )

    def list_scans(self, table: str) -> list[Scan]:
        """List the readings of a table."""
        return [scan for scan in self.query.scans if scan.table.lower() == table.lower()]

    def reads(self, table: str, columns: Iterable[str]) -> bool:
        """Whether one of some columns of a table is read."""
        wanted = {column.lower() for column in columns}
        return any(
            scan.columns is None or any(column.lower() in wanted for column in scan.columns)
            for scan in self.list_scans(table)
        )

    def is_pinned(self, table: str, *, whole: bool = False) -> bool:
        """Whether the statement names the thing that a table is about by the first column of its key, or all of them.

        Nothing is, where nothing was found: the thing itself may be missing.
        """
        key = self.find_key(table)
        wanted = {column.lower() for column in (key if whole else key[:1])}
        return bool(wanted) and wanted <= self.named and not self.found_nothing

    def joins_otherwise(self, left: str, right: str) -> bool:
        """Whether a statement joins by two columns, each `table.column`, and not by one to the other."""
        left, right = left.lower(), right.lower()
        pairs = self.query.usage.joined
        equal = {left}
        while more := {side for pair in pairs if pair & equal for side in pair} - equal:
            equal |= more
        return len(equal) > 1 and right not in equal and any(right in pair for pair in pairs)

    def find_key(self, table: str) -> tuple[str, ...]:
        """Find the columns of a table's key."""
        info = self.tables.get(table.lower())
        return info.key if info is not None else ()

    def find_value(self, column: str) -> object:
        """Find the only value that the statement asks for in a column; None where there is none, or several."""
        filters = [each for scan in self.query.scans for each in scan.filters if each.column.lower() == column.lower()]
        values = {value for each in filters if each.op in _EQUALS for value in each.values}
        return values.pop() if len(values) == 1 else None


def find_declared(known: KnownCoverage, measure: MeasureCoverage) -> Measure:
    """Return what the context declares of a measure; where that is gone, a measure that says nothing more."""
    for each in known.context.declarations.coverage:
        if (each.table, each.about, each.of) == (measure.table, measure.about, measure.of):
            return each
    return Measure(table=measure.table, columns=measure.columns, about=measure.about, of=measure.of, sql="")


def find_part_columns(measure: Measure) -> frozenset[str]:
    """Find the columns that a measure's parts are made of: `startYear` of `startYear DIV 10 * 10 AS part`."""
    found = [word for parts in _PART.findall(measure.sql) for word in _COLUMN.findall(parts.lower())]
    return frozenset(found)


def concerns(measure: Measure, reading: CoveredStatement) -> bool:
    """Whether a measure says something of what a statement asks for."""
    usage = reading.query.usage
    if measure.table.lower() in usage.absent:
        asked = bool(reading.list_scans(measure.table)) and not measure.nulls
    else:
        asked = reading.reads(measure.table, measure.columns)
    return (
        asked
        and _names_whole(measure, reading)
        and (not measure.nulls or _chooses_by(measure, reading))
        and not _asks_for_known(measure, reading)
        and not _is_of_one(measure, reading)
    )


def _names_whole(measure: Measure, reading: CoveredStatement) -> bool:
    named = reading.query.usage.named
    for column, values in measure.within.items():
        asked = {value for name, value in named if name == column.lower()}
        if asked and asked.isdisjoint(values):
            return False
    table, _, column = measure.beside.partition(".")
    if table and (
        not reading.reads(table, (column,))
        or reading.joins_otherwise(measure.beside, f"{measure.table}.{measure.key or column}")
    ):
        return False
    return all(any((column.lower(), value) in named for value in values) for column, values in measure.needs.items())


def _chooses_by(measure: Measure, reading: CoveredStatement) -> bool:
    """Whether rows are chosen by what may be null, and by more than the name of one thing, which has it."""
    called = {each.column.lower() for each in reading.entities}
    columns = {column.lower() for column in measure.columns}
    return bool(columns & reading.query.usage.chosen) and not columns & called


def _asks_for_known(measure: Measure, reading: CoveredStatement) -> bool:
    """Whether to have it is part of the question."""
    asked_by = {column.lower() for column in measure.asked_by}
    return bool(asked_by and (asked_by & reading.query.usage.ranked or reading.entities))


def _is_of_one(measure: Measure, reading: CoveredStatement) -> bool:
    """Whether the statement is about one thing that is there, of which nothing is missing then."""
    if not measure.beside:
        return reading.is_pinned(measure.table) and not measure.one
    table = measure.beside.partition(".")[0]
    key = {column.lower() for column in reading.find_key(table)}
    filters = (each for scan in reading.list_scans(table) for each in scan.filters)
    return bool(key) and key <= {each.column.lower() for each in filters if each.op in _EQUALS}
