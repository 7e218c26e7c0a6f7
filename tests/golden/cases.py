"""Reads Spark's SQL tests from the jar of its tests: each query with the rows or the error that Spark's authors expect.

A result file lists statements with their schema and output (`SQLQueryTestSuite`). Queries are taken; temporary views
and tables of VALUES become WITH names of the queries that read them. What depends on settings, functions of the suite
or files is left out.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mcp_server.sql.lexer import Token, tokenize

_ROOT: Final = "sql-tests/results/"
_INPUTS: Final = "sql-tests/inputs/"
_LEFT_OUT: Final = (
    "nonansi/",
    "udf/",
    "udtf/",
    "udaf/",
    "scripting/",
    "collations",
    "sql-udf",
    "sql-session-variables",
)
"""Files of other settings, or of functions that only the suite has."""

_SECTION: Final = re.compile(r"-- !query(?: schema| output| analysis)?\n")
_QUERY: Final = frozenset({"SELECT", "WITH", "VALUES", "FROM", "TABLE", "("})
_VIEW: Final = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:GLOBAL\s+)?(?:TEMP|TEMPORARY)\s+VIEW\s+(\w+)\s*(\([\w\s,`]*\))?\s+AS\s+(.*)",
    re.IGNORECASE | re.DOTALL,
)
_DROP: Final = re.compile(r"DROP\s+(?:VIEW|TABLE)\s+(?:IF\s+EXISTS\s+)?(\w+)", re.IGNORECASE)
_ERROR: Final = re.compile(r'\s*(?:org\.apache|java\.|scala\.)|\{\s*"(?:errorClass|exception)"')
_CONDITION: Final = re.compile(r'"errorClass"\s*:\s*"([A-Z0-9_.]+)"')
_HARMLESS: Final = re.compile(r"--SET spark\.sql\.(?:optimizer|autoBroadcast|codegen|join\.|cbo|adaptive|shuffle)")
MAX_TOKENS: Final = 3_000


@dataclass(frozen=True)
class GoldenCase:
    """A query, and what Spark says to it: `rows` as Spark prints them, or the `condition` of its error."""

    id: str
    sql: str
    rows: str
    schema: str
    condition: str | None

    @property
    def fails(self) -> bool:
        """Whether Spark refuses it, or fails at it."""
        return self.condition is not None


def read_cases(jar: Path) -> Iterator[GoldenCase]:
    """Yield the cases of a jar, file by file."""
    with zipfile.ZipFile(jar) as files:
        for name in sorted(files.namelist()):
            path = name.removeprefix(_ROOT)
            if not name.startswith(_ROOT) or not name.endswith(".sql.out") or path.startswith(_LEFT_OUT):
                continue
            source = name.replace(_ROOT, _INPUTS).removesuffix(".out")
            settings = files.read(source).decode() if source in files.namelist() else ""
            if any(line.startswith("--SET") and not _HARMLESS.match(line) for line in settings.splitlines()):
                continue
            yield from _read_file(path.removesuffix(".sql.out"), files.read(name).decode())


def _read_file(name: str, text: str) -> Iterator[GoldenCase]:
    parts = _SECTION.split(text)[1:]
    views: dict[str, str] = {}
    for number in range(len(parts) // 3):
        sql, schema, output = (part.strip("\n") for part in parts[3 * number : 3 * number + 3])
        word = sql.split(None, 1)[0].upper() if sql.split() else ""
        if word == "SET":
            return  # what follows is answered under other settings
        if made := _VIEW.match(sql):
            views[made[1].lower()] = f"{made[1]} {made[2] or ''} AS ({inline_views(made[3], views)})"
        elif gone := _DROP.match(sql):
            views.pop(gone[1].lower(), None)
        elif word.startswith("(") or word in _QUERY:
            condition = None
            if schema == "struct<>" and _ERROR.match(output):
                found = _CONDITION.search(output)
                condition = found[1] if found else "UNKNOWN"
            yield GoldenCase(f"{name}#{number}", inline_views(sql, views), output, schema, condition)


def inline_views(sql: str, views: Mapping[str, str]) -> str:
    """Return a query with the views that it reads as WITH names before its own."""
    try:
        tokens = tokenize(sql, MAX_TOKENS)
    except Exception:  # noqa: BLE001  (what the guard's lexer refuses is sent as it is, and refused there)
        return sql
    used = [name for name in views if any(token.is_name and token.name == name for token in tokens)]
    if not used:
        return sql
    heads = ", ".join(views[name] for name in used)
    if tokens[0].key != "WITH":
        return f"WITH {heads} {sql}"
    recursive = len(tokens) > 1 and tokens[1].key == "RECURSIVE"
    rest = sql[_end(tokens[1 if recursive else 0]) :]
    return f"WITH {'RECURSIVE ' if recursive else ''}{heads}, {rest}"


def _end(token: Token) -> int:
    return token.start + len(token.text)
