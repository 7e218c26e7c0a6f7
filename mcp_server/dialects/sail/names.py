"""Which names stand in a piece of a SELECT, and what they are: columns of its FROM, or what AS calls them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.naming import name_of
from mcp_server.dialects.sail.relation import Relation, flat
from mcp_server.dialects.sail.sources import Sources
from mcp_server.sql.blocks import Block, Item
from mcp_server.sql.case import Case, memoize
from mcp_server.sql.compose import Sql, as_operand, compose, copy_tokens, join
from mcp_server.sql.edits import Edit
from mcp_server.sql.expressions import read_expression
from mcp_server.sql.functions import functions
from mcp_server.sql.lexer import tokenize
from mcp_server.sql.source import MAX_TOKENS

_AGGREGATES: Final = frozenset({"aggregate", "collecting"})
_BEHIND_CALL: Final = frozenset({"FILTER", "WITHIN", "IGNORE", "RESPECT", "NULLS", "GROUP"})


@dataclass(frozen=True)
class Use:
    """A column that is written at a token; `parts` are its names, lower case, up to token `end`."""

    at: int
    end: int
    parts: tuple[str, ...]


class Names:
    """The names of a statement, by place."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.source = case.source
        self.sources = Sources(case)
        self._uses = sorted(self._all(), key=lambda use: use.at)
        self._places = [use.at for use in self._uses]
        self.parameters = frozenset(_parameters(case))
        self._queries = sorted(query.first for query in case.blocks.queries)

    def _all(self) -> Iterator[Use]:
        origin = self.case.tree.copy.origin
        for node in self.case.tree.find_all(exp.Column):
            at = origin.get(node.parts[0].meta.get("start", -1)) if node.parts else None
            if at is not None and not isinstance(node.this, exp.Star):
                parts = tuple(self.source.tokens[at + 2 * step].name for step in range(len(node.parts)))
                yield Use(at, at + 2 * len(parts) - 1, parts)

    def uses(self, first: int, end: int, *, nested: bool = False) -> Iterator[Use]:
        """The columns between two tokens; those within sub-queries only where `nested`."""
        for use in self._uses[bisect_left(self._places, first) : bisect_left(self._places, end)]:
            if nested or not self.is_nested(use.at, first):
                yield use

    def is_nested(self, at: int, first: int) -> bool:
        """Whether a sub-query that begins behind `first` holds the token at `at`."""
        inner = self._queries[bisect_left(self._queries, first + 1) : bisect_left(self._queries, at + 1)]
        return any(self.case.blocks.at[query].end > at for query in inner)

    def owners(self, block: Block, use: Use) -> list[Relation]:
        """The relations of the SELECT that a column can belong to."""
        *path, name = use.parts
        found = self.sources.matching(self.sources.relations(block), tuple(path), name)
        if not found and path:  # a field of a column
            found = self.sources.matching(self.sources.relations(block), (), use.parts[0])
        return [column.owner for column in found if column.owner is not None]

    def known(self, block: Block) -> frozenset[str] | None:
        """The columns and relations that a SELECT's FROM brings, lower case; None where not all are known."""
        found: set[str] = set()
        for relation in flat(self.sources.relations(block)):
            if relation.columns is None:
                return None
            found |= {column.key for column in relation.columns}
            found |= {relation.alias or (relation.path or ("",))[-1]}
        return frozenset(found)

    def name(self, item: Item) -> str | None:
        """What a column of the SELECT list is called in Spark, where that is known."""
        if item.names:
            return self.source.tokens[item.names[0]].bare if len(item.names) == 1 else None
        plain = self.sources.plain_name(item.first, item.stop)
        if plain is not None:
            return plain
        read = read_expression(self.case, item.first)
        return name_of(read, self.source) if read is not None and read.end == item.stop else None

    def aggregates(self, first: int, end: int) -> Iterator[int]:
        """The calls between two tokens that make one value of many rows, without OVER."""
        known = functions().classes
        for at, name in self.case.reading.calls.items():
            found = first <= at < end and known.get(name) in _AGGREGATES and not self.is_nested(at, first)
            if found and not self.is_windowed(at):
                yield at

    def is_windowed(self, at: int) -> bool:
        """Whether OVER follows a call."""
        source = self.source
        at = source.closing.get(at + 1, at) + 1
        while source.key(at) in _BEHIND_CALL:
            at = source.closing.get(at + 1, at) + 1
        return source.key(at) == "OVER"

    def written(self, relation: Relation) -> Sql:
        """The name of a relation as its columns are written with it."""
        source = self.source
        if relation.named is not None:
            return copy_tokens(source, relation.named, relation.named + 1)
        at = relation.first + 2 * (len(relation.path) - 1)
        return copy_tokens(source, at, at + 1) if relation.path else compose("")

    def substituted(self, first: int, end: int, meaning: Callable[[Use], Sql | None], *, whole: bool = False) -> Sql:
        """The words between two tokens, with what `meaning` gives in the place of columns: of their first names, as
        the next ones can be fields, or of all of them where `whole`."""
        edits = [
            Edit(use.at, use.end if whole else use.at + 1, text)
            for use in self.uses(first, end)
            if (text := meaning(use)) is not None
        ]
        pieces, at = list[Sql](), first
        for edit in edits:
            self.check_captured(edit.text)
            pieces += [copy_tokens(self.source, at, edit.first), edit.text]
            at = edit.end
        pieces.append(copy_tokens(self.source, at, end))
        return join(" ", pieces)

    def check_captured(self, text: Sql) -> None:
        """Errors: EngineLacks, where a parameter of a lambda has the name of something that is written elsewhere."""
        if self.parameters and any(
            each.is_name and each.name in self.parameters for each in tokenize(text, MAX_TOKENS)
        ):
            raise lacking(
                "a lambda", "a parameter that is called like a column here", "Give the parameter another name."
            )


