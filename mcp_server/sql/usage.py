"""How a statement uses the columns that it reads: which of them decide the answer, and which are only shown in it.

A null that is shown is seen by whoever reads the answer. One in a column that is compared, summed or ordered by is not.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from mcp_server.models import Usage
from mcp_server.sql.case import Case, memoize


@memoize
def find_usage(case: Case) -> Usage:
    """Return how a statement uses what it reads."""
    deciding: set[str] = set()
    shown: list[tuple[str, str]] = []
    for column in case.tree.find_all(exp.Column):
        names = [part.name.lower() for part in column.parts]
        if (label := _find_label(column)) is not None:
            shown.append((label, names[-1]))
        elif not _is_neutral(column):
            deciding.update(names)
    return Usage(frozenset(_add_sources(deciding, shown)), frozenset(_iter_optional(case)))


def _find_label(column: exp.Column) -> str | None:
    """Return the name that a plain item of a SELECT is shown under; None for a column anywhere else."""
    item = column.parent if isinstance(column.parent, exp.Alias) else column
    select = item.parent
    if not isinstance(select, exp.Select) or item.arg_key != "expressions" or _is_operand(select):
        return None
    return item.alias_or_name.lower()


def _is_operand(select: exp.Select) -> bool:
    """Whether a SELECT stands in an expression, such as IN (SELECT …), and not in FROM, WITH or at the top."""
    node: exp.Expr = select
    while isinstance(node.parent, (exp.SetOperation, exp.Subquery)):
        node = node.parent
    above = node.parent
    return above is not None and not isinstance(above, (exp.CTE, exp.From, exp.Join, exp.Lateral, exp.With))


def _is_neutral(column: exp.Column) -> bool:
    """Whether a null of the column is seen or asked for: it is grouped by, or compared with null."""
    above = column.parent
    return isinstance(above, exp.Group) or (isinstance(above, exp.Is) and isinstance(above.expression, exp.Null))


def _add_sources(deciding: set[str], shown: list[tuple[str, str]]) -> set[str]:
    """Add the columns behind names that an inner SELECT gives and an outer one decides by."""
    found = set(deciding)
    while more := {source for label, source in shown if label in found} - found:
        found |= more
    return found


def _iter_optional(case: Case) -> Iterator[str]:
    """Yield the tables whose rows an outer join adds to those of the other side."""
    for join in case.tree.find_all(exp.Join):
        side, select = str(join.args.get("side") or "").upper(), join.parent
        first = select.args.get("from_") if isinstance(select, exp.Select) else None
        for node in (join.this,) if side == "LEFT" else (first.this,) if side == "RIGHT" and first else ():
            info = case.names.tables.get(id(node))
            if info is not None:
                yield info.name.lower()
