"""What holds between a statement and the same in other words, whatever the rewrite: it is checked after every step.

It reads no other table and calls no function but those that rewrites are known to write. What depends on chance, or
makes rows, is asked for as often as before, and in the same place: not twice, not for each element of an array, not for
each row of a sub-query.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final

from sqlglot import exp

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.sail import sail
from mcp_server.sql.case import Case
from mcp_server.sql.functions import functions

_RELATIONS = (exp.From, exp.Join, exp.Lateral, exp.CTE, exp.SetOperation)
_TYPES = frozenset({"types", "conversion"})
"""Classes of the names of types, which look like calls in a cast."""

_WRAPPINGS = (exp.Subquery, exp.Paren)

ROWS: Final = "a function that makes rows"
"""Stands for every generator: a rewrite may call another one in the place of one."""

Chance = tuple[str, int, int]
"""What depends on chance, and in how many lambdas and in how many sub-queries of expressions it stands."""


def check_step(name: str, before: Case, after: Case, added: Collection[str] = ()) -> None:
    """Compares the statement before a step of the rewrite `name` with the one after it.

    `added` are functions of chance, or `ROWS`, that the rewrite itself calls. Errors: EngineLacks.
    """
    tables = after.tables - before.tables
    called = after.functions - before.functions - sail().written
    called = frozenset(each for each in called if functions().classes.get(each) not in _TYPES)
    if tables or called:
        what = ", ".join(sorted(tables | called))
        raise lacking(name, f"this in other words, which would bring in {what}", "Write it with plain names.")
    grown = Counter(_chances(after)) - Counter(_chances(before))
    again = sorted({word for word, _, _ in grown if word not in added})
    if again:
        raise lacking(
            name,
            f"{', '.join(again)} here, which depends on chance or makes rows, and would be asked more than once",
            "Put it into a sub-query, under a name.",
        )


def _chances(case: Case) -> Iterator[Chance]:
    """Calls that depend on chance, samples, and WITH names that hold such."""
    nodes = list(_of_chance(case))
    with_chance = {id(cte) for node, word in nodes if word != ROWS for cte in _holders(node)}
    for table in case.tree.find_all(exp.Table):
        cte = case.names.ctes.get(id(table))
        if cte is not None and id(cte) in with_chance:
            nodes.append((table, cte.alias.lower()))
    for node, word in nodes:
        yield (word, *_depths(node))


def _of_chance(case: Case) -> Iterator[tuple[exp.Expr, str]]:
    classes = functions().classes
    for node in case.tree.find_all(exp.Anonymous):
        word = case.tree.called_name(node)
        if classes.get(word) == "random" or word == "shuffle":
            yield node, word
        elif classes.get(word) == "generator":
            yield node, ROWS
    for sample in case.tree.find_all(exp.TableSample):
        yield sample, "TABLESAMPLE"


def _holders(node: exp.Expr) -> Iterator[exp.CTE]:
    above = node.parent
    while above is not None:
        if isinstance(above, exp.CTE):
            yield above
        above = above.parent


def _depths(node: exp.Expr) -> tuple[int, int]:
    lambdas = queries = 0
    above = node.parent
    while above is not None:
        lambdas += isinstance(above, exp.Lambda)
        queries += isinstance(above, exp.Select) and _is_value(above)
        above = above.parent
    return lambdas, queries


def _is_value(select: exp.Select) -> bool:
    """Whether a SELECT stands in an expression, and not for a relation or the whole."""
    above = select.parent
    while isinstance(above, _WRAPPINGS):
        above = above.parent
    return above is not None and not isinstance(above, _RELATIONS)
