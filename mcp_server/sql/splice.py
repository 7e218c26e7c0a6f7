"""What runs: the sender's own tokens without comments, with table names in their canonical spelling."""

from __future__ import annotations

from itertools import pairwise

from mcp_server.models import TableInfo
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.clauses import TableRef
from mcp_server.sql.lexer import Kind, scan
from mcp_server.sql.names import Names
from mcp_server.sql.refusal import refused
from mcp_server.sql.source import MAX_TOKENS, Source


def splice(source: Source, names: Names, catalog: Catalog) -> str:
    """The text to run. Where the sender asks for no old version, the pinned one follows the table's name.

    A time that the guard knows the version of is written as that. The result is read again, and must have the tokens
    that were meant and no others.
    """
    replaced = {ref.first: _meant(source, ref, info, names, catalog) for ref, info in names.refs}
    last = {ref.last for ref, _ in names.refs}
    pieces: list[str] = []
    words: list[str] = []
    index = 0
    while index < len(source.tokens):
        token = source.tokens[index]
        gap = " " if pieces and (not token.glued or (token.is_name and index - 1 in last)) else ""
        if index in replaced:
            end, meant = replaced[index]
            gap = gap if source.key(index - 1) in {"(", ","} or not pieces else " "
            pieces.append(gap + _written(meant))
            words += meant
            index = end + 1
        else:
            pieces.append(gap + token.text)
            words.append(token.text)
            index += 1
    sql = "".join(pieces)
    if [token.text for token in scan(sql, 2 * MAX_TOKENS)] != words:
        raise refused("ambiguous", "The statement reads differently without its comments. Leave the comments out.")
    return sql


def _meant(source: Source, ref: TableRef, info: TableInfo, names: Names, catalog: Catalog) -> tuple[int, list[str]]:
    """The index of the last token that is replaced for a table, and the tokens that stand for it."""
    name = [word for part in catalog.spelled(info) for word in (".", part)][1:]
    version = names.versions.get(ref.first, catalog.pins.get(info.name))
    kept = ref.travels and (not isinstance(version, int) or source.tokens[ref.end].kind is Kind.NUMBER)
    if kept or version is None:
        return ref.last, name
    return ref.end, [*name, "VERSION", "AS", "OF", str(version)]


def _written(words: list[str]) -> str:
    gaps = ["" if "." in pair else " " for pair in pairwise(words)]
    return "".join(word + gap for word, gap in zip(words, [*gaps, ""], strict=True))
