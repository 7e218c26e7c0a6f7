"""ORDER BY a column that is constant below an outer join, or below groups of several sizes.

The engine knows that all rows of one side have the same value there, and leaves the key out; but the join fills the
column with nulls, and so do ROLLUP, CUBE and GROUPING SETS. Such an order is refused. Names stand for what bears them
anywhere in the statement: that finds more than there is, and never less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mcp_server.guard.blocks import Block, commas
from mcp_server.guard.case import Case
from mcp_server.guard.catalog import Catalog
from mcp_server.guard.dialect.edits import Edit, lacking
from mcp_server.guard.dialect.expr import Expr
from mcp_server.guard.dialect.expressions import expressions
from mcp_server.guard.dialect.given import names_given
from mcp_server.guard.dialect.names import names_of
from mcp_server.guard.functions import functions
from mcp_server.guard.source import Source

_FILLING: Final = frozenset({"LEFT", "RIGHT", "FULL"})
_GROUPING: Final = frozenset({"ROLLUP", "CUBE", "SETS"})
_EQUAL: Final = frozenset({"=", "==", "<=>"})
_VARYING: Final = frozenset({"aggregate", "collecting", "window", "random", "generator"})
"""Classes of functions whose results differ from row to row, or group to group, without a column."""


def check_sort_keys(case: Case, _: Catalog) -> Sequence[Edit]:
    """Changes nothing. Errors: EngineLacks, for an order that the engine would not keep."""
    source = case.source
    if "ORDER" not in source.keys or not (fills := _fills(source)):
        return ()
    constant = _constant_names(case, fills)
    if constant:
        for name in _sorted_by(case):
            if name in constant:
                raise lacking(
                    "ORDER BY",
                    f"an order by {name}, which is constant below an outer join or below groups of several sizes",
                    "Leave the key out, or sort by another column.",
                )
    return ()


def _fills(source: Source) -> list[int]:
    """The tokens of clauses that give rows in which columns are null that are not below them."""
    return [
        at
        for at, key in enumerate(source.keys)
        if key in _GROUPING
        or (key == "OUTER" and source.key(at - 1) == "VIEW")
        or (key in _FILLING and source.key(at + 1) in {"JOIN", "OUTER"})
    ]


def _sorted_by(case: Case) -> Iterator[str]:
    """The names that the keys of every ORDER BY read, through all that they stand for."""
    given: dict[str, set[str]] = {}
    for name, node in names_given(case):
        given.setdefault(name, set()).update(_names(node) if node is not None else ())
    todo, seen = list(_keys(case)), set[str]()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            yield name
            todo += given.get(name, ())


def _keys(case: Case) -> Iterator[str]:
    names, source = names_of(case), case.source
    for query in case.blocks.queries:
        clauses = query.block.clauses if query.block is not None else query.tail
        clause = clauses.get("ORDER")
        for first, end in commas(source, clause.body, clause.end) if clause is not None else ():
            token = source.tokens[first]
            yield from (use.parts[-1] for use in names.uses(first, end))
            if token.text.isdigit() and query.terms and isinstance(query.terms[0], Block):
                items = query.terms[0].items
                item = items[int(token.text) - 1] if 1 <= int(token.text) <= len(items) else None
                if item is not None:
                    yield from (source.tokens[at].name for at in item.names)
                    yield from (use.parts[-1] for use in names.uses(item.first, item.stop))
    for node in (node for root in expressions(case) for node in root.walk() if node.kind == "over"):
        for sort in node.rest:
            yield from _names(sort)


def _constant_names(case: Case, fills: Sequence[int]) -> frozenset[str]:
    """Names that are given to constants, that are compared with one, and that are equal to such.

    A column that is compared in the WHERE behind all that fills is constant in what comes out, too: its order is none.
    Names that joins take for equal are several columns, of which one may be filled, and count in any case.
    """
    behind = _wheres_behind(case, fills)
    found = {name for name, node in names_given(case) if node is not None and _is_constant(node, case.source)}
    filtered = set[str]()
    pairs: list[tuple[str, str]] = []
    for node in (node for root in expressions(case) for node in root.walk()):
        fixed = filtered if any(first <= node.first < end for first, end in behind) else found
        if node.kind == "binary" and node.word in _EQUAL:
            left, right = map(_name, node.parts)
            if left and right:
                pairs.append((left, right))
            fixed |= {one for one, other in ((left, node.parts[1]), (right, node.parts[0])) if one and _is_fixed(other)}
        elif _name(node.parts[0] if node.parts else node) and _is_one_value(node, case.source):
            fixed.add(_name(node.parts[0]))
    found |= {name for name in filtered if any(name in pair for pair in pairs)}
    grown = True
    while grown:
        more = {name for pair in pairs if not found.isdisjoint(pair) for name in pair}
        grown, found = not more <= found, found | more
    return frozenset(found)


def _wheres_behind(case: Case, fills: Sequence[int]) -> list[tuple[int, int]]:
    """The tokens of each WHERE whose own FROM holds all that fills; none where a join may name columns without ON."""
    source = case.source
    if not {"USING", "NATURAL"}.isdisjoint(source.keys):
        return []
    found = []
    for block in case.blocks.selects:
        where = block.clauses.get("WHERE")
        if where is not None and all(block.first < at < where.body for at in fills):
            found.append((where.body, where.end))
    inner = [(block.first, block.end) for block in case.blocks.selects]
    return [(first, end) for first, end in found if not any(first <= one < end for one, _ in inner)]


def _is_one_value(node: Expr, source: Source) -> bool:
    """Whether a predicate holds for one value of its operand alone; null is what a join fills in, too."""
    if node.kind == "is":
        return node.word in {"is true", "is false"} or (
            node.word == "is not distinct from" and all(map(_is_fixed, node.parts[1:]))
        )
    texts = {"".join(token.text for token in source.tokens[part.first : part.end]) for part in node.parts[1:]}
    return node.word in {"in", "between"} and len(texts) == 1 and all(map(_is_fixed, node.parts[1:]))


def _name(node: Expr) -> str:
    """The column that a node is, whatever brackets or casts are around it."""
    while node.kind in {"brackets", "cast", "try_cast"}:
        node = node.parts[0]
    return node.word.rpartition(".")[2] if node.kind == "name" else ""


def _names(node: Expr) -> set[str]:
    return {each.word.rpartition(".")[2] for each in node.walk() if each.kind == "name"}


def _is_fixed(node: Expr) -> bool:
    """Whether a node reads no column and no row."""
    classes = functions().allowed
    return not any(
        each.kind in {"element", "name", "place", "query", "star", "zero"}
        or (each.kind == "call" and classes.get(each.word) in _VARYING)
        for each in node.walk()
    )


def _is_constant(node: Expr, source: Source) -> bool:
    """Whether what has a name is one value; the rows of a VALUES are branches of a case."""
    texts = {"".join(token.text for token in source.tokens[part.first : part.end]) for part in node.parts}
    is_rows = node.kind == "case" and set(node.word.split()) == {"then"}
    return _is_fixed(node) and (not is_rows or len(texts) == 1)
