"""Reads what stands behind FROM and JOIN: relations, their aliases, samples, conditions and pivots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from mcp_server.dialects.sail.relation import Column, Relation
from mcp_server.sql.blocks import Clause, skip_brackets, split_at_commas
from mcp_server.sql.words import NO_ALIAS, TRAVEL

if TYPE_CHECKING:
    from mcp_server.dialects.sail.sources import Sources

_JOINING: Final = frozenset(
    {"NATURAL", "INNER", "CROSS", "LEFT", "RIGHT", "FULL", "OUTER", "SEMI", "ANTI", "JOIN", "LATERAL", "ASOF"}
)
GENERATED: Final = {
    "explode": ("col",),
    "explode_outer": ("col",),
    "posexplode": ("pos", "col"),
    "posexplode_outer": ("pos", "col"),
    "range": ("id",),
}
"""Columns of functions that give rows, where Spark names them alike for arrays and nothing else says more."""


class From:
    """Reads a list of relations."""

    def __init__(self, sources: Sources, first: int, end: int) -> None:
        self.sources = sources
        self.source = sources.source
        self.at = first
        self.end = end

    def run(self) -> Iterator[Relation]:
        words, join = self.at, self.joining()
        while self.at < self.end:
            relation = self.relation(join, words)
            self.condition(relation)
            yield relation
            words, join = self.at, self.joining()
            if not join:
                return

    def joining(self) -> tuple[str, ...]:
        """Moves behind the words of a join."""
        found: list[str] = []
        while self.at < self.end and self.key(0) in _JOINING | {",", "VIEW"}:
            called = self.key(1) == "(" and self.key(0) not in {"JOIN", ","}
            if called or (self.key(0) == "LATERAL" and self.key(1) != "VIEW"):
                break
            found.append(self.key(0))
            self.at += 1
        return tuple(found)

    def key(self, offset: int) -> str:
        return self.source.key(self.at + offset) if self.at + offset < self.end else ""

    def relation(self, join: tuple[str, ...], words: int) -> Relation:
        """The relation that begins here, up to its condition."""
        lateral = self.key(0) == "LATERAL"
        self.at += lateral
        if "VIEW" in join and self.key(0) == "OUTER":
            join, self.at = (*join, "OUTER"), self.at + 1
        found = Relation(self.at, self.at, self.at, join, words, lateral)
        self.core(found)
        found.core = self.at
        self.sample(found)
        self.alias(found)
        self.columns(found)
        self.pivot(found)
        found.end = self.at
        return found

    def core(self, found: Relation) -> None:
        """Moves behind the name, the brackets or the call."""
        source, first = self.source, self.at
        if self.key(0) == "(":
            found.query = self.sources.case.blocks.at.get(first + 1)
            if found.query is None:
                found.parts = tuple(From(self.sources, first + 1, source.closing[first]).run())
            self.at = skip_brackets(source, first)
        elif self.key(0) == "VALUES":
            self.rows()
        else:
            path = [source.tokens[first].name]
            self.at += 1
            while self.key(0) == ".":
                path.append(source.tokens[self.at + 1].name)
                self.at += 2
            if self.key(0) == "(":
                found.call = path[-1]
                self.at = skip_brackets(source, self.at)
            else:
                found.path = tuple(path)
                self.travel()

    def rows(self) -> None:
        """Moves behind the rows of VALUES."""
        self.at += 1
        while self.at < self.end:
            token = self.source.tokens[self.at]
            operand = self.source.key(self.at - 1) in {"VALUES", ",", "-", "+"}
            if token.key in _JOINING or token.key == "AS" or (token.is_name and not operand):
                return
            self.at = skip_brackets(self.source, self.at)

    def travel(self) -> None:
        at = 1 if self.key(0) == "FOR" else 0
        if self.key(at) in TRAVEL and self.key(at + 1) == "AS" and self.key(at + 2) == "OF":
            self.at += at + 4

    def sample(self, found: Relation) -> None:
        if self.key(0) != "TABLESAMPLE":
            return
        first = self.at
        while self.key(0) not in {"(", ""}:
            self.at += 1
        body = self.at
        self.at = skip_brackets(self.source, body)
        if self.key(0) == "REPEATABLE":
            self.at = skip_brackets(self.source, self.at + 1)
        found.sampled = Clause(first, body, self.at)

    def alias(self, found: Relation) -> None:
        """`AS m`, `m`, `m (a, b)`; for a LATERAL VIEW also `t AS a, b`."""
        source = self.source
        named = self.key(0) == "AS"
        token = source.tokens[self.at + named] if self.at + named < self.end else None
        free = token is not None and token.is_name and (named or token.key not in NO_ALIAS | _JOINING)
        if token is not None and free and not (named and "VIEW" in found.join):
            found.named, found.alias = self.at + named, token.name
            self.at += named + 1
        if "VIEW" in found.join:
            self.view_columns(found)
        elif self.key(0) == "(" and found.named is not None:
            found.listed = tuple(a for a, _ in split_at_commas(source, self.at + 1, source.closing[self.at]))
            self.at = skip_brackets(source, self.at)

    def view_columns(self, found: Relation) -> None:
        self.at += self.key(0) == "AS"
        listed = list[int]()
        while self.at < self.end and self.source.tokens[self.at].is_name and self.key(0) not in NO_ALIAS | _JOINING:
            listed.append(self.at)
            self.at += 2 if self.key(1) == "," else 1
            if self.source.key(self.at - 1) != ",":
                break
        found.listed = tuple(listed)

    def pivot(self, found: Relation) -> None:
        """Moves behind PIVOT and UNPIVOT, whose columns nobody here works out."""
        while self.key(0) in {"PIVOT", "UNPIVOT"}:
            first = self.at
            while self.key(0) != "(":
                self.at += 1
            body, self.at = self.at, skip_brackets(self.source, self.at)
            found.pivot = Clause(first, body, self.at)
            found.before, found.columns = found.columns, None
            found.alias, found.named, found.path = "", None, ()
            self.alias(found)

    def condition(self, relation: Relation) -> None:
        if self.key(0) == "USING":
            closing = self.source.closing[self.at + 1]
            relation.using = tuple(a for a, _ in split_at_commas(self.source, self.at + 2, closing))
            self.at = closing + 1
        elif self.key(0) == "ON":
            first = self.at
            while self.at < self.end and not self.ends():
                self.at = skip_brackets(self.source, self.at)
            relation.on = Clause(first, first + 1, self.at)

    def ends(self) -> bool:
        """Whether the next relation begins here, behind a condition."""
        if self.key(0) in {",", "JOIN"}:
            return True
        joins = any(self.key(offset) in {"JOIN", "VIEW"} for offset in range(1, 4))
        return self.key(0) in _JOINING and joins and self.key(1) != "("

    def columns(self, found: Relation) -> None:
        """What columns the relation has."""
        sources, given = self.sources, None
        if found.call:
            given = tuple(Column(name) for name in GENERATED.get(found.call, ())) or None
        elif found.query is not None:
            given = sources.output(found.query)
        elif found.parts:
            given = sources.visible(found.parts)
        elif found.path:
            node = sources.tables.get(found.first)
            info = sources.case.names.tables.get(node[0]) if node else None
            given = tuple(Column(c.name, c.type) for c in info.columns) if info else sources.cte_columns(found.first)
        else:
            given = sources.rows(found.first + 1)
        if found.listed:
            kinds = [c.kind for c in given] if given is not None and len(given) == len(found.listed) else None
            told = [self.source.tokens[token].bare for token in found.listed]
            given = tuple(Column(name, kind) for name, kind in zip(told, kinds or [None] * len(told), strict=True))
        found.columns = given
