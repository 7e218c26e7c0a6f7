"""Spark's types, and which type two of them become together.

A type that cannot be told is None, never a guess. The rules are those of Spark 4.2 with ANSI mode:
`AnsiTypeCoercion`, `DecimalPrecisionTypeCoercion` and `arithmetic.scala`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

MAX_PRECISION: Final = 38
MAX_DIGITS: Final = 9
"""Of a number in a type: a precision, a scale or a length."""

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

NAMES: Final[Mapping[str, Atomic]] = {
    **{kind.name: kind for kind in (VOID, BOOLEAN, *INTEGERS, *FRACTIONS, STRING, BINARY, DATE, TIME, VARIANT)},
    "timestamp": TIMESTAMP,
    "timestamp_ltz": TIMESTAMP,
    "timestamp_ntz": TIMESTAMP_NTZ,
    "null": VOID,
    "byte": TINYINT,
    "short": SMALLINT,
    "integer": INT,
    "long": BIGINT,
    "real": FLOAT,
}
"""Spark's names of atomic types, and the other names that it takes for them."""

_SPANS: Final = ("year", "month", "day", "hour", "minute", "second")
_ZONES: Final = {"without": TIMESTAMP_NTZ, "with": TIMESTAMP}
_TOKEN: Final = re.compile(r"`(?:[^`]|``){0,999}+`|'[^']{0,9999}+'|\w+|[<>(),:]|\S")


_BITS: Final[Mapping[Type, int]] = {TINYINT: 8, SMALLINT: 16, INT: 32, BIGINT: 64}


def range_of_type(kind: Type | None) -> tuple[int, int] | None:
    """Return the least and the greatest number of a whole type, None for others."""
    bits = None if kind is None else _BITS.get(kind)
    return None if bits is None else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def parse_type(text: str) -> Type | None:
    """Return the type of that name as Spark reads it, in any case; None for what Spark, or this module, has not.

    >>> str(parse_type("array<struct<a: dec(4)>>"))
    'ARRAY<STRUCT<`a`: DECIMAL(4, 0)>>'
    """
    reader = TypeReader(text)
    try:
        kind = reader.read()
    except UnreadableError:
        return None
    return kind if reader.at_end else None


def parse_fields(text: str) -> Struct | None:
    """Return the type of rows with the columns of a schema: `a INT, b: STRING`; None where it cannot be read."""
    kind = parse_type(f"struct<{text}>")
    return kind if isinstance(kind, Struct) else None


class UnreadableError(Exception):
    """No type of this name is known."""


