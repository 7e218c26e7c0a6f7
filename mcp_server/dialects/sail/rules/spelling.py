"""Relations and clauses in the words that Sail has.

Measured on Sail 0.7.2: names of WITH are told apart by their case; `TABLESAMPLE (n ROWS)`, DISTRIBUTE BY and CLUSTER BY
are not planned; PIVOT is read behind a name or brackets alone, and takes a struct for one value only as a call;
UNPIVOT mixes up names and fails for several columns; WITH RECURSIVE is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.below import Below
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.kit import (
    both,
    has,
    is_volatile,
    leaves,
    named,
    number,
    spelled_name,
    text,
)
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import (
    Binary,
    Call,
    Cast,
    Column,
    Constant,
    Expression,
    Is,
    Logic,
    Row,
    Star,
    Unary,
)
from mcp_server.sql.typed.relations import (
    Cte,
    CteUse,
    Derived,
    Item,
    Output,
    Pivot,
    Query,
    Sample,
    Select,
    SetOperation,
    Table,
    Unpivot,
    Values,
)
from mcp_server.sql.typed.scopes import see_columns
from mcp_server.sql.typed.types import BIGINT, BOOLEAN, INT, Array, Text, Type, holds_type

DEFAULT_LEVELS: Final = 100
"""Steps after which Spark gives up without MAX RECURSION LEVEL (spark.sql.cteRecursionLevelLimit)."""


def spell_with_names(query: Query, context: Context) -> Node | None:
    """Write the names of WITH as they were given."""
    del context
    names = {each.id: each.name for each in query.ctes}
    if not names:
        return None

    def change(node: Node) -> Node:
        node = node.map_children(change)
        if isinstance(node, CteUse) and names.get(node.cte, node.name) != node.name:
            return node.replace(name=names[node.cte], alias=node.alias or node.name)
        return node

    after = query.map_children(change)
    return None if after is query else after


def refuse_chance(query: Query, context: Context) -> Node | None:
    """Refuse a WITH of chance that is read more than once: Spark computes it once, and Sail each time."""
    del context
    chance = [each for each in query.ctes if has(each.query, is_volatile, into=True)]
    for cte in chance:
        uses = [each for each in query.walk() if isinstance(each, CteUse) and each.cte == cte.id]
        if len(uses) > 1:
            raise lacking(
                f"WITH {cte.name}", "values of chance that are read twice", "Read it once, or give rand a seed."
            )
    return None


def leave_out_places(query: Query, context: Context) -> Node | None:
    """DISTRIBUTE BY says where rows go, which no answer shows."""
    del context
    return query.replace(distribute=()) if query.distribute else None


def limit_samples(sample: Sample, context: Context) -> Node | None:
    """`TABLESAMPLE (n ROWS)`, which in Spark is a LIMIT."""
    del context
    if sample.unit != "rows":
        return None
    base = sample.base
    alias = sample.alias or spelled_name(base)
    inner = base.replace(alias=None, names=()) if not isinstance(base, Derived) else base
    items = (Item(Star(), outputs=base.outputs),)
    query = Query(Select(items, inner), limit=number(int(sample.amount)), outputs=base.outputs)
    return Derived(query, id=sample.id, alias=alias, names=sample.names or base.names, outputs=sample.outputs)


def derive_pivot_base(pivot: Pivot, context: Context) -> Node | None:
    """PIVOT over a query in brackets, and structs among its values as calls."""
    changes: dict[str, object] = {}
    base = pivot.base
    if not isinstance(base, (Derived, Table, CteUse)) or base.alias is not None:
        query = Query(Select((Item(Star(), outputs=base.outputs),), base), outputs=base.outputs)
        changes["base"] = Derived(query, id=context.new_id(), outputs=base.outputs)
    if len(pivot.columns) == 1 and any(isinstance(item.operand, Row) for item in pivot.values):
        changes["values"] = tuple(_call_struct(item) for item in pivot.values)
    return pivot.replace(**changes) if changes else None


def _call_struct(item: Item) -> Item:
    row = item.operand
    return item.replace(operand=Call("struct", row.items, type=row.type)) if isinstance(row, Row) else item


def stack_columns(unpivot: Unpivot, context: Context) -> Node | None:
    """UNPIVOT as the rows that stack makes in a SELECT over it."""
    shown = see_columns(unpivot.base).shown()
    if shown is None or unpivot.outputs is None:
        raise lacking("UNPIVOT", "UNPIVOT of columns that cannot be told", "Name them in a sub-query first.")
    below = Below(context)
    used = {
        (each.source, each.name.lower())
        for group in unpivot.groups
        for each in group.columns
        if isinstance(each, Column)
    }
    names = {each.id: spelled_name(each) for each in leaves(unpivot.base)}
    kept: list[Item] = []
    for each in shown:
        if (each.source, each.name.lower()) not in used:
            name = names.get(each.source)
            column = Column(each.name, (name,) if name else (), each.source, type=each.type)
            kept.append(named(below.column(column), each.name))
    made = unpivot.outputs[len(kept) :]
    cells: list[Expression] = [number(len(unpivot.groups))]
    for group in unpivot.groups:
        cells.append(text(group.alias if group.alias is not None else "_".join(map(_name_of, group.columns))))
        cells += [_cast(each, output) for each, output in zip(group.columns, made[1:], strict=True)]
    fresh = tuple(context.fresh("__c") for _ in made)
    columns = tuple(
        Column(alias, (below.alias,), below.id, type=each.type) for alias, each in zip(fresh, made, strict=True)
    )
    stack = Item(Call("stack", tuple(cells)), fresh, tuple(Output(a, o.type) for a, o in zip(fresh, made, strict=True)))
    derived = below.derive_with(Select((), unpivot.base), stack)
    items = (*kept, *(named(column, each.name or "") for column, each in zip(columns, made, strict=True)))
    present = tuple(Is(column, "null", negated=True, type=BOOLEAN) for column in columns[1:])
    where = None if unpivot.include_nulls else (Logic("or", present, type=BOOLEAN) if len(present) > 1 else present[0])
    query = Query(Select(tuple(items), derived, where=both(where)), outputs=unpivot.outputs)
    return Derived(query, id=unpivot.id, alias=unpivot.alias, names=unpivot.names, outputs=unpivot.outputs)


def _name_of(column: Expression) -> str:
    return column.name if isinstance(column, Column) else ""


def _cast(cell: Expression, output: Output) -> Expression:
    if output.type is None or cell.type == output.type:
        return cell
    return Cast(cell, type=output.type)


def refuse_padded_columns(query: Query, context: Context) -> Node | None:
    """Refuse columns of the type CHAR, which Spark fills up with blanks; to Sail they are text."""
    del context
    padded: dict[int, dict[str, Type]] = {}
    for each in query.walk():
        if isinstance(each, Table):
            found = {
                (output.name or "").lower(): output.type
                for output in each.outputs or ()
                if output.type is not None
                and holds_type(output.type, lambda kind: isinstance(kind, Text) and kind.name == "char")
            }
            padded |= {each.id: found} if found else {}
    counted = {
        argument
        for call in (query.walk() if padded else ())
        if isinstance(call, Call) and call.name == "count"
        for argument in call.arguments
        if len(call.arguments) == 1
    }
    for each in query.walk() if padded else ():
        read: dict[str, Type] = {}
        if isinstance(each, Star) and each not in counted:
            read = {name: kind for source in each.sources for name, kind in padded.get(source, {}).items()}
        elif isinstance(each, Column):
            known = padded.get(each.source or -1, {})
            read = {each.name: known[each.name.lower()]} if each.name.lower() in known else {}
        for name, kind in read.items():
            what = "CHAR as Spark does, which fills it up with blanks"
            raise lacking(f"{name} is {kind}", what, "Name the other columns.")
    return None


def count_steps(cte: Cte, context: Context) -> Node | None:
    """WITH RECURSIVE that counts, as a sequence. Errors: EngineLacks, where it does more than count."""
    del context
    body = cte.query.body
    if not any(isinstance(each, CteUse) and each.cte == cte.id for each in cte.query.walk()):
        return cte.replace(level=None) if cte.level is not None else None
    steps = _count(cte, body) if isinstance(body, SetOperation) else None
    if steps is None or steps.count > (DEFAULT_LEVELS if cte.level is None else cte.level):
        raise lacking(
            "WITH RECURSIVE",
            f"the recursion of {cte.name}",
            "Numbers come from SELECT explode(sequence(1, 10)) AS n; a hierarchy of known depth from one join with "
            "each level.",
        )
    numbers = tuple(number(each) for each in (steps.start, steps.start + steps.by * steps.count, steps.by))
    sequence = Call("sequence", numbers, type=Array(INT))
    name = (cte.outputs or (Output("n", INT),))[0].name or "n"
    item = Item(Call("explode", (sequence,), type=INT), (name,), (Output(name, INT),))
    return cte.replace(query=Query(Select((item,)), outputs=item.outputs), level=None)


@dataclass(frozen=True)
class _Steps:
    """A first number, the difference to the next, and how many follow."""

    start: int
    by: int
    count: int


def _count(cte: Cte, operation: SetOperation) -> _Steps | None:
    """Read `SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 10`."""
    start = _first_number(operation.left)
    step = operation.right.body
    if start is None or not operation.all or not isinstance(step, Select) or operation.right.order:
        return None
    plain = step.group is None and step.having is None and not step.distinct and operation.right.limit is None
    base = step.base
    if not plain or len(step.items) != 1 or not isinstance(base, CteUse) or base.cte != cte.id:
        return None
    by = _difference(step.items[0].operand, base.id)
    bound = step.where
    if not by or not isinstance(bound, Binary) or not _is_column(bound.left, base.id):
        return None
    limit = _integer(bound.right)
    if limit is None or bound.operator not in ({"<", "<="} if by > 0 else {">", ">="}):
        return None
    distance = (limit - start) if by > 0 else (start - limit)
    count = -(-distance // abs(by)) if bound.operator in {"<", ">"} else distance // abs(by) + 1
    return _Steps(start, by, max(count, 0))


def _first_number(query: Query) -> int | None:
    body = query.body
    if isinstance(body, Values) and len(body.rows) == 1:
        row = body.rows[0]
        return _integer(row.items[0] if isinstance(row, Row) and len(row.items) == 1 else row)
    if isinstance(body, Select) and body.base is None and body.where is None and len(body.items) == 1:
        return _integer(body.items[0].operand)
    return None


def _difference(operand: Expression, source: int) -> int:
    """Return the number in `n + 2` or `n - 1`; 0 where something else stands there."""
    if not isinstance(operand, Binary) or operand.operator not in {"+", "-"} or not _is_column(operand.left, source):
        return 0
    by = _integer(operand.right) or 0
    return by if operand.operator == "+" else -by


def _is_column(node: Expression, source: int) -> bool:
    return isinstance(node, Column) and node.source == source


def _integer(node: Expression) -> int | None:
    if isinstance(node, Unary) and node.operator == "-":
        inner = _integer(node.operand)
        return None if inner is None else -inner
    if isinstance(node, Constant) and type(node.value) is int and node.type in {None, INT, BIGINT}:
        return node.value
    return None


def refuse_twins(query: Query, _: Context) -> Node | None:
    """A column of a pipe's step that has the name of another one there, which its relation's name tells apart.

    Errors: EngineLacks.
    """
    select = query.body
    if not isinstance(select, Select) or select.base is None:
        return None
    for step in leaves(select.base):
        if isinstance(step, Derived) and step.piped:
            names = [(each.name or "").lower() for each in step.outputs or ()]
            for each in query.walk():
                if isinstance(each, Column) and each.source == step.id and names.count(each.name.lower()) > 1:
                    why = f"{each.name} of one relation, behind a step in which two have it"
                    raise lacking("pipes", why, "SELECT the columns under names of their own in a step before.")
    return None
