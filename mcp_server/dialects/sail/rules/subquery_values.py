"""Joins that find the value of a sub-query for every row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.decorrelation import Decorrelated, decorrelate, tie_keys
from mcp_server.dialects.sail.rules.kinds import is_null_constant
from mcp_server.dialects.sail.rules.kit import compare, named, number
from mcp_server.dialects.sail.rules.outer_values import Host
from mcp_server.dialects.sail.rules.query_nodes import (
    has_aggregate,
    has_query,
    is_aggregate,
    is_generator,
    is_one_group,
    reads,
    same,
    walk_scope,
)
from mcp_server.dialects.sail.rules.query_parts import (
    all_of,
    call,
    column_of,
    derive,
    is_null,
    join,
    make_query,
    null,
    split_and,
    truth,
)
from mcp_server.sql.compose import compose, quote_text
from mcp_server.sql.functions import functions
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Binary, Call, Case, Cast, Column, Constant, Expression, ScalarQuery, Star
from mcp_server.sql.typed.relations import Grouping, Query, Relation, Select, Table
from mcp_server.sql.typed.types import BIGINT, BOOLEAN, INT, STRING

Again = Callable[[Select], Select]

COUNTS: Final = frozenset({"count", "count_if", "approx_count_distinct", "regr_count"})
"""Aggregates that give 0 for no rows."""

TOO_MANY: Final = "SCALAR_SUBQUERY_TOO_MANY_ROWS: a sub-query that is a value has rows: "
"""What the error says, and how many."""


def count_rows(query: Query, context: Context) -> ScalarQuery:
    """EXISTS as a value: whether the number of rows is above 0."""
    rows = derive(query, context.fresh("__q"), context)
    counted = Call(name="count", arguments=(Star(),), type=BIGINT)
    found = compare(counted, ">", number(0))
    return ScalarQuery(query=make_query((named(found, context.fresh("__c")),), rows), type=BOOLEAN)


def in_place(query: Query) -> Expression | None:
    """The value of a query that reads nothing but the row around it."""
    body = query.body
    if not isinstance(body, Select) or body.base is not None or len(body.items) != 1 or query.ctes:
        return None
    value = body.items[0].operand
    calls = any(is_aggregate(each) or is_generator(each) or isinstance(each, Star) for each in walk_scope(value))
    if calls or body.group or body.having or body.qualify or query.limit or query.offset:
        return None
    if any(isinstance(each, Call) and each.window for each in walk_scope(value)):
        return None
    if body.where is None:
        return value
    return Case(operand=None, conditions=(body.where,), results=(value,), type=value.type)


def _may_lack_row(query: Query) -> bool:
    """Whether a query may have no row though its column is never null, as in `(SELECT 1 FROM t WHERE …)`.

    Sail takes the type of the column for that of the value, and leaves out what asks it for NULL.
    """
    body = query.body
    if not isinstance(body, Select) or query.outputs is None or len(query.outputs) != 1:
        return query.outputs is not None
    limited = query.limit is not None or query.offset is not None
    if is_one_group(body) and body.having is None and not limited:
        return False
    plain = body.base is None and body.where is None and not limited
    stored = isinstance(body.items[0].operand, Column) and isinstance(body.base, Table)
    return not plain and not stored


def or_null(e: ScalarQuery, context: Context) -> ScalarQuery:
    """The value of a query that may have no row, beside a row that is there in any case; that of any other as it is."""
    if not _may_lack_row(e.query):
        return e
    one = derive(make_query((named(number(1), context.fresh("__c")),), None), context.fresh("__q"), context)
    value = context.fresh("__c")
    rows = derive(e.query, context.fresh("__q"), context, (value,))
    joined = join("left", one, rows, truth(True), context)
    return e.replace(query=make_query((named(column_of(rows, value), value),), joined))


def attach(
    base: Relation, where: Expression | None, query: Query, context: Context, again: Again
) -> tuple[Relation, Expression]:
    """Join a FROM with the value of a query that reads its rows. Returns the FROM and the value.

    Errors: EngineLacks.
    """
    if query.outputs is None or len(query.outputs) != 1:
        raise lacking("sub-query", "a sub-query with columns that are not known", "Write its column out.")
    host = Host(base, where)
    value = context.fresh("__c")
    default = _value_of_nothing(query)
    found = decorrelate(query, host, context, again, names=(value,), fill=default is None)
    relation: Relation = found.relation
    many: str | None = None
    flag: str | None = None
    if default is not None and not is_null_constant(default):
        relation, flag = _flag(found, value, context)
    if not _gives_one_row(query, host.ids):
        relation, many = _count_each(found, value, context)
    made = join("left", base, relation, all_of(tie_keys(found.keys, relation)), context)
    kind = query.outputs[0].type
    result: Expression = column_of(relation, value, kind)
    if many is not None:
        result = Case(
            operand=None, conditions=(_too_many(column_of(relation, many, BIGINT)),), results=(null(kind),),
            otherwise=result, type=kind,
        )  # fmt: skip
    if default is not None and not is_null_constant(default):
        missing = is_null(column_of(relation, cast("str", flag), BOOLEAN))
        result = Case(operand=None, conditions=(missing,), results=(default,), otherwise=result, type=kind)
    return made, result


def _too_many(count: Expression) -> Expression:
    """Fail where a sub-query has more than one row for a row around it.

    The guard lets no statement raise errors, so a text that is no number is cast. AND would compute it for every row.
    """
    said = call("concat", _text(TOO_MANY), Cast(operand=count, type=STRING), kind=STRING)
    failing = compare(Cast(operand=said, type=INT), ">", number(0))
    many = compare(count, ">", number(1))
    return Case(operand=None, conditions=(many,), results=(failing,), otherwise=truth(False), type=BOOLEAN)


def _text(text: str) -> Constant:
    return Constant(text=quote_text(text), value=text, type=STRING)


def _flag(found: Decorrelated, value: str, context: Context) -> tuple[Relation, str]:
    """The rows with a column that is never NULL but where the join finds none."""
    rows, flag = found.relation, found.keys[0].column
    if found.keys[0].binds:
        return rows, flag
    flag = context.fresh("__f")
    columns = [column_of(rows, value), *(column_of(rows, key.column, key.outer.type) for key in found.keys)]
    items = (*(named(each, each.name) for each in columns), named(truth(True), flag))
    return derive(make_query(items, rows), context.fresh("__q"), context), flag


def _count_each(found: Decorrelated, value: str, context: Context) -> tuple[Relation, str]:
    """One row for each key, with the number of those that there were."""
    rows = found.relation
    many = context.fresh("__n")
    keys = tuple(column_of(rows, key.column, key.outer.type) for key in found.keys)
    items = [named(each, each.name) for each in keys]
    items.append(named(Call(name="count", arguments=(Star(),), type=BIGINT), many))
    one = column_of(rows, value)
    items.append(named(call("first", one, kind=one.type), value))
    query = make_query(tuple(items), rows)
    body = cast("Select", query.body)
    return derive(query.replace(body=body.replace(group=Grouping(keys=keys))), context.fresh("__q"), context), many


def _gives_one_row(query: Query, ids: frozenset[int]) -> bool:
    """Whether a query has at most one row for each row around it."""
    limit = query.limit
    if isinstance(limit, Constant) and limit.value in {0, 1}:
        return True
    body = query.body
    if isinstance(body, Query):
        return _gives_one_row(body, ids)
    if not isinstance(body, Select) or any(is_generator(each) for each in walk_scope(body.items[0])):
        return False
    if is_one_group(body):
        return True
    if body.group is None or body.group.all:
        return False
    bound = []
    for part in split_and(body.where):
        if isinstance(part, Binary) and part.operator == "=":
            left, right = reads(part.left, ids), reads(part.right, ids)
            if left != right:
                bound.append(part.right if left else part.left)
    return all(any(same(key, each) for each in bound) for key in body.group.keys)


def _value_of_nothing(query: Query) -> Expression | None:
    """What an aggregate without GROUP BY says of no rows, None where only the engine can tell."""
    body = query.body
    if not isinstance(body, Select) or not is_one_group(body):
        return null()
    limited = query.limit is not None or query.offset is not None
    value = body.items[0].operand
    calls = [each for each in walk_scope(value) if isinstance(each, Call)]
    unknown = any(functions().classes.get(each.name) == "collecting" or each.window for each in calls)
    if body.having is not None or limited or has_query(value) or unknown or not has_aggregate(value):
        return None
    if any(is_aggregate(each) and each.name in {"grouping", "grouping_id"} for each in calls):
        return None

    def change(node: Node) -> Node:
        if isinstance(node, Call) and is_aggregate(node):
            zero = Constant(text=compose("0L"), value=0, type=BIGINT)
            return zero if node.name in COUNTS else null(node.type)
        return node.map_children(change)

    made = cast("Expression", change(value))
    if any(isinstance(each, Column) and each.source in _own(body) for each in made.walk()):
        return None
    return null() if is_aggregate(value) and isinstance(value, Call) and value.name not in COUNTS else made


def _own(select: Select) -> frozenset[int]:
    return frozenset(each.id for each in select.walk() if isinstance(each, Relation))
