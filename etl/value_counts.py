"""Counts the values of columns that have few, for the index of names and values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from etl.gold_views import REJECTS_TABLE
from etl.row_sets import RowChange
from etl.tables import TableDefinition
from lakehouse.context import Entity
from lakehouse.find.things import Thing
from lakehouse.find.values import list_values
from lakehouse.quoting import quote_identifier

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

MOST_VALUES: Final = 300
"""A column with more different values than this has none that are found."""
_MOST_DIFFERENT, _FEW_VALUES = 0.5, 20
"""A column in which more of the values differ holds names or numbers, unless they are few."""
_SAMPLED_ROWS: Final = 20_000
_TEXTS: Final = {"string": False, "array<string>": True}
"""The types of columns whose values are found, and whether they are lists."""


@dataclass(frozen=True)
class IndexedTable:
    """A table as the index reads it: `changed` tells whether it differs from that of the generation before."""

    definition: TableDefinition
    rows: int
    is_view: bool
    changed: bool = True

    @property
    def columns(self) -> dict[str, str]:
        """The types of the columns, by name."""
        return {column.name: column.type for column in self.definition.columns}


class ValueCounter:
    """Counts the values of tables that SQL finds by their names."""

    def __init__(self, spark: SparkSession, tables: Mapping[str, IndexedTable]) -> None:
        self._spark = spark
        self._tables = tables

    def count_values(
        self, entities: Iterable[Entity], known: Mapping[str, list[Thing]], changes: Mapping[str, RowChange]
    ) -> list[Thing]:
        """Count the values of columns that have few.

        Those `known` of unchanged tables, by name, are taken over, and those of changed ones adjusted by the changes.
        Names and ids of things are no values, and a view has those of its tables.
        """
        things: list[Thing] = []
        called = {name for entity in entities for name in (entity.id, entity.column)}
        seen: set[str] = set()
        for name, table in sorted(self._tables.items(), key=lambda item: item[1].is_view):
            texts = [column for column, kind in table.columns.items() if kind in _TEXTS and column not in called]
            fresh = [column for column in texts if not (table.is_view and column in seen)]
            seen.update(texts)
            if not fresh or name == REJECTS_TABLE:
                continue
            if name in known and not table.changed:
                things += known[name]
                continue
            sample = self._spark.table(name).select(*fresh).limit(_SAMPLED_ROWS).toArrow()
            for column in _find_few(sample):
                before = [each for each in known.get(name, ()) if each.column == column]
                counts = _adjust_counts(before, column, changes.get(name))
                if counts is None:
                    is_whole = table.rows <= _SAMPLED_ROWS  # an engine's own count would be a job for each column
                    counts = _count_sample(sample.column(column)) if is_whole else self._count_column(name, column)
                if len(counts) <= MOST_VALUES:
                    # What values are called depends on all of them, and takes longer than to count them.
                    names = {each.id: each.others for each in before}
                    is_same = names.keys() == {value for value in counts if value.strip()}
                    is_list = _TEXTS[table.columns[column]]
                    things += list_values(name, column, counts, names if is_same else None, is_list=is_list)
        return things

    def _count_column(self, table: str, column: str) -> dict[str, int]:
        """Count the values of a column, or one more of them than an index has."""
        name = quote_identifier(column)
        is_list = _TEXTS[self._tables[table].columns[column]]
        values = f"SELECT explode({name}) AS value FROM {table}" if is_list else f"SELECT {name} AS value FROM {table}"
        counted = self._spark.sql(
            f"SELECT value, count(*) AS n FROM ({values}) WHERE value IS NOT NULL GROUP BY value "
            f"LIMIT {MOST_VALUES + 1}"
        ).toArrow()
        return dict(zip(counted.column(0).to_pylist(), counted.column(1).to_pylist(), strict=True))


def _find_few(sample: pa.Table) -> list[str]:
    """The columns of the first rows of a table that have few values there."""
    import pyarrow.compute as pc

    few = []
    for column in sample.column_names:
        flat = _flatten(sample.column(column))
        different = pc.count_distinct(flat).as_py()
        if different <= min(MOST_VALUES, max(len(flat) * _MOST_DIFFERENT, _FEW_VALUES)):
            few.append(column)
    return few


def _count_sample(values: pa.ChunkedArray) -> dict[str, int]:
    """Count the values of a column all of whose rows are there."""
    import pyarrow.compute as pc

    counted = pc.value_counts(_flatten(values).drop_null())
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _adjust_counts(before: Sequence[Thing], column: str, change: RowChange | None) -> dict[str, int] | None:
    """Adjust the counts of a column's values by the rows that its table lost and gained; None where none are known."""
    if not before or change is None or column not in change.added.column_names:
        return None
    counts = Counter({each.id: int(each.weight) for each in before})
    counts.update(_count_sample(change.added.column(column)))
    counts.subtract(_count_sample(change.deleted.column(column)))
    # A value of blanks is in no index.
    return None if any(n < 0 and value.strip() for value, n in counts.items()) else +counts


def _flatten(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.list_flatten(values) if pa.types.is_list(values.type) else values
