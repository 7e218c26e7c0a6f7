"""What runs: the sender's own tokens without comments, with table names in their canonical spelling."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from mcp_server.guard.catalog import Catalog
from mcp_server.guard.clauses import TableRef
from mcp_server.guard.lexer import scan
from mcp_server.guard.refusal import refused
from mcp_server.guard.source import MAX_TOKENS, Source
from mcp_server.models import TableInfo


def splice(source: Source, refs: Iterable[tuple[TableRef, TableInfo]], catalog: Catalog) -> str:
    """The text to run. Where the sender asks for no old version, the pinned one follows the table's name.

    The result is read again, and must have the tokens that were meant and no others.
    """
    replaced = {ref.first: (ref, _meant(ref, info, catalog)) for ref, info in refs}
    last = {ref.last for ref, _ in replaced.values()}
    pieces: list[str] = []
    words: list[str] = []
    index = 0
    while index < len(source.tokens):
        token = source.tokens[index]
        gap = " " if pieces and (not token.glued or (token.is_name and index - 1 in last)) else ""
        if index in replaced:
            ref, meant = replaced[index]
            gap = gap if source.key(index - 1) in {"(", ","} or not pieces else " "
            pieces.append(gap + _written(meant))
            words += meant
            index = ref.last + 1
        else:
            pieces.append(gap + token.text)
            words.append(token.text)
            index += 1
    sql = "".join(pieces)
    if [token.text for token in scan(sql, 2 * MAX_TOKENS)] != words:
        raise refused("ambiguous", "The statement reads differently without its comments. Leave the comments out.")
    return sql


def _meant(ref: TableRef, info: TableInfo, catalog: Catalog) -> list[str]:
    """The tokens that stand for a table: its name, and the pinned version where the sender asks for none."""
    name = [word for part in catalog.spelled(info) for word in (".", part)][1:]
    pin = catalog.pins.get(info.name)
    return name if pin is None or ref.travels else [*name, "VERSION", "AS", "OF", str(pin)]


def _written(words: list[str]) -> str:
    gaps = ["" if "." in pair else " " for pair in pairwise(words)]
    return "".join(word + gap for word, gap in zip(words, [*gaps, ""], strict=True))
