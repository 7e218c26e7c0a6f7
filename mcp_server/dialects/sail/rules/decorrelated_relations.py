"""What stands behind FROM in a query that reads the rows around it, with the outer values beside its columns."""

from __future__ import annotations

from typing import Final, cast

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.outer_values import Known, OuterValues
from mcp_server.dialects.sail.rules.query_parts import all_of, call, column_of, compare_safely, join, split_and
from mcp_server.sql.typed.nodes import Column, Expression
from mcp_server.sql.typed.relations import (
    Derived,
    FunctionTable,
    Join,
    LateralView,
    Output,
    Pivot,
    Query,
    Relation,
    Unpivot,
)

Pushed = tuple[Relation, Known, list[Expression]]
"""A relation, what has its outer values, and conditions for WHERE."""

_INSTEAD: Final = "Compare with the row around it in the WHERE of the sub-query."


def push_relation(  # noqa: PLR0911  (a class each)
    relation: Relation, work: OuterValues, *, inner: bool
) -> Pushed:
    """Return a relation without outer values, and the columns that have those which it read.

    `inner` says that conditions may go to WHERE. Errors: EngineLacks.
    """
    need = work.found(relation)
    if not need:
        return relation, {}, []
    match relation:
        case Derived(lateral=False):
            return _push_derived(relation, need, work)
        case Join():
            return _Joined(relation, work, inner=inner).push()
        case LateralView(base=base) if base is not None:
            pushed, known, loose = push_relation(base, work, inner=inner)
            pushed, known = _with_values(pushed, known, work.found(relation.call), work)
            return relation.replace(base=pushed, call=work.put(relation.call, known)), known, loose
        case FunctionTable():
            domain, known = work.domain(need)
            made = relation.replace(call=work.put(relation.call, known), lateral=True)
            return join("cross", domain, made, None, work.context), known, []
        case Derived() if isinstance(relation.query, Query):
            domain, known = work.domain(need)
            return join("cross", domain, cast("Relation", work.put(relation, known)), None, work.context), known, []
        case Pivot() | Unpivot():
            pushed, known, loose = push_relation(relation.base, work, inner=False)
            names = {each: cast("Column", column).name for each, column in known.items()}
            return (
                relation.replace(base=pushed),
                {each: column_of(relation, name, work.values[each].type) for each, name in names.items()},
                loose,
            )
    raise lacking("sub-query", "a sub-query that reads the row around it here", _INSTEAD)


def _push_derived(relation: Derived, need: tuple[str, ...], work: OuterValues) -> Pushed:
    work.widened.add(relation.id)
    query = work.query(relation.query, need, fill=True)
    hidden = [work.hidden[each] for each in need]
    made = relation.replace(
        query=query,
        alias=relation.alias or work.context.fresh("__q"),
        names=(*relation.names, *hidden) if relation.names else (),
        outputs=_widen(relation, need, work),
    )
    return made, {each: column_of(made, work.hidden[each], work.values[each].type) for each in need}, []


def _widen(relation: Relation, need: tuple[str, ...], work: OuterValues) -> tuple[Output, ...] | None:
    if relation.outputs is None:
        return None
    more = (Output(work.hidden[each], work.values[each].type, relation.id) for each in need)
    return (*relation.outputs, *more)


def _with_values(relation: Relation, known: Known, names: tuple[str, ...], work: OuterValues) -> tuple[Relation, Known]:
    """A relation that has some outer values."""
    missing = [each for each in names if each not in known]
    if not missing:
        return relation, known
    domain, columns = work.domain(missing)
    return join("cross", relation, domain, None, work.context), known | columns


class _Joined:
    """A join of which a side or the condition reads outer values."""

    def __init__(self, relation: Join, work: OuterValues, *, inner: bool) -> None:
        self.relation = relation
        self.work = work
        self.kind = relation.kind
        self.plain = self.kind in {"inner", "cross"}
        self.inner = inner and self.plain
        if self.kind == "full" and work.found(relation.on):  # Spark leaves rows out here, so its answer is not known
            raise lacking("FULL JOIN", "a FULL JOIN by a value of the row around the sub-query", _INSTEAD)

    def push(self) -> Pushed:
        work = self.work
        left, known, loose = push_relation(self.relation.left, work, inner=inner_side(self.kind, "left") and self.inner)
        sided, other, more = self.push_right(known, left)
        left, right = sided
        loose = [*loose, *more]
        on: list[Expression] = []
        for part in split_and(self.relation.on):
            (loose if self.inner and work.found(part) else on).append(part)
        wanted = tuple(each for part in on for each in work.found(part))
        if not self.plain:
            wanted = (*wanted, *other)
        if self.kind == "full":
            wanted = (*wanted, *known, *other)
            right, other = _with_values(right, other, tuple(dict.fromkeys(wanted)), work)
        if self.kind == "right":
            right, other = _with_values(right, other, tuple(dict.fromkeys((*wanted, *known))), work)
        else:
            left, known = _with_values(left, known, tuple(dict.fromkeys(wanted)), work)
        ties: list[Expression] = [compare_safely(known[each], other[each]) for each in other if each in known]
        place = {**other, **known} if self.kind != "right" else {**known, **other}
        on = [work.put(each, place) for each in on]  # type: ignore[misc]
        made = self.made(left, right, on, ties, loose)
        if self.kind == "full":
            place = {each: call("coalesce", known[each], other[each], kind=work.values[each].type) for each in known}
        return made, place, loose

    def push_right(self, known: Known, left: Relation) -> tuple[tuple[Relation, Relation], Known, list[Expression]]:
        """The right side. A lateral one that stays so finds the outer values in the left side."""
        work, right = self.work, self.relation.right
        if getattr(right, "lateral", False) and work.found(right):
            wider, more = _with_values(left, known, work.found(right), work)
            known.update(more)
            return (wider, work.put(right, known)), {}, []  # type: ignore[return-value]
        pushed, other, loose = push_relation(right, work, inner=inner_side(self.kind, "right") and self.inner)
        return (left, pushed), other, loose

    def made(
        self, left: Relation, right: Relation, on: list[Expression], ties: list[Expression], loose: list[Expression]
    ) -> Relation:
        relation = self.relation
        if relation.using or relation.natural:
            if ties and not self.inner:
                raise lacking("JOIN", "a join with USING of relations that both read the row around them", _INSTEAD)
            loose += ties
            return relation.replace(left=left, right=right)
        condition = all_of([*on, *ties])
        kind = self.kind
        if kind == "cross" and condition is not None:
            kind = "inner"
        made = join(kind, left, right, condition, self.work.context)
        return made.replace(id=relation.id)


def inner_side(kind: str, side: str) -> bool:
    """Whether the rows of a side of a join can be left out by conditions behind it."""
    return kind in {"inner", "cross"} or kind == side
