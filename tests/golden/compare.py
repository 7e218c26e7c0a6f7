"""Writes results as Spark's tests print them (`HiveResult`), and compares them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from mcp_server.sql.typed.types import Array, Atomic, Interval, Map, Struct, Type

_DIGITS: Final = {"double": 9, "float": 6}
"""Digits that two engines have in common, whose sums are made in another order."""

_FRACTION: Final = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)(?![\w.])")


def print_cell(value: Any, kind: Type | None, *, nested: bool = False) -> str:
    """Return a cell as Spark prints it; `nested` where it is part of another one."""
    if value is None:
        return "null" if nested else "NULL"
    if isinstance(kind, Array):
        return "[" + ",".join(print_cell(each, kind.element, nested=True) for each in value) + "]"
    if isinstance(kind, Map):
        pairs = value.items() if isinstance(value, Mapping) else value
        texts = sorted(
            f"{print_cell(key, kind.key, nested=True)}:{print_cell(each, kind.value, nested=True)}"
            for key, each in pairs
        )
        return "{" + ",".join(texts) + "}"
    if isinstance(kind, Struct):
        values = list(value.values()) if isinstance(value, Mapping) else list(value)
        fields = zip(kind.fields, values, strict=True)
        return (
            "{" + ",".join(f'"{name}":{print_cell(each, type_, nested=True)}' for (name, type_), each in fields) + "}"
        )
    if isinstance(value, str):
        return f'"{value}"' if nested else value
    return _print_plain(value, kind)


def _print_plain(value: Any, kind: Type | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        fraction = f"{value.microsecond:06d}".rstrip("0")
        return value.strftime("%Y-%m-%d %H:%M:%S") + (f".{fraction}" if fraction else "")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _print_days(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(kind, Interval) and kind.of_months and isinstance(value, int):
        sign, months = "-" if value < 0 else "", abs(value)
        return f"{sign}{months // 12}-{months % 12}"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _print_days(value: timedelta) -> str:
    whole = (value.days * 86_400 + value.seconds) * 10**6 + value.microseconds
    sign, whole = "-" if whole < 0 else "", abs(whole)
    seconds, micros = divmod(whole, 10**6)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{sign}{days} {hours:02d}:{minutes:02d}:{seconds:02d}.{micros:06d}000"


def compare_rows(expected: str, rows: Sequence[Sequence[Any]], kinds: Sequence[Type | None]) -> str:
    """Return `equal`, `order` where the same rows come in another order, or `other`."""
    found = ["\t".join(print_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True)) for row in rows]
    given = [_loosen(line, kinds) for line in _lines(expected.split("\n"))]
    made = [_loosen(line, kinds) for line in _lines("\n".join(found).split("\n"))]
    return "equal" if given == made else "order" if sorted(given) == sorted(made) else "other"


def _lines(lines: Sequence[str]) -> list[str]:
    return [line.rstrip() for line in lines if line.strip()]


def _loosen(line: str, kinds: Sequence[Type | None]) -> str:
    """Return a line with fractions cut to the digits that engines have in common."""
    cells = line.split("\t")
    if len(cells) != len(kinds):
        return _FRACTION.sub(lambda found: _cut(found[0], 9), line)
    return "\t".join(
        _cut(cell, _DIGITS[kind.name])
        if isinstance(kind, Atomic) and kind.name in _DIGITS
        else _FRACTION.sub(lambda found: _cut(found[0], 9), cell)
        if isinstance(kind, Array | Map | Struct)
        else cell
        for cell, kind in zip(cells, kinds, strict=True)
    )


def _cut(text: str, digits: int) -> str:
    try:
        number = float(text)
    except ValueError:
        return text
    return f"{number:.{digits}e}" if math.isfinite(number) else str(number)
