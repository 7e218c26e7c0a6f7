"""Arrow columns as JSON: every cell safe for any JSON reader, and exact.

null                    null
boolean, small integer  as they are; an integer beyond ±2^53 is a string (JSON readers round it)
float                   a number; NaN and the infinities are the strings "NaN", "Infinity", "-Infinity"
decimal                 a string with all its digits
date, timestamp, time   ISO 8601; a timestamp with a zone says it (`+00:00`)
string                  text; bytes that are not UTF-8 become U+FFFD
binary                  base64
array                   a list; a map whose keys are text is an object, any other a list of [key, value]
struct                  an object; a field name met twice gets a number (`x`, `x_2`)
anything else           its text
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

Json = Any
"""None, bool, int, float, str, or a list or dict of these."""

SAFE_INTEGER = 2**53
"""The largest integer that a JSON reader with double-precision numbers keeps exactly (RFC 8259, section 6)."""

_SECONDS_PER_DAY = 86_400
_PER_SECOND = {"D": 1, "s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class Rows:
    """Rows of JSON-safe cells, and the names and Spark SQL types of their columns."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]


def column_cells(column: Any) -> list[Json]:
    """All cells of a `pyarrow.ChunkedArray`, in order."""
    return [cell for chunk in column.chunks for cell in _cells(chunk)]


def _cells(array: Any) -> list[Json]:
    import pyarrow.types as kinds

    kind = array.type
    # Ordered: the first that holds says how cells of this type are read.
    readers: tuple[tuple[bool, Callable[[Any], list[Json]]], ...] = (
        (hasattr(kind, "storage_type"), lambda part: _cells(part.storage)),
        (kinds.is_dictionary(kind), lambda part: _cells(part.dictionary_decode())),
        (kinds.is_map(kind), _maps),
        (kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind), _lists),
        (kinds.is_struct(kind), _structs),
        (_is_text(kind), _texts),
        (kinds.is_float32(kind), _short_floats),
        (kinds.is_temporal(kind), _times),
        (True, _scalars),
    )
    return next(read for holds, read in readers if holds)(array)


def _lists(array: Any) -> list[Json]:
    return [_cells(scalar.values) if scalar.is_valid else None for scalar in array]


def _maps(array: Any) -> list[Json]:
    gather: Callable[[Any], Json] = dict if _is_text(array.type.key_type) else _as_pairs
    return [
        gather(zip(_cells(scalar.values.field(0)), _cells(scalar.values.field(1)), strict=True))
        if scalar.is_valid
        else None
        for scalar in array
    ]


def _as_pairs(entries: Iterable[tuple[Json, Json]]) -> Json:
    return [list(pair) for pair in entries]


def _is_text(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _structs(array: Any) -> list[Json]:
    names: list[str] = []
    for field in array.type:
        count = sum(name == field.name or name.startswith(f"{field.name}_") for name in names)
        names.append(f"{field.name}_{count + 1}" if field.name in names else field.name)
    columns = [_cells(child) for child in array.flatten()]
    valid = array.is_valid().to_pylist()
    rows = zip(*columns, strict=True) if columns else ((),) * len(array)
    return [dict(zip(names, row, strict=True)) if ok else None for row, ok in zip(rows, valid, strict=True)]


def _texts(array: Any) -> list[Json]:
    import pyarrow as pa

    try:
        values: list[Json] = array.to_pylist()
    except UnicodeDecodeError:
        raw = array.cast(pa.large_binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", "replace") for value in raw]
    return values


def _short_floats(array: Any) -> list[Json]:
    """Through Arrow's shortest text: widened to a double, 7.8 would show as 7.800000190734863."""
    import pyarrow as pa

    return [None if text is None else _scalar(float(text)) for text in array.cast(pa.string()).to_pylist()]


def _times(array: Any) -> list[Json]:
    try:
        return _scalars(array)
    except (ValueError, OverflowError):  # Python's calendar ends with the year 9999, Spark's does not
        return [_far_time(scalar) if scalar.is_valid else None for scalar in array]


def _far_time(scalar: Any) -> str:
    """A date or timestamp of any year, in ISO 8601's form with a sign. The calendar repeats every 400 years."""
    unit = "D" if scalar.type == "date32[day]" else scalar.type.unit
    whole, rest = divmod(scalar.value * _SECONDS_PER_DAY if unit == "D" else scalar.value, _PER_SECOND[unit])
    cycles, seconds = divmod(whole, 146_097 * _SECONDS_PER_DAY)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    day = f"{moment.year + 400 * int(cycles):+06d}-{moment:%m-%d}"
    if unit == "D":
        return day
    fraction = f".{rest:0{len(str(_PER_SECOND[unit])) - 1}d}" if rest else ""
    return f"{day}T{moment:%H:%M:%S}{fraction}{'' if scalar.type.tz is None else '+00:00'}"


def _scalars(array: Any) -> list[Json]:
    return [_scalar(value) for value in array.to_pylist()]


def _scalar(value: Any) -> Json:  # noqa: PLR0911  (one line for each kind of value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    match value:
        case None | bool() | float():
            return value
        case int():
            return value if -SAFE_INTEGER <= value <= SAFE_INTEGER else str(value)
        case Decimal():
            return f"{value:f}"
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case _:
            return str(value)
