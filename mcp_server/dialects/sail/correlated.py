"""`JOIN LATERAL (SELECT …)` with a sub-query that reads the row before it, as a join on what it compares.

The equalities with the row before become the condition of a plain join, and their inner sides become groups of an
aggregate, or partitions of a LIMIT. An aggregate without groups gives a row where nothing is found, too: what it then
says is asked of the same relations without rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mcp_server.dialects.sail.conditions import conjuncts, equality
from mcp_server.dialects.sail.fresh import FreshNames
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.lists import columns_of
from mcp_server.dialects.sail.names import Aliases, Names, Use, names_of
from mcp_server.dialects.sail.relation import Relation
from mcp_server.sql.blocks import Block, skip_brackets, split_at_commas
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Operand, Sql, as_operand, compose, copy_operand, copy_tokens, join, quote_name
from mcp_server.sql.edits import Edit


def laterals(case: Case, _: Catalog) -> Sequence[Edit]:
    """The first such join of the innermost SELECT that has one."""
    if not any(token.key == "LATERAL" for token in case.source.tokens):
        return ()
    names = names_of(case)
    for block in reversed(case.blocks.selects):
        for relation in names.sources.relations(block):
            if relation.lateral and relation.query is not None:
                edits = _Lateral(names, block, relation).edits()
                if edits:
                    return edits
    return ()


@dataclass
class _Parts:
    """The conditions of a sub-query: `keys` are inner and outer sides of equalities, `across` compare otherwise."""

    inner: list[Operand] = field(default_factory=list)
    keys: list[tuple[Operand, Operand]] = field(default_factory=list)
    across: list[Operand] = field(default_factory=list)


Key = tuple[Sql, Operand, Operand]
"""The name of an inner side among the columns of the sub-query, that side, and the outer one."""


class _Lateral:
    """One LATERAL sub-query."""

    def __init__(self, names: Names, outer: Block, relation: Relation) -> None:
        self.names = names
        self.source = names.source
        self.outer = outer
        self.relation = relation
        self.fresh = FreshNames(names.case)
        self.mark = f"__l{relation.first}"
        named = relation.named
        self.alias = self.fresh.name(self.mark) if named is None else copy_tokens(self.source, named, named + 1)
        self.inner_name = self.fresh.name(f"{self.mark}x")
        self.number_name = self.fresh.name(f"{self.mark}n")
        self.hidden: list[Sql] = []

    def edits(self) -> list[Edit]:
        query = self.relation.query
        block = query.block if query is not None else None
        if block is None:
            raise self.lacks("of several SELECTs")
        if "FROM" not in block.clauses:
            return self.without_from(block)
        self.block, self.known = block, self.names.known(block)
        outer_uses = [use for use in self.names.uses(block.first, block.end, nested=True) if self.is_outer(use)]
        if self.known is None:
            raise self.lacks("over relations whose columns cannot be told")
        where = block.clauses.get("WHERE")
        if any(where is None or not where.body <= use.at < where.end for use in outer_uses):
            raise self.lacks("that reads the row before it outside of WHERE")
        parts = self.conditions()
        self.aggregated = any(at for item in block.items for at in self.names.aggregates(item.first, item.stop))
        self.whole = self.aggregated and "GROUP" not in block.clauses
        limited = "LIMIT" in block.clauses or "OFFSET" in block.clauses
        shaped = self.aggregated or limited or block.distinct or "GROUP" in block.clauses
        if shaped and (parts.across or (not parts.keys and outer_uses)):
            raise self.lacks("that compares with the row before it by more than equality")
        if "HAVING" in block.clauses and self.whole:
            raise self.lacks("with HAVING and without GROUP BY")
        return self.joined(parts, limited=limited)

    def lacks(self, what: str) -> Exception:
        return lacking("LATERAL", f"a lateral sub-query {what}", "Join with a sub-query that is grouped by the key.")

    def without_from(self, block: Block) -> list[Edit]:
        """`LATERAL (SELECT a + 1 AS b)` works, but for LEFT JOIN; a generator alone is one."""
        relation, item = self.relation, block.items[0]
        calls = self.names.case.reading.calls
        if len(block.items) == 1 and calls.get(item.first, "").removesuffix("_outer") in {
            "explode",
            "posexplode",
            "inline",
        }:
            columns = relation.listed or item.names
            names = join(", ", (copy_tokens(self.source, token, token + 1) for token in columns))
            listed = compose("({})", names) if columns else compose("")
            if item.stop == skip_brackets(self.source, item.first + 1) and len(block.clauses) == 1:
                text = copy_tokens(self.source, item.first, item.stop)
                return [Edit(relation.first, relation.end, compose("{} AS {}{}", text, self.alias, listed))]
        plain = relation.on is None or copy_tokens(self.source, relation.on.body, relation.on.end).upper() == "TRUE"
        if "LEFT" in relation.join:
            if not plain or len(block.clauses) > 1:
                raise self.lacks("without FROM, joined by a condition")
            return [Edit(relation.words, relation.first, compose("JOIN LATERAL"))]
        return []

    def is_outer(self, use: Use) -> bool:
        """Whether a column belongs to the row before, by its relation or because no inner relation has it."""
        if self.known is not None and use.parts[0] in self.known:
            return False
        inner = [
            query for query in self.names.case.blocks.selects if self.block.first < query.first <= use.at < query.end
        ]
        if any(use.parts[0] in (self.names.known(block) or {use.parts[0]}) for block in inner):
            return False
        given = {self.source.tokens[token].name for item in self.block.items for token in item.names}
        return len(use.parts) > 1 or use.parts[0] not in given

    def sides(self, first: int, end: int) -> tuple[bool, bool]:
        """Whether inner and outer columns stand between two tokens."""
        outer = [self.is_outer(use) for use in self.names.uses(first, end, nested=True)]
        return not all(outer), any(outer)

    def conditions(self) -> _Parts:
        found, where = _Parts(), self.block.clauses.get("WHERE")
        for first, end in conjuncts(self.source, where.body, where.end) if where is not None else ():
            text = copy_operand(self.source, first, end)
            if not self.sides(first, end)[1]:
                found.inner.append(text)
                continue
            split = equality(self.source, first, end)
            left = self.sides(first, split) if split else (True, True)
            right = self.sides(split + 1, end) if split else (True, True)
            if split and left == (True, False) and right == (False, True):
                found.keys.append((copy_operand(self.source, first, split), copy_operand(self.source, split + 1, end)))
            elif split and left == (False, True) and right == (True, False):
                found.keys.append((copy_operand(self.source, split + 1, end), copy_operand(self.source, first, split)))
            elif any(first <= query.first < end for query in self.names.case.blocks.queries):
                raise self.lacks("that compares with the row before it in a sub-query of its own")
            else:
                found.across.append(as_operand(self.names.substituted(first, end, self.carried, whole=True)))
        return found

    def carried(self, use: Use) -> Sql | None:
        """An inner column of a condition that goes to the join, under a name of its own."""
        if self.is_outer(use):
            return None
        name = self.fresh.name(f"{self.mark}_{len(self.hidden) + 1}")
        self.hidden.append(compose("{} AS {}", copy_tokens(self.source, use.at, use.end), name))
        return compose("{}.{}", self.alias, name)

    def joined(self, parts: _Parts, *, limited: bool) -> list[Edit]:
        """The join, and stars written out that would show its keys."""
        keys = [(self.fresh.name(f"{self.mark}k{number}"), *pair) for number, pair in enumerate(parts.keys, 1)]
        inner = self.derived(parts, keys, limited=limited)
        on = [compose("{} = {}.{}", outer, self.joined_name(), name) for name, _, outer in keys]
        on += [compose("{}", each) for each in parts.across]
        edits = [
            Edit(item.first, item.stop, join(", ", columns_of(self.names, self.outer, item, owned=self.whole)))
            for item in self.outer.items
            if self.names.sources.is_star(item) and keys
        ]
        return [*edits, *self.replaced(inner, on, keys)]

    def joined_name(self) -> Sql:
        return self.inner_name if self.whole else self.alias

    def replaced(self, inner: Sql, on: list[Sql], keys: list[Key]) -> list[Edit]:
        relation, words = self.relation, self.relation.join
        given = relation.on
        end = given.end if given is not None else relation.end
        own = copy_tokens(self.source, given.body, given.end) if given is not None else compose("")
        if own.upper() not in {"", "TRUE"}:
            on = [*on, compose("({})", own)]
        if not self.whole:
            if words == (",",):
                behind = list(self.names.sources.relations(self.outer))
                if any({"RIGHT", "FULL"} & {*other.join} for other in behind[behind.index(relation) + 1 :]):
                    raise self.lacks("before a RIGHT or FULL JOIN")
                return [Edit(relation.words, end, compose(", {} AS {}", inner, self.alias)), *self.where(on)]
            joined = compose("LEFT JOIN {} AS {}" if "LEFT" in words else "JOIN {} AS {}", inner, self.alias)
            return [Edit(relation.words, end, compose("{} ON {}", joined, join(" AND ", on)) if on else joined)]
        if own.upper() not in {"", "TRUE"}:
            raise self.lacks("of an aggregate, joined by a condition")
        before = list(self.names.sources.relations(self.outer))
        if any(other.join == (",",) for other in before[: before.index(relation)]):
            raise self.lacks("behind relations with commas")
        if not keys:
            return [Edit(relation.words, end, compose("CROSS JOIN {} AS {}", inner, self.alias))]
        text = compose(
            "LEFT JOIN {} AS {} ON {} JOIN LATERAL (SELECT {})",
            inner,
            self.inner_name,
            join(" AND ", on),
            self.filled(keys),
        )
        return [Edit(relation.words, end, compose("{} AS {}", text, self.alias))]

    def filled(self, keys: list[Key]) -> Sql:
        """The columns of an aggregate, and what it says of no rows where the join found none."""
        clause = self.block.clauses["FROM"]
        rows = copy_tokens(self.source, clause.first, clause.end)
        texts = []
        for item, name in zip(self.block.items, self.shown(), strict=True):
            empty = compose("(SELECT {} {} WHERE false)", copy_tokens(self.source, item.first, item.stop), rows)
            found = compose("{}.{}", self.inner_name, quote_name(name))
            texts.append(
                compose(
                    "CASE WHEN {}.{} IS NULL THEN {} ELSE {} END AS {}",
                    self.inner_name,
                    keys[0][0],
                    empty,
                    found,
                    quote_name(name),
                )
            )
        return join(", ", texts)

    def shown(self) -> list[str]:
        """The names of the sub-query's columns."""
        if self.relation.listed:
            return [self.source.tokens[token].bare for token in self.relation.listed]
        found = [self.names.name(item) for item in self.block.items]
        if any(name is None for name in found):
            raise self.lacks("with a column that has no name: give it one with AS")
        return [name for name in found if name is not None]

    def listed(self) -> list[Sql]:
        block = self.block
        if any(self.names.sources.is_star(item) for item in block.items):
            if self.relation.listed or self.whole:
                raise self.lacks("of a star with names for its columns")
            return [copy_tokens(self.source, item.first, item.end) for item in block.items]
        pairs = zip(block.items, self.shown(), strict=True)
        return [
            compose("{} AS {}", copy_tokens(self.source, item.first, item.stop), quote_name(name))
            for item, name in pairs
        ]

    def derived(self, parts: _Parts, keys: list[Key], *, limited: bool) -> Sql:
        """The sub-query without the row before it, with its keys as columns."""
        block, clauses = self.block, self.block.clauses
        listed = [*self.listed(), *(compose("{} AS {}", text, name) for name, text, _ in keys), *self.hidden]
        if limited:
            listed.append(compose("row_number() OVER ({}) AS {}", self.partition(keys), self.number_name))
        pieces = [compose("SELECT DISTINCT {}" if block.distinct else "SELECT {}", join(", ", listed))]
        pieces.append(copy_tokens(self.source, clauses["FROM"].first, clauses["FROM"].end))
        pieces += [compose("WHERE {}", join(" AND ", parts.inner))] if parts.inner else []
        groups = [text for _, text, _ in keys]
        if "GROUP" in clauses:
            own = copy_tokens(self.source, clauses["GROUP"].first, clauses["GROUP"].end)
            pieces.append(join(", ", [own, *groups]))
        elif self.whole and groups:
            pieces.append(compose("GROUP BY {}", join(", ", groups)))
        if "HAVING" in clauses:
            pieces.append(copy_tokens(self.source, clauses["HAVING"].first, clauses["HAVING"].end))
        text = compose("({})", join(" ", pieces))
        return (
            compose("(SELECT * FROM {} AS {} WHERE {})", text, self.fresh.name(f"{self.mark}r"), self.within())
            if limited
            else text
        )

    def partition(self, keys: list[Key]) -> Sql:
        if self.block.distinct:
            raise self.lacks("with DISTINCT and LIMIT")
        by = compose("PARTITION BY {}", join(", ", (text for _, text, _ in keys))) if keys else compose("")
        clause = self.block.clauses.get("ORDER")
        if clause is None:
            return compose("{} ORDER BY {}", by, keys[0][1] if keys else 1)
        aliases = Aliases(self.names, self.block)
        for item in self.block.items:
            aliases.add(item)
        order = self.names.substituted(
            clause.first, clause.end, lambda use: aliases.meaning(use) if use.parts[0] in aliases.texts else None
        )
        if any(
            self.source.tokens[first].text.isdigit()
            for first, _ in split_at_commas(self.source, clause.body, clause.end)
        ):
            raise self.lacks("with ORDER BY a number")
        return join(" ", [by, order])

    def within(self) -> Sql:
        """The numbers of the rows that LIMIT and OFFSET leave."""
        number = self.number_name
        skipped, kept = (self.number(name) for name in ("OFFSET", "LIMIT"))
        parts = [compose("{} > {}", number, skipped)] if skipped is not None else []
        parts += [compose("{} <= {}", number, kept + (skipped or 0))] if kept is not None else []
        return join(" AND ", parts)

    def number(self, name: str) -> int | None:
        clause = self.block.clauses.get(name)
        return int(self.source.tokens[clause.body].text) if clause is not None else None

    def where(self, conditions: list[Sql]) -> Iterator[Edit]:
        """Conditions in the WHERE of the outer SELECT."""
        if not conditions:
            return
        condition, clause = join(" AND ", conditions), self.outer.clauses.get("WHERE")
        if clause is None:
            end = self.outer.clauses["FROM"].end
            yield Edit(end, end, compose("WHERE {}", condition))
        else:
            old = copy_tokens(self.source, clause.body, clause.end)
            yield Edit(clause.body, clause.end, compose("({}) AND {}", old, condition))
