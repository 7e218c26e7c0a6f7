"""HAVING, where a name that AS gives hides a column: an aggregate in it means the column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.names import Names, names_of
from mcp_server.sql.blocks import Block, skip_brackets
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import compose, copy_tokens
from mcp_server.sql.edits import Edit


def having(case: Case, _: Catalog) -> Sequence[Edit]:
    """The relation before such a column: Sail would take the alias and nest one aggregate in another."""
    if not any(token.key == "HAVING" for token in case.source.tokens):
        return ()
    names = names_of(case)
    return [edit for block in case.blocks.selects if "HAVING" in block.clauses for edit in _qualified(names, block)]


def _check_groups(names: Names, block: Block) -> None:
    """HAVING is a condition on groups."""
    clause = block.clauses["HAVING"]
    spans = [(clause.body, clause.end), *((item.first, item.stop) for item in block.items)]
    if "GROUP" not in block.clauses and not any(at for span in spans for at in names.aggregates(*span)):
        raise lacking("HAVING", "HAVING without GROUP BY and without an aggregate", "Write WHERE.")


def _qualified(names: Names, block: Block) -> Iterator[Edit]:
    source, clause = names.source, block.clauses["HAVING"]
    _check_groups(names, block)
    given = {
        source.tokens[item.names[0]].name
        for item in block.items
        if len(item.names) == 1
        and (item.stop - item.first != 1 or source.tokens[item.first].name != source.tokens[item.names[0]].name)
    }
    for call in names.aggregates(clause.body, clause.end):
        for use in names.uses(call + 1, skip_brackets(source, call + 1)):
            if use.parts[0] in given and len(use.parts) == 1:
                owners = names.owners(block, use)
                owner = names.written(owners[0]) if len(owners) == 1 else compose("")
                if owner:
                    names.check_captured(owner)
                    yield Edit(use.at, use.end, compose("{}.{}", owner, copy_tokens(source, use.at, use.end)))
