"""Queries by their tokens: the SELECTs of a statement, and where each of their clauses begins and ends.

For rewrites, which change a clause and leave every other token as it is. It decides nothing about what may run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from sqlglot import exp

from mcp_server.sql.source import Source
from mcp_server.sql.tree import Tree
from mcp_server.sql.words import QUERY_STARTS, SET_OPERATORS, STAR_NEXT

_ONE_WORD: Final = frozenset({"SELECT", "FROM", "WHERE", "HAVING", "QUALIFY", "WINDOW", "LIMIT", "OFFSET"})
_WITH_BY: Final = frozenset({"GROUP", "ORDER", "SORT", "CLUSTER", "DISTRIBUTE"})
TAIL: Final = ("ORDER", "SORT", "CLUSTER", "DISTRIBUTE", "LIMIT", "OFFSET")
"""Clauses that belong to the whole of `a UNION b`, in the order in which they are written."""


class Clause(NamedTuple):
    """A clause from its first word. `body` is the token after its words (`ORDER BY`, `SELECT DISTINCT`)."""

    first: int
    body: int
    end: int


class Item(NamedTuple):
    """An item of a SELECT list. `stop` is the end of its expression, `names` are the tokens of its alias."""

    first: int
    stop: int
    end: int
    names: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Block:
    """One SELECT, up to a set operator, a pipe, a closing bracket or the end."""

    first: int
    end: int
    clauses: Mapping[str, Clause]
    items: tuple[Item, ...]
    distinct: bool


@dataclass(frozen=True, eq=False)
class Rows:
    """A VALUES in the place of a query."""

    first: int
    end: int


@dataclass(frozen=True, eq=False)
class Query:
    """The statement, or a query in brackets.

    `head` is the token after its WITH, `terms` are what set operators combine, `tail` are the clauses after several
    terms or after brackets; the clauses of a single SELECT are its own. `pipes` are the tokens `|>`.
    """

    first: int
    end: int
    head: int
    terms: tuple[Block | Rows | Query, ...]
    tail: Mapping[str, Clause]
    pipes: tuple[int, ...]

    @property
    def block(self) -> Block | None:
        """Its SELECT, where it has only one."""
        only = self.terms[0] if len(self.terms) == 1 else None
        return only if isinstance(only, Block) else None


@dataclass(frozen=True, eq=False)
class Blocks:
    """All queries of a statement, outer ones first. `at` finds one by its first token.

    `aliases` maps the token after an alias to the tokens of the alias.
    """

    source: Source
    queries: tuple[Query, ...]
    at: Mapping[int, Query]
    aliases: Mapping[int, tuple[int, ...]]

    @property
    def selects(self) -> tuple[Block, ...]:
        """All SELECTs, in the order of the text."""
        found = (term for query in self.queries for term in query.terms if isinstance(term, Block))
        return tuple(sorted(found, key=lambda block: block.first))

    def items(self, first: int, end: int) -> Iterator[Item]:
        """Yield the items of a list, as of SELECT, with their aliases."""
        return read_items(self.source, self.aliases, first, end)


def read_blocks(tree: Tree) -> Blocks:
    """Return the queries of a statement."""
    return _BlockReader(tree).read_blocks()


def split_at_commas(source: Source, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a list. Commas within brackets do not separate."""
    at = start = first
    while at < end:
        if source.key(at) == ",":
            yield start, at
            start = at + 1
        at = skip_brackets(source, at)
    if end > first:
        yield start, end


def read_items(source: Source, aliases: Mapping[int, tuple[int, ...]], first: int, end: int) -> Iterator[Item]:
    """Yield the items of a list between two tokens. `aliases` maps the token after an alias to its tokens."""
    for start, stop in split_at_commas(source, first, end):
        names = aliases.get(stop, ())
        at = names[0] if names else stop
        for word in ("(", "AS"):
            at -= bool(names) and source.key(at - 1) == word
        yield Item(start, at, stop, names)


def skip_brackets(source: Source, at: int) -> int:
    """Return the token after the one at `at`, or after the brackets that it opens."""
    return source.closing.get(at, at) + 1


