"""How a statement uses the columns that it reads: which of them decide the answer, and which are only shown in it.

A null that is shown is seen by whoever reads the answer. One in a column that is compared, summed or ordered by is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from mcp_server.models import StatementUsage
from mcp_server.sql.absence import find_absent
from mcp_server.sql.case import Case, memoize
from mcp_server.sql.joined import find_joined

_CONDITIONS: Final = (exp.Where, exp.Having, exp.Qualify, exp.Join)
_ORDERINGS: Final = (exp.Between, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Ordered)
_EXTREMES: Final = frozenset({"max", "max_by", "min", "min_by"})


@memoize
def find_usage(case: Case) -> StatementUsage:
    """Return how a statement uses what it reads."""
    deciding: set[str] = set()
    chosen: set[str] = set()
    ranked: set[str] = set()
    shown: list[tuple[str, str]] = []
    for column in case.tree.find_all(exp.Column):
        names = [part.name.lower() for part in column.parts]
        if (label := _find_label(column)) is not None:
            shown.append((label, names[-1]))
        elif not _is_neutral(column):
            deciding.update(names)
        if _is_chosen_by(column):
            chosen.update(names)
        if isinstance(column.parent, _ORDERINGS) or case.tree.called_name(column.parent or column) in _EXTREMES:
            ranked.update(names)
    return StatementUsage(
        frozenset(_add_sources(deciding, shown)),
        frozenset(_iter_optional(case)),
        find_absent(case),
        frozenset(_add_sources(chosen, shown)),
        frozenset(_add_sources(ranked, shown)),
        frozenset(_add_sources(set(_iter_grouped(case)), [*_iter_sources(case)])),
        frozenset(_iter_named(case)),
        find_joined(case),
    )


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


def _is_chosen_by(column: exp.Column) -> bool:
    """Whether a condition keeps rows by a column, and so loses its nulls: all but IS NULL."""
    above = column.parent
    if isinstance(above, exp.Is) and isinstance(above.expression, exp.Null) and not isinstance(above.parent, exp.Not):
        return False
    condition = column.find_ancestor(*_CONDITIONS, exp.Select)
    return condition is not None and not isinstance(condition, exp.Select)


def _add_sources(names: set[str], shown: list[tuple[str, str]]) -> set[str]:
    """Add the columns behind names that an inner SELECT gives and an outer one uses."""
    found = set(names)
    while more := {source for label, source in shown if label in found} - found:
        found |= more
    return found


def _iter_grouped(case: Case) -> Iterator[str]:
    """Yield the names of columns and of items of the SELECT that stand in GROUP BY."""
    for group in case.tree.find_all(exp.Group):
        items = group.parent.expressions if isinstance(group.parent, exp.Select) else []
        for key in group.expressions:
            place = int(key.name) if isinstance(key, exp.Literal) and key.is_int else 0
            by = items[place - 1] if 0 < place <= len(items) else key
            yield from (column.name.lower() for column in by.find_all(exp.Column))


def _iter_sources(case: Case) -> Iterator[tuple[str, str]]:
    """Yield the names that a SELECT gives to expressions, with each column in them."""
    for alias in case.tree.find_all(exp.Alias):
        yield from ((alias.alias.lower(), column.name.lower()) for column in alias.this.find_all(exp.Column))


def _iter_named(case: Case) -> Iterator[tuple[str, str]]:
    """Yield each column that is compared with texts, with each of them."""
    for node in case.tree.find_all(exp.EQ, exp.NullSafeEQ, exp.In):
        sides = [node.this, *(node.expressions if isinstance(node, exp.In) else [node.expression])]
        columns = [side.name.lower() for side in sides if isinstance(side, exp.Column)]
        texts = [side.name for side in sides if isinstance(side, exp.Literal) and side.is_string]
        yield from ((column, text) for column in columns for text in texts)


def _iter_optional(case: Case) -> Iterator[str]:
    """Yield the tables whose rows an outer join adds to those of the other side."""
    for join in case.tree.find_all(exp.Join):
        side, select = str(join.args.get("side") or "").upper(), join.parent
        first = select.args.get("from_") if isinstance(select, exp.Select) else None
        for node in (join.this,) if side == "LEFT" else (first.this,) if side == "RIGHT" and first else ():
            info = case.names.tables.get(id(node))
            if info is not None:
                yield info.name.lower()
