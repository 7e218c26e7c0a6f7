"""Estimates the read of a Delta table from the file statistics of its log, pruned by the conditions of a scan.

The rules of what a statistic means are those of the Delta protocol, "Per-file Statistics": a minimum is never above
the true one, a maximum never below, strings are cut to 32 characters, times to milliseconds, and any of them may be
missing. A file is left out only where no row of it can meet a condition. Sizes are of whole files: that a query
reads few of their columns is not taken off.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lakehouse.delta import (
    LOG_NAME,
    TableLog,
    check_nesting,
    latest_version,
    open_log,
    read_snapshot,
    version_at,
)
from lakehouse.errors import LakeError
from lakehouse.manifest import Column
from lakehouse.storage import Lake
from mcp_server.engines.folders import read_columns
from mcp_server.models import CheckedQuery, Estimate, Filter, FilterOp, Scan, ScanEstimate

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

_CACHE_BYTES = 128 << 20
"""Size of the cache of statistics: about 600,000 files with eight columns."""

_LONG_STRING = 32
"""Characters from which a string may be the beginning of a longer one (Delta's writers cut there)."""

_MOMENT = timedelta(milliseconds=1)
_MANY_VALUES = 64
_ROUNDING = {"float": 1e-6, "double": 1e-12}
_DECIMAL_ROUNDING = 1e-9
"""How far a number in a log may be from the true one, as a share of it: some readers take decimals for doubles."""

_Version = int | datetime | None


@dataclass(frozen=True)
class FileStatistics:
    """The files of one version of a table: `size_bytes`, `num_records`, and `min.`, `max.`, `null_count.` of columns.

    `named` says whether the log and the table use the same column names. `columns` are the table's at this version.
    """

    version: int
    files: pa.Table
    named: bool
    columns: tuple[Column, ...]

    def estimate(self, scan: Scan) -> ScanEstimate:
        """Estimate what a scan reads."""
        import pyarrow.compute as pc

        kept = self.files
        for each in scan.filters if self.named else ():
            mask = _may_hold(kept, each)
            kept = kept if mask is None else kept.filter(mask)
        known = kept["num_records"].null_count == 0
        return ScanEstimate(
            scan.table,
            self.version,
            files=kept.num_rows,
            files_total=self.files.num_rows,
            bytes=pc.sum(kept["size_bytes"]).as_py() or 0,
            bytes_total=pc.sum(self.files["size_bytes"]).as_py() or 0,
            rows=(pc.sum(kept["num_records"]).as_py() or 0) if known else None,
        )

    @cached_property
    def bounds(self) -> Mapping[str, tuple[int, int]]:
        """Minimum and maximum of each integer column, in lower case, that has statistics in all files."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found: dict[str, tuple[int, int]] = {}
        for name in self.files.column_names if self.named else ():
            kind, _, column = name.partition(".")
            if kind not in {"min", "partition"} or not pa.types.is_integer(self.files[name].type):
                continue
            known = _ColumnBounds.from_files(self.files, column)
            if known is None:
                continue
            silent = pc.or_(pc.is_null(known.lower), pc.is_null(known.upper))
            least, most = pc.min(known.lower).as_py(), pc.max(known.upper).as_py()
            if least is not None and most is not None and not pc.any(pc.and_(silent, pc.invert(known.empty))).as_py():
                found[column.lower()] = (least, most)
        return found

    @cached_property
    def null_shares(self) -> Mapping[str, float]:
        """The share of nulls of each column that has statistics in all files, rows that were deleted since included."""
        import pyarrow.compute as pc

        rows = pc.sum(self.files["num_records"]).as_py() or 0
        if not self.named or not rows or self.files["num_records"].null_count:
            return {}
        prefix = "null_count."
        counted = [name for name in self.files.column_names if name.startswith(prefix)]
        return {
            name.removeprefix(prefix): (pc.sum(self.files[name]).as_py() or 0) / rows
            for name in counted
            if not self.files[name].null_count
        }


class Statistics:
    """File statistics by table and version, each read once. Thread-safe."""

    def __init__(self, storage: Lake | None = None) -> None:
        """`storage` is the lake if it is in object storage."""
        self._storage = storage
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, int], FileStatistics] = OrderedDict()

    def estimate(self, query: CheckedQuery, locations: Mapping[str, str]) -> Estimate:
        """Estimate what a query would read of the tables at `locations`. Raises LakeError on an unreadable log."""
        scans = [(scan, query.pins.get(scan.table) if scan.version is None else scan.version) for scan in query.scans]
        return Estimate(
            tuple(
                self.read_version(scan.table, locations[scan.table], version).estimate(scan) for scan, version in scans
            ),
            exact=True,
        )

    def read_version(self, table: str, location: str, version: _Version) -> FileStatistics:
        """Return the statistics of a version, by number or time, or of the latest. Raises LakeError."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        if isinstance(version, int) and (known := self._get_cached((location, version))) is not None:
            return known
        if self._storage is not None:  # at those of a folder the catalogue has looked
            table_log = open_log(self._storage, location)
            check_nesting(table_log)
            if self._storage.files is not None:  # deltalake does not know how to reach them
                return self._read_replayed(table_log, location, version)
        try:
            delta = DeltaTable(_to_url(location), version=version if isinstance(version, int) else None)
            if isinstance(version, datetime):
                delta.load_as_version(version)
            return self._get_cached((location, delta.version())) or self._put_cached(location, _read_statistics(delta))
        except (DeltaError, OSError, ValueError) as error:
            asked = "" if version is None else f" at version {version}"
            raise LakeError(
                f"The log of the table {table}{asked} cannot be read, so what a query would read is not known. "
                "Check that this version exists, or load the table again."
            ) from error

    def _read_replayed(self, table_log: TableLog, location: str, version: _Version) -> FileStatistics:
        """Return the statistics of a version whose log deltalake gets as a copy, all of it in one commit."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        number = version_at(table_log, version) if isinstance(version, datetime) else version
        number = latest_version(table_log) if number is None else number
        if (known := self._get_cached((location, number))) is not None:
            return known
        found = read_snapshot(table_log, number)
        with TemporaryDirectory(prefix="log-") as folder:
            actions = [
                {"protocol": found.protocol},
                {"metaData": found.metadata},
                *({"add": add} for add in found.adds),
            ]
            commit = Path(folder, LOG_NAME, f"{0:020}.json")
            commit.parent.mkdir()
            commit.write_text("".join(json.dumps(action) + "\n" for action in actions), encoding="ascii")
            try:
                statistics = replace(_read_statistics(DeltaTable(folder)), version=number)
            except (DeltaError, OSError, ValueError) as error:
                raise table_log.as_damaged("its statistics are not what Delta prescribes") from error
        return self._put_cached(location, statistics)

    def _get_cached(self, key: tuple[str, int]) -> FileStatistics | None:
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def _put_cached(self, location: str, found: FileStatistics) -> FileStatistics:
        """Cache the statistics, and evict the least recently used beyond the size of the cache."""
        with self._lock:
            self._known[location, found.version] = found
            while len(self._known) > 1 and sum(each.files.nbytes for each in self._known.values()) > _CACHE_BYTES:
                self._known.popitem(last=False)
        return found


def _to_url(location: str) -> str:
    """Encode what would end the path of a URL; all else deltalake reads as it is."""
    return location.replace("#", "%23").replace("?", "%3F") if "://" in location else location


def _read_statistics(delta: DeltaTable) -> FileStatistics:
    import pyarrow as pa

    # `pa.table` would import pandas (docs/facts.md#arrow).
    actions = pa.RecordBatchReader.from_stream(delta.get_add_actions(flatten=True)).read_all()
    files = actions.drop_columns([name for name in ("path", "modification_time") if name in actions.column_names])
    # With mapped columns the log's names are not the table's: `a` may be what was once called `b`.
    mapped = delta.metadata().configuration.get("delta.columnMapping.mode", "none") != "none"
    columns = read_columns(delta.schema().to_json())
    return FileStatistics(delta.version(), files, named=not mapped, columns=columns)


@dataclass(frozen=True)
class _ColumnBounds:
    """Per file of one column: its bounds (null: unknown), whether it has no null, whether it has only nulls."""

    lower: pa.ChunkedArray
    upper: pa.ChunkedArray
    full: pa.ChunkedArray
    empty: pa.ChunkedArray

    @classmethod
    def from_files(cls, files: pa.Table, column: str) -> _ColumnBounds | None:
        import pyarrow.compute as pc

        partition, nulls = f"partition.{column}", f"null_count.{column}"
        if partition in files.column_names:
            value = files[partition]
            return cls(value, value, pc.is_valid(value), pc.is_null(value))
        if nulls not in files.column_names or f"min.{column}" not in files.column_names:
            return None
        count = files[nulls]
        full = _as_known(pc.equal(count, pc.subtract(count, count)))
        empty = _as_known(pc.equal(count, files["num_records"]))
        return cls(files[f"min.{column}"], files[f"max.{column}"], full, empty)


def _as_known(mask: pa.ChunkedArray) -> pa.ChunkedArray:
    """Replace null by false. For the number or truth value in `fill_null` and `equal` pyarrow would import pandas."""
    import pyarrow.compute as pc

    return pc.and_kleene(mask, pc.is_valid(mask))


def _may_hold(files: pa.Table, each: Filter) -> pa.ChunkedArray | None:
    """Return for each file whether one of its rows can meet a condition; None where nothing is known."""
    import pyarrow.compute as pc

    known = _ColumnBounds.from_files(files, each.column)
    if known is None:
        return None
    if each.op == "is null":
        return pc.invert(known.full)
    mask = pc.invert(known.empty)
    if each.op in {"is not null", "contains"}:
        return mask
    for op, values in _to_comparisons(each):
        met = [_compare_bounds(known, op, value) for value in values]
        masks = [one for one in met if one is not None]
        if len(masks) == len(met):
            any_of = masks[0]
            for other in masks[1:]:
                any_of = pc.or_(any_of, other)
            mask = pc.and_(mask, any_of)
    return mask


def _to_comparisons(each: Filter) -> list[tuple[FilterOp, list[Any]]]:
    """Convert a condition to comparisons that must all hold, each for one of its values; long lists to a range."""
    values: list[Any] = list(each.values)
    if each.op != "in":
        return [(each.op, values)]
    if len(values) <= _MANY_VALUES:
        return [("=", values)]
    return [(">=", [min(values)]), ("<=", [max(values)])]


def _compare_bounds(known: _ColumnBounds, op: FilterOp, value: Any) -> pa.ChunkedArray | None:
    """Return for each file whether one of its values can satisfy a comparison; None where the types differ."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = known.lower.type
    low, high, strict = known.lower, known.upper, True
    if pa.types.is_integer(kind) and _is_number(value):
        strict = isinstance(value, int) and abs(value) < 2**63
        low, high = (each.cast(pa.int64() if strict else pa.float64(), safe=False) for each in (low, high))
        value = value if strict else float(value)
    elif (pa.types.is_floating(kind) or pa.types.is_decimal(kind)) and _is_number(value):
        low, high, value, strict = *_widen_bounds(low, high), float(value), False
        # NaN is above every number in Spark, and no statistic tells of it.
        high = pa.chunked_array([pa.nulls(len(high), pa.float64())]) if _may_be_nan(kind, op) else high
    elif pa.types.is_string(kind) and isinstance(value, str):
        high = pc.if_else(pc.greater_equal(pc.utf8_length(high), _LONG_STRING), None, high)
    elif pa.types.is_timestamp(kind) and isinstance(value, datetime):
        low, high = pc.subtract(low, pa.scalar(_MOMENT)), pc.add(high, pa.scalar(_MOMENT))
    elif not _is_same_kind(kind, value):
        return None
    tests = {"=": "<=>=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}[op]
    below = _test_bounds(pc.less if op == "<" and strict else pc.less_equal, low, value) if "<" in tests else None
    above = (
        _test_bounds(pc.greater if op == ">" and strict else pc.greater_equal, high, value) if ">" in tests else None
    )
    return below if above is None else above if below is None else pc.and_(below, above)


def _test_bounds(compare: Callable[..., pa.ChunkedArray], bounds: pa.ChunkedArray, value: Any) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.fill_null(compare(bounds, pa.scalar(value, bounds.type)), True)


def _widen_bounds(low: pa.ChunkedArray, high: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Convert bounds to doubles, widened by possible rounding; null in place of infinity and NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    share = _ROUNDING.get(str(low.type), _DECIMAL_ROUNDING)
    numbers = [each.cast(pa.float64(), safe=False) for each in (low, high)]
    least, most = (pc.if_else(pc.is_finite(each), each, None) for each in numbers)
    return pc.subtract(least, pc.multiply(pc.abs(least), share)), pc.add(most, pc.multiply(pc.abs(most), share))


def _may_be_nan(kind: pa.DataType, op: FilterOp) -> bool:
    import pyarrow as pa

    return op in {">", ">="} and pa.types.is_floating(kind)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _is_same_kind(kind: pa.DataType, value: object) -> bool:
    import pyarrow as pa

    if isinstance(value, bool):
        return bool(pa.types.is_boolean(kind))
    return isinstance(value, date) and not isinstance(value, datetime) and bool(pa.types.is_date(kind))
