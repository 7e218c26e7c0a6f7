"""UNPIVOT as rows that stack() makes: Sail's own mixes up names and fails for several columns."""

from __future__ import annotations

from collections.abc import Sequence

from mcp_server.dialects.sail.fresh import FreshNames
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.relation import Column, Relation
from mcp_server.dialects.sail.sources import Sources
from mcp_server.sql.blocks import Block, split_at_commas
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, copy_tokens, join, quote_name, quote_text, write_type
from mcp_server.sql.edits import Edit
from mcp_server.sql.source import Source
from mcp_server.sql.types import Type, common_type, parse_type


def unpivot(case: Case, _: Catalog) -> Sequence[Edit]:
    """`t UNPIVOT (v FOR k IN (a, b))` as a sub-query over `t, LATERAL stack(2, 'a', a, 'b', b)`."""
    if not any(token.key == "UNPIVOT" for token in case.source.tokens):
        return ()
    sources = Sources(case)
    for block in reversed(case.blocks.selects):
        for relation in sources.relations(block):
            if relation.pivot is not None and case.source.key(relation.pivot.first) == "UNPIVOT":
                if sources.relations(block)[0] is not relation:
                    raise lacking(
                        "UNPIVOT", "UNPIVOT of a join", "Put the join into a sub-query, (SELECT …) UNPIVOT (…)."
                    )
                return [Edit(relation.first, relation.end, _Unpivot(sources, block, relation).text())]
    return ()


class _Unpivot:
    """One UNPIVOT; `groups` are the columns that become one row, each group with the name of that row."""

    def __init__(self, sources: Sources, block: Block, relation: Relation) -> None:
        self.sources = sources
        self.source: Source = sources.source
        self.relation = relation
        self.block = block
        pivot = relation.pivot
        assert pivot is not None  # noqa: S101  (its caller looked)
        self.pivot = pivot
        closing = self.source.closing[pivot.body]
        self.for_ = next(at for at in range(pivot.body, closing) if self.source.key(at) == "FOR")
        self.values = self.names(pivot.body + 1, self.for_)
        self.label = copy_tokens(self.source, self.for_ + 1, self.for_ + 2)
        opening = self.for_ + 3
        self.groups = [
            self.group(a, b) for a, b in split_at_commas(self.source, opening + 1, self.source.closing[opening])
        ]
        if any(len(columns) != len(self.values) for columns, _ in self.groups) or not self.values:
            raise lacking("UNPIVOT", "groups of columns of another width", "Name as many values as columns of a group.")

    def names(self, first: int, end: int) -> list[int]:
        """The tokens of the names in `a` or `(a, b)`."""
        if self.source.key(first) == "(":
            first, end = first + 1, self.source.closing[first]
        return [b - 1 for _, b in split_at_commas(self.source, first, end)]

    def group(self, first: int, end: int) -> tuple[list[int], str]:
        """The columns of `a`, `a AS x` or `(a, b) AS x`, and the name of their row."""
        stop = self.source.closing[first] + 1 if self.source.key(first) == "(" else first + 1
        while self.source.key(stop) == ".":
            stop += 2
        columns = self.names(first, stop)
        if stop < end:
            return columns, self.source.tokens[end - 1].bare
        return columns, "_".join(map(self.spelled, columns))

    def spelled(self, at: int) -> str:
        """A column's name as its relation has it."""
        token = self.source.tokens[at]
        return next((column.name for column in self.columns() if column.key == token.name), token.bare)

    def written(self, at: int) -> Sql:
        return copy_tokens(self.source, at, at + 1)

    def columns(self) -> Sequence[Column]:
        found = self.relation.before
        if found is None:
            raise lacking(
                "UNPIVOT", "UNPIVOT of columns that cannot be told", "Name them: (SELECT a, b FROM …) UNPIVOT (…)."
            )
        return found

    def text(self) -> Sql:
        used = {self.source.tokens[at].name for columns, _ in self.groups for at in columns}
        kept = [quote_name(column.name) for column in self.columns() if column.key not in used]
        casts = [self.cast([columns[place] for columns, _ in self.groups]) for place in range(len(self.values))]
        rows = []
        for columns, name in self.groups:
            cells = [
                self.written(at) if kind is None else compose("CAST({} AS {})", self.written(at), write_type(kind))
                for at, kind in zip(columns, casts, strict=True)
            ]
            rows.append(join(", ", [quote_text(name), *cells]))
        values = [self.written(at) for at in self.values]
        made = [self.label, *values]
        source = copy_tokens(self.source, self.relation.first, self.pivot.first)
        mark = FreshNames(self.sources.case).name(f"__u{self.relation.first}")
        call = compose("LATERAL stack({}, {}) AS {}({})", len(rows), join(", ", rows), mark, join(", ", made))
        words = [self.source.key(at) for at in range(self.pivot.first, self.pivot.body)]
        present = join(" OR ", (compose("{}.{} IS NOT NULL", mark, value) for value in values))
        where = compose("") if "INCLUDE" in words else compose("WHERE {}", present)
        found = compose("(SELECT {} FROM {}, {} {})", join(", ", [*kept, *made]), source, call, where)
        named = self.relation.named
        return found if named is None else compose("{} AS {}", found, self.written(named))

    def cast(self, names: list[int]) -> Type | None:
        """The type that cells of one column become, where they are not of one type already."""
        kinds = {column.key: column.kind for column in self.columns()}
        found = [kinds.get(self.source.tokens[at].name) for at in names]
        if len(set(found)) == 1:
            return None
        one = common_type([parse_type(kind) if kind is not None else None for kind in found])
        if one is None:
            raise lacking(
                "UNPIVOT", "UNPIVOT of columns of different types", "CAST them to one type in a sub-query first."
            )
        return one
