# ruff: noqa: E501  (a line holds what belongs together)
"""Values at the edges of each type, as data: what every function is tried on, on both engines.

Left out, for it is declared in docs/engines.md: the sign of a zero, doubles beyond 1e22.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_LONG = "The quick brown fox jumps over the lazy dog and runs on to where nobody follows it any more"

VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "s": (
        "''", "' '", "'a'", "'Abc déf'", "'  two  words '", "'ß'", "'İI'", "'ǆ ﬁ'", "'é☃😀x'", "'e\\u0301'", "'o''Brien MCDONALD-smith x_y 3d'", f"'{_LONG}'",
        "'tab\\there\\nline'", "'12'", "'-7.50'", "' 5 '", "'1e3'", "'0x1F'", "'true'", "'2020-02-29'", "'2020-02-29 12:34:56.789'", "'a,b,,c'", "'a.b|c*d'", "'%_'",
        "'\\\\'", "'{\"a\": 1, \"b\": [1, \"x\"]}'", "'http://u:p@h.org:8/p/a?q=1&r=2#f'", "'YWJj'", "'616263'", "'日本語'", "'NaN'", "'aAbB'", "NULL",
    ),
    "z": ("'a'", "''", "','", "' '", "'ß'", "'A'", "'.'", "'é'", "'12'", "NULL"),
    "k": ("0", "1", "2", "3", "10", "-1"),
    "n": ("-100", "-3", "-1", "0", "1", "2", "5", "NULL"),
    "i": ("0", "1", "-1", "2", "7", "-45", "65", "255", "256", "1999", "100000", "2147483647", "-2147483647", "NULL"),
    "l": ("0L", "1L", "-1L", "12L", "4294967296L", "9223372036854775807L", "-9223372036854775807L", "1582934400L", "NULL"),
    "d": (
        "0.0D", "1.0D", "-1.5D", "2.5D", "0.1D", "0.005D", "1E-5D", "123456.785D", "1E7D", "123456789.125D", "1E16D", "1E22D", "0.125D", "1.005D", "DOUBLE('NaN')",
        "DOUBLE('Infinity')", "DOUBLE('-Infinity')", "NULL",
    ),
    "f": ("0.0F", "1.5F", "0.1F", "1E10F", "1E20F", "FLOAT('NaN')", "NULL"),
    "e": ("0.00BD", "1.50BD", "-1.25BD", "2.50BD", "99999999.99BD", "-0.05BD", "NULL"),
    "p": ("true", "false", "NULL"),
    "t": ("DATE '1970-01-01'", "DATE '1677-09-22'", "DATE '2262-04-10'", "DATE '2020-02-29'", "DATE '1874-02-28'", "DATE '1900-03-01'", "DATE '2021-01-03'", "DATE '2024-12-30'", "DATE '2020-01-31'", "NULL"),
    "m": ("TIMESTAMP '1970-01-01 00:00:00'", "TIMESTAMP '1969-12-31 23:59:59.999999'", "TIMESTAMP '2020-02-29 12:34:56.789'", "TIMESTAMP '1677-09-22 00:00:00'", "TIMESTAMP '2262-04-10 23:59:59.999999'", "TIMESTAMP '2021-06-30 00:00:00.000001'", "NULL"),
    "A": ("array('b', 'a', 'b')", "array('a', NULL)", "array('', 'é', 'Z')", "array(CAST(NULL AS STRING))", "CAST(array() AS ARRAY<STRING>)", "NULL"),
    "I": ("array(3, 1, 2, 1)", "array(1, NULL, -5)", "array(CAST(NULL AS INT))", "CAST(array() AS ARRAY<INT>)", "array(2147483647)", "NULL"),
    "D": ("array(1.5D, DOUBLE('NaN'), -2.0D)", "array(NULL, 1E8D)", "array(0.0D)", "CAST(array() AS ARRAY<DOUBLE>)", "NULL"),
    "M": ("map('a', 1, 'b', NULL)", "map('', 0)", "CAST(map() AS MAP<STRING, INT>)", "NULL"),
    "b": ("X''", "X'00'", "X'616263'", "X'C3A9'", f"CAST('{_LONG}' AS BINARY)", "NULL"),
}  # fmt: skip

TYPES: Final[Mapping[str, str]] = {
    "s": "STRING", "z": "STRING", "n": "INT", "k": "INT", "i": "INT", "l": "BIGINT", "d": "DOUBLE", "f": "FLOAT",
    "e": "DECIMAL(10,2)", "p": "BOOLEAN", "t": "DATE", "m": "TIMESTAMP", "b": "BINARY", "A": "ARRAY<STRING>",
    "I": "ARRAY<INT>", "D": "ARRAY<DOUBLE>", "M": "MAP<STRING, INT>",
}  # fmt: skip
