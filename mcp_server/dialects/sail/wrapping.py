"""A SELECT within a SELECT, where a clause needs what the list of columns does not show.

QUALIFY, ORDER BY an aggregate that nobody selects, HAVING with grouping(): the inner SELECT gives what the clause
needs as columns of its own, the outer one filters and sorts by them and shows the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mcp_server.dialects.sail.fresh import FreshNames
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.names import Aliases, Names, Use, names_of
from mcp_server.sql.blocks import TAIL, Block, Clause, Item, split_at_commas
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, copy_tokens, join, quote_name
from mcp_server.sql.edits import Edit

_DIRECTIONS = frozenset({"ASC", "DESC", "NULLS"})

Needed = Callable[[Names, Block], bool]


def qualify(case: Case, _: Catalog) -> Sequence[Edit]:
    """QUALIFY, a WHERE on windows: the condition becomes a column, and the SELECT around it filters by it."""
    return _wrapped(case, "QUALIFY", lambda *_: True)


def having_grouping(case: Case, _: Catalog) -> Sequence[Edit]:
    """HAVING with grouping(), which Sail knows in the list of columns only."""
    return _wrapped(case, "HAVING", lambda names, block: _groups(names, block.clauses.get("HAVING")))


def order_by_aggregate(case: Case, _: Catalog) -> Sequence[Edit]:
    """ORDER BY an aggregate that is no column of the result."""
    return _wrapped(case, "ORDER", _orders)


def _wrapped(case: Case, word: str, needed: Needed) -> Sequence[Edit]:
    if not any(token.key == word for token in case.source.tokens):
        return ()
    names = names_of(case)
    found = [block for block in case.blocks.selects if word in block.clauses and needed(names, block)]
    inner = [b for b in found if not any(b.first < other.first < b.end for other in found)]
    return [Edit(block.first, block.end, _Wrap(names, block, word).text()) for block in inner]


def _groups(names: Names, clause: Clause | None) -> bool:
    calls = names.case.reading.calls
    return clause is not None and any(
        calls.get(at) in {"grouping", "grouping_id"} for at in range(clause.body, clause.end)
    )


def _orders(names: Names, block: Block) -> bool:
    """Whether a key of ORDER BY has an aggregate and is no column of the list."""
    shown = {copy_tokens(names.source, item.first, item.stop).upper() for item in block.items}
    return (
        any(
            any(names.aggregates(first, end)) and copy_tokens(names.source, first, end).upper() not in shown
            for first, end, _ in _keys(names, block.clauses["ORDER"])
        )
        and not block.distinct
    )


def _keys(names: Names, clause: Clause) -> Iterator[tuple[int, int, Sql]]:
    """The keys of an ORDER BY, each with the words for its direction."""
    for first, end in split_at_commas(names.source, clause.body, clause.end):
        stop = end
        for at in range(max(first, end - 4), end):
            if names.source.key(at) in _DIRECTIONS and at > first:
                stop = at
                break
        yield first, stop, copy_tokens(names.source, stop, end)


class _Wrap:
    """Writes one SELECT as two."""

    def __init__(self, names: Names, block: Block, word: str) -> None:
        self.names = names
        self.source = names.source
        self.block = block
        self.word = word
        self.known = names.known(block)
        self.aliases = Aliases(names, block)
        for item in block.items:
            self.aliases.add(item)
        self.hidden: list[Sql] = []
        self.fresh = FreshNames(names.case)
        self.own: list[Sql] = []
        """The names of the inner columns, where two of them are called alike."""
        if self.known is not None and any(self.is_outer(use) for use in names.uses(block.first, block.end)):
            raise lacking(
                word, f"{word} in a sub-query that reads the row around it", "Join with the sub-query instead."
            )

    def text(self) -> Sql:
        block, clauses = self.block, self.block.clauses
        shown, inner = self.columns()
        keep = compose("")
        if self.word != "ORDER":
            clause = clauses[self.word]
            condition = self.names.substituted(clause.body, clause.end, self.aliases.hidden)
            name = self.fresh.name("__keep")
            self.hidden.append(compose("({}) AS {}", condition, name))
            keep = compose("WHERE {}", name)
        order = self.order(shown) if "ORDER" in clauses else compose("")
        listed = join(", ", [*inner, *self.hidden])
        kept = [
            copy_tokens(self.source, c.first, c.end)
            for name, c in clauses.items()
            if name not in {"SELECT", self.word, *TAIL}
        ]
        tail = [
            copy_tokens(self.source, clauses[name].first, clauses[name].end) for name in TAIL[1:] if name in clauses
        ]
        select = compose("SELECT DISTINCT" if block.distinct else "SELECT")
        within = compose("FROM (SELECT {} {}) AS {}", listed, join(" ", kept), self.fresh.name("__wrapped"))
        return join(" ", [select, join(", ", self.shown(shown)), within, keep, order, *tail])

    def is_outer(self, use: Use) -> bool:
        """Whether a column is one of the row around a sub-query."""
        return use.parts[0] not in (self.known or ()) and use.parts[0] not in self.aliases.texts and len(use.parts) > 1

    def columns(self) -> tuple[list[str], list[Sql]]:
        """The names of the columns, and the items of the inner list; with names of their own where two are alike."""
        pairs = [pair for item in self.block.items for pair in self.pairs(item)]
        shown = [name for name, _ in pairs]
        if len({name.lower() for name in shown}) == len(shown):
            plain = [copy_tokens(self.source, item.first, item.end) for item in self.block.items]
            unnamed = [not item.names and not self.is_plain(item) for item in self.block.items]
            return shown, [
                compose("{} AS {}", text, quote_name(pair[0])) if bare else text
                for text, bare, pair in zip(plain, unnamed, [self.pairs(i)[0] for i in self.block.items], strict=True)
            ]
        self.own = [self.fresh.name(f"__c{number}") for number in range(1, len(pairs) + 1)]
        return shown, [compose("{} AS {}", text, own) for (_, text), own in zip(pairs, self.own, strict=True)]

    def is_plain(self, item: Item) -> bool:
        sources = self.names.sources
        return sources.is_star(item) or sources.plain_name(item.first, item.stop) is not None

    def pairs(self, item: Item) -> list[tuple[str, Sql]]:
        """The names and expressions of one item; of several, where it is a star."""
        sources = self.names.sources
        if sources.is_star(item):
            columns = sources.starred(sources.relations(self.block), item)
            if columns is None:
                raise lacking(self.word, "SELECT * with columns that cannot be told", "Write the columns out.")
            return [
                (
                    column.name,
                    compose("{}.{}", self.names.written(column.owner), quote_name(column.name))
                    if column.owner
                    else quote_name(column.name),
                )
                for column in columns
            ]
        name = self.names.name(item)
        if name is None:
            piece = copy_tokens(self.source, item.first, item.stop)
            raise lacking(self.word, f"it with the column {piece}, which has no name", "Give it a name with AS.")
        return [(name, copy_tokens(self.source, item.first, item.stop))]

    def shown(self, names: list[str]) -> list[Sql]:
        if self.own:
            return [compose("{} AS {}", own, quote_name(name)) for own, name in zip(self.own, names, strict=True)]
        return [quote_name(name) for name in names]

    def order(self, shown: list[str]) -> Sql:
        """ORDER BY of the outer SELECT: names and numbers of its columns stay, all else becomes a column."""
        clause, keys = self.block.clauses["ORDER"], list[Sql]()
        lower = {name.lower() for name in shown}
        for first, end, how in _keys(self.names, clause):
            token = self.source.tokens[first]
            alone = end == first + 1 and (token.name in lower or token.text.isdigit())
            if alone or self.block.distinct:
                key = copy_tokens(self.source, first, end)
            else:
                text = self.names.substituted(first, end, self.named_first)
                key = self.fresh.name(f"__key{len(keys) + 1}")
                self.hidden.append(compose("{} AS {}", text, key))
            keys.append(join(" ", [key, how]))
        return compose("ORDER BY {}", join(", ", keys))

    def named_first(self, use: Use) -> Sql | None:
        """ORDER BY takes a name for a column of the result before one of the FROM."""
        return self.aliases.meaning(use) if use.parts[0] in self.aliases.texts else None
