"""What Sail and DataFusion report of types that do not go together, and Spark's error condition for it.

Their sentences name types of Arrow. A mismatch is one to Spark only where none of its rules brings the types together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

Mismatch = tuple[str, str]
"""A condition of Spark's, and the sentence to show."""

_TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "Int8": ("TINYINT", "integer"),
    "Int16": ("SMALLINT", "integer"),
    "Int32": ("INT", "integer"),
    "Int64": ("BIGINT", "integer"),
    "Float32": ("FLOAT", "fraction"),
    "Float64": ("DOUBLE", "fraction"),
    "Decimal128": ("DECIMAL", "fraction"),
    "Boolean": ("BOOLEAN", "boolean"),
    "Binary": ("BINARY", "binary"),
    "Date32": ("DATE", "date"),
    "Timestamp": ("TIMESTAMP", "timestamp"),
    "Duration": ("INTERVAL", "interval"),
    "Interval": ("INTERVAL", "interval"),
    "List": ("ARRAY", "array"),
    "Map": ("MAP", "map"),
    "Struct": ("STRUCT", "struct"),
    "Utf8": ("STRING", ""),
}
"""Spark's names of Arrow's types, and their families in its type coercion. Text, which is cast to many, is in none."""

_NUMBERS: Final = frozenset({"integer", "fraction"})
_MOMENTS: Final = frozenset({"date", "timestamp"})
_TYPE: Final = re.compile(r"[A-Z]\w*")
_OPERATOR: Final = re.compile(r" ([-+*/%<>=!]{1,3}|IS (?:NOT )?DISTINCT FROM) ")
_PAIRS: Final = re.compile(
    r"(Cannot coerce arithmetic expression|Cannot get result type for temporal operation"
    r"|Cannot infer common argument type for comparison operation) "
)
_UNION: Final = re.compile(r"Incompatible inputs for Union: Previous inputs were of type ")
_UNION_NEXT: Final = re.compile(r", but got incompatible type ")
_CASE: Final = re.compile(r"Failed to coerce then \(")
_CASE_NEXT: Final = re.compile(r", |\) and else \((?:None)?")
_CAST: Final = re.compile(r"Unsupported CAST from ")
_CAST_NEXT: Final = re.compile(r" to ")
_BOTH: Final = re.compile(r"Cannot automatically convert ")
_IN: Final = re.compile(r"Can not find compatible types to compare ")
_IN_NEXT: Final = re.compile(r" with \[|, ")


def find_mismatch(sentence: str, at: int) -> Mismatch | None:
    """Spark's condition for a sentence about types that begins `at`; None where Spark may answer the statement."""
    return next((found for read in _READERS if (found := read(sentence, at)) is not None), None)


def _name_pair(sentence: str, at: int) -> Mismatch | None:
    """An operator between types that Spark does not bring together."""
    begins = _PAIRS.match(sentence, at)
    if begins is None:
        return None
    left, at = _read_type(sentence, begins.end())
    operator = _OPERATOR.match(sentence, at)
    if operator is None:
        return None
    right, _ = _read_type(sentence, operator.end())
    if begins[1].endswith("comparison operation"):
        condition = "BINARY_OP_DIFF_TYPES" if _are_apart(left, right) else ""
    else:
        condition = _refuse_arithmetic(_get_family(left), operator[1], _get_family(right))
    return _name_mismatch(
        condition, f"{operator[1]} cannot take {_spark_name(left)} and {_spark_name(right)}. Cast one of them."
    )


def _refuse_arithmetic(left: str, operator: str, right: str) -> str:
    """The condition for operands that no rule of Spark's brings together; empty where one does, or may."""
    sides = {left, right}
    if "" in sides or sides <= _NUMBERS or _is_arithmetic_of_times(left, operator, right):
        return ""
    offset = "interval" in sides or (operator == "-" and sides & _MOMENTS) or (operator == "+" and "date" in sides)
    if offset and (sides & {"interval"} or operator == "-" or sides & _NUMBERS):
        return "UNEXPECTED_INPUT_TYPE"
    return "BINARY_OP_WRONG_TYPE" if left == right else "BINARY_OP_DIFF_TYPES"


