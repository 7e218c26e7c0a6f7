"""SQL of the server itself: a fixed text with `:name` markers, which are filled in token by token.

A list may stand for several values, as in `IN (:names)`. A colon in a string, a comment or a path (`j:a`) is no marker.
The result is checked like any statement, so a template can do no more than a caller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lakehouse.quoting import quote_identifier, quote_literal
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.lexer import tokenize
from mcp_server.sql.refusal import clip, make_refusal
from mcp_server.sql.source import MAX_TOKENS


@dataclass(frozen=True)
class Identifier:
    """The name of a table or column of the catalogue, written in back-quotes."""

    name: str


Scalar = str | int | float | None
Argument = Scalar | Identifier | Sequence[Scalar]


def write_literal(value: Scalar) -> str:
    """Write a value as a literal that Spark and Sail read alike. Errors: ValueError for a number that is not finite."""
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
    return quote_literal(value)


def fill_template(sql: str, arguments: Mapping[str, Argument], catalog: Catalog) -> str:
    """Return the text of a template with its arguments: `SELECT * FROM :table WHERE tconst = :id`.

    Errors: Refused, with the code `unknown_table`, for an Identifier that the catalogue does not have; ValueError where
    template and arguments do not match, which is a defect.
    """
    tokens = tokenize(sql, MAX_TOKENS)
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
            pieces.append(gap + _write_argument(value, catalog))
            skip = True
        else:
            pieces.append(gap + token.text)
    if used != set(arguments):
        raise ValueError(f"the template has no marker for {', '.join(sorted(set(arguments) - used))}")
    return "".join(pieces)


def _write_argument(value: Argument, catalog: Catalog) -> str:
    """Write an argument as SQL.

    Errors: ValueError for an empty list, which SQL does not have.
    """
    if isinstance(value, Identifier):
        return _quote_identifier(value, catalog)
    if value is None or isinstance(value, str | int | float):
        return write_literal(value)
    if not value:
        raise ValueError("a list in a statement has at least one value")
    return ", ".join(write_literal(each) for each in value)


def _quote_identifier(identifier: Identifier, catalog: Catalog) -> str:
    name = identifier.name.lower()
    columns = {column.name.lower() for table in catalog.tables for column in table.columns}
    if name not in catalog.by_name and name not in columns:
        raise make_refusal("unknown_table", f"There is no table or column {clip(identifier.name)}.")
    return quote_identifier(identifier.name)
