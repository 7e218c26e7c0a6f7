"""What runs: the sender's own tokens without comments, with table names in their canonical spelling."""

from __future__ import annotations

from collections.abc import Iterable

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
    replaced = {ref.first: (ref, _spelled(ref, info, catalog)) for ref, info in refs}
    ends = {ref.last for ref, _ in replaced.values()}
    pieces: list[str] = []
    words: list[str] = []
    index = 0
    while index < len(source.tokens):
        token = source.tokens[index]
        gap = "" if token.glued or not pieces else " "
        if index in replaced:
            ref, spelled = replaced[index]
            pieces.append(
                (gap or " ") + spelled if index and source.key(index - 1) not in {"(", ","} else gap + spelled
            )
            words += spelled.replace(".", " . ").split()
            index = ref.last + 1
            continue
        if token.glued and token.is_name and pieces and index - 1 in ends:
            gap = " "
        pieces.append(gap + token.text)
        words.append(token.text)
        index += 1
    sql = "".join(pieces)
    if [token.text for token in scan(sql, 2 * MAX_TOKENS)] != words:
        raise refused("ambiguous", "The statement reads differently without its comments. Leave the comments out.")
    return sql


def _spelled(ref: TableRef, info: TableInfo, catalog: Catalog) -> str:
    name = f"{catalog.schema}.{info.name}"
    pin = catalog.pins.get(info.name)
    return name if pin is None or ref.travels else f"{name} VERSION AS OF {pin}"
