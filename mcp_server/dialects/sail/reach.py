"""What holds between a statement and the same in Sail's words, whatever the rules: it is checked after them.

It reads the same tables. What depends on chance, or makes rows, is asked for as often as before: not twice, not for
each element of an array, not for each row of a sub-query.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.sql.case import Case
from mcp_server.sql.functions import functions
from mcp_server.sql.typed.nodes import Call, Exists, InQuery, Lambda, Node, ScalarQuery
from mcp_server.sql.typed.relations import CteUse, Query, Sample

_DEEPER = (Lambda, ScalarQuery, Exists, InQuery)


def check_chances(before: Query, after: Query) -> None:
    """Compare what depends on chance in a query and in what rules made of it. Errors: EngineLacks."""
    had, has = _find_chances(before), _find_chances(after)
    again = sorted({word for key, depths in has.items() for word in [key[1]] if _has_grown(had.get(key, []), depths)})
    if again:
        raise lacking(
            again[0],
            f"{', '.join(again)} here, which depends on chance or makes rows, and would be asked more than once",
            "Put it into a sub-query, under a name.",
        )


def check_tables(before: Case, after: Case) -> None:
    """Compare the tables of a statement with those of the same in other words. Errors: EngineLacks."""
    more = sorted(after.tables - before.tables)
    if more:
        raise lacking(more[0], "this in other words, which would read another table", "Write it with plain names.")


def _has_grown(before: list[int], after: list[int]) -> bool:
    return len(after) > len(before) or max(after) > max(before)


def _find_chances(query: Query) -> Mapping[tuple[int, str], list[int]]:
    """Return how deep each thing of chance stands, by the sender's token and its name."""
    found: dict[tuple[int, str], list[int]] = defaultdict(list)
    names = _find_names(query)
    for node, depth in _walk(query, 0):
        word = _name_chance(node, names)
        if word and node.at is not None:
            found[node.at, word].append(depth)
    return found


def _walk(node: Node, depth: int) -> Iterator[tuple[Node, int]]:
    yield node, depth
    for child in node.children:
        yield from _walk(child, depth + isinstance(node, _DEEPER))


def _find_names(query: Query) -> frozenset[int]:
    """Return the ids of the WITH names that depend on chance."""
    return frozenset(
        cte.id
        for node in query.walk()
        if isinstance(node, Query)
        for cte in node.ctes
        if any(_name_chance(each, frozenset()) for each in cte.query.walk())
    )


def _name_chance(node: Node, names: frozenset[int]) -> str:
    """Return the name of what depends on chance or makes rows, nothing for anything else."""
    if isinstance(node, Sample):
        return "TABLESAMPLE"
    if isinstance(node, CteUse):
        return node.name if node.cte in names else ""
    if not isinstance(node, Call):
        return ""
    kind = functions().classes.get(node.name)
    return node.name if kind == "random" or node.name == "shuffle" else ""
