"""Writes the statistics of a data file that the embedded engine reads correctly, as text for its log.

It reads numbers of the log as doubles where the column is a decimal, knows nothing of NaN, which no statistic tells of,
and takes bounds for values that a column has, although writers cut texts and times (docs/facts.md). So bounds are
given for the types below alone, and as bounds that need not be met; Parquet's own statistics prune the rest.

Whole numbers and dates get bounds that are wider by one. A condition that leaves a column its maximum alone would make
it a constant to the engine, which then drops it as a sort key above an outer join that fills it with nulls. No row has
a value at the wider bounds, so what a condition leaves is either more than one value or no row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any, Final

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_Widen = Callable[[Any, int], Any]
"""Gives the bound to write for one that was read, a step further out (-1 or 1); None where none is to be written."""
_INTEGERS: Final = {"byte": 8, "short": 16, "integer": 32, "long": 64}


class StatisticsFilter:
    """Filters the statistics of a table's files; `metadata` is the action `metaData` of its log."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._columns: dict[str, _Widen] = {}
        self._counted: set[str] = set()
        for column in json.loads(metadata["schemaString"])["fields"]:
            about = column.get("metadata") or {}
            name = about.get("delta.columnMapping.physicalName", column["name"])
            kind = column["type"]
            if not isinstance(kind, str):
                continue
            self._counted.add(name)
            if kind in _INTEGERS:
                self._columns[name] = _widen_integer(_INTEGERS[kind])
            elif "delta.typeChanges" not in about and kind in _KEPT:
                self._columns[name] = _KEPT[kind]

    def filter_statistics(self, add: Mapping[str, Any]) -> str | None:
        """Return the filtered statistics of a file, None where its log has none or invalid ones."""
        found = add.get("stats_parsed") or _parse_json(add.get("stats"))
        rows = found.get("numRecords") if isinstance(found, dict) else None
        if not _is_count(rows):
            return None
        nulls = _get_object(found, "nullCount")
        return json.dumps(
            {
                "numRecords": rows,
                "tightBounds": False,
                "minValues": self._widen_bounds(_get_object(found, "minValues"), -1),
                "maxValues": self._widen_bounds(_get_object(found, "maxValues"), 1),
                "nullCount": {name: nulls[name] for name in self._counted & nulls.keys() if _is_count(nulls[name])},
            }
        )

    def _widen_bounds(self, values: Mapping[str, Any], step: int) -> dict[str, Any]:
        bounds = {name: self._columns[name](values[name], step) for name in self._columns.keys() & values.keys()}
        return {name: value for name, value in bounds.items() if value is not None}


def _parse_json(text: Any) -> Any:
    if not isinstance(text, str):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _get_object(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _widen_integer(bits: int) -> _Widen:
    """Return a function that widens bounds of integers of `bits` bits."""
    most = 1 << (bits - 1)

    def widen(value: Any, step: int) -> int | None:
        return value + step if type(value) is int and -most <= value + step < most else None

    return widen


def _keep_text(value: Any, _: int) -> str | None:
    return value if isinstance(value, str) else None


def _widen_day(value: Any, step: int) -> str | None:
    try:
        day = value if isinstance(value, date) else date.fromisoformat(value) if _is_day(value) else None
        return None if day is None else (day + timedelta(step)).isoformat()
    except (ValueError, OverflowError):  # the thirtieth of February, the day after 9999-12-31
        return None


def _is_day(value: Any) -> bool:
    return isinstance(value, str) and _DAY.fullmatch(value) is not None


_KEPT: Final[Mapping[str, _Widen]] = {"string": _keep_text, "date": _widen_day}
