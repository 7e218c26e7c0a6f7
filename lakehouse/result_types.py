"""Spark's types, as a result names them, to Arrow's types, and cells of JSON to what they stand for.

The names are those of Spark's `DataType.simpleString`, in which the names of fields are not quoted:
`array<struct<a:int,b c:decimal(3,2)>>`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

Read = Callable[[Any], Any]
"""Reads a cell that is not null."""

_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")


class UnknownTypeError(ValueError):
    """A type that Arrow has none for, or cells that are not of the type."""


@dataclass(frozen=True)
class _CellType:
    """An Arrow type, and how its cells are read."""

    arrow: Any
    read: Read


def build_array(kind: str, cells: Sequence[Any]) -> Any:
    """Build an Arrow array of JSON cells of one of Spark's types. Raises UnknownTypeError."""
    import pyarrow as pa

    try:
        parsed = _parse_type(kind.strip())
        return pa.array([_read_nullable(cell, parsed.read) for cell in cells], parsed.arrow)
    except (ValueError, TypeError, ArithmeticError, AttributeError, pa.ArrowException) as error:
        raise UnknownTypeError(f"a column of type {kind} has a cell that is none") from error


def _read_nullable(cell: Any, read: Read) -> Any:
    return None if cell is None else read(cell)


def _parse_type(kind: str) -> _CellType:
    import pyarrow as pa

    if (found := _parse_flat_type(kind)) is not None:
        return found
    outer, _, rest = kind.partition("<")
    if not rest.endswith(">"):
        raise UnknownTypeError(kind)
    parts = _split_parts(rest[:-1])
    match outer, parts:
        case "array", [item]:
            element = _parse_type(item)
            return _CellType(
                pa.list_(element.arrow),
                lambda cell: [_read_nullable(one, element.read) for one in _require(list, cell)],
            )
        case "map", [key, value]:
            return _build_map(_parse_type(key), _parse_type(value))
        case "struct", [_, *_]:
            return _build_struct([_split_field(part) for part in parts])
    raise UnknownTypeError(kind)


def _parse_flat_type(kind: str) -> _CellType | None:
    """The type without parts, None for others. Intervals, and whatever a later Spark has, are the texts that came."""
    import pyarrow as pa

    known: Mapping[str, tuple[Any, Read]] = {
        "void": (pa.null(), _read_nothing),
        "boolean": (pa.bool_(), lambda cell: _require(bool, cell)),
        "tinyint": (pa.int8(), _read_integer),
        "smallint": (pa.int16(), _read_integer),
        "int": (pa.int32(), _read_integer),
        "bigint": (pa.int64(), _read_integer),
        "float": (pa.float32(), float),
        "double": (pa.float64(), float),
        "date": (pa.date32(), date.fromisoformat),
        "timestamp": (pa.timestamp("us", "UTC"), _read_instant),
        "timestamp_ntz": (pa.timestamp("us"), datetime.fromisoformat),
        "binary": (pa.binary(), lambda cell: base64.b64decode(cell, validate=True)),
    }
    if kind in known:
        return _CellType(*known[kind])
    if found := _DECIMAL.fullmatch(kind):
        return _CellType(pa.decimal128(int(found[1]), int(found[2])), Decimal)
    if kind.startswith("time("):
        return _CellType(pa.time64("us"), time.fromisoformat)
    return None if "<" in kind else _CellType(pa.string(), lambda cell: _require(str, cell))


def _build_map(key: _CellType, value: _CellType) -> _CellType:
    import pyarrow as pa

    def read(cell: Any) -> list[tuple[Any, Any]]:
        pairs = cell.items() if isinstance(cell, dict) else _require(list, cell)  # an object where the keys are texts
        return [(key.read(name), _read_nullable(one, value.read)) for name, one in pairs]

    return _CellType(pa.map_(key.arrow, value.arrow), read)


def _build_struct(fields: Sequence[tuple[str, str]]) -> _CellType:
    """Fields are found by their place: of two with one name the second has another in a cell."""
    import pyarrow as pa

    names = [name for name, _ in fields]
    if len({name.lower() for name in names}) < len(names) or not all(names):
        raise UnknownTypeError("fields of one name, or none")
    kinds = [_parse_type(kind) for _, kind in fields]

    def read(cell: Any) -> dict[str, Any]:
        values = [_read_nullable(one, kind.read) for one, kind in zip(cell.values(), kinds, strict=True)]
        return dict(zip(names, values, strict=True))

    return _CellType(pa.struct([pa.field(name, kind.arrow) for name, kind in zip(names, kinds, strict=True)]), read)


def _split_parts(text: str) -> list[str]:
    """Split at the commas that are outside brackets.

    >>> _split_parts("a:int,b:decimal(3,2),c:map<int,int>")
    ['a:int', 'b:decimal(3,2)', 'c:map<int,int>']
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _split_field(text: str) -> tuple[str, str]:
    name, _, kind = text.partition(":")
    if not kind:
        raise UnknownTypeError(text)
    return name, kind


def _require(kind: type, cell: Any) -> Any:
    if not isinstance(cell, kind):
        raise UnknownTypeError(f"{type(cell).__name__} instead of {kind.__name__}")
    return cell


def _read_nothing(cell: Any) -> None:
    raise UnknownTypeError(f"{type(cell).__name__} instead of null")


def _read_integer(cell: Any) -> int:
    """Read an integer; one that doubles cannot hold comes as a text."""
    return int(cell) if isinstance(cell, str) else int(_require(int, cell))


def _read_instant(cell: str) -> datetime:
    """Read a timestamp with a zone; one without is in UTC, the time zone of every session."""
    found = datetime.fromisoformat(cell)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
