"""What a FROM names, by tokens: each relation with its alias, its columns in order, and how it is joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from mcp_server.guard.blocks import Block, Clause, Item, Query, Rows, commas, skip
from mcp_server.guard.case import Case
from mcp_server.guard.lexer import Token
from mcp_server.guard.words import KEYWORDS, NO_ALIAS, TRAVEL

_JOINING: Final = frozenset(
    {"NATURAL", "INNER", "CROSS", "LEFT", "RIGHT", "FULL", "OUTER", "SEMI", "ANTI", "JOIN", "LATERAL", "ASOF"}
)
_GENERATED: Final = {
    "explode": ("col",),
    "explode_outer": ("col",),
    "posexplode": ("pos", "col"),
    "posexplode_outer": ("pos", "col"),
    "range": ("id",),
}
"""Columns of functions that give rows, where Spark names them alike for arrays and nothing else says more."""


@dataclass(frozen=True)
class Column:
    """A column of a relation, in the spelling that `*` shows. `owner` is the relation that holds it."""

    name: str
    kind: str | None = None
    owner: Relation | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        return self.name.lower()


Columns = tuple[Column, ...]


@dataclass(eq=False)
class Relation:
    """One relation of a FROM: tokens `first` to `end`, its name or brackets up to `core`.

    `join` are the words of its join, upper case: empty for the first, `,` for a comma. `on` is the clause of its
    condition, `using` the tokens of the names in its USING. `named` is the token of its alias. `columns` are None
    where they are not known. `parts` are the relations within its brackets, where it stands for several.
    """

    first: int
    core: int
    end: int
    join: tuple[str, ...] = ()
    words: int = 0
    lateral: bool = False
    named: int | None = None
    listed: tuple[int, ...] = ()
    sampled: Clause | None = None
    pivot: Clause | None = None
    on: Clause | None = None
    using: tuple[int, ...] = ()
    query: Query | None = None
    call: str = ""
    parts: tuple[Relation, ...] = ()
    alias: str = ""
    path: tuple[str, ...] = ()
    columns: Columns | None = None


Relations = Sequence[Relation]


class Sources:
    """Reads the relations of SELECTs, and the columns that queries give; each is read once."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.source = case.source
        self.tables = {ref.first: (id_, ref) for id_, ref in case.tree.tables.items()}
        self._columns: dict[int, Columns | None] = {}
        self._relations: dict[int, tuple[Relation, ...]] = {}

    def relations(self, block: Block) -> tuple[Relation, ...]:
        """Every relation of a SELECT, in order; LATERAL VIEWs are among them."""
        if block.first not in self._relations:
            clause = block.clauses.get("FROM")
            found = tuple(_From(self, clause.body, clause.end).run()) if clause else ()
            self._relations[block.first] = found
        return self._relations[block.first]

    def joined(self, first: int, end: int) -> tuple[Relation, ...]:
        """The relations of `JOIN t ON …` between two tokens."""
        return tuple(_From(self, first, end).run())

    def output(self, query: Query) -> Columns | None:
        """The columns that a query gives, or None where they are not known."""
        if query.first not in self._columns:
            self._columns[query.first] = None  # a recursive name reads itself: not known
            self._columns[query.first] = None if query.pipes or not query.terms else self.term(query.terms[0])
        return self._columns[query.first]

    def term(self, term: Block | Rows | Query) -> Columns | None:
        """The columns of what stands between set operators."""
        if isinstance(term, Query):
            return self.output(term)
        if isinstance(term, Rows):
            return self.rows(term.first + 1)
        relations = self.relations(term)
        return self.listed(relations, term.items) if "SELECT" in term.clauses else self.visible(relations)

    def listed(self, relations: Relations, items: tuple[Item, ...], *, unnamed: bool = False) -> Columns | None:
        """The columns of a SELECT list. One without a name makes it unknown, or is called nothing if `unnamed`."""
        found: list[Column] = []
        for item in items:
            if self.is_star(item):
                columns = self.starred(relations, item)
                if columns is None:
                    return None
                found += columns
            elif item.names:
                kind = self.kind(relations, item) if len(item.names) == 1 else None
                found += [Column(bare(self.source.tokens[token]), kind) for token in item.names]
            else:
                name = self.plain_name(item.first, item.stop)
                if name is None and not unnamed:
                    return None
                found.append(Column(name or "", self.kind(relations, item)))
        return tuple(found)

    def is_star(self, item: Item) -> bool:
        """Whether an item stands for several columns: `*`, `m.*`, with or without EXCEPT."""
        at = item.first
        while self.source.key(at + 1) == "." and at + 2 < item.stop:
            at += 2
        return self.source.key(at) == "*" and not item.names

    def plain_name(self, first: int, stop: int) -> str | None:
        """The name of a column that is selected as it is: `a`, `m.a`."""
        tokens = self.source.tokens[first:stop]
        plain = all(token.is_name if at % 2 == 0 else token.key == "." for at, token in enumerate(tokens))
        return bare(tokens[-1]) if len(tokens) % 2 and plain else None

    def kind(self, relations: Relations, item: Item) -> str | None:
        """The type of a column that is selected as it is."""
        found = self.lookup(relations, item.first, item.stop) if self.plain_name(item.first, item.stop) else []
        return found[0].kind if len(found) == 1 else None

    def lookup(self, relations: Relations, first: int, stop: int) -> list[Column]:
        """The columns that `a` or `m.a` can be."""
        *path, name = (self.source.tokens[at].name for at in range(first, stop, 2))
        return self.matching(relations, tuple(path), name)

    def matching(self, relations: Relations, path: tuple[str, ...], name: str) -> list[Column]:
        """The columns of that name, lower case, of the relations that `path` can mean."""
        return [
            Column(column.name, column.kind, relation)
            for relation in flat(relations)
            if not path or names(relation, path)
            for column in relation.columns or ()
            if column.key == name
        ]

    def starred(self, relations: Relations, item: Item) -> Columns | None:
        """The columns of the `*` or `m.*`, those that EXCEPT names left out."""
        path, at = list[str](), item.first
        while self.source.key(at) != "*":
            path.append(self.source.tokens[at].name)
            at += 2
        found = self.visible(relations)
        if path:
            meant = [relation for relation in flat(relations) if names(relation, tuple(path))]
            known = meant[0].columns if len(meant) == 1 else None
            found = None if known is None else tuple(Column(c.name, c.kind, meant[0]) for c in known)
        if found is None or at + 1 == item.stop:
            return found
        return self.without(found, at + 3, item.stop - 1)

    def without(self, columns: Columns, first: int, end: int) -> Columns | None:
        """The columns that a list of names leaves; None where it names parts of them."""
        for start, stop in commas(self.source, first, end):
            *path, name = (self.source.tokens[at].name for at in range(start, stop, 2))
            gone = [c for c in columns if c.key == name and (not path or (c.owner and names(c.owner, tuple(path))))]
            if not gone:
                return None
            columns = tuple(column for column in columns if column not in gone or column.owner is not gone[0].owner)
        return columns

    def visible(self, relations: Iterable[Relation]) -> Columns | None:
        """The columns of `*`: those of all relations, those of USING and NATURAL once and first."""
        found: Columns = ()
        for relation in relations:
            if relation.columns is None:
                return None
            if {"SEMI", "ANTI"} & set(relation.join):
                continue
            own = tuple(Column(column.name, column.kind, column.owner or relation) for column in relation.columns)
            keys = self.shared(relation, found, own)
            kept = own if "RIGHT" in relation.join else found
            merged = tuple(column for key in keys for column in kept if column.key == key)
            found = (*merged, *(column for column in (*found, *own) if column.key not in keys))
        return found

    def shared(self, relation: Relation, before: Columns, own: Columns) -> list[str]:
        """The names that a join makes one column of two, lower case."""
        if "NATURAL" in relation.join:
            there = {column.key for column in own}
            return [column.key for column in before if column.key in there]
        return [self.source.tokens[token].name for token in relation.using]

    def rows(self, first: int) -> Columns | None:
        """The columns of the rows behind VALUES."""
        source = self.source
        width = len(list(commas(source, first + 1, source.closing[first]))) if source.key(first) == "(" else 1
        return tuple(Column(f"col{number}") for number in range(1, width + 1))

    def named_query(self, token: int) -> Query | None:
        """The query of the WITH name that a relation at this token reads."""
        node = self.tables.get(token)
        cte = self.case.names.ctes.get(node[0]) if node else None
        at = self.case.tree.index(cte.args["alias"].this) if cte is not None else None
        if at is None:
            return None
        return self.case.blocks.at.get(self.body(at) + 1)

    def body(self, at: int) -> int:
        """The bracket of a WITH name's query, from the token of the name."""
        at += 1
        if self.source.key(at) == "(" and self.source.key(skip(self.source, at)) in {"AS", "MAX", "("}:
            at = skip(self.source, at)
        while self.source.key(at) != "(":
            at += 1
        return at

    def cte_columns(self, token: int) -> Columns | None:
        """The columns of a WITH name: those in brackets behind it, or its query's."""
        query = self.named_query(token)
        if query is None:
            return None
        cte = self.case.names.ctes[self.tables[token][0]]
        listed = cte.args["alias"].columns
        given = self.output(query)
        if not listed:
            return given
        kinds = [c.kind for c in given] if given is not None and len(given) == len(listed) else [None] * len(listed)
        return tuple(Column(each.name, kind) for each, kind in zip(listed, kinds, strict=True))


