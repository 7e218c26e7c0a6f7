"""The text that runs: the caller's tokens without comments, with table names in their canonical spelling."""

from __future__ import annotations

from itertools import pairwise

from mcp_server.models import TableInfo
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.clauses import TableRef
from mcp_server.sql.lexer import Kind, tokenize
from mcp_server.sql.names import TableNames
from mcp_server.sql.refusal import make_refusal
from mcp_server.sql.source import MAX_TOKENS, Source


def splice_tables(source: Source, names: TableNames, catalog: Catalog) -> str:
    """Return the text that runs.

    The pinned version follows the name of a table for which the statement asks no version. A time whose version is
    known is written as that version. The result is read again and must have exactly the intended tokens.
    Errors: Refused, with the code `ambiguous`.
    """
    replaced = {ref.first: _replace_table(source, ref, info, names, catalog) for ref, info in names.refs}
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
            pieces.append(gap + _join_words(meant))
            words += meant
            index = end + 1
        else:
            pieces.append(gap + token.text)
            words.append(token.text)
            index += 1
    sql = "".join(pieces)
    if [token.text for token in tokenize(sql, 2 * MAX_TOKENS)] != words:
        raise make_refusal("ambiguous", "The statement reads differently without its comments. Leave the comments out.")
    return sql


def _replace_table(
    source: Source, ref: TableRef, info: TableInfo, names: TableNames, catalog: Catalog
) -> tuple[int, list[str]]:
    """Return the index of the last token that is replaced for a table, and the tokens in their place."""
    name = [word for part in catalog.spell_name(info) for word in (".", part)][1:]
    version = names.versions.get(ref.first, catalog.pins.get(info.name))
    kept = ref.travels and (not isinstance(version, int) or source.tokens[ref.end].kind is Kind.NUMBER)
    if kept or version is None:
        return ref.last, name
    return ref.end, [*name, "VERSION", "AS", "OF", str(version)]


def _join_words(words: list[str]) -> str:
    gaps = ["" if "." in pair else " " for pair in pairwise(words)]
    return "".join(word + gap for word, gap in zip(words, [*gaps, ""], strict=True))