class _BlockReader:
    def __init__(self, tree: Tree) -> None:
        self.source = tree.source
        self.queries: list[Query] = []
        self.at: dict[int, Query] = {}
        self.aliases: dict[int, tuple[int, ...]] = {}
        for node in tree.find_all(exp.Alias, exp.Aliases):
            named = node.expressions if isinstance(node, exp.Aliases) else [node.args["alias"]]
            tokens = [tree.token_index(name) for name in named]
            found = tuple(token for token in tokens if token is not None)
            if found:
                self.aliases[found[-1] + (2 if isinstance(node, exp.Aliases) else 1)] = found

    def read_blocks(self) -> Blocks:
        source = self.source
        self.read_query(0, len(source.tokens))
        for index, token in enumerate(source.tokens):
            if token.key == "(" and index + 1 not in self.at and self.holds_query(index):
                self.read_query(index + 1, source.closing[index])
        return Blocks(source, tuple(sorted(self.queries, key=lambda query: query.first)), self.at, self.aliases)

    def holds_query(self, index: int) -> bool:
        """Whether the bracket at `index` contains a query, and not a value or a relation."""
        source, inner = self.source, index + 1
        key = source.key(inner)
        if key == "(":
            behind = source.closing[inner] + 1
            ends = (
                behind == source.closing[index]
                or self.find_clause(behind)
                or source.key(behind) in SET_OPERATORS | {"|>"}
            )
            return ends and self.holds_query(inner)
        return key in QUERY_STARTS and (key != "FROM" or source.key(index - 1) not in {"EXTRACT", "TRIM"})

    def find_clause(self, at: int) -> str:
        """Return the clause whose first word is at `at`, or an empty string."""
        source, key = self.source, self.source.key(at)
        before = source.key(at - 1)
        if before in {".", "AS"}:
            return ""
        if key in _WITH_BY:
            return key if source.key(at + 1) == "BY" else ""
        if key == "FROM":
            return "" if before == "DISTINCT" and source.key(at - 2) in {"IS", "NOT"} else key
        if key == "WINDOW":
            named = source.key(at + 2) == "AS" and source.key(at + 3) == "("
            return key if named else ""
        return key if key in _ONE_WORD else ""

    def is_set_operator(self, at: int) -> bool:
        """Whether a set operator is at `at`, and not `* EXCEPT (a, b)`."""
        source, key = self.source, self.source.key(at)
        if key not in SET_OPERATORS or source.key(at - 1) in {".", "AS"}:
            return False
        return not (key == "EXCEPT" and is_star_except(source, at))

    def read_query(self, first: int, end: int) -> Query:
        """Read the query between two tokens."""
        source, at = self.source, self.skip_with(first, end)
        head = at
        terms: list[Block | Rows | Query] = []
        tail: dict[str, Clause] = {}
        while at < end and source.key(at) != "|>":
            if self.is_set_operator(at):
                at += 2 if source.key(at + 1) in {"ALL", "DISTINCT"} else 1
                continue
            term, tail = self.read_term(at, end)
            terms.append(term)
            at = max([term.end + isinstance(term, Query), *(clause.end for clause in tail.values()), at + 1])
        pipes = tuple(pipe for pipe in self.iter_steps(at, end) if source.key(pipe) == "|>")
        if len(terms) > 1 and isinstance(terms[-1], Block) and not tail:
            terms[-1], tail = self.split_tail(terms[-1])
        found = Query(first, end, head, tuple(terms), tail, pipes)
        self.queries.append(found)
        self.at[first] = found
        return found

    def skip_with(self, first: int, end: int) -> int:
        """Return the token after `WITH a AS (…), b (x) AS (…)`."""
        source = self.source
        if source.key(first) != "WITH":
            return first
        at = first
        while at < end:
            at = skip_brackets(source, at)
            begins = source.key(at) == "(" and source.key(at - 1) == ")"
            if source.key(at - 1) == ")" and (begins or source.key(at) in QUERY_STARTS):
                return at
        return first

    def iter_steps(self, first: int, end: int) -> Iterator[int]:
        while first < end:
            yield first
            first = skip_brackets(self.source, first)

    def read_term(self, first: int, end: int) -> tuple[Block | Rows | Query, dict[str, Clause]]:
        """Read an operand of a set operator, and the clauses after its brackets."""
        source = self.source
        if source.key(first) == "(":
            inner = self.read_query(first + 1, source.closing[first])
            return inner, self.read_clauses(inner.end + 1, end)
        clauses = self.read_clauses(first, end)
        if source.key(first) == "VALUES":
            stop = min([clause.first for clause in clauses.values()], default=self.find_stop(first, end))
            return Rows(first, stop), clauses
        listed = clauses.get("SELECT")
        items = tuple(read_items(source, self.aliases, listed.body, listed.end)) if listed else ()
        distinct = listed is not None and source.key(listed.body - 1) == "DISTINCT"
        return Block(first, self.find_stop(first, end), clauses, items, distinct), {}

    def find_stop(self, first: int, end: int) -> int:
        return next(
            (at for at in self.iter_steps(first, end) if self.source.key(at) == "|>" or self.is_set_operator(at)), end
        )

    def read_clauses(self, first: int, end: int) -> dict[str, Clause]:
        """Read the clauses from `first` up to a set operator or a pipe."""
        source, stop = self.source, self.find_stop(first, end)
        starts = [(at, name) for at in self.iter_steps(first, stop) if (name := self.find_clause(at))]
        found: dict[str, Clause] = {}
        for (at, name), (following, _) in pairwise([*starts, (stop, "")]):
            body = at + (2 if name in _WITH_BY else 1)
            if name == "SELECT" and source.key(body) in {"DISTINCT", "ALL"}:
                body += 1
            found.setdefault(name, Clause(at, body, following))
        return found

    def split_tail(self, block: Block) -> tuple[Block, dict[str, Clause]]:
        """Separate the last of several SELECTs from the clauses after it, which belong to all of them."""
        first = min((block.clauses[name].first for name in TAIL if name in block.clauses), default=block.end)
        own = {name: clause for name, clause in block.clauses.items() if clause.first < first}
        tail = {name: clause for name, clause in block.clauses.items() if clause.first >= first}
        return Block(block.first, first, own, block.items, block.distinct), tail


def is_star_except(source: Source, at: int) -> bool:
    """Whether the EXCEPT at `at` leaves columns out of a `*`."""
    star = source.key(at - 1) == "*" and (source.key(at - 2) in STAR_NEXT)
    return star and source.key(at + 1) == "(" and source.key(at + 2) not in QUERY_STARTS | {"("}
