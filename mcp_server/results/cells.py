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
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

Json = Any
"""None, bool, int, float, str, or a list or dict of these."""

SAFE_INTEGER = 2**53
"""The largest integer that a JSON reader with double-precision numbers keeps exactly (RFC 8259, section 6)."""

LOOKED_AT = 4
"""How many times as much of a list, map or struct is looked at as is shown: most of them are counted exactly."""

_AT_ONCE_BYTES = 1 << 16
"""How much of a column of lists, maps or structs is read at once, its values and the names of their fields."""

_STEP = 16
"""Values of a list that become Python objects at a time."""

_SECONDS_PER_DAY = 86_400
_PER_SECOND = {"D": 1, "s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class Rows:
    """Rows of JSON-safe cells, and the names and Spark SQL types of their columns."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]


@dataclass(frozen=True)
class Cell:
    """What is shown of a value, and whether that is not all of it."""

    value: Json
    is_cut: bool = False


def shorten(value: Json, most: int) -> Cell:
    """Cut a JSON-safe value to `most` characters, followed by the number of those that are missing."""
    if not isinstance(value, str | list | dict):
        return Cell(value)
    text = value if isinstance(value, str) else to_json(value)
    return Cell(value) if len(text) <= most else Cell(f"{text[:most]}…[+{len(text) - most} chars]", is_cut=True)


def read_column(column: Any, most: int, missing: Mapping[int, int] | None = None) -> Iterator[Cell]:
    """Yield the cells of an Arrow array in order, lazily, each no larger than what is shown of it.

    `most` characters of each are shown; `missing` are those that the array itself has lost, by row.
    """
    import pyarrow as pa

    kind = column.type
    if hasattr(kind, "storage_type"):
        return read_column(column.storage, most, missing)
    if kind in {pa.string_view(), pa.binary_view()}:
        return read_column(column.cast(pa.string() if _is_text(kind) else pa.binary()), most, missing)
    if _is_nested(kind):
        return _read_all_nested(column, most, missing or {})
    if _is_text(kind) or _is_binary(kind):
        return _read_texts(column, most, missing or {})
    return (Cell(value) for value in _read_values(column))


def to_json(value: Json) -> str:
    """Format a JSON-safe value as it is written in an answer."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _read_texts(array: Any, most: int, missing: Mapping[int, int]) -> Iterator[Cell]:
    if (
        not missing and _measure_longest_text(array) <= most // 2
    ):  # base64 makes more of it; else nothing makes it longer
        return (Cell(value) for value in _read_values(array))
    return (_read_text(scalar, most, missing.get(row, 0)) for row, scalar in enumerate(array))


def _read_text(scalar: Any, most: int, lost: int) -> Cell:
    """One text or binary of any length; only the bytes that are shown become Python's."""
    if not scalar.is_valid:
        return Cell(None)
    shown = _show_text(scalar, most)
    beyond = count_text_chars(scalar) + lost - len(shown)
    return Cell(shown) if beyond <= 0 else Cell(f"{shown}…[+{beyond} chars]", is_cut=True)


def _show_text(scalar: Any, most: int) -> str:
    """The first characters of a text, or of a binary in base64."""
    raw = memoryview(scalar.as_buffer())
    if _is_binary(scalar.type):
        return base64.b64encode(raw[: 3 * (most // 4 + 1)]).decode("ascii")[:most]
    return bytes(raw[: 4 * most]).decode("utf-8", "replace")[:most]


def count_text_chars(scalar: Any) -> int:
    """Count the characters of a text, or of a binary in base64."""
    import pyarrow.compute as pc

    if _is_binary(scalar.type):
        return 4 * -(-len(scalar.as_buffer()) // 3)
    return int(pc.utf8_length(scalar).as_py())


def _read_all_nested(array: Any, most: int, lost: Mapping[int, int]) -> Iterator[Cell]:
    """Read lists, maps or structs, all at once where they are small: it takes a third of the time."""
    named = len(array) * _count_name_chars(array.type)
    if len(array) > 1 and array.nbytes + named <= _AT_ONCE_BYTES and not lost:
        walk = _Walk(most * LOOKED_AT, _AT_ONCE_BYTES)
        values = walk.read_array(array)
        if walk.is_whole:
            yield from (shorten(value, most) for value in values)
            return
    for row in range(len(array)):
        yield _read_nested(array.slice(row, 1), most, is_whole=row not in lost)


def _read_nested(single: Any, most: int, *, is_whole: bool) -> Cell:
    """A list, map or struct, as an array of one."""
    walk = _Walk(most * LOOKED_AT, most * LOOKED_AT)
    value = walk.read_array(single)[0]
    if walk.is_whole and is_whole:
        return shorten(value, most)
    text = to_json(value)
    return Cell(f"{text[:most]}…[+more than {len(text) - most} chars]", is_cut=True)


class _Walk:
    """Reads a nested value in the order of its JSON, until `left` characters are read; what follows is left out.

    `most` are the characters that are read of one text in it. Where it `is_whole`, nothing was left out. A value of
    which something is left out is still longer than what is shown of it, because far more is looked at.
    """

    def __init__(self, most: int, left: int) -> None:
        self._most = most
        self._left = left
        self.is_whole = True

    def read_array(self, array: Any) -> list[Json]:
        """Read the values of an array until nothing is left to show."""
        import pyarrow.types as kinds

        kind = array.type
        if hasattr(kind, "storage_type"):
            return self.read_array(array.storage)
        if kinds.is_map(kind):
            return [self._read_map(scalar) for scalar in array]
        if _is_list(kind):
            return [self._read_items(scalar.values) if scalar.is_valid else None for scalar in array]
        if kinds.is_struct(kind):
            return self._read_structs(array)
        if _is_text(kind) or _is_binary(kind):
            return [self._read_one_text(scalar) for scalar in array]
        self._left -= 2 * len(array)  # a character and a comma at least
        return _read_values(array)

    def _read_items(self, array: Any) -> list[Json]:
        # What holds lists is read one by one: what is left out must stand behind all that is read.
        step = _STEP if _is_flat(array.type) else 1
        found: list[Json] = []
        self._left -= 2
        while len(found) < len(array):
            if self._left < 0:
                self.is_whole = False
                break
            found += self.read_array(array.slice(len(found), step))
        return found

    def _read_map(self, scalar: Any) -> Json:
        if not scalar.is_valid:
            return None
        entries = self._read_items(scalar.values)
        is_object = _is_text(scalar.type.key_type)
        pairs = [tuple(entry.values()) for entry in entries]
        return dict(pairs) if is_object else [list(pair) for pair in pairs]

    def _read_structs(self, array: Any) -> list[Json]:
        names = _make_names_distinct([field.name for field in array.type])
        columns = [self.read_array(child) for child in array.flatten()]
        rows = zip(*columns, strict=True) if columns else ((),) * len(array)
        self._left -= (sum(map(len, names)) + 2) * len(array)
        return [
            dict(zip(names, row, strict=True)) if ok else None
            for row, ok in zip(rows, array.is_valid().to_pylist(), strict=True)
        ]

    def _read_one_text(self, scalar: Any) -> Json:
        if not scalar.is_valid:
            self._left -= 4
            return None
        shown = _show_text(scalar, self._most)
        self._left -= len(shown)
        if len(shown) == self._most:
            self.is_whole &= count_text_chars(scalar) == self._most
        return shown


def _read_values(array: Any) -> list[Json]:
    """All values of an array of a type that holds no others."""
    import pyarrow.types as kinds

    kind = array.type
    if hasattr(kind, "storage_type"):
        return _read_values(array.storage)
    if kinds.is_dictionary(kind):
        return _read_values(array.dictionary_decode())
    if _is_text(kind):
        return _read_plain_texts(array)
    if kinds.is_float32(kind):
        return _read_short_floats(array)
    return _read_times(array) if kinds.is_temporal(kind) else _to_json_values(array)


def _is_text(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _is_binary(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_fixed_size_binary(kind))


def _is_list(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind))


def _is_nested(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_nested(kind))


def _is_flat(kind: Any) -> bool:
    """Whether a type holds no lists or maps."""
    import pyarrow.types as kinds

    if kinds.is_struct(kind):
        return all(_is_flat(field.type) for field in kind)
    return not _is_nested(kind)


def _count_name_chars(kind: Any) -> int:
    """The characters of the names of all fields in a struct, which each of its values repeats."""
    import pyarrow.types as kinds

    if not kinds.is_struct(kind):
        return 0
    return sum(len(field.name) + _count_name_chars(field.type) for field in kind)


def _measure_longest_text(array: Any) -> int:
    """The bytes of the longest text of an array."""
    import pyarrow.compute as pc

    return int(pc.max(pc.binary_length(array)).as_py() or 0)


def _make_names_distinct(names: Sequence[str]) -> list[str]:
    """Names that are met twice with a number."""
    found: dict[str, None] = {}
    numbers: dict[str, int] = {}  # the last one that a name got, so that thousands of the same take linear time
    for name in names:
        different, number = name, numbers.get(name, 1)
        while different in found:
            number += 1
            different = f"{name}_{number}"
        numbers[name] = number
        found[different] = None
    return list(found)


def _read_plain_texts(array: Any) -> list[Json]:
    import pyarrow as pa

    try:
        values: list[Json] = array.to_pylist()
    except UnicodeDecodeError:
        raw = array.cast(pa.large_binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", "replace") for value in raw]
    return values


def _read_short_floats(array: Any) -> list[Json]:
    """Through Arrow's shortest text: widened to a double, 7.8 would show as 7.800000190734863."""
    import pyarrow as pa

    return [None if text is None else _to_json_value(float(text)) for text in array.cast(pa.string()).to_pylist()]


def _read_times(array: Any) -> list[Json]:
    try:
        return _to_json_values(array)
    except (ValueError, OverflowError):  # Python's calendar ends with the year 9999, Spark's does not
        return [_format_far_time(scalar) if scalar.is_valid else None for scalar in array]


def _format_far_time(scalar: Any) -> str:
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


def _to_json_values(array: Any) -> list[Json]:
    return [_to_json_value(value) for value in array.to_pylist()]


def _to_json_value(value: Any) -> Json:  # noqa: PLR0911  (one line for each kind of value)
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
