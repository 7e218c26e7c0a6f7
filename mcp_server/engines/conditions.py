"""Spark's error conditions for what Sail and DataFusion report in sentences of their own.

A failure with a condition is a mistake of the statement: Spark refuses it as well, so no other engine is asked. A rule
therefore stands here only where Spark refuses every statement that the sentence can be about. The rules were compared
with Spark's own SQL tests; sentences that are left out may come from something that this engine lacks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mcp_server.sql.sqlstates import sqlstate_of


@dataclass(frozen=True)
class Named:
    """A condition of Spark's, its SQLSTATE, and the sentence to show.

    `condition` is None where Spark fails as well, and without a condition.
    """

    condition: str | None
    sqlstate: str | None
    text: str


@dataclass(frozen=True)
class _Rule:
    """What a sentence begins with, behind DataFusion's prefixes.

    `text` is shown instead and may use the pattern's groups; where it is empty, the sentence itself is shown.
    """

    pattern: re.Pattern[str]
    condition: str | None
    text: str = ""


_PREFIXES: Final = re.compile(
    r"(?:(?:Error during planning|invalid argument|failed to simplify scan pruning filter"
    r"|This feature is not implemented|[A-Z][a-z]++(?: [a-z]++)?? error): )*+"
)
"""What DataFusion and Arrow put before a sentence, possibly several of them."""

_MISMATCH: Final = "DATATYPE_MISMATCH"
_ARGUMENTS: Final = "WRONG_NUM_ARGS.WITHOUT_SUGGESTION"
_PATTERN: Final = "INVALID_DATETIME_PATTERN"
_OTHER_PATTERN: Final = "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION"
_DATE_PARTS: Final = (
    "y|years?|yrs?|yearofweek|quarter|qtr|months?|mons?|weeks?|w|days?|d|dayofweek|dow|dayofweek_iso|dow_iso|doy"
    "|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s"
)
"""What Spark extracts of a time."""

_RULES: Final[tuple[_Rule, ...]] = (
    # Names.
    _Rule(
        re.compile(r"attribute (`.{0,300}`) is missing from the schema: cannot resolve attribute"),
        "UNRESOLVED_COLUMN",
        r"A column or function parameter with name \1 cannot be resolved.",
    ),
    # Values.
    _Rule(
        re.compile(r"(?:Division by zero|[Dd]ivide by zero)"),
        "DIVIDE_BY_ZERO",
        "Division by zero. Use `try_divide` to get NULL instead.",
    ),
    _Rule(
        re.compile(r"Remainder by zero"), "REMAINDER_BY_ZERO", "Remainder by zero. Use `try_mod` to get NULL instead."
    ),
    _Rule(  # how a rule of the dialect fails where a row has several values
        re.compile(r"Cannot cast (?:string|value) 'SCALAR_SUBQUERY_TOO_MANY_ROWS"),
        "SCALAR_SUBQUERY_TOO_MANY_ROWS",
        "More than one row returned by a subquery used as an expression. Aggregate it, or add LIMIT 1.",
    ),
    _Rule(
        re.compile(r"Cannot cast (?:string|value) '(.{0,600})' to value of (\w+) type"),
        "CAST_INVALID_INPUT",
        r"The text '\1' is no \2. Correct it, or use `try_cast` to get NULL instead.",
    ),
    _Rule(
        re.compile(r"Cannot cast string '([^'\d]{0,600})' to value of (Decimal)128\(\d+, -?\d+\) type"),
        "CAST_INVALID_INPUT",
        r"The text '\1' is no \2. Correct it, or use `try_cast` to get NULL instead.",
    ),
    _Rule(
        re.compile(r"Can't cast value (\S+) to type (\w+)"),
        "CAST_OVERFLOW",
        r"The value \1, cast or calculated, does not fit into \2. Use a wider type, or `try_cast`.",
    ),
    _Rule(
        re.compile(
            r"(?:Overflow while rounding|(?:\w{1,30} ){0,4}overflow on|value of -?\d+ is out of range Int"
            r"|(?<![-\d.e])[-\d.e]{1,80}+ is too (?:large|small) to store in a Decimal)"
        ),
        "ARITHMETIC_OVERFLOW",
        "A number outgrows its type. Cast to a wider type first, such as BIGINT.",
    ),
    _Rule(
        re.compile(r"(?:tiny|small|big)?int: -?\d+\Z"),
        "INVALID_NUMERIC_LITERAL_RANGE",
        "A number does not fit into the type that its last letter stands for. Leave the letter out.",
    ),
    _Rule(
        re.compile(r"precision should be between 1 and 38"),
        "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
        "A DECIMAL has at most 38 digits.",
    ),
    _Rule(
        re.compile(r"(?:try_)?element_at: the index is out of bounds"),
        "INVALID_ARRAY_INDEX_IN_ELEMENT_AT",
        "The index of element_at is out of bounds. Use `try_element_at` to get NULL instead.",
    ),
    _Rule(
        re.compile(r"(?:\w{1,40}: the index 0 is invalid|field position must not be zero)"),
        "INVALID_INDEX_OF_ZERO",
        "The index 0 is invalid: the first element has index 1, the last one -1.",
    ),
    _Rule(
        re.compile(r"Found unmasked nulls for non-nullable StructArray field \"key\""),
        "NULL_MAP_KEY",
        "Cannot use null as map key.",
    ),
    _Rule(
        re.compile(r"Scalar subquery returned more than one row"),
        "SCALAR_SUBQUERY_TOO_MANY_ROWS",
        "More than one row returned by a subquery used as an expression. Aggregate it, or add LIMIT 1.",
    ),
    _Rule(
        re.compile(r"String '.{0,600}' does not match the expected regex pattern"),
        "INVALID_FORMAT.MISMATCH_INPUT",
        "A text does not match the format of to_number. Use `try_to_number` to get NULL instead.",
    ),
    _Rule(re.compile(r"(?:\w{1,40}: )?position -?\d+ is out of bounds"), "INVALID_PARAMETER_VALUE.BIT_POSITION_RANGE"),
    _Rule(
        re.compile(r"Spark `\w+` function: Expects group index between"), "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX"
    ),
    _Rule(re.compile(r"invalid escape character: "), "INVALID_ESC", "The string behind ESCAPE must be one character."),
    _Rule(re.compile(r"Illegal sequence boundaries: "), None),
    _Rule(
        re.compile(r"(?:Percentile value \S{1,40} is out of range|NTILE requires a positive integer)"),
        f"{_MISMATCH}.VALUE_OUT_OF_RANGE",
    ),
    # Dates and times.
    _Rule(re.compile(r"(?:Month|Day) value '-?\d+' is out of range"), "DATETIME_FIELD_OUT_OF_BOUNDS.WITH_SUGGESTION"),
    _Rule(
        re.compile(r"invalid input for Spark `\w+`: year=\d+, month=(?:0|1[3-9]|[2-9]\d+|1\d\d+), "),
        "DATETIME_FIELD_OUT_OF_BOUNDS.WITH_SUGGESTION",
        "Invalid value for MonthOfYear (valid values 1 - 12).",
    ),
    _Rule(re.compile(r"invalid datetime pattern: unsupported pattern letter "), _PATTERN),
    _Rule(re.compile(r"invalid datetime pattern: "), _OTHER_PATTERN),
    _Rule(re.compile(r"Illegal input for day of week: "), "ILLEGAL_DAY_OF_WEEK"),
    _Rule(re.compile(rf"Date part '(?!(?i:{_DATE_PARTS})')[^']*' not supported"), "INVALID_EXTRACT_FIELD"),
    _Rule(
        re.compile(
            r"(?:Error parsing timestamp: \[CANNOT_PARSE_TIMESTAMP\] (?:Execution error: )?)?"
            r"(?:expected numeric datetime field|expected datetime literal"
            r"|invalid parsed date: no possible date and time matching input"
            r"|invalid parsed (?:month|hour|minute|second): input is out of range)"
        ),
        "CANNOT_PARSE_TIMESTAMP",
        "A text could not be parsed by the pattern of times. Use `try_to_timestamp` to get NULL instead.",
    ),
    _Rule(
        re.compile(r"invalid timestamp: (?!epoch|now|today|tomorrow|yesterday)([A-SU-Za-su-z][^\d]{0,600})\Z"),
        "CAST_INVALID_INPUT",
        r"The text '\1' is no TIMESTAMP. Correct it, or use `try_cast` to get NULL instead.",
    ),
    # Queries.
    _Rule(
        re.compile(
            r"(\w{1,20}) queries have different number of columns: left has (\d+) columns"
            r" whereas right has (\d+) columns"
        ),
        "NUM_COLUMNS_MISMATCH",
        r"\1 needs the same number of columns on both sides: the first query has \2, the second \3.",
    ),
    _Rule(re.compile(r"[\w/` ]{1,40} must have the same number of columns"), "NUM_COLUMNS_MISMATCH"),
    _Rule(
        re.compile(r"number of column names \((\d+)\) does not match number of columns \((\d+)\)"),
        "NUM_TABLE_VALUE_ALIASES_MISMATCH",
        r"\1 names are given to \2 columns.",
    ),
    _Rule(
        re.compile(r"missing or ambiguous field: (.{1,300})"),
        "FIELD_NOT_FOUND",
        r"A struct has no field \1, or several of that name.",
    ),
    _Rule(re.compile(r"undefined window: "), "MISSING_WINDOW_SPECIFICATION"),
    _Rule(
        re.compile(r"Scalar subquery should only return one column, but found (\d+)"),
        "INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN",
        r"A sub-query in the place of a value must return one column, but returns \1.",
    ),
    _Rule(
        re.compile(r"Aggregate function calls cannot be nested"),
        "NESTED_AGGREGATE_FUNCTION",
        "An aggregate cannot take another aggregate. Put the inner one into a sub-query.",
    ),
    # Calls.
    _Rule(
        re.compile(r"(zero|one|two|three|four|five) values? expected: \[(?!Sort)"),
        _ARGUMENTS,
        r"A function is called with a wrong number of arguments: it takes \1.",
    ),
    _Rule(re.compile(r"`\w+` expects [\d or]{1,20} arguments, got \d+"), _ARGUMENTS),
    _Rule(re.compile(r"named_struct requires an even number of arguments"), _ARGUMENTS),
    _Rule(
        re.compile(r"map\(k1, v1, k2, v2, \.\.\.\): expect number of args"),
        _ARGUMENTS,
        "map takes keys and values in turn: an even number of arguments.",
    ),
    _Rule(re.compile(r"the lambda function declares \d+ parameters"), "INVALID_LAMBDA_FUNCTION_CALL.NUM_ARGS_MISMATCH"),
    _Rule(re.compile(r"(?:map_)?filter lambda must return boolean"), f"{_MISMATCH}.UNEXPECTED_INPUT_TYPE"),
    _Rule(
        re.compile(
            r"(?:\w{1,40} expects List or Map as argument"
            r"|(?:(?:pos)?explode|inline) should only be called with a list or map)"
        ),
        f"{_MISMATCH}.UNEXPECTED_INPUT_TYPE",
    ),
    _Rule(
        re.compile(r"cannot extract value from data type: (?!Null)(\w+)"),
        "INVALID_EXTRACT_BASE_FIELD_TYPE",
        r"Can't extract a value from \1: that takes an array, a map or a struct.",
    ),
)

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


def name_condition(sentence: str) -> Named | None:
    """Spark's condition for a sentence of Sail's; None where Spark may answer the statement.

    >>> name_condition("Cannot coerce arithmetic expression Int32 + Boolean to valid types").condition
    'DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES'
    """
    prefix = _PREFIXES.match(sentence)
    at = prefix.end() if prefix else 0
    for rule in _RULES:
        found = rule.pattern.match(sentence, at)
        if found is not None:
            text = found.expand(rule.text) if rule.text else sentence[at:]
            return Named(rule.condition, sqlstate_of(rule.condition), text)
    return next((named for read in _READERS if (named := read(sentence, at)) is not None), None)


def _name_pair(sentence: str, at: int) -> Named | None:
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


def _name_union(sentence: str, at: int) -> Named | None:
    """Columns of two queries that no type is common to."""
    types = _read_types(sentence, at, _UNION, _UNION_NEXT)
    if len(types) != 2 or not _are_apart(*types):
        return None
    condition = "INCOMPATIBLE_COLUMN_TYPE"
    left, right = map(_spark_name, types)
    text = f"The queries of a set operation have {left} and {right} in one column. Cast one of them."
    return Named(condition, sqlstate_of(condition), text)


def _name_several(sentence: str, at: int) -> Named | None:
    """Values that must have one type, as the branches of a CASE, and that no type is common to."""
    for first, following in ((_CASE, _CASE_NEXT), (_IN, _IN_NEXT), (_BOTH, _CAST_NEXT)):
        types = _read_types(sentence, at, first, following)
        if any(_are_apart(one, other) for one in types for other in types):
            found = ", ".join(dict.fromkeys(map(_spark_name, types)))
            return _name_mismatch("DATA_DIFF_TYPES", f"Values of {found} stand where one type is needed. Cast them.")
    return None


def _name_cast(sentence: str, at: int) -> Named | None:
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


_READERS: Final[tuple[Callable[[str, int], Named | None], ...]] = (_name_pair, _name_union, _name_several, _name_cast)


def _name_mismatch(kind: str, text: str) -> Named | None:
    return Named(f"{_MISMATCH}.{kind}", sqlstate_of(_MISMATCH), text) if kind else None


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
