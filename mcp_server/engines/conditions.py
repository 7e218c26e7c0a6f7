"""Spark's error conditions for what Sail and DataFusion report in sentences of their own.

A failure with a condition is a mistake of the statement: Spark refuses it as well, so no other engine is asked. A rule
therefore stands here only where Spark refuses every statement that the sentence can be about. The rules were compared
with Spark's own SQL tests; sentences that are left out may come from something that this engine lacks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mcp_server.engines.mismatches import find_mismatch
from mcp_server.sql.sqlstates import sqlstate_of


@dataclass(frozen=True)
class NamedCondition:
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


def name_condition(sentence: str) -> NamedCondition | None:
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
            return NamedCondition(rule.condition, sqlstate_of(rule.condition), text)
    mismatch = find_mismatch(sentence, at)
    return None if mismatch is None else NamedCondition(mismatch[0], sqlstate_of(mismatch[0]), mismatch[1])
