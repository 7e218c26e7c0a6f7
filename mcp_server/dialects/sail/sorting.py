"""ORDER BY a column that is constant below an outer join, or below groups of several sizes.

The engine knows that all rows of one side have the same value there, and leaves the key out; but the join fills the
column with nulls, and so do ROLLUP, CUBE and GROUPING SETS. Such an order is refused. Names stand for what bears them
anywhere in the statement: that finds more than there is, and never less.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mcp_server.dialects.sail.between import column_of, columns_of_one_value, is_fixed
from mcp_server.dialects.sail.given import names_given
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.names import names_of
from mcp_server.dialects.sail.spelling import innermost
from mcp_server.sql.blocks import Block, split_at_commas
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.edits import Edit
from mcp_server.sql.expr import Expr
from mcp_server.sql.expressions import read_expressions
from mcp_server.sql.source import Source

_FILLING: Final = frozenset({"LEFT", "RIGHT", "FULL"})
_GROUPING: Final = frozenset({"ROLLUP", "CUBE", "SETS"})
_EQUAL: Final = frozenset({"=", "==", "<=>"})
_DIRECTIONS: Final = frozenset({"ASC", "DESC", "NULLS", "FIRST", "LAST"})


def check_sort_keys(case: Case, _: Catalog) -> Sequence[Edit]:
    """Changes nothing. Errors: EngineLacks, for an order that the engine would not keep."""
    source = case.source
    if "ORDER" not in source.keys or not (fills := _fills(source)):
        return ()
    constant = _constant_names(case, fills)
    if constant:
        for name in _sorted_by(case, fills):
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


def _sorted_by(case: Case, fills: Sequence[int]) -> Iterator[str]:
    """The names that the keys of every ORDER BY read, through all that they stand for."""
    given: dict[str, set[str]] = {}
    for name, node in names_given(case):
        given.setdefault(name, set()).update(_names(node) if node is not None else ())
    todo, seen = list(_keys(case, fills)), set[str]()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            yield name
            todo += given.get(name, ())


def _keys(case: Case, fills: Sequence[int]) -> Iterator[str]:
    names, source = names_of(case), case.source
    for query in case.blocks.queries:
        clauses = query.block.clauses if query.block is not None else query.tail
        clause = clauses.get("ORDER")
        fixed = _fixed_behind(case, query.block, fills) if query.block is not None else frozenset[str]()
        for first, end in split_at_commas(source, clause.body, clause.end) if clause is not None else ():
            uses = list(names.uses(first, end))
            if uses and ".".join(uses[0].parts) in fixed and _is_alone(source, uses[0].end, end):
                continue
            yield from (use.parts[-1] for use in uses)
            if query.terms and isinstance(query.terms[0], Block):
                yield from _listed(case, query.terms[0], first)
    for block in case.blocks.selects:
        windows = block.clauses.get("WINDOW")
        yield from (use.parts[-1] for use in names.uses(windows.body, windows.end)) if windows is not None else ()
    for node in (node for root in read_expressions(case) for node in root.walk() if node.kind == "over"):
        for sort in node.rest:
            yield from _names(sort)


def _is_alone(source: Source, behind: int, end: int) -> bool:
    return all(source.key(at) in _DIRECTIONS for at in range(behind, end))


def _listed(case: Case, block: Block, key: int) -> Iterator[str]:
    """The names in the column that a key gives the number of, or in all of them for ORDER BY ALL."""
    names, source, items = names_of(case), case.source, block.items
    token = source.tokens[key]
    if token.text.isdigit():
        items = items[: int(token.text)]  # those before it are stars, perhaps, and give more columns than one
        items = items if any(names.sources.is_star(item) for item in items) else items[int(token.text) - 1 :]
    elif token.key != "ALL":
        return
    for item in items:
        if names.sources.is_star(item):
            yield from (each.name for each in source.tokens if each.is_name)
        yield from (source.tokens[at].name for at in item.names)
        yield from (use.parts[-1] for use in names.uses(item.first, item.stop))


def _fixed_behind(case: Case, block: Block, fills: Sequence[int]) -> frozenset[str]:
    """Columns, with their relation, that the WHERE of a SELECT fixes in all its rows, behind all that fills."""
    where = block.clauses.get("WHERE")
    if where is None or not all(block.first < at < where.body for at in fills):
        return frozenset()
    todo = [root for root in read_expressions(case) if root.first == where.body]
    found = set[str]()
    while todo:
        node = todo.pop()
        if node.kind == "brackets" or (node.kind == "logic" and node.word == "and"):
            todo += node.parts
        elif node.kind == "binary" and node.word in _EQUAL:
            for one, other in (node.parts, node.parts[::-1]):
                if one.kind == "name" and "." in one.word and is_fixed(other):
                    found.add(one.word)
    return frozenset(found)


def _constant_names(case: Case, fills: Sequence[int]) -> frozenset[str]:
    """Names that are given to constants, that are compared with one, and that are equal to such.

    A column that is compared in the WHERE behind all that fills is constant in what comes out, too: its order is none.
    Names that joins take for equal are several columns, of which one may be filled, and count in any case.
    """
    behind = _wheres_behind(case, fills)
    given = [(name, node) for name, node in names_given(case) if node is not None]
    found = {name for name, node in given if _is_constant(node, case.source) or _is_total(node, case, fills)}
    filtered = set[str]()
    pairs: list[tuple[str, str]] = []
    every = [node for root in read_expressions(case) for node in root.walk()]
    late = {id(node) for node in every if any(first <= node.first < end for first, end in behind)}
    found |= _pinned([node for node in every if id(node) not in late], case.source)
    filtered |= _pinned([node for node in every if id(node) in late], case.source)
    for node in every:
        fixed = filtered if id(node) in late else found
        if node.kind == "binary" and node.word in _EQUAL:
            left, right = map(column_of, node.parts)
            if left and right:
                pairs.append((left, right))
            fixed |= {one for one, other in ((left, node.parts[1]), (right, node.parts[0])) if one and is_fixed(other)}
        elif column_of(node.parts[0] if node.parts else node) and _is_one_value(node, case.source):
            fixed.add(column_of(node.parts[0]))
    found |= {name for name in filtered if any(name in pair for pair in pairs)}
    grown = True
    while grown:
        more = {name for pair in pairs if not found.isdisjoint(pair) for name in pair}
        grown, found = not more <= found, found | more
    return frozenset(found)


def _is_total(node: Expr, case: Case, fills: Sequence[int]) -> bool:
    """Whether it is a value of the one row that a SELECT of aggregates without GROUP BY gives below what fills."""
    block = innermost(case, node.first)
    if block is None or "GROUP" in block.clauses or all(block.first < at < block.end for at in fills):
        return False
    return any(names_of(case).aggregates(node.first, node.end))


def _pinned(nodes: Sequence[Expr], source: Source) -> set[str]:
    """Names that ranges, patterns or denials leave one value, by constants alone."""
    found = set[str]()
    for node in nodes:
        if node.kind == "unary" and node.word == "not":
            found |= {name for each in node.walk() if (name := _denied(each))}
        elif node.kind == "like" and (name := column_of(node.parts[0])) and _is_one_text(node, source):
            found.add(name)
    return found | columns_of_one_value(nodes, source)


def _denied(node: Expr) -> str:
    """The name that is one value where this is not so."""
    unlike = node.word in {"<>", "!=", "is distinct from"} or (node.word == "not in" and len(node.parts) == 2)
    if not unlike:
        return ""
    left, right = node.parts
    return column_of(left) if is_fixed(right) else column_of(right) if is_fixed(left) else ""


def _is_one_text(node: Expr, source: Source) -> bool:
    """Whether a pattern is of one text alone."""
    text = source.tokens[node.parts[1].first].text[1:-1]
    if len(node.parts) != 2 or node.parts[1].kind != "string":
        return False
    if node.word in {"rlike", "regexp"}:
        return text.startswith("^") and text.endswith("$")
    return "%" not in text and "_" not in text


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
            node.word == "is not distinct from" and all(map(is_fixed, node.parts[1:]))
        )
    texts = {"".join(token.text for token in source.tokens[part.first : part.end]) for part in node.parts[1:]}
    return node.word in {"in", "between"} and len(texts) == 1 and all(map(is_fixed, node.parts[1:]))


def _names(node: Expr) -> set[str]:
    return {each.word.rpartition(".")[2] for each in node.walk() if each.kind == "name"}


def _is_constant(node: Expr, source: Source) -> bool:
    """Whether what has a name is one value; the rows of a VALUES are branches of a case."""
    texts = {"".join(token.text for token in source.tokens[part.first : part.end]) for part in node.parts}
    is_rows = node.kind == "case" and set(node.word.split()) == {"then"}
    return is_fixed(node) and (not is_rows or len(texts) == 1)
