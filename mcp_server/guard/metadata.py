"""Parses SHOW, DESCRIBE and EXPLAIN by a small grammar of their own."""

from __future__ import annotations

from lakehouse.errors import Refused
from mcp_server.guard.names import check_readable, refuse_unknown_table
from mcp_server.models import ShowColumns, ShowTables, ShowVersions
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.lexer import Kind, Token
from mcp_server.sql.refusal import clip
from mcp_server.sql.source import Source, place_tokens
from mcp_server.sql.words import QUERY_STARTS

EXPLAIN_MODES = frozenset({"EXTENDED", "CODEGEN", "COST", "FORMATTED"})
"""Spark's; LOGICAL is in its grammar and refused by it. Without one the mode is `simple`."""

_FORMS = (
    "Allowed are SHOW TABLES, SHOW VIEWS, SHOW COLUMNS FROM a table, SHOW VERSIONS FROM a table, DESCRIBE a table "
    "or a query, EXPLAIN SELECT …, and the tool describe_schema."
)


_MOST_VERSIONS = 100
"""Versions that SHOW VERSIONS lists: each is a file to be read."""


class _Cursor:
    """A position in the tokens of a statement."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.at = 1

    def take(self, *keys: str) -> str:
        """Consume the next token if its key is one of `keys`, and return that key; else return an empty string."""
        key = self.source.key(self.at)
        if not key or key not in keys:
            return ""
        self.at += 1
        return key

    def take_name(self) -> Token:
        """Consume the next token, which must be a name."""
        if self.at >= len(self.source.tokens) or not self.source.tokens[self.at].is_name:
            raise self.refuse_form()
        self.at += 1
        return self.source.tokens[self.at - 1]

    def expect_end(self) -> None:
        """Refuse further tokens."""
        if self.at != len(self.source.tokens):
            raise self.refuse_form()

    def refuse_form(self) -> Refused:
        """The refusal of this form of the statement, at the current token."""
        index = min(self.at, len(self.source.tokens) - 1)
        return self.source.refusal_at(
            "not_a_query", f"This form of {self.source.tokens[0].key} is not allowed. {_FORMS}", index
        )


def read_show(source: Source, catalog: Catalog) -> ShowTables | ShowColumns | ShowVersions:
    """Parse `SHOW TABLES|VIEWS [FROM schema] [[LIKE] 'pattern']` or `SHOW COLUMNS FROM|IN table [FROM|IN schema]`.

    `SHOW VERSIONS FROM|IN table [LIMIT n]` is for Delta's DESCRIBE HISTORY, which shows paths, users and parameters.
    """
    cursor = _Cursor(source)
    kind = cursor.take("TABLES", "VIEWS", "COLUMNS", "VERSIONS")
    if kind == "VERSIONS":
        if not cursor.take("FROM", "IN"):
            raise cursor.refuse_form()
        return _read_versions(cursor, catalog)
    if kind == "COLUMNS":
        if not cursor.take("FROM", "IN"):
            raise cursor.refuse_form()
        table = _take_table(cursor, catalog)
        _take_schema(cursor, catalog)
        cursor.expect_end()
        return ShowColumns(table)
    if not kind:
        raise cursor.refuse_form()
    folder = _take_schema(cursor, catalog, folders=True)
    like = cursor.take("LIKE")
    pattern = _take_string(cursor)
    if like and pattern is None:
        raise cursor.refuse_form()
    cursor.expect_end()
    return ShowTables(views_only=kind == "VIEWS", pattern=pattern, folder=folder)


def read_describe(source: Source, catalog: Catalog) -> ShowColumns:
    """Parse `DESCRIBE|DESC [TABLE] table [column]`.

    The longer forms are refused: they reveal paths and owners. DESCRIBE of one column is answered with all columns.
    """
    cursor = _Cursor(source)
    cursor.take("TABLE")
    word = source.key(cursor.at)
    longer = cursor.at + 1 < len(source.tokens) and source.key(cursor.at + 1) != "."
    if word and word.lower() not in catalog.by_name and longer:
        raise cursor.refuse_form()  # DESCRIBE EXTENDED t, DESCRIBE FUNCTION f, …
    table = _take_table(cursor, catalog)
    if cursor.at < len(source.tokens):
        column = cursor.take_name().name
        known = {each.name.lower() for each in catalog.by_name[table.lower()].columns}
        if column not in known:
            raise cursor.refuse_form()
    cursor.expect_end()
    return ShowColumns(table, describe=True)


def _read_versions(cursor: _Cursor, catalog: Catalog) -> ShowVersions:
    """Parse `table [LIMIT n]`."""
    table, versions = _take_table(cursor, catalog), _MOST_VERSIONS
    if cursor.take("LIMIT"):
        number = "".join(token.text for token in cursor.source.tokens[cursor.at : cursor.at + 1])
        if not (number.isascii() and number.isdecimal() and len(number) < 10):
            raise cursor.refuse_form()
        cursor.at += 1
        versions = min(int(number), _MOST_VERSIONS)
    cursor.expect_end()
    return ShowVersions(table, versions)


def read_explain(source: Source) -> tuple[str, int]:
    """Return the mode of an EXPLAIN, in lower case, and the index of the first token of the explained statement."""
    mode = source.key(1) if source.key(1) in EXPLAIN_MODES else ""
    return mode.lower() or "simple", 2 if mode else 1


def wrap_described(source: Source) -> tuple[Token, ...]:
    """Return `SELECT * FROM (…) LIMIT 0` for the query of a `DESCRIBE [QUERY]`, nothing where no query follows."""
    start = 2 if source.key(1) == "QUERY" else 1
    if source.key(start) not in (QUERY_STARTS - {"TABLE"}) | {"("}:
        return ()
    at = source.tokens[start].start
    return (*place_tokens("SELECT * FROM (", at), *source.tokens[start:], *place_tokens(") LIMIT 0", at))


def _take_schema(cursor: _Cursor, catalog: Catalog, *, folders: bool = False) -> str:
    """Consume `FROM|IN schema`, if it follows. With `folders` it may be one that tables lie in, which is returned."""
    if not cursor.take("FROM", "IN"):
        return ""
    parts = [cursor.take_name()]
    while folders and cursor.take("."):
        parts.append(cursor.take_name())
    names = [part.name for part in parts]
    if catalog.has_schema(names):
        return ""
    if folders and catalog.has_folder(names):
        return ".".join(names)
    raise cursor.source.refusal_at(
        "other_schema",
        f"{clip('.'.join(names))} is not served here: the schema is {catalog.schema}.",
        cursor.at - 1,
    )


def _take_table(cursor: _Cursor, catalog: Catalog) -> str:
    """Consume the name of a table and return its canonical spelling."""
    first = cursor.at
    parts = [cursor.take_name()]
    while cursor.take("."):
        parts.append(cursor.take_name())
    info = catalog.find_table(parts)
    schema = [part.name for part in parts[:-1]]
    if info is None:
        in_folder = bool(schema) and catalog.has_folder(schema)
        if not catalog.has_schema(schema) and not in_folder:
            written = clip(".".join(schema))
            raise cursor.source.refusal_at(
                "other_schema", f"{written} is not served here: the schema is {catalog.schema}.", first
            )
        named = parts if in_folder else parts[-1:]
        raise refuse_unknown_table(cursor.source, cursor.at - 1, catalog, "SHOW TABLES lists them.", named)
    check_readable(cursor.source, cursor.at - 1, info)
    return info.name


def _take_string(cursor: _Cursor) -> str | None:
    """Consume a plain string, if one follows, and return its text. A pattern needs no escapes."""
    if cursor.at >= len(cursor.source.tokens):
        return None
    token = cursor.source.tokens[cursor.at]
    if token.kind is not Kind.STRING or token.text[0] not in "'\"" or "\\" in token.text:
        return None
    cursor.at += 1
    return token.text[1:-1]
