"""The names of a kind of things, as the engine has written them to files: those that are known best, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from lakehouse.context import Entity
from lakehouse.find.things import ThingBatch

_MOST_SHARE, _FEW_THINGS = 0.5, 1_000_000
"""Of the rows of a table, this share is found by name, or that many: the most prominent."""
_BATCH_ROWS: Final = 20_000
ROW_TYPES: Final = {
    "id": "string", "label": "string", "others": "array<string>", "detail": "string", "weight": "double",
}  # fmt: skip
"""The columns of such files, and their types."""


@dataclass
class EntityRows:
    """The names of an entity's things, as files of rows. `table_rows` are the rows of its table."""

    entity: Entity
    folder: Path
    table_rows: int

    @property
    def floor(self) -> float:
        """The weight below which things are left out, because they are too many; 0 where none are."""
        return self._measured[0]

    def describe_missing(self) -> str:
        """Say what is left out, nothing where that is nothing."""
        _, kept = self._measured
        if kept >= self.table_rows:
            return ""
        return (
            f"{kept:,} of the {self.table_rows:,} rows of {self.entity.table} are found by name: those that are known "
            "best."
        )

    def read_things(self, floor: float | None = None) -> Iterator[ThingBatch]:
        """Yield the things, except those below the floor."""
        import pyarrow.compute as pc

        least = self.floor if floor is None else floor
        kind, table, column, key = self.entity.kind, self.entity.table, self.entity.column, self.entity.id
        for batch in self._read_batches(list(ROW_TYPES)):
            weights = pc.fill_null(batch.column("weight"), 0.0)
            chosen = batch.filter(pc.greater_equal(weights, least)) if least > 0 else batch
            yield ThingBatch(kind, table, column, key, chosen)

    @cached_property
    def _measured(self) -> tuple[float, int]:
        """The floor, and how many things are at or above it."""
        import numpy as np

        weights, first = np.zeros(sum(map(_count_rows, self._list_files()))), 0  # of millions: held once
        for batch in self._read_batches(["weight"]):
            weights[first : first + len(batch)] = batch.column("weight").fill_null(0.0).to_numpy(zero_copy_only=False)
            first += len(batch)
        most = max(int(self.table_rows * _MOST_SHARE), _FEW_THINGS)
        if len(weights) <= most:
            return 0.0, len(weights)
        place = len(weights) - most
        weights.partition(place)
        floor = float(weights[place])
        if int((weights >= floor).sum()) > most:  # ties: all of one weight, or none
            floor = float(np.nextafter(floor, np.inf))
        return floor, int((weights >= floor).sum())

    def _read_batches(self, columns: list[str]) -> Iterator[Any]:
        import pyarrow.parquet as pq

        for path in self._list_files():
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(_BATCH_ROWS, columns=columns)

    def _list_files(self) -> list[Path]:
        return sorted(self.folder.glob("*/*.parquet"))


def _count_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