names_of = memoize(Names)


def _parameters(case: Case) -> Iterator[str]:
    """The names of the parameters of all lambdas."""
    source = case.source
    opening = {closing: at for at, closing in source.closing.items()}
    for arrow in (at for at, token in enumerate(source.tokens) if token.key == "->"):
        first = opening.get(arrow - 1, arrow - 1)
        yield from (token.name for token in source.tokens[first:arrow] if token.is_name)


class Aliases:
    """What AS calls the columns of a SELECT list, written out; those that see others have these written out in them."""

    def __init__(self, names: Names, block: Block) -> None:
        self._names = names
        self._known = names.known(block)
        self.texts: dict[str, Sql] = {}
        self._tokens: dict[str, tuple[int, int]] = {}

    def add(self, item: Item) -> Sql:
        """Writes out an item of the list, and makes its name known to the next."""
        text = self._names.substituted(item.first, item.stop, lambda use: self.hidden(use, item))
        if len(item.names) == 1:
            name = self._names.source.tokens[item.names[0]].name
            self.texts.setdefault(name, compose("{}", as_operand(text)))
            self._tokens.setdefault(name, (item.first, item.stop))
        if sum(map(len, self.texts.values())) > MAX_TOKENS * 16:
            raise lacking("lateral aliases", "names that stand for so much", "Put the inner ones into a sub-query.")
        return text

    def hidden(self, use: Use, before: Item | None = None) -> Sql | None:
        """The meaning of a name that the FROM does not have, given by a column that stands before another."""
        if self._known is None or use.parts[0] in self._known:
            return None
        given = self._tokens.get(use.parts[0])
        if given is None or (before is not None and given[0] >= before.first):
            return None
        return self.meaning(use)

    def replaced(self, use: Use, item: Item) -> bool:
        """Whether a name in an item stands for a column before it."""
        return self.hidden(use, item) is not None

    def meaning(self, use: Use) -> Sql | None:
        """The meaning of a name."""
        text = self.texts.get(use.parts[0])
        if text is None:
            return None
        return text
