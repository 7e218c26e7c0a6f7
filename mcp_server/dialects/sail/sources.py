"""What a FROM names, by tokens: each relation with its alias, its columns in order, and how it is joined."""

from __future__ import annotations

from collections.abc import Iterable

from mcp_server.dialects.sail.froms import GENERATED, From
from mcp_server.dialects.sail.relation import Column, Columns, Relation, Relations, flat, names
from mcp_server.sql.blocks import Block, Item, Query, Rows, skip_brackets, split_at_commas
from mcp_server.sql.case import Case


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
            found = tuple(From(self, clause.body, clause.end).run()) if clause else ()
            self._relations[block.first] = found
        return self._relations[block.first]

    def joined(self, first: int, end: int) -> tuple[Relation, ...]:
        """The relations of `JOIN t ON …` between two tokens."""
        return tuple(From(self, first, end).run())

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
                found += [Column(self.source.tokens[token].bare, kind) for token in item.names]
            elif made := self.generated(item):
                found += [Column(name) for name in made]
            else:
                name = self.plain_name(item.first, item.stop)
                if name is None and not unnamed:
                    return None
                found.append(Column(name or "", self.kind(relations, item)))
        return tuple(found)

    def generated(self, item: Item) -> tuple[str, ...]:
        """The names that Spark gives to what a function such as explode makes, where it stands alone."""
        alone = self.source.closing.get(item.first + 1, -1) + 1 == item.stop
        return GENERATED.get(self.case.reading.calls.get(item.first, ""), ()) if alone else ()

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
        return tokens[-1].bare if len(tokens) % 2 and plain else None

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
        for start, stop in split_at_commas(self.source, first, end):
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
            inner = relation.parts and not relation.alias
            own = tuple(Column(c.name, c.kind, c.owner if inner else relation) for c in relation.columns)
            keys = self.shared(relation, found, own)
            left, right = ([first_of(columns, key) for key in keys] for columns in (found, own))
            merged = right if "RIGHT" in relation.join else left
            gone = [id(column) for column in (*left, *right)]
            found = (*(c for c in merged if c), *(column for column in (*found, *own) if id(column) not in gone))
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
        width = len(list(split_at_commas(source, first + 1, source.closing[first]))) if source.key(first) == "(" else 1
        return tuple(Column(f"col{number}") for number in range(1, width + 1))

    def named_query(self, token: int) -> Query | None:
        """The query of the WITH name that a relation at this token reads."""
        node = self.tables.get(token)
        cte = self.case.names.ctes.get(node[0]) if node else None
        at = self.case.tree.token_index(cte.args["alias"].this) if cte is not None else None
        if at is None:
            return None
        return self.case.blocks.at.get(self.body(at) + 1)

    def body(self, at: int) -> int:
        """The bracket of a WITH name's query, from the token of the name."""
        at += 1
        if self.source.key(at) == "(" and self.source.key(skip_brackets(self.source, at)) in {"AS", "MAX", "("}:
            at = skip_brackets(self.source, at)
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


def first_of(columns: Columns, key: str) -> Column | None:
    """The first column of that name, which is the one that USING takes."""
    return next((column for column in columns if column.key == key), None)
