"""Statements made to cost the guard as much as possible, for a test and for `bench/guard.py`."""

from __future__ import annotations

from mcp_server.sql.source import MAX_DEPTH, MAX_TOKENS

_DEEP = MAX_DEPTH - 2
_WIDE = MAX_TOKENS - 100


_ROW = "(SELECT NULL AS a, NULL AS b, NULL AS c, NULL AS tconst, array(1) AS genres) t"
"""Has the columns that they name, of the type that goes with every other one."""


def giants() -> dict[str, str]:
    """Name → text: as wide and as deep as the guard reads at all, and some beyond."""
    return {name: _over_a_row(sql) for name, sql in {**_wide(), **_deep(), **_beyond()}.items()}


def _over_a_row(sql: str) -> str:
    return f"{sql} FROM {_ROW}" if sql.startswith("SELECT a") and " FROM " not in sql else sql


def _wide() -> dict[str, str]:
    table = f"FROM {_ROW}"
    return {
        "or": f"SELECT 1 {table} WHERE a = 1" + " OR a = 1" * (_WIDE // 4),
        "and": f"SELECT 1 {table} WHERE a = 1" + " AND a = 1" * (_WIDE // 4),
        "plus": "SELECT 1" + "+1" * (_WIDE // 2),
        "concat": "SELECT 'a'" + "||'a'" * (_WIDE // 2),
        "in": f"SELECT 1 {table} WHERE tconst IN ('a'" + ",'a'" * (_WIDE // 2) + ")",
        "columns": "SELECT a" + ",a" * (_WIDE // 2) + f" {table}",
        "aliases": "SELECT " + ",".join(["a b"] * (_WIDE // 3)),
        "path": "SELECT a" + ":a" * (_WIDE // 2),
        "fields": "SELECT a" + ".a" * (_WIDE // 2),
        "casts": "SELECT a" + "::int" * (_WIDE // 2),
        "comparisons": "SELECT a" + " < a" * (_WIDE // 2),
        "types": "SELECT " + "a<b," * (_WIDE // 4) + "1",
        "between": "SELECT a" + " BETWEEN 1 AND 2 AND a" * (_WIDE // 6),
        "unions": "SELECT 1" + " UNION ALL SELECT 1" * (_WIDE // 4),
        "names": "WITH " + ",".join(f"c{i} AS (SELECT 1)" for i in range(_WIDE // 7)) + " SELECT 1",
        "rows": "VALUES " + ",".join(["(1,2)"] * (_WIDE // 6)),
        "cases": "SELECT CASE" + " WHEN a=1 THEN 2" * (_WIDE // 6) + f" END {table}",
        "windows": "SELECT " + ",".join(["sum(a) OVER (PARTITION BY b ORDER BY c)"] * (_WIDE // 14)) + f" {table}",
        "intervals": "SELECT " + "+".join(["INTERVAL '1' DAY"] * (_WIDE // 4)),
        "lambda": "SELECT transform(a, (" + ",".join("x" for _ in range(_WIDE // 2)) + ") -> 1)",
        "pivot": f"SELECT * {table} PIVOT (count(a) FOR b IN (" + ",".join(["'a'"] * (_WIDE // 2)) + "))",
        "views": f"SELECT * {table} " + "LATERAL VIEW explode(genres) t AS g " * (_WIDE // 9),
        "relations": "SELECT 1 FROM " + ",".join(f"range(1) a{i}" for i in range(_WIDE // 6)),
        "strings": "SELECT " + "''" * (_WIDE // 2),
    }


def _deep() -> dict[str, str]:
    def nest(opening: str, closing: str, inner: str = "1", start: str = "SELECT ") -> str:
        return start + opening * _DEEP + inner + closing * _DEEP

    return {
        "brackets": nest("(", ")"),
        "sums": nest("(1+", ")"),
        "calls": nest("upper(", ")"),
        "ifs": nest("if(a, 1, ", ")"),
        "arrays": nest("array(", ")"),
        "structs": nest("struct(", " AS a)"),
        "lambdas": nest("transform(a, x -> ", ")"),
        "subscripts": nest("[a", "]", "", "SELECT a"),
        "nested cases": nest("CASE WHEN a THEN ", " END"),
        "nested casts": nest("CAST(", " AS INT)"),
        "scalar queries": nest("(SELECT ", ")"),
        "queries": nest("(SELECT * FROM ", ")", "movies_delta", "SELECT * FROM "),
        "tables": nest("(", ")", "movies_delta", "SELECT * FROM "),
        "exists": nest("EXISTS (SELECT 1 WHERE ", ")", "true", "SELECT 1 WHERE "),
        "nested types": nest("struct<a:", ">", "int", "SELECT CAST(a AS ") + ")",
        "pipes": "FROM movies_delta" + " |> WHERE a = 1" * _DEEP,
        "chained names": "WITH c0 AS (SELECT 1 x), "
        + ", ".join(f"c{i} AS (SELECT * FROM c{i - 1})" for i in range(1, 120))
        + " SELECT * FROM c119",
    }


def _beyond() -> dict[str, str]:
    return {
        "a long string": "SELECT '" + "a" * 1_000_000 + "'",
        "comments": "SELECT 1 " + "/*" * 5_000 + "*/" * 5_000,
        "open comments": "SELECT 1 " + "/*" * 15_000,
        "open strings": "SELECT " + "'a\\'" * 8_000,
        "semicolons": "SELECT 1" + ";" * 30_000,
        "blanks": "SELECT 1" + " " * 30_000,
        "signs": "SELECT " + "- " * 15_000 + "1",
        "open brackets": "SELECT " + "(" * 30_000,
        "open cases": "SELECT " + "CASE WHEN a THEN " * 1_900,
        "many pipes": "FROM movies_delta" + " |> WHERE a = 1" * 1_500,
        "endless words": "SELECT " + "a " * 16_000,
    }
