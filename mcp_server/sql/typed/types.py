"""Spark's types, and which type two of them become together.

A type that cannot be told is None, never a guess. The rules are those of Spark 4.2 with ANSI mode:
`AnsiTypeCoercion`, `DecimalPrecisionTypeCoercion` and `arithmetic.scala`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_PRECISION: Final = 38
MIN_SCALE: Final = 6


@dataclass(frozen=True, slots=True)
class Atomic:
    """A type without parameters, by its name in `DESCRIBE`: `int`, `string`, `timestamp_ntz`, `void`, `variant`."""

    name: str

    def __str__(self) -> str:
        return self.name.upper()


@dataclass(frozen=True, slots=True)
class Text:
    """`char(n)` and `varchar(n)`. Expressions over them are strings."""

    name: str
    length: int

    def __str__(self) -> str:
        return f"{self.name.upper()}({self.length})"


@dataclass(frozen=True, slots=True)
class Decimal:
    """`decimal(precision, scale)`."""

    precision: int
    scale: int

    def __str__(self) -> str:
        return f"DECIMAL({self.precision}, {self.scale})"


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval of some fields, such as `interval day to second`; `start` and `end` are None for CalendarInterval."""

    start: str | None = None
    end: str | None = None

    def __str__(self) -> str:
        if self.start is None or self.end is None:
            return "INTERVAL"
        span = self.start if self.start == self.end else f"{self.start} TO {self.end}"
        return f"INTERVAL {span.upper()}"

    @property
    def of_months(self) -> bool:
        """Whether it counts years and months."""
        return self.start in {"year", "month"}


@dataclass(frozen=True, slots=True)
class Array:
    """`array<element>`."""

    element: Type | None

    def __str__(self) -> str:
        return f"ARRAY<{self.element}>"


@dataclass(frozen=True, slots=True)
class Map:
    """`map<key, value>`."""

    key: Type | None
    value: Type | None

    def __str__(self) -> str:
        return f"MAP<{self.key}, {self.value}>"


@dataclass(frozen=True, slots=True)
class Struct:
    """`struct<name: type, …>`, in order."""

    fields: tuple[tuple[str, Type | None], ...]

    def __str__(self) -> str:
        return f"STRUCT<{', '.join(f'`{name}`: {kind}' for name, kind in self.fields)}>"


Type = Atomic | Text | Decimal | Interval | Array | Map | Struct

VOID: Final = Atomic("void")
BOOLEAN: Final = Atomic("boolean")
TINYINT: Final = Atomic("tinyint")
SMALLINT: Final = Atomic("smallint")
INT: Final = Atomic("int")
BIGINT: Final = Atomic("bigint")
FLOAT: Final = Atomic("float")
DOUBLE: Final = Atomic("double")
STRING: Final = Atomic("string")
BINARY: Final = Atomic("binary")
DATE: Final = Atomic("date")
TIME: Final = Atomic("time")
TIMESTAMP: Final = Atomic("timestamp")
TIMESTAMP_NTZ: Final = Atomic("timestamp_ntz")
VARIANT: Final = Atomic("variant")

INTEGERS: Final = (TINYINT, SMALLINT, INT, BIGINT)
"""From the narrowest to the widest."""

FRACTIONS: Final = (FLOAT, DOUBLE)
