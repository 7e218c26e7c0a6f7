"""Tables whose stored floats may be NaN, read through a sub-query that keeps the engine from leaving NaN out.

Writers leave NaN out of a file's minimum and maximum, and the embedded engine skips row groups by these, for
conditions, joins, and ORDER BY with LIMIT: `f > 5` does not find the NaN, which is more than any number to Spark. It
also takes a NaN with a sign, such as the 0/0 of x86 processors, for less than any number. What a function gives has no
minimum:

    FROM t    →    FROM (SELECT id, nanvl(f, CAST('NaN' AS DOUBLE)) AS f FROM t) AS t
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sqlglot import exp

from mcp_server.guard.case import Case
from mcp_server.guard.catalog import Catalog
from mcp_server.guard.dialect.edits import Edit, delete
from mcp_server.guard.dialect.sql import Sql, compose, copy_tokens, join, quote_name, write_type
from mcp_server.guard.source import Source
from mcp_server.models import TableInfo

_FLOATS: Final = frozenset({"float", "double"})
_BEFORE_STAR: Final = frozenset({"SELECT", "DISTINCT", "ALL", ",", ".", "("})


def wrap_stored_floats(case: Case, catalog: Catalog) -> Sequence[Edit]:
    """The edits that put sub-queries in the place of tables whose floats a statement may use."""
    aliases = {
        ref.first: node.alias
        for node in case.tree.root.find_all(exp.Table)
        if (ref := case.tree.tables.get(id(node))) is not None
    }
    edits: list[Edit] = []
    for ref, info in case.names.refs:
        if not info.nan_free and _uses_floats(case.source, info):
            end = _end_of_sample(case.source, ref.end + 1)
            is_named = bool(aliases[ref.first]) or case.source.key(end) == "PIVOT"  # which may not follow a name
            edits.append(Edit(ref.first, end, _write(case.source, ref.first, end, info, is_named=is_named)))
            edits += _shorten_qualifiers(case, catalog, info)
    return sorted(set(edits))


def _uses_floats(source: Source, info: TableInfo) -> bool:
    floats = {column.name.lower() for column in info.columns if column.type.lower() in _FLOATS}
    return bool(floats) and any(
        (token.is_name and token.name in floats) or token.key == "NATURAL" or _is_star(source, at)
        for at, token in enumerate(source.tokens)
    )


def _is_star(source: Source, at: int) -> bool:
    """Whether a token stands for all columns: not that of a product, nor that of `count(*)`, which counts rows."""
    if source.key(at) != "*" or source.key(at - 1) not in _BEFORE_STAR:
        return False
    return source.key(at - 1) != "(" or source.key(at - 2) != "COUNT"


def _end_of_sample(source: Source, at: int) -> int:
    """The end of the TABLESAMPLE that begins at a token, or that token."""
    if source.key(at) == "TABLESAMPLE" and source.key(at + 1) == "(":
        at = source.closing[at + 1] + 1
        if source.key(at) == "REPEATABLE" and source.key(at + 1) == "(":
            at = source.closing[at + 1] + 1
    return at


def _write(source: Source, first: int, end: int, info: TableInfo, *, is_named: bool) -> Sql:
    columns = join(", ", (_write_column(column.name, column.type.lower()) for column in info.columns))
    text = compose("(SELECT {} FROM {})", columns, copy_tokens(source, first, end))
    return text if is_named else compose("{} AS {}", text, quote_name(info.name))


def _write_column(name: str, kind: str) -> Sql:
    column = quote_name(name)
    if kind not in _FLOATS:
        return column
    return compose("nanvl({}, CAST('NaN' AS {})) AS {}", column, write_type(kind.upper()), column)


def _shorten_qualifiers(case: Case, catalog: Catalog, info: TableInfo) -> Iterator[Edit]:
    """`imdb.t.f` as `t.f`: the sub-query has the table's name and no schema."""
    source, parts = case.source, catalog.schema.lower().split(".")
    relations = {index for ref in case.reading.tables for index in range(ref.first, ref.end + 1)}
    for at, token in enumerate(source.tokens):
        if at in relations or token.name != info.name.lower() or source.key(at + 1) != ".":
            continue
        first = at
        while source.key(first - 1) == ".":
            first -= 2
        written = [source.tokens[index].name for index in range(first, at, 2)]
        if written and written in (parts, parts[-1:]):
            yield delete(first, at)
