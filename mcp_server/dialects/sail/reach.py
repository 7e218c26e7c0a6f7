"""What holds between a statement and the same in Sail's words, whatever the rules: it is checked after them.

It reads the same tables. What depends on chance, or makes rows, is asked for as often as before: not twice, not for
each element of an array, not for each row of a sub-query.
"""

from __future__ import annotations

from collections import defaultdict

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.sql.case import Case
from mcp_server.sql.functions import functions
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Column, Exists, InQuery, ItemUse, Lambda, ScalarQuery
from mcp_server.sql.typed.relations import CteUse, Query, Sample

_DEEPER = (Lambda, ScalarQuery, Exists, InQuery)
_Counts = defaultdict[tuple[int, str], tuple[int, int]]


def check_chances(before: Query, after: Query) -> None:
    """Compare what depends on chance in a query and in what rules made of it. Errors: EngineLacks."""
    names = _find_names(after)
    if not any(_name_chance(node, names) for node in after.walk()):
        return
    has = _Chances(names).below(after)
    had = _Chances(_find_names(before)).below(before)
    again = sorted({key[1] for key, (count, depth) in has.items() if count > had[key][0] or depth > had[key][1]})
    if again:
        raise lacking(
            again[0],
            f"{', '.join(again)} here, which depends on chance or makes rows, and would be asked more than once",
            "Put it into a sub-query, under a name.",
        )


def check_lambdas(after: Query) -> None:
    """Refuse a column within a lambda whose parameter has its name, and would be read for it. Errors: EngineLacks."""
    for node in after.walk():
        if isinstance(node, Lambda):
            own = {each.name.lower() for each in node.parameters}
            for each in node.body.walk():
                if isinstance(each, Column | ItemUse) and _first_name(each).lower() in own:
                    raise lacking("lambda", f"a parameter {each.name}, which a column is called too", "Rename it.")


def _first_name(node: Column | ItemUse) -> str:
    parts = node.parts if isinstance(node, Column) else ()
    return (*parts, node.name)[0]


def check_tables(before: Case, after: Case) -> None:
    """Compare the tables of a statement with those of the same in other words. Errors: EngineLacks."""
    more = sorted(after.tables - before.tables)
    if more:
        raise lacking(more[0], "this in other words, which would read another table", "Write it with plain names.")


class _Chances:
    """How often each thing of chance stands below a node, and how deep, by the sender's token and its name.

    A node that stands in several places is looked into once: there may be exponentially many.
    """

    def __init__(self, names: frozenset[int]) -> None:
        self._names = names
        self._known: dict[Node, _Counts] = {}

    def below(self, node: Node) -> _Counts:
        """Return the counts of a node and all below it."""
        if node not in self._known:
            self._known[node] = self._count(node)
        return self._known[node]

    def _count(self, node: Node) -> _Counts:
        found: _Counts = defaultdict(lambda: (0, 0))
        for child in node.children:
            deeper = isinstance(node, _DEEPER) and (isinstance(child, Query) or not isinstance(node, InQuery))
            for key, (count, depth) in self.below(child).items():
                found[key] = found[key][0] + count, max(found[key][1], depth + deeper)
        word = _name_chance(node, self._names)
        if word and node.at is not None:
            found[node.at, word] = found[node.at, word][0] + 1, found[node.at, word][1]
        return found


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