class TypeReader:
    """Reads the name of a type, token by token."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = _TOKEN.findall(text)
        self._next = 0

    @property
    def at_end(self) -> bool:
        """Whether all is read."""
        return self._next == len(self._tokens)

    def peek(self, ahead: int = 0) -> str:
        """Return a token that is yet to be read in lower case, nothing at the end."""
        place = self._next + ahead
        return self._tokens[place].lower() if place < len(self._tokens) else ""

    def take(self, *expected: str) -> str:
        """Return the next token and go on. Raises UnreadableError where it is none of those expected."""
        if self.at_end or (expected and self.peek() not in expected):
            raise UnreadableError
        self._next += 1
        return self._tokens[self._next - 1]

    def skip(self, token: str) -> bool:
        """Go on where the next token is this one."""
        found = self.peek() == token
        self._next += found
        return found

    def _numbers(self) -> list[int]:
        """Numbers in brackets, none where no bracket stands."""
        found: list[int] = []
        if self.skip("("):
            found.append(int(self._number()))
            while self.take(",", ")") == ",":
                found.append(int(self._number()))
        return found

    def _number(self) -> str:
        token = self.take()
        if not (token.isascii() and token.isdigit() and len(token) <= MAX_DIGITS):
            raise UnreadableError
        return token

    def read(self) -> Type:
        """Read one type."""
        word = self.take().lower()
        read = _READERS.get(word)
        if read is not None:
            return read(self)
        if word not in NAMES:
            raise UnreadableError
        if word == "timestamp" and self.peek() in _ZONES:
            return self._zoned()
        return NAMES[word]

    def _zoned(self) -> Type:
        kind = _ZONES[self.take().lower()]
        self.skip("local")
        self.take("time")
        self.take("zone")
        return kind

    def string(self) -> Type:
        if self.skip("collate") and self.take().lower() != "utf8_binary":
            raise UnreadableError
        return STRING

    def decimal(self) -> Type:
        numbers = self._numbers()
        return Decimal(*([*numbers, 0][:2] if numbers else (10, 0)))

    def char(self) -> Type:
        return Text("char", self._length())

    def varchar(self) -> Type:
        return Text("varchar", self._length())

    def _length(self) -> int:
        numbers = self._numbers()
        if len(numbers) != 1:
            raise UnreadableError
        return numbers[0]

    def time(self) -> Type:
        digits = [*self._numbers(), 6][0]
        return TIME if digits == 6 else Atomic(f"time({digits})")

    def interval(self) -> Type:
        if self.peek() not in _SPANS:
            return Interval()
        start = self.take().lower()
        end = self.take(*_SPANS).lower() if self.skip("to") else start
        if (start in _SPANS[:2]) != (end in _SPANS[:2]) or _SPANS.index(start) > _SPANS.index(end):
            raise UnreadableError
        return Interval(start, end)

    def array(self) -> Type:
        self.take("<")
        element = self.read()
        self.take(">")
        return Array(element)

    def map(self) -> Type:
        self.take("<")
        key = self.read()
        self.take(",")
        value = self.read()
        self.take(">")
        return Map(key, value)

    def struct(self) -> Type:
        self.take("<")
        fields: list[tuple[str, Type | None]] = []
        while not self.skip(">"):
            if fields:
                self.take(",")
            fields.append(self._field())
        return Struct(tuple(fields))

    def _field(self) -> tuple[str, Type]:
        name = self.take()
        if name.startswith("`"):
            name = name[1:-1].replace("``", "`")
        self.skip(":")
        kind = self.read()
        if self.skip("not"):
            self.take("null")
        if self.skip("comment"):
            self.take()
        return name, kind


_READERS: Final[Mapping[str, Callable[[TypeReader], Type]]] = {
    "string": TypeReader.string,
    **dict.fromkeys(("decimal", "dec", "numeric"), TypeReader.decimal),
    **dict.fromkeys(("char", "character"), TypeReader.char),
    "varchar": TypeReader.varchar,
    "time": TypeReader.time,
    "interval": TypeReader.interval,
    "array": TypeReader.array,
    "map": TypeReader.map,
    "struct": TypeReader.struct,
}


def as_schema(kind: Type | None) -> str:
    """Write a type as the schemas of Spark's results do: `array<struct<a:int>>`; `?` for what is not known."""
    match kind:
        case None:
            return "?"
        case Array(element):
            return f"array<{as_schema(element)}>"
        case Map(key, value):
            return f"map<{as_schema(key)},{as_schema(value)}>"
        case Struct(fields):
            return f"struct<{','.join(f'{name}:{as_schema(each)}' for name, each in fields)}>"
        case Atomic("time"):
            return "time(6)"
        case _:
            return str(kind).lower().replace(", ", ",")


def map_parts(kind: Type | None, change: Callable[[Type | None], Type | None]) -> Type | None:
    """Return a type with the types that it holds changed, outer ones last: `change` sees each with changed parts."""
    match kind:
        case Array(element):
            return change(Array(map_parts(element, change)))
        case Map(key, value):
            return change(Map(map_parts(key, change), map_parts(value, change)))
        case Struct(fields):
            return change(Struct(tuple((name, map_parts(each, change)) for name, each in fields)))
        case _:
            return change(kind)


def holds_type(kind: Type | None, test: Callable[[Type], bool]) -> bool:
    """Whether a type, or one that it holds, passes a test."""
    match kind:
        case Array(element):
            return holds_type(element, test)
        case Map(key, value):
            return holds_type(key, test) or holds_type(value, test)
        case Struct(fields):
            return any(holds_type(each, test) for _, each in fields)
        case None:
            return False
        case _:
            return test(kind)


def without_lengths(kind: Type | None) -> Type | None:
    """Return the type of an expression: `char(n)` and `varchar(n)` are strings there."""
    return map_parts(kind, lambda each: STRING if isinstance(each, Text) else each)
