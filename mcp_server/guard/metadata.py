"""SHOW, DESCRIBE and EXPLAIN, read by a small grammar of their own from the guard's tokens."""

from __future__ import annotations

from lakehouse.errors import Refused
from mcp_server.guard.names import check_readable, no_such_table
from mcp_server.models import ShowColumns, ShowTables
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.lexer import Kind, Token
from mcp_server.sql.refusal import shown
from mcp_server.sql.source import Source

EXPLAIN_MODES = frozenset({"EXTENDED", "CODEGEN", "COST", "FORMATTED"})
"""Spark's; LOGICAL is in its grammar and refused by it. Without one the mode is `simple`."""

_FORMS = (
    "Allowed are SHOW TABLES, SHOW VIEWS, SHOW COLUMNS FROM a table, DESCRIBE a table, EXPLAIN SELECT …, "
    "and the tool describe_schema."
)


class _Cursor:
    """The tokens of a statement, taken from the front."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.at = 1

    def take(self, *keys: str) -> str:
        """The key of the next token where it is one of `keys`, else nothing and nothing is taken."""
        key = self.source.key(self.at)
        if not key or key not in keys:
            return ""
        self.at += 1
        return key

    def name(self) -> Token:
        """The next token, which must be a name."""
        if self.at >= len(self.source.tokens) or not self.source.tokens[self.at].is_name:
            raise self.no()
        self.at += 1
        return self.source.tokens[self.at - 1]

    def end(self) -> None:
        if self.at != len(self.source.tokens):
            raise self.no()

    def no(self) -> Refused:
        index = min(self.at, len(self.source.tokens) - 1)
        return self.source.refused_at(
            "not_a_query", f"This form of {self.source.tokens[0].key} is not allowed. {_FORMS}", index
        )


def read_show(source: Source, catalog: Catalog) -> ShowTables | ShowColumns:
    """`SHOW TABLES|VIEWS [FROM|IN schema] [[LIKE] 'pattern']` or `SHOW COLUMNS FROM|IN table [FROM|IN schema]`."""
    cursor = _Cursor(source)
    kind = cursor.take("TABLES", "VIEWS", "COLUMNS")
    if kind == "COLUMNS":
        if not cursor.take("FROM", "IN"):
            raise cursor.no()
        table = _table(cursor, catalog)
        _schema(cursor, catalog)
        cursor.end()
        return ShowColumns(table)
    if not kind:
        raise cursor.no()
    _schema(cursor, catalog)
    like = cursor.take("LIKE")
    pattern = _string(cursor)
    if like and pattern is None:
        raise cursor.no()
    cursor.end()
    return ShowTables(views_only=kind == "VIEWS", pattern=pattern)


def read_describe(source: Source, catalog: Catalog) -> ShowColumns:
    """`DESCRIBE|DESC [TABLE] table [column]`, and nothing more: the longer forms tell paths and owners.

    One column is answered with all of them.
    """
    cursor = _Cursor(source)
    cursor.take("TABLE")
    word = source.key(cursor.at)
    longer = cursor.at + 1 < len(source.tokens) and source.key(cursor.at + 1) != "."
    if word and word.lower() not in catalog.by_name and longer:
        raise cursor.no()  # DESCRIBE EXTENDED t, DESCRIBE FUNCTION f, …
    table = _table(cursor, catalog)
    if cursor.at < len(source.tokens):
        column = cursor.name().name
        known = {each.name.lower() for each in catalog.by_name[table.lower()].columns}
        if column not in known:
            raise cursor.no()
    cursor.end()
    return ShowColumns(table, describe=True)


def read_explain(source: Source) -> tuple[str, int]:
    """The mode of an EXPLAIN, lower case, and the index of the first token of the statement to explain."""
    mode = source.key(1) if source.key(1) in EXPLAIN_MODES else ""
    return mode.lower() or "simple", 2 if mode else 1


def _schema(cursor: _Cursor, catalog: Catalog) -> None:
    if cursor.take("FROM", "IN"):
        token = cursor.name()
        if not catalog.serves([token.name]):
            raise cursor.source.refused_at(
                "other_schema",
                f"{shown(token.text)} is not served here: the schema is {catalog.schema}.",
                cursor.at - 1,
            )


def _table(cursor: _Cursor, catalog: Catalog) -> str:
    """The canonical name of the table that comes next."""
    first = cursor.at
    token = cursor.name()
    if cursor.take("."):
        if not catalog.serves([token.name]):
            raise cursor.source.refused_at(
                "other_schema", f"{shown(token.text)} is not served here: the schema is {catalog.schema}.", first
            )
        token = cursor.name()
    info = catalog.find(token)
    if info is None:
        raise no_such_table(cursor.source, cursor.at - 1, catalog, "SHOW TABLES lists them.")
    check_readable(cursor.source, cursor.at - 1, info)
    return info.name


def _string(cursor: _Cursor) -> str | None:
    """The text of a plain string that comes next; a pattern needs no escapes."""
    if cursor.at >= len(cursor.source.tokens):
        return None
    token = cursor.source.tokens[cursor.at]
    if token.kind is not Kind.STRING or token.text[0] not in "'\"" or "\\" in token.text:
        return None
    cursor.at += 1
    return token.text[1:-1]