def bare(token: Token) -> str:
    """A name as it is shown: without back-quotes, its case kept."""
    return token.text[1:-1].replace("``", "`") if token.text.startswith("`") else token.text


def quoted(name: str) -> str:
    """A name as it is written, in back-quotes where it is no plain word."""
    plain = name.isascii() and name.isidentifier() and name.upper() not in KEYWORDS | NO_ALIAS
    return name if plain else "`" + name.replace("`", "``") + "`"


def names(relation: Relation, path: tuple[str, ...]) -> bool:
    """Whether columns written with `path` before them are the relation's."""
    if relation.alias:
        return path == (relation.alias,)
    return bool(relation.path) and all(a == b for a, b in zip(reversed(path), reversed(relation.path), strict=False))


def flat(relations: Iterable[Relation]) -> Iterator[Relation]:
    """The relations, and in the place of brackets those within, which keep their names where the brackets have none."""
    for relation in relations:
        if relation.parts and not relation.alias:
            yield from flat(relation.parts)
        else:
            yield relation


class _From:
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
        while self.at < self.end and self.key(0) in _JOINING | {",", "VIEW"} and self.key(1) != "(":
            if self.key(0) == "LATERAL" and self.key(1) != "VIEW":
                break
            found.append(self.key(0))
            self.at += 1
        if found or self.key(0) != "JOIN":
            return tuple(found)
        self.at += 1
        return ("JOIN",)

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
        self.pivot(found)
        found.end = self.at
        self.columns(found)
        return found

    def core(self, found: Relation) -> None:
        """Moves behind the name, the brackets or the call."""
        source, first = self.source, self.at
        if self.key(0) == "(":
            found.query = self.sources.case.blocks.at.get(first + 1)
            if found.query is None:
                found.parts = tuple(_From(self.sources, first + 1, source.closing[first]).run())
            self.at = skip(source, first)
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
                self.at = skip(source, self.at)
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
            self.at = skip(self.source, self.at)

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
        self.at = skip(self.source, body)
        if self.key(0) == "REPEATABLE":
            self.at = skip(self.source, self.at + 1)
        found.sampled = Clause(first, body, self.at)

    def alias(self, found: Relation) -> None:
        """`AS m`, `m`, `m (a, b)`; for a LATERAL VIEW also `t AS a, b`."""
        source = self.source
        named = self.key(0) == "AS"
        token = source.tokens[self.at + named] if self.at + named < self.end else None
        if token is not None and token.is_name and (named or token.key not in NO_ALIAS | _JOINING):
            if not (named and "VIEW" in found.join):
                found.named, found.alias = self.at + named, token.name
                self.at += named + 1
        if "VIEW" in found.join:
            self.view_columns(found)
        elif self.key(0) == "(" and found.named is not None:
            found.listed = tuple(a for a, _ in commas(source, self.at + 1, source.closing[self.at]))
            self.at = skip(source, self.at)

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
            body, self.at = self.at, skip(self.source, self.at)
            found.pivot = Clause(first, body, self.at)
            found.alias, found.named, found.path = "", None, ()
            self.alias(found)

    def condition(self, relation: Relation) -> None:
        if self.key(0) == "USING":
            closing = self.source.closing[self.at + 1]
            relation.using = tuple(a for a, _ in commas(self.source, self.at + 2, closing))
            self.at = closing + 1
        elif self.key(0) == "ON":
            first = self.at
            while self.at < self.end and not self.ends():
                self.at = skip(self.source, self.at)
            relation.on = Clause(first, first + 1, self.at)

    def ends(self) -> bool:
        """Whether the next relation begins here, behind a condition."""
        if self.key(0) == ",":
            return True
        return (
            self.key(0) in _JOINING
            and any(self.key(offset) in {"JOIN", "VIEW"} for offset in range(4))
            and self.key(1) != "("
        )

    def columns(self, found: Relation) -> None:
        """What columns the relation has."""
        sources, given = self.sources, None
        if found.pivot is not None:
            given = None
        elif found.call:
            given = tuple(Column(name) for name in _GENERATED.get(found.call, ())) or None
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
            told = [bare(self.source.tokens[token]) for token in found.listed]
            given = tuple(Column(name, kind) for name, kind in zip(told, kinds or [None] * len(told), strict=True))
        found.columns = given
