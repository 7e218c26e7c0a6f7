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

from lakehouse.manifest import Column
from mcp_server.models import TableInfo
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, copy_tokens, join, quote_name, write_type
from mcp_server.sql.edits import Edit, delete_tokens
from mcp_server.sql.lexer import Kind
from mcp_server.sql.source import Source

_FLOATS: Final = frozenset({"float", "double"})
_UNNAMED: Final = frozenset({"NATURAL", "PIVOT", "UNPIVOT"})
"""Words of clauses that read columns which nobody names."""

_CLAUSES: Final = frozenset(
    {
        "BETWEEN", "CASE", "CLUSTER", "DISTINCT", "DISTRIBUTE", "EXCEPT", "GROUP", "IN", "INTERSECT", "IS", "JOIN",
        "LIKE", "MINUS", "ORDER", "SORT", "UNION", "WHERE",
    }
)  # fmt: skip
"""Words of clauses that compare values and have no symbol."""

_BEFORE_STAR: Final = frozenset({"SELECT", "DISTINCT", "ALL", ",", ".", "("})


def wrap_stored_floats(case: Case, catalog: Catalog) -> Sequence[Edit]:
    """The edits that put sub-queries in the place of tables whose floats a statement may use."""
    if _only_lists(case.source):
        return ()
    aliases = {
        ref.first: node.alias
        for node in case.tree.root.find_all(exp.Table)
        if (ref := case.tree.tables.get(id(node))) is not None
    }
    edits: list[Edit] = []
    for ref, info in case.names.refs:
        end = _end_of_sample(case.source, ref.end + 1)
        columns = () if info.nan_free else _used_columns(case.source, info, end)
        if any(column.type.lower() in _FLOATS for column in columns):
            # An alias follows where there is one, and no name is read before PIVOT.
            name = "" if aliases[ref.first] or case.source.key(end) == "PIVOT" else info.name
            table = copy_tokens(case.source, ref.first, end)
            edits.append(Edit(ref.first, end, _write(table, columns, name)))
            edits += _shorten_qualifiers(case, catalog, info)
    return sorted(set(edits))


def _only_lists(source: Source) -> bool:
    """Whether a statement gives columns as they are, without a condition, an order or an expression."""
    symbols = {token.key for token in source.tokens if token.kind is Kind.SYMBOL}
    return symbols <= {",", ".", "*"} and _CLAUSES.isdisjoint(source.keys)


def _used_columns(source: Source, info: TableInfo, end: int) -> tuple[Column, ...]:
    """The columns that a statement names, or all where it may mean one without its name; `end` is behind the table."""
    listed = end + (source.key(end) == "AS") + 1
    if (
        not _UNNAMED.isdisjoint(source.keys)
        or any(_is_star(source, at) for at in range(len(source.tokens)))
        or (source.tokens[listed - 1 : listed] and source.tokens[listed - 1].is_name and source.key(listed) == "(")
    ):
        return info.columns
    names = {token.name for token in source.tokens if token.is_name}
    return tuple(column for column in info.columns if column.name.lower() in names)


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


def _write(table: Sql, columns: Sequence[Column], name: str) -> Sql:
    items = join(", ", (_write_column(column.name, column.type.lower()) for column in columns))
    text = compose("(SELECT {} FROM {})", items, table)
    return compose("{} AS {}", text, quote_name(name)) if name else text


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
            yield delete_tokens(first, at)
