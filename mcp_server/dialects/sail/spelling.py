"""Small differences of grammar: the same clause in the words that Sail has for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mcp_server.dialects.sail.relation import Relation, flat, names
from mcp_server.dialects.sail.sources import Sources
from mcp_server.sql.blocks import Block
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import back_quote, compose, copy_tokens, join, quote_name
from mcp_server.sql.edits import Edit, delete_tokens

_RESERVED: Final = frozenset(
    {
        "ANALYZE", "ANY", "AUTHORIZATION", "BOTH", "CAST", "CHECK", "COLLATE", "COLUMN", "CONSTRAINT", "CREATE",
        "CURRENT_DATE", "CURRENT_TIME", "CURRENT_USER", "END", "ESCAPE", "EXPLAIN", "FETCH", "FILTER", "FOREIGN",
        "FORMAT", "GLOBAL", "GRANT", "INTO", "LEADING", "ONLY", "OVERLAPS", "PARTITION", "PRIMARY", "REFERENCES",
        "SAMPLE", "SESSION_USER", "SET", "SOME", "SORT", "START", "TABLE", "TIME", "TO", "TOP", "TRAILING", "UNIQUE",
        "UNKNOWN", "USER", "VIEW", "WITHIN",
    }
)  # fmt: skip
"""Words that Sail 0.7.2 does not take for an alias as they are, and Spark 4.2 does (each one tried)."""


def with_names(case: Case, _: Catalog) -> Sequence[Edit]:
    """WITH names in the case in which they were given: Sail tells `films` from `Films`."""
    edits = []
    refs = case.tree.tables
    for node, cte in case.names.ctes.items():
        at = refs[node].first
        if case.source.tokens[at].bare != cte.alias:
            edits.append(Edit(at, at + 1, quote_name(cte.alias)))
    return edits


def reserved(case: Case, _: Catalog) -> Sequence[Edit]:
    """Names that are words of Sail's grammar and not of Spark's: in back-quotes, or behind AS."""
    source = case.source
    if not any(token.key in _RESERVED for token in source.tokens):
        return ()
    sources, edits = Sources(case), list[Edit]()
    for block in case.blocks.selects:
        named = [r.named for r in flat(sources.relations(block)) if r.named is not None]
        edits += [Edit(at, at + 1, back_quote(source.tokens[at].bare)) for at in named if source.key(at) in _RESERVED]
        given = [item.names[0] for item in block.items if len(item.names) == 1]
        edits += [
            Edit(at, at, compose("AS")) for at in given if source.key(at) in _RESERVED and source.key(at - 1) != "AS"
        ]
    return edits


def views(case: Case, _: Catalog) -> Sequence[Edit]:
    """`LATERAL VIEW explode(x) t c` with the AS that Sail needs before the columns."""
    if not any(token.key == "VIEW" for token in case.source.tokens):
        return ()
    sources = Sources(case)
    found = (r for block in case.blocks.selects for r in sources.relations(block) if "VIEW" in r.join and r.listed)
    return [Edit(r.listed[0], r.listed[0], compose("AS")) for r in found if case.source.key(r.listed[0] - 1) != "AS"]


def spreading(case: Case, _: Catalog) -> Sequence[Edit]:
    """DISTRIBUTE BY and CLUSTER BY say where rows go, which no answer shows."""
    if not any(token.key in {"DISTRIBUTE", "CLUSTER"} for token in case.source.tokens):
        return ()
    blocks = case.blocks
    clauses = [block.clauses for block in blocks.selects] + [query.tail for query in blocks.queries]
    edits = [delete_tokens(c["DISTRIBUTE"].first, c["DISTRIBUTE"].end) for c in clauses if "DISTRIBUTE" in c]
    windows = [
        at for at, token in enumerate(case.source.tokens) if token.key == "CLUSTER" and case.source.key(at - 1) == "("
    ]
    edits += [Edit(at, at + 1, compose("PARTITION")) for at in windows]
    return edits + [Edit(c["CLUSTER"].first, c["CLUSTER"].body, compose("SORT BY")) for c in clauses if "CLUSTER" in c]


def samples(case: Case, _: Catalog) -> Sequence[Edit]:
    """`TABLESAMPLE (n ROWS)`, which in Spark is a LIMIT."""
    if not any(token.key == "TABLESAMPLE" for token in case.source.tokens):
        return ()
    sources, source = Sources(case), case.source
    edits = []
    for relation in (r for block in case.blocks.selects for r in flat(sources.relations(block))):
        sample = relation.sampled
        if sample is not None and source.key(sample.body + 2) == "ROWS":
            rows = copy_tokens(source, sample.body + 1, sample.body + 2)
            text = compose("(SELECT * FROM {} LIMIT {})", copy_tokens(source, relation.first, relation.core), rows)
            if relation.named is None and relation.path:
                text = compose("{} AS {}", text, quote_name(_name(case, relation)))
            edits.append(Edit(relation.first, sample.end, text))
    return edits


def _name(case: Case, relation: Relation) -> str:
    """The last name of a table as it is written."""
    at = relation.first + 2 * (len(relation.path) - 1)
    return case.source.tokens[at].bare


def pivots(case: Case, _: Catalog) -> Sequence[Edit]:
    """Brackets around the column behind FOR of a PIVOT."""
    source, edits = case.source, list[Edit]()
    if not any(token.key == "PIVOT" for token in source.tokens):
        return ()
    for index, token in enumerate(source.tokens):
        if token.key == "PIVOT" and source.key(index + 1) == "(":
            closing = source.closing[index + 1]
            at = next((at for at in range(index, closing) if source.key(at) == "FOR"), closing)
            end = next((at for at in range(at, closing) if source.key(at) == "IN"), closing)
            if end < closing and source.key(at + 1) != "(":
                edits.append(Edit(at + 1, end, compose("({})", copy_tokens(source, at + 1, end))))
    return edits


def stars(case: Case, catalog: Catalog) -> Sequence[Edit]:
    """`m.*` in the very words of the alias, or with the schema: Sail gives no columns where they differ."""
    source = case.source
    found = [at for at, token in enumerate(source.tokens) if token.key == "*" and source.key(at - 1) == "."]
    return [edit for at in found for edit in _star(case, catalog, at)]


def _star(case: Case, catalog: Catalog, at: int) -> Iterator[Edit]:
    source, first = case.source, at - 2
    while source.key(first - 1) == ".":
        first -= 2
    block = innermost(case, at)
    path = tuple(source.tokens[index].name for index in range(first, at, 2))
    for relation in flat(Sources(case).relations(block)) if block is not None else ():
        if names(relation, path):
            node = Sources(case).tables.get(relation.first)
            info = case.names.tables.get(node[0]) if node and not relation.alias else None
            named = relation.first if relation.named is None else relation.named
            meant = copy_tokens(source, named, named + 1)
            if info is not None:
                meant = join(".", map(quote_name, (*catalog.schema.split("."), info.name)))
            if meant != copy_tokens(source, first, at - 1):
                yield Edit(first, at - 1, meant)
            return


def innermost(case: Case, at: int) -> Block | None:
    """The SELECT that a token stands in, and in none within it."""
    found = [block for block in case.blocks.selects if block.first <= at < block.end]
    return found[-1] if found else None
