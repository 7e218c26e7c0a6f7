"""Chooses rows of a table by ids: those with one of some, and those within ranges of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from etl.fingerprints import KEY_BYTES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from etl.row_sets import Places

Spans = Mapping[str, tuple[str, str]]
"""The least and the greatest value of columns in some rows; a column of which they are not known is left out."""


class RowFilter(Protocol):
    """Chooses rows by the values of `columns`."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it reads."""

    def may_choose(self, spans: Spans) -> bool:
        """Whether rows with values in these spans may be chosen."""

    def choose(self, rows: pa.Table) -> Places:
        """Return the places of the chosen rows, in order."""


@dataclass(frozen=True)
class IdFilter:
    """Chooses the rows in which a column has, or lists, one of the values that are wanted of it."""

    wanted: Mapping[str, set[str]]

    @property
    def columns(self) -> Sequence[str]:
        """The columns of which something is wanted."""
        return list(self._sorted)

    def may_choose(self, spans: Spans) -> bool:
        """Whether one of the values lies in the span of its column."""
        return any(name not in spans or _meets(values, *spans[name]) for name, values in self._sorted.items())

    def choose(self, rows: pa.Table) -> Places:
        """Return the places of the chosen rows, in order."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        found = np.zeros(rows.num_rows, bool)
        for name, chosen in self._arrays.items():
            ids = rows.column(name)
            if pa.types.is_list(ids.type):
                first = 0
                for chunk in ids.chunks:
                    hits = pc.is_in(pc.list_flatten(chunk), chosen).to_numpy(zero_copy_only=False)
                    found[first + pc.list_parent_indices(chunk).to_numpy()[hits]] = True
                    first += len(chunk)
            else:
                found |= pc.is_in(ids, chosen).to_numpy()
        return np.flatnonzero(found)

    @cached_property
    def _sorted(self) -> dict[str, list[str]]:
        return {name: sorted(values) for name, values in self.wanted.items() if values}

    @cached_property
    def _arrays(self) -> dict[str, pa.Array]:
        import pyarrow as pa

        return {name: pa.array(values, pa.string()) for name, values in self._sorted.items()}


@dataclass(frozen=True)
class RangeFilter:
    """Chooses the rows whose id is within ranges, given as first ids and the ids behind them, in turn and in order."""

    column: str
    bounds: npt.NDArray[np.bytes_]

    @property
    def columns(self) -> Sequence[str]:
        """The column of the ids."""
        return [self.column]

    def may_choose(self, spans: Spans) -> bool:
        """Whether a range meets the span of the ids."""
        import numpy as np

        if self.column not in spans:
            return len(self.bounds) > 0
        least, most = (value.encode()[:KEY_BYTES] for value in spans[self.column])
        first, behind = np.searchsorted(self.bounds, [least, most], side="right")
        return bool(first % 2 or first != behind)

    def choose(self, rows: pa.Table) -> Places:
        """Return the places of the chosen rows, in order."""
        import numpy as np

        ids = rows.column(self.column)
        if not len(ids) or not len(self.bounds):
            return np.empty(0, np.intp)
        if not _is_sorted(ids):
            return np.flatnonzero(np.searchsorted(self.bounds, _to_fixed(ids.chunks), side="right") % 2)
        ends = _search_sorted(ids, self.bounds).reshape(-1, 2)
        return np.concatenate([np.arange(first, end) for first, end in ends])


@dataclass(frozen=True)
class EitherFilter:
    """Chooses the rows that one of several filters chooses."""

    filters: Sequence[RowFilter]

    @property
    def columns(self) -> Sequence[str]:
        """The columns of all filters."""
        return list(dict.fromkeys(name for each in self.filters for name in each.columns))

    def may_choose(self, spans: Spans) -> bool:
        """Whether one of the filters may choose something."""
        return any(each.may_choose(spans) for each in self.filters)

    def choose(self, rows: pa.Table) -> Places:
        """Return the places of the chosen rows, in order."""
        import numpy as np

        return np.unique(np.concatenate([np.empty(0, np.intp), *(each.choose(rows) for each in self.filters)]))


def _meets(values: Sequence[str], least: str, most: str) -> bool:
    """Whether one of some sorted values lies in a span."""
    place = bisect_left(values, least)
    return place < len(values) and values[place] <= most


def _is_sorted(ids: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    return pc.all(pc.greater_equal(ids.slice(1), ids.slice(0, len(ids) - 1))).as_py() is not False  # nothing: none


def _search_sorted(ids: pa.ChunkedArray, wanted: npt.NDArray[np.bytes_]) -> Places:
    """Return where each of `wanted` would stand in sorted ids, of which few are looked at."""
    import numpy as np
    import pyarrow as pa

    whole = ids.combine_chunks()
    low, high = np.zeros(len(wanted), np.intp), np.full(len(wanted), len(ids))
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_]) // 2
        less = _to_fixed([whole.take(pa.array(middle))]) < wanted[open_]
        low[open_[less]], high[open_[~less]] = middle[less] + 1, middle[~less]
    return low


def _to_fixed(chunks: Sequence[pa.Array]) -> npt.NDArray[Any]:
    """Convert ids to bytes of one length, cut at 16."""
    import numpy as np
    import pyarrow as pa

    parts: list[npt.NDArray[Any]] = [np.empty(0, f"S{KEY_BYTES}")]
    for chunk in chunks:
        offsets = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        data = (chunk.buffers()[2] or pa.py_buffer(b"")).to_pybytes() + bytes(KEY_BYTES)
        lengths = np.minimum(np.diff(offsets), KEY_BYTES)
        items = np.ndarray((len(data) - KEY_BYTES + 1,), f"V{KEY_BYTES}", data, strides=(1,))[offsets[:-1]]
        grid = items.view(np.uint8).reshape(-1, KEY_BYTES)
        grid[np.arange(KEY_BYTES) >= lengths[:, None]] = 0
        parts.append(grid.view(f"S{KEY_BYTES}").ravel())
    return np.concatenate(parts)
