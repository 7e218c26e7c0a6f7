"""Sub-queries in places, or of kinds, that Sail does not know or answers otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcp_server.dialects.sail.conditions import conjuncts, equality
from mcp_server.dialects.sail.fresh import FreshNames
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.membership import check_membership
from mcp_server.dialects.sail.names import Names, Use, names_of
from mcp_server.dialects.sail.spelling import innermost
from mcp_server.sql.blocks import Block, Query
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, as_operand, compose, copy_tokens
from mcp_server.sql.edits import Edit, delete_tokens
from mcp_server.sql.expressions import read_expression

_JOIN = "Join with the sub-query, or put its condition into WHERE."


def subqueries(case: Case, _: Catalog) -> Sequence[Edit]:
    """IN and EXISTS outside of WHERE, and scalar sub-queries that read the row around them.

    Errors: EngineLacks, for what has no other words here.
    """
    inner = [query for query in case.blocks.queries if query.first and case.source.key(query.first - 1) == "("]
    if not inner:
        return ()
    names = names_of(case)
    edits: list[Edit] = []
    for edit in (edit for query in reversed(inner) for edit in _Inner(names, query).edits()):
        if not any(edit.first < other.end and other.first < edit.end for other in edits):  # the outer ones come next
            edits.append(edit)
    return edits


class _Inner:
    """One query in brackets."""

    def __init__(self, names: Names, query: Query) -> None:
        self.names = names
        self.source = names.source
        self.query = query
        self.before = query.first - 2
        self.word = self.source.key(self.before)

    def edits(self) -> Iterator[Edit]:
        outer = innermost(self.names.case, self.before)
        block = self.query.block
        if outer is None or block is None or outer is block or self.is_relation(outer):
            return
        if self.word in {"IN", "EXISTS"}:
            yield from self.predicate(outer, block)
        elif self.source.key(self.query.first - 2) != "AS":
            self.check_scalar(block)

    def is_relation(self, outer: Block) -> bool:
        """Whether the brackets stand in FROM, or are those of a WITH name or of a term of a set operation."""
        clause = outer.clauses.get("FROM")
        within = clause is not None and clause.body <= self.query.first < clause.end
        return (within and not self.is_in_on(outer)) or self.query.first - 1 < outer.clauses["SELECT"].first

    def is_in_on(self, outer: Block) -> bool:
        relations = self.names.sources.relations(outer)
        return any(r.on is not None and r.on.body <= self.before < r.on.end for r in relations)

    def predicate(self, outer: Block, block: Block) -> Iterator[Edit]:
        aggregates = [at for item in block.items for at in self.names.aggregates(item.first, item.stop)]
        if self.word == "EXISTS" and aggregates and not {"GROUP", "HAVING"} & block.clauses.keys():
            raise lacking(
                "EXISTS", "EXISTS of an aggregate, which is always true", "Compare the aggregate: (SELECT …) > 0."
            )
        if self.is_in_on(outer):
            raise lacking(self.word, f"{self.word} with a sub-query in ON", _JOIN)
        if "ORDER" in block.clauses and "LIMIT" not in block.clauses and self.word == "EXISTS":
            yield delete_tokens(block.clauses["ORDER"].first, block.clauses["ORDER"].end)
            return
        if self.word == "IN":
            if (aggregates or "HAVING" in block.clauses) and "GROUP" not in block.clauses and self.is_correlated(block):
                raise lacking("IN", "IN with an aggregate that reads the row around it", _JOIN)
            yield from self.member(outer, block)
        if self.in_list(outer) and self.in_aggregate(outer):
            raise lacking(self.word, f"{self.word} with a sub-query within an aggregate", _JOIN)

    def is_correlated(self, block: Block) -> bool:
        """Whether the sub-query may read the row around it."""
        known = self.names.known(block)
        uses = self.names.uses(block.first, block.end, nested=True)
        return known is None or any(use.parts[0] not in known for use in uses)

    def reads_around(self, outer: Block, block: Block) -> bool:
        """Whether a name within the sub-query, or within one in it, stands for something of the row around it."""
        within = [each for each in self.names.case.blocks.selects if block.first <= each.first < block.end]
        around = self.names.known(outer)
        for use in self.names.uses(block.first, block.end, nested=True):
            known = [self.names.known(each) for each in within if each.first <= use.at < each.end]
            if any(each is not None and use.parts[0] in each for each in known):
                continue
            if None not in known or (around is not None and use.parts[0] in around):
                return True
        return False

    def in_list(self, outer: Block) -> bool:
        return any(item.first <= self.before < item.stop for item in outer.items)

    def in_aggregate(self, outer: Block) -> bool:
        """Whether the sub-query stands within the brackets of an aggregate, or of its FILTER."""
        clause = outer.clauses["SELECT"]
        for call in self.names.aggregates(clause.body, clause.end):
            at = self.source.closing[call + 1]
            if self.source.key(at + 1) == "FILTER":
                at = self.source.closing[at + 2]
            if call < self.before < at:
                return True
        return False

    def member(self, outer: Block, block: Block) -> Iterator[Edit]:
        """`x IN (SELECT …)` in the list of columns, as EXISTS."""
        negated = self.source.key(self.before - 1) == "NOT"
        end = self.before - negated
        rows = self.source.key(end - 1) == ")" and self.is_row(end)
        listed = self.in_list(outer)
        if rows and (listed or self.is_negated(outer)):
            raise lacking(
                "NOT IN", "NOT IN with several columns", "Write NOT EXISTS with the comparisons in its WHERE."
            )
        if "HAVING" in outer.clauses and outer.clauses["HAVING"].first <= self.before < outer.clauses["HAVING"].end:
            raise lacking(
                "IN", "IN with a sub-query in HAVING", "Put the groups into a sub-query and IN into its WHERE."
            )
        where = outer.clauses.get("WHERE")
        within = where is not None and where.body <= self.before < where.end
        if within and check_membership(self.names, outer, self.query.first - 1) and self.reads_around(outer, block):
            raise lacking(
                "NOT IN",
                "NOT IN with a sub-query that reads the row around it",
                "Write NOT EXISTS with the comparison in its WHERE.",
            )
        if not listed or self.in_aggregate(outer):
            return
        first = self.operand(outer, end)
        behind_not = first is not None and "NOT" in {self.source.key(first - 1), self.source.key(first - 2)}
        if (
            first is None
            or behind_not
            or any(self.names.aggregates(first, end))
            or self.source.key(self.query.first) == "WITH"
            or len(block.items) != 1
        ):
            raise lacking("IN", "IN with a sub-query here", _JOIN)
        yield Edit(first, self.query.end + 1, self.compared(first, end, negated=negated))

    def is_row(self, end: int) -> bool:
        opening = next(at for at, closing in self.source.closing.items() if closing == end - 1)
        return (
            any(self.source.key(at) == "," for at in range(opening, end))
            and opening - 1 not in self.names.case.reading.calls
        )

    def is_negated(self, outer: Block) -> bool:
        """Whether NOT stands anywhere before it in its clause, so that null and false differ."""
        clause = next((c for c in outer.clauses.values() if c.body <= self.before < c.end), None)
        return clause is None or any(
            self.source.key(at) in {"NOT", "!", "CASE", "IS"} for at in range(clause.body, self.before)
        )

    def operand(self, outer: Block, end: int) -> int | None:
        """Where the expression to the left of IN begins."""
        item = next(item for item in outer.items if item.first <= self.before < item.stop)
        for first in range(item.first, end):
            before = self.source.key(first - 1)
            if first == item.first or before in {"(", ",", "AND", "OR", "NOT", "WHEN", "THEN", "ELSE"}:
                read = read_expression(self.names.case, first)
                if read is not None and (read.end == end or self.ends_before(first, end)):
                    return first
        return None

    def ends_before(self, first: int, end: int) -> bool:
        """Whether nothing but one operand stands between two tokens."""
        keys = {self.source.key(at) for at in range(first, end)}
        return not keys & {"AND", "OR", "NOT", "WHEN", "THEN", "ELSE", "CASE", ","}

    def compared(self, first: int, end: int, *, negated: bool) -> Sql:
        """IN as EXISTS. In the list of columns Spark's IN is never null: a null is in nothing, and where the
        sub-query has one, everything else is in it for NOT IN.
        """
        fresh = FreshNames(self.names.case)
        name, value = fresh.name(f"__s{first}"), fresh.name(f"__v{first}")
        rows = compose("({}) AS {}({})", copy_tokens(self.source, self.query.first, self.query.end), name, value)
        column = compose("{}.{}", name, value)
        outer = as_operand(self.names.substituted(first, end, self.qualified, whole=True))
        found = compose("EXISTS (SELECT 1 FROM {} WHERE {} = {})", rows, column, outer)
        if not negated:
            return found
        return compose(
            "CASE WHEN {} OR (SELECT count(*) FROM {} WHERE {} IS NULL) > 0 OR ({} IS NULL AND "
            "(SELECT count(*) FROM {}) > 0) THEN false ELSE true END",
            found,
            rows,
            column,
            outer,
            rows,
        )

    def qualified(self, use: Use) -> Sql | None:
        """A column of the outer SELECT with its relation: within EXISTS it must not be taken for another."""
        outer = innermost(self.names.case, use.at)
        owners = self.names.owners(outer, use) if outer is not None and len(use.parts) == 1 else []
        owner = self.names.written(owners[0]) if len(owners) == 1 else compose("")
        return compose("{}.{}", owner, copy_tokens(self.source, use.at, use.end)) if owner else None

    def check_scalar(self, block: Block) -> None:
        """A scalar sub-query compares with the row around it by equality, and has an aggregate."""
        known = self.names.known(block)
        if known is None or "FROM" not in block.clauses:
            return
        uses = [u for u in self.names.uses(block.first, block.end) if u.parts[0] not in known and len(u.parts) > 1]
        if not uses:
            return
        if "LIMIT" in block.clauses:
            raise lacking(
                "LIMIT",
                "LIMIT in a sub-query that reads the row around it",
                "Write max_by(value, key) or max(value) instead.",
            )
        where = block.clauses.get("WHERE")
        for first, end in conjuncts(self.source, where.body, where.end) if where is not None else ():
            if any(first <= use.at < end for use in uses) and not equality(self.source, first, end):
                piece = copy_tokens(self.source, first, end)
                raise lacking("sub-query", f"{piece}, which compares a sub-query's rows with the row around it", _JOIN)
