"""WITH RECURSIVE, which Sail does not have: one that counts is written as a sequence, any other cannot run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.sources import Sources
from mcp_server.sql.blocks import Block, Query
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import compose, quote_name
from mcp_server.sql.edits import Edit, delete_tokens
from mcp_server.sql.source import Source, is_plain_integer

DEFAULT_LEVELS = 100
"""Steps after which Spark gives up without MAX RECURSION LEVEL (spark.sql.cteRecursionLevelLimit)."""

_INSTEAD = (
    "Numbers come from SELECT explode(sequence(1, 10)) AS n; a hierarchy of known depth from one join with each level."
)


def recursion(case: Case, _: Catalog) -> Sequence[Edit]:
    """Every WITH name that reads itself. Errors: EngineLacks, where it does more than count."""
    if not any(token.key == "RECURSIVE" for token in case.source.tokens):
        return ()
    sources = Sources(case)
    return [
        edit
        for node, cte in case.names.ctes.items()
        for edit in _counted(sources, case.tree.tables[node].first, cte.alias)
    ]


def _counted(sources: Sources, at: int, name: str) -> Iterator[Edit]:
    """The edits for a WITH name, where the relation at a token is its own query's."""
    query, source = sources.named_query(at), sources.source
    if query is None or not query.first <= at < query.end:
        return
    counter = _Counter(source, query, at)
    numbers = counter.numbers()
    before = query.first - 2
    level = DEFAULT_LEVELS
    words = [source.key(index) for index in range(max(before - 4, 0), before + 1)]
    if "RECURSION" in words:
        first = before - 4 + words.index("MAX")
        level = int(source.tokens[first + 3].text)
        yield delete_tokens(first, first + 4)
    if numbers is None or numbers[3] > level:
        raise lacking("WITH RECURSIVE", f"the recursion of {name}", _INSTEAD)
    start, last, step, _ = numbers
    text = compose("SELECT explode(sequence({}, {}, {}))", start, last, step)
    if counter.column:
        text = compose("{} AS {}", text, quote_name(counter.column))
    yield Edit(query.first, query.end, text)


class _Counter:
    """`SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 10`."""

    def __init__(self, source: Source, query: Query, at: int) -> None:
        self.source = source
        self.query = query
        self.at = at
        self.column = ""

    def numbers(self) -> tuple[int, int, int, int] | None:
        """The first number, the last one, the step and how many steps; None where it does anything else."""
        blocks = [term for term in self.query.terms if isinstance(term, Block)]
        if (
            len(blocks) != 2
            or len(self.query.terms) != 2
            or self.query.tail
            or self.source.key(self.query.first) == "WITH"
        ):
            return None
        anchor, step = blocks
        between = [self.source.key(index) for index in range(anchor.end, step.first)]
        if (
            between != ["UNION", "ALL"]
            or set(anchor.clauses) != {"SELECT"}
            or set(step.clauses) != {"SELECT", "FROM", "WHERE"}
        ):
            return None
        start, by = self.start(anchor), self.step(step)
        return self.counted(start, by, step) if start is not None and by else None

    def start(self, anchor: Block) -> int | None:
        item = anchor.items[0]
        self.column = self.source.tokens[item.names[0]].bare if item.names else ""
        return self.integer(item.first, item.stop) if len(anchor.items) == 1 else None

    def step(self, step: Block) -> int:
        """The number in `n + 2` or `n - 1`; 0 where something else stands there."""
        item, clause = step.items[0], step.clauses["FROM"]
        alone = len(step.items) == 1 and clause.end - clause.body == 1 and clause.body == self.at
        tokens = self.source.tokens[item.first : item.stop]
        if not alone or len(tokens) != 3 or not tokens[0].is_name or tokens[1].key not in {"+", "-"}:
            return 0
        if not is_plain_integer(tokens[2]):
            return 0
        return int(tokens[2].text) * (1 if tokens[1].key == "+" else -1)

    def counted(self, start: int, by: int, step: Block) -> tuple[int, int, int, int] | None:
        """Counts the steps, as Spark would go."""
        clause = step.clauses["WHERE"]
        name = self.source.tokens[step.items[0].first].name
        bound = self.integer(clause.body + 2, clause.end)
        operator = self.source.key(clause.body + 1)
        same = self.source.tokens[clause.body].name == name
        if bound is None or not same or (operator not in {"<", "<="} if by > 0 else operator not in {">", ">="}):
            return None
        distance = (bound - start) if by > 0 else (start - bound)
        steps = -(-distance // abs(by)) if operator in {"<", ">"} else distance // abs(by) + 1
        steps = max(steps, 0)
        return start, start + by * steps, by, steps

    def integer(self, first: int, end: int) -> int | None:
        """The number `5` or `-5` between two tokens."""
        negative = self.source.key(first) == "-"
        token = self.source.tokens[end - 1] if first < end else None
        if token is None or end - first != 1 + negative or not is_plain_integer(token):
            return None
        return -int(token.text) if negative else int(token.text)
