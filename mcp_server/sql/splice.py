"""The text that runs: the caller's tokens without comments, with table names in their canonical spelling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from mcp_server.models import TableInfo
from mcp_server.sql.catalog import Catalog, spell_part
from mcp_server.sql.clauses import TableRef
from mcp_server.sql.lexer import Kind, tokenize
from mcp_server.sql.names import TableNames
from mcp_server.sql.refusal import make_refusal
from mcp_server.sql.source import MAX_TOKENS, Source


@dataclass
class _Changes:
    """What is written otherwise: by the index of a token, the index after the replaced ones and the words instead.

    `added` are words in front of a token.
    """

    replaced: dict[int, tuple[int, list[str]]] = field(default_factory=dict)
    added: dict[int, list[str]] = field(default_factory=dict)


def splice_tables(source: Source, names: TableNames, catalog: Catalog) -> str:
    """Return the text that runs.

    The pinned version follows the name of a table for which the statement asks no version. A time whose version is
    known is written as that version. A table that the engine knows by another name than the statement has an alias, and
    columns are qualified with it. The result is read again and must have exactly the intended tokens.
    Errors: Refused, with the code `ambiguous`.
    """
    changes = _Changes({ref.first: _replace_table(source, ref, info, names, catalog) for ref, info in names.refs})
    _name_tables(source, names, changes)
    last = {ref.last for ref, _ in names.refs}
    pieces: list[str] = []
    words: list[str] = []
    index = 0
    while index <= len(source.tokens):
        if index in changes.added:
            pieces.append(f" {_join_words(changes.added[index])}")
            words += changes.added[index]
        if index == len(source.tokens):
            break
        token = source.tokens[index]
        gap = " " if pieces and (not token.glued or (token.is_name and index - 1 in last)) else ""
        if index in changes.replaced:
            end, meant = changes.replaced[index]
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


def _name_tables(source: Source, names: TableNames, changes: _Changes) -> None:
    """Give an alias to each table that the engine knows by another name, and qualify columns with it.

    The alias is the last part of the name, `orders` of `sales.orders`. Where several relations have it, `same_names`
    has given them others.
    """
    hidden = [
        ref for ref, info in names.refs if ref.first in names.unnamed and info.engine_name.lower() != ref.parts[-1]
    ]
    for ref in hidden:
        alias = spell_part(ref.parts[-1])
        changes.added[end_of_sample(source, ref.end + 1)] = ["AS", alias]
        for start in find_qualified(source, ref.parts):
            changes.replaced.setdefault(start, (start + 2 * len(ref.parts) - 2, [alias]))


def find_qualified(source: Source, parts: tuple[str, ...]) -> Iterator[int]:
    """Yield the first tokens of these parts where they are no end of a longer name: before a column, or a table's name.

    Nothing where there is one part: the alias is this name.
    """
    if len(parts) == 1:
        return
    for index in range(len(source.tokens)):
        tokens = source.tokens[index : index + 2 * len(parts) : 2]
        dots = source.keys[index + 1 : index + 2 * len(parts) : 2]
        if (
            source.key(index - 1) != "."
            and set(dots) == {"."}
            and len(dots) == len(parts)
            and tuple(token.name for token in tokens) == parts
        ):
            yield index


def end_of_sample(source: Source, index: int) -> int:
    """Return the index after `TABLESAMPLE (…) [REPEATABLE (…)]`, which stands before an alias."""
    for word in ("TABLESAMPLE", "REPEATABLE"):
        if source.key(index) == word and index + 1 in source.closing:
            index = source.closing[index + 1] + 1
    return index


def _join_words(words: list[str]) -> str:
    gaps = ["" if "." in pair else " " for pair in pairwise(words)]
    return "".join(word + gap for word, gap in zip(words, [*gaps, ""], strict=True))
