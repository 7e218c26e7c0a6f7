"""Set operations over columns of different types: Sail takes the type of the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcp_server.dialects.sail.inference import Types
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.names import names_of
from mcp_server.sql.blocks import Block, Item, Query, Rows
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import compose, copy_tokens, join, quote_name, write_type
from mcp_server.sql.edits import Edit
from mcp_server.sql.expressions import read_expression
from mcp_server.sql.types import Type, common_type, parse_type
from mcp_server.sql.words import SET_OPERATORS

Cell = tuple[Type | None, Block, Item | None]


def unions(case: Case, _: Catalog) -> Sequence[Edit]:
    """Columns of set operations, cast to the type that Spark gives them."""
    if not any(token.key in SET_OPERATORS for token in case.source.tokens):
        return ()
    several = [query for query in case.blocks.queries if len(query.terms) > 1]
    if not several:
        return ()
    return list(_Casts(case).edits(several))


class _Casts:
    def __init__(self, case: Case) -> None:
        self.case = case
        self.names = names_of(case)
        self.types = Types(case)

    def edits(self, queries: Sequence[Query]) -> Iterator[Edit]:
        done: set[int] = set()
        for query in queries:
            rows = [self.cells(term) for term in query.terms]
            if any(row is None for row in rows) or len({len(row or ()) for row in rows}) != 1:
                continue
            for column in zip(*(row for row in rows if row is not None), strict=True):
                for edit in self.column(column):
                    if edit.first not in done:
                        done.add(edit.first)
                        yield edit

    def cells(self, term: Block | Rows | Query) -> list[Cell] | None:
        """The columns of one term with their types; None where they are not known."""
        if isinstance(term, Query):
            return self.cells(term.terms[0]) if len(term.terms) == 1 else None
        if isinstance(term, Rows):
            return None
        found: list[Cell] = []
        for item in term.items:
            if self.names.sources.is_star(item):
                columns = self.names.sources.starred(self.names.sources.relations(term), item)
                if columns is None:
                    return None
                found += [(parse_type(column.kind) if column.kind else None, term, None) for column in columns]
            else:
                found += [(self.kind(term, item), term, item)] * max(1, len(item.names))
        return found

    def kind(self, block: Block, item: Item) -> Type | None:
        """The type of a column: the lake's, where it is one, else what its expression gives."""
        sources = self.names.sources
        kind = sources.kind(sources.relations(block), item)
        if kind is not None:
            return parse_type(kind)
        read = read_expression(self.case, item.first)
        return self.types.of(self.types.bind(read)) if read is not None and read.end == item.stop else None

    def column(self, cells: Sequence[Cell]) -> Iterator[Edit]:
        """The casts of one column."""
        kinds = [kind for kind, _, _ in cells]
        one = common_type(kinds) if None not in kinds else None
        if one is None or len(set(kinds)) == 1:
            return
        for kind, _, item in cells:
            if kind == one:
                continue
            if item is None or len(item.names) > 1:
                raise lacking("UNION", "stars over columns of different types", "Write the columns out, with CAST.")
            name = self.names.name(item)
            text = copy_tokens(self.case.source, item.first, item.stop)
            yield Edit(
                item.first,
                item.end,
                join(
                    " ",
                    [
                        compose("CAST({} AS {})", text, write_type(one)),
                        compose("AS {}", quote_name(name)) if name else compose(""),
                    ],
                ),
            )
