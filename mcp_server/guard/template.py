"""SQL that the server composes itself: a fixed text with `:name` markers, filled in token by token.

A list stands where several values may, as in `IN (:names)`. A colon inside a string, a comment or a path (`j:a`) is
not a marker. What comes out goes through the same check as anything else, so a template can do no more than a caller.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcp_server.sql.catalog import Catalog
from mcp_server.sql.lexer import back_quoted, scan
from mcp_server.sql.refusal import refused, shown
from mcp_server.sql.source import MAX_TOKENS


@dataclass(frozen=True)
class Identifier:
    """The name of a table or column of the catalog, to stand in a template in back-quotes."""

    name: str


Value = str | int | float | None
Argument = Value | Identifier | Sequence[Value]

_ESCAPED = re.compile(r"[\\'\x00-\x1f\x7f-\x9f]|\$(?=\{)")


def literal(value: Value) -> str:
    r"""A value as a literal that Spark and Sail read alike.

    Both take `\'`, `\\` and `\u0007` for what they say; a doubled quote is one quote in Spark and none in Sail.
    Control characters and the `$` of `${` are written as escapes, because the check refuses them as they are.
    Errors: ValueError for a number that is not finite.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("only finite numbers can stand in a statement")
        return f"{value!r}D"
    return "'" + _ESCAPED.sub(_escape, value) + "'"


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return "\\" + character if character in "\\'" else f"\\u{ord(character):04x}"


def fill_template(sql: str, arguments: Mapping[str, Argument], catalog: Catalog) -> str:
    """The text of a template with its arguments: `SELECT * FROM :table WHERE tconst = :id`.

    Errors: Refused, with the code `unknown_table`, for an Identifier that the catalog does not have; ValueError where
    template and arguments do not belong together, which is a defect.
    """
    tokens = scan(sql, MAX_TOKENS)
    used: set[str] = set()
    pieces: list[str] = []
    skip = False
    for index, token in enumerate(tokens):
        if skip:
            skip = False
            continue
        gap = "" if token.glued or not pieces else " "
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        path = index > 0 and token.glued and (tokens[index - 1].is_name or tokens[index - 1].key in {")", "]"})
        if token.key == ":" and not path and after is not None and after.glued and after.text in arguments:
            used.add(after.text)
            value = arguments[after.text]
            pieces.append(gap + _written(value, catalog))
            skip = True
        else:
            pieces.append(gap + token.text)
    if used != set(arguments):
        raise ValueError(f"the template has no marker for {', '.join(sorted(set(arguments) - used))}")
    return "".join(pieces)


def _written(value: Argument, catalog: Catalog) -> str:
    """An argument as SQL. Errors: ValueError for a list of nothing, which no SQL has."""
    if isinstance(value, Identifier):
        return _quoted(value, catalog)
    if value is None or isinstance(value, str | int | float):
        return literal(value)
    if not value:
        raise ValueError("a list in a statement has at least one value")
    return ", ".join(literal(each) for each in value)


def _quoted(identifier: Identifier, catalog: Catalog) -> str:
    name = identifier.name.lower()
    columns = {column.name.lower() for table in catalog.tables for column in table.columns}
    if name not in catalog.by_name and name not in columns:
        raise refused("unknown_table", f"There is no table or column {shown(identifier.name)}.")
    return back_quoted(identifier.name)