def _is_arithmetic_of_times(left: str, operator: str, right: str) -> bool:
    """Whether an operator moves a time, or scales an interval."""
    sides = {left, right}
    if "interval" in sides:
        return operator in {"*", "/"} or sides - {"interval"} <= _MOMENTS
    if operator == "+":
        # Of two times one may have been a NULL, which is an interval to Spark.
        return sides <= _MOMENTS or sides == {"date", "integer"}
    return operator == "-" and (sides <= _MOMENTS or (left, right) == ("date", "integer"))


def _name_union(sentence: str, at: int) -> Mismatch | None:
    """Columns of two queries that no type is common to."""
    types = _read_types(sentence, at, _UNION, _UNION_NEXT)
    if len(types) != 2 or not _are_apart(*types):
        return None
    condition = "INCOMPATIBLE_COLUMN_TYPE"
    left, right = map(_spark_name, types)
    text = f"The queries of a set operation have {left} and {right} in one column. Cast one of them."
    return condition, text


def _name_several(sentence: str, at: int) -> Mismatch | None:
    """Values that must have one type, as the branches of a CASE, and that no type is common to."""
    for first, following in ((_CASE, _CASE_NEXT), (_IN, _IN_NEXT), (_BOTH, _CAST_NEXT)):
        types = _read_types(sentence, at, first, following)
        if any(_are_apart(one, other) for one in types for other in types):
            found = ", ".join(dict.fromkeys(map(_spark_name, types)))
            return _name_mismatch("DATA_DIFF_TYPES", f"Values of {found} stand where one type is needed. Cast them.")
    return None


def _name_cast(sentence: str, at: int) -> Mismatch | None:
    """A cast that Spark does not have either."""
    types = _read_types(sentence, at, _CAST, _CAST_NEXT)
    if len(types) != 2:
        return None
    source, target = map(_get_family, types)
    nested = {source, target} & {"array", "map", "struct"}
    days = "date" in {source, target} and {source, target} & {*_NUMBERS, "boolean", "binary"}
    refused = days or (nested and source and target and source != target)
    return _name_mismatch(
        "CAST_WITHOUT_SUGGESTION" if refused else "",
        f"{_spark_name(types[0])} cannot be cast to {_spark_name(types[1])}.",
    )


_READERS: Final[tuple[Callable[[str, int], Mismatch | None], ...]] = (
    _name_pair,
    _name_union,
    _name_several,
    _name_cast,
)


def _name_mismatch(kind: str, text: str) -> Mismatch | None:
    return (f"DATATYPE_MISMATCH.{kind}", text) if kind else None


def _are_apart(one: str, other: str) -> bool:
    """Whether Spark casts neither type to the other without being told to."""
    families = {_get_family(one), _get_family(other)}
    return len(families) == 2 and "" not in families and not families <= _NUMBERS and not families <= _MOMENTS


def _get_family(kind: str) -> str:
    return _TYPES.get(kind, ("", ""))[1]


def _spark_name(kind: str) -> str:
    return _TYPES.get(kind, (kind, ""))[0]


def _read_types(sentence: str, at: int, first: re.Pattern[str], following: re.Pattern[str]) -> list[str]:
    """The types behind some words, and behind each of the words that follow a type."""
    types: list[str] = []
    words = first.match(sentence, at)
    while words is not None:
        kind, at = _read_type(sentence, words.end())
        if kind:
            types.append(kind)
        words = following.match(sentence, at)
    return types


def _read_type(sentence: str, at: int) -> tuple[str, int]:
    """The name of an Arrow type, and where the type ends. What stands in quotes may be the sender's own words."""
    name = _TYPE.match(sentence, at)
    if name is None:
        return "", at
    at, depth, quoted = name.end(), 0, False
    if not sentence.startswith("(", at):
        return name[0], at
    for place in range(at, len(sentence)):
        letter = sentence[place]
        quoted ^= letter == '"'
        depth += 0 if quoted else (letter == "(") - (letter == ")")
        if depth == 0 and not quoted:
            return name[0], place + 1
    return name[0], len(sentence)
