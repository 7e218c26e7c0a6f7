"""The names that a statement gives to its expressions: with AS, in lambdas, structs, VALUES and generators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mcp_server.sql.case import Case, memoize
from mcp_server.sql.expr import Expr
from mcp_server.sql.expressions import read_expressions
from mcp_server.sql.source import Source
from mcp_server.sql.words import BEFORE_BRACKET

Given = tuple[str, Expr | None]
"""A name and what it stands for; None where only the name is seen."""

_OF_ELEMENTS: Final = frozenset({"transform", "filter", "exists", "forall", "array_sort"})
"""Functions whose lambda takes elements of their first argument."""

_FOLDS: Final = frozenset({"aggregate", "reduce"})
_GENERATORS: Final = frozenset({"explode", "explode_outer"})
_PLACES: Final = frozenset({"posexplode", "posexplode_outer"})

PLACE: Final = Expr("place", 0, 0)
"""The place of an element in its array: an int."""


@memoize
def names_given(case: Case) -> list[Given]:
    """All names, in no order. A name may be given more than once."""
    source, roots = case.source, read_expressions(case)
    every = list(_all(roots))
    given = [each for root in roots for node in root.walk() for each in _inside(node, source)]
    for root in every:
        at = root.end + (source.key(root.end) == "AS")
        if _is_alias(source, at):
            given.append((source.tokens[at].name, _value(root)))
        if root.kind == "call" and root.parts:
            given += _unasked(root)
    return [*given, *_columns_given(source, case.reading.calls, every)]


def element_of(array: Expr) -> Expr:
    """An element of an array, as an expression that stands nowhere."""
    return Expr("element", array.first, array.end, "", (array,))


def _value(item: Expr) -> Expr:
    """What a column of a SELECT holds: for a generator, an element."""
    generates = item.kind == "call" and item.word in _GENERATORS and item.parts
    return element_of(item.parts[0]) if generates else item


def first_item(query: Expr, source: Source) -> Expr | None:
    """What a sub-query of one SELECT gives in its first column."""
    at = query.first + 1
    if source.key(at) != "SELECT" or not query.parts:
        return None
    at += 1 + (source.key(at + 1) in {"DISTINCT", "ALL"})
    return query.parts[0] if query.parts[0].first == at else None


def _unasked(root: Expr) -> Sequence[Given]:
    """The names that rows have which a function makes."""
    if root.word in _GENERATORS | _PLACES:
        return ("pos", PLACE), ("col", element_of(root.parts[0]))
    if root.word == "range":
        values = (Expr("zero", root.first, root.end), *root.parts)
        every = Expr("case", root.first, root.end, " ".join(["then"] * len(values)), values)
        return (("id", Expr("cast", root.first, root.end, "BIGINT", (every,))),)
    return ()


def _all(roots: Sequence[Expr]) -> Iterator[Expr]:
    """The outermost expressions, and those of the queries within them."""
    for root in roots:
        yield root
        for node in root.walk():
            if node.kind == "query":
                yield from node.parts


def _is_alias(source: Source, at: int) -> bool:
    return at < len(source.tokens) and source.tokens[at].is_name and source.key(at) not in BEFORE_BRACKET


def _inside(node: Expr, source: Source) -> Iterator[Given]:
    """The names that a node gives to its parts."""
    if node.kind == "alias":
        yield node.word, node.parts[0]
    elif node.kind == "call" and node.word == "named_struct":
        for name, value in zip(node.parts[::2], node.parts[1::2], strict=False):
            if name.kind == "string":
                yield source.tokens[name.first].text[1:-1], value


def bound(roots: Sequence[Expr]) -> dict[Expr, Expr | None]:
    """The names within lambdas that are parameters, and what they stand for."""
    found: dict[Expr, Expr | None] = {}
    for root in roots:
        _bind(root, {}, found)
    return found


def _bind(node: Expr, scope: Mapping[str, Expr | None], found: dict[Expr, Expr | None]) -> None:
    if node.kind == "name" and node.word in scope:
        found[node] = scope[node.word]
    for child in node.children:
        inner = scope
        if child.kind == "lambda":
            names = [name.word for name in child.parts[:-1]]
            values = _parameters(node, child) if node.kind == "call" else ()
            inner = {**scope, **dict(zip(names, [*values, *[None] * len(names)], strict=False))}
        _bind(child, inner, found)


def _parameters(node: Expr, function: Expr) -> Sequence[Expr]:
    """What the parameters of a lambda stand for, as far as the call tells."""
    element = element_of(node.parts[0])
    if node.word in _OF_ELEMENTS:
        return element, element if node.word == "array_sort" else PLACE
    if node.word in _FOLDS and len(node.parts) > 2:
        return Expr("folded", function.first, function.end, "", (node.parts[1],)), element
    return ()


def _columns_given(source: Source, calls: Mapping[int, str], roots: Sequence[Expr]) -> list[Given]:
    """The names in `t (a, b)` behind a relation, which may be VALUES or a generator, or of a WITH."""
    given: list[Given] = []
    starts, ends = {root.first: root for root in roots}, {root.end: root for root in roots}
    for index, token in enumerate(source.tokens[1:], start=1):
        before = source.tokens[index - 1]
        if token.key == "(" and before.is_name and index - 1 not in calls and before.key not in BEFORE_BRACKET:
            inside = source.tokens[index + 1 : source.closing[index]]
            if all(each.is_name or each.key == "," for each in inside):
                names = [each.name for each in inside if each.is_name]
                behind = source.closing[index] + 1
                if source.key(behind) == "AS" and source.key(behind + 1) == "(":
                    columns = list(_items(source, starts, behind + 2))
                else:
                    columns = _columns(source, ends, index - 1 - (source.key(index - 2) == "AS"), len(names))
                given += zip(names, columns if len(columns) == len(names) else [None] * len(names), strict=True)
    return given


def _columns(source: Source, ends: Mapping[int, Expr], end: int, count: int) -> list[Expr | None]:
    """What the columns of a relation hold that ends before a token."""
    root = ends.get(end)
    if root is not None and root.kind == "call" and root.parts:
        element = element_of(root.parts[0])
        return [element] if root.word in _GENERATORS else [PLACE, element] if root.word in _PLACES else []
    if root is not None and root.kind == "query":
        if source.key(root.first + 1) == "VALUES":
            rows = [_row(part) for part in root.parts]
            return [_values(rows, place) for place in range(count)]
        starts = {part.first: part for part in root.parts}
        return list(_items(source, starts, root.first + 1))
    rows = _rows(source, ends, end)
    return [_values(rows, place) for place in range(count)]


def _items(source: Source, starts: Mapping[int, Expr], first: int) -> Iterator[Expr | None]:
    """The expressions of the list of the SELECT that begins at a token."""
    if source.key(first) != "SELECT":
        return
    at = first + 1 + (source.key(first + 1) in {"DISTINCT", "ALL"})
    while (root := starts.get(at)) is not None and root.kind != "star":
        yield _value(root)
        at = root.end
        at += source.key(at) == "AS"
        at += _is_alias(source, at)
        if source.key(at) != ",":
            return
        at += 1


def _row(root: Expr) -> Expr:
    return root if root.kind in {"tuple", "brackets"} else Expr("brackets", root.first, root.end, "", (root,))


def _rows(source: Source, ends: Mapping[int, Expr], end: int) -> list[Expr]:
    """The rows of the VALUES that end before a token."""
    rows: list[Expr] = []
    while (row := ends.get(end)) is not None:
        rows.append(_row(row))
        if source.key(row.first - 1) == "VALUES":
            return rows
        end = row.first - 1
    return []


def _values(rows: list[Expr], place: int) -> Expr | None:
    """The values of one column, as branches of which any may be the one."""
    if not rows or any(len(row.parts) <= place for row in rows):
        return None
    values = tuple(row.parts[place] for row in rows)
    return Expr("case", rows[0].first, rows[0].end, " ".join(["then"] * len(values)), values)
