"""What a SELECT list says for other clauses: stars written out, ALL, and names that the next columns use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.names import Aliases, Names, names_of
from mcp_server.dialects.sail.relation import Columns
from mcp_server.sql.blocks import Block, Clause, Item, Query, split_at_commas
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, copy_tokens, join, quote_name
from mcp_server.sql.edits import Edit, delete_tokens
from mcp_server.sql.functions import functions


def star_except(case: Case, _: Catalog) -> Sequence[Edit]:
    """`* EXCEPT (a)` as the columns that are left."""
    source = case.source
    if not any(token.key == "EXCEPT" and source.key(at - 1) == "*" for at, token in enumerate(source.tokens)):
        return ()
    names = names_of(case)
    return [
        Edit(item.first, item.stop, join(", ", columns_of(names, block, item)))
        for block in case.blocks.selects
        for item in block.items
        if names.sources.is_star(item) and source.key(item.stop - 1) == ")"
    ]


def columns_of(names: Names, block: Block, item: Item, *, owned: bool = False) -> list[Sql]:
    """The columns of a star as they are written, with their relation if `owned` or where the name is not enough.

    Errors: EngineLacks, where they are not known.
    """
    relations = names.sources.relations(block)
    columns = names.sources.starred(relations, item)
    if columns is None:
        raise unknown_star(names, item)
    seen = [column.key for column in names.sources.visible(relations) or ()]
    texts = []
    for column in columns:
        once = seen.count(column.key) == 1 and not owned
        owner = names.written(column.owner) if column.owner is not None and not once else compose("")
        texts.append(compose("{}.{}", owner, quote_name(column.name)) if owner else quote_name(column.name))
    return texts


def unknown_star(names: Names, item: Item) -> Exception:
    """The error for a star whose columns nobody here knows."""
    piece = copy_tokens(names.source, item.first, item.stop)
    return lacking("SELECT *", f"{piece} with columns that cannot be told", "Write the columns out.")


def group_by_all(case: Case, _: Catalog) -> Sequence[Edit]:
    """GROUP BY ALL: the numbers of the columns without an aggregate; no GROUP BY where there are none."""
    return [
        edit
        for block in case.blocks.selects
        if _is_all(case, block.clauses.get("GROUP"))
        for edit in _grouped(case, block)
    ]


def grouped_stars(case: Case, _: Catalog) -> Sequence[Edit]:
    """`SELECT * … GROUP BY a, b` with the columns written out; a star over groups is none to Sail."""
    if not any(token.key == "GROUP" for token in case.source.tokens):
        return ()
    names = names_of(case)
    return [
        Edit(item.first, item.stop, join(", ", columns_of(names, block, item)))
        for block in case.blocks.selects
        for item in (block.items if "GROUP" in block.clauses else ())
        if names.sources.is_star(item)
    ]


def _is_all(case: Case, clause: Clause | None) -> bool:
    return clause is not None and case.source.key(clause.body) == "ALL" and case.source.key(clause.body + 1) != "."


def _grouped(case: Case, block: Block) -> Iterator[Edit]:
    names, clause = names_of(case), block.clauses["GROUP"]
    starred = any(names.sources.is_star(item) for item in block.items)
    known, calls = functions().classes, case.reading.calls
    keys: list[Sql] = []
    for number, item in enumerate(block.items, 1):
        if names.sources.is_star(item):
            written = columns_of(names, block, item)
            keys += written
            yield Edit(item.first, item.stop, join(", ", written))
        elif any(known.get(name) == "generator" for at, name in calls.items() if item.first <= at < item.stop):
            raise lacking(
                "GROUP BY ALL", "groups of what explode gives", "Put explode into a sub-query, and group around it."
            )
        elif not any(names.aggregates(item.first, item.stop)):
            keys.append(copy_tokens(case.source, item.first, item.stop) if starred else compose("{}", number))
    yield Edit(clause.body, clause.end, join(", ", keys)) if keys else delete_tokens(clause.first, clause.end)


def group_keys(case: Case, _: Catalog) -> Sequence[Edit]:
    """`GROUP BY d` and `GROUP BY 1` as the expression that they stand for, where it is written once more.

    Sail groups by the column of the result, and does not know its expression again in a window or another column.
    """
    if not any(token.key == "GROUP" for token in case.source.tokens):
        return ()
    names = names_of(case)
    return [edit for block in case.blocks.selects if "GROUP" in block.clauses for edit in _keys(names, block)]


def _keys(names: Names, block: Block) -> Iterator[Edit]:
    source, clause = names.source, block.clauses["GROUP"]
    given = {source.tokens[item.names[0]].name: item for item in block.items if len(item.names) == 1}
    starred = any(names.sources.is_star(item) for item in block.items)
    whole = copy_tokens(source, block.first, block.end)
    for first, end in split_at_commas(source, clause.body, clause.end):
        token = source.tokens[first]
        if end - first > 1 or not given:
            continue
        item = given.get(token.name)
        if token.text.isdigit() and not starred and 1 <= int(token.text) <= len(block.items):
            item = block.items[int(token.text) - 1]
        if item is None or item.stop - item.first == 1 or token.name in (names.known(block) or {token.name}):
            continue
        text = copy_tokens(source, item.first, item.stop)
        if whole.count(text) > 1 and any(names.uses(item.first, item.stop)):
            yield Edit(first, end, text)


def order_by_all(case: Case, _: Catalog) -> Sequence[Edit]:
    """ORDER BY ALL: the numbers of all columns, with the direction and the place of nulls that follow."""
    edits = []
    for query in case.blocks.queries:
        clauses = query.block.clauses if query.block is not None else query.tail
        clause = clauses.get("ORDER")
        if clause is not None and _is_all(case, clause):
            how = copy_tokens(case.source, clause.body + 1, clause.end)
            keys = [join(" ", [number, how]) for number in range(1, _width(case, query) + 1)]
            edits.append(Edit(clause.body, clause.end, join(", ", keys)))
    return edits


def _width(case: Case, query: Query) -> int:
    """How many columns a query gives."""
    names, inner = names_of(case), query
    while inner.block is None and isinstance(inner.terms[0], Query):
        inner = inner.terms[0]
    first = inner.terms[0]
    if not isinstance(first, Block):
        found: Columns | None = names.sources.output(inner)
        if found is None:
            raise lacking("ORDER BY ALL", "columns that cannot be told", "Write the columns out.")
        return len(found)
    width = 0
    for item in first.items:
        width += len(columns_of(names, first, item)) if names.sources.is_star(item) else max(1, len(item.names))
    return width


def lateral_aliases(case: Case, _: Catalog) -> Sequence[Edit]:
    """Names that AS gives, used by later columns of the same list, written out there."""
    source = case.source
    if not any(len(item.names) == 1 for block in case.blocks.selects for item in block.items):
        return ()
    names, edits = names_of(case), list[Edit]()
    for block in case.blocks.selects:
        given = {source.tokens[item.names[0]].name for item in block.items[:-1] if len(item.names) == 1}
        if not any(use.parts[0] in given for item in block.items[1:] for use in names.uses(item.first, item.stop)):
            continue
        aliases = Aliases(names, block)
        for item in block.items:
            text = aliases.add(item)
            if any(aliases.replaced(use, item) for use in names.uses(item.first, item.stop)):
                edits.append(Edit(item.first, item.stop, text))
    return edits
