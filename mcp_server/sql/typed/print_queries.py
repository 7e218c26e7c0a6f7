"""Writes queries and what they read as Spark SQL."""

from __future__ import annotations

import re
from typing import Final

from mcp_server.sql.compose import Sql, compose, join, quote_name, write_number
from mcp_server.sql.typed import nodes as n
from mcp_server.sql.typed import relations as r
from mcp_server.sql.typed.print_expressions import write_direction
from mcp_server.sql.typed.writer import (
    NOTHING,
    fill_list,
    write_list,
    write_text,
    writes,
)


@writes(r.Query)
def _query(query: r.Query) -> Sql:
    limit = compose("LIMIT {}", write_text(query.limit)) if query.limit else NOTHING
    offset = compose("OFFSET {}", write_text(query.offset)) if query.offset else NOTHING
    every = NOTHING
    if query.order_all is not None:
        every = join(" ", (compose("ORDER BY ALL"), write_direction(query.order_all)))
    return join(
        " ",
        (
            _with(query),
            _bracket_query(query.body) if isinstance(query.body, r.Query) else write_text(query.body),
            fill_list("ORDER BY {}", map(write_text, query.order)),
            every,
            fill_list("DISTRIBUTE BY {}", map(write_text, query.distribute)),
            fill_list("SORT BY {}", map(write_text, query.sort)),
            limit,
            offset,
        ),
    )


def _alias(relation: r.Relation) -> Sql:
    if relation.alias is None:
        return NOTHING
    return join(" ", (compose("AS {}", quote_name(relation.alias)), fill_list("({})", map(quote_name, relation.names))))


@writes(r.Table, r.Named)
def _table(relation: r.Table | r.Named) -> Sql:
    return join(" ", (relation.text, _alias(relation)))


@writes(r.CteUse)
def _cte_use(relation: r.CteUse) -> Sql:
    return join(" ", (quote_name(relation.name), _alias(relation)))


@writes(r.Derived)
def _derived(relation: r.Derived) -> Sql:
    lateral = compose("LATERAL") if relation.lateral else NOTHING
    return join(" ", (lateral, compose("({})", write_text(relation.query)), _alias(relation)))


@writes(r.FunctionTable)
def _function_table(relation: r.FunctionTable) -> Sql:
    lateral = compose("LATERAL") if relation.lateral else NOTHING
    return join(" ", (lateral, write_text(relation.call), _alias(relation)))


@writes(r.InlineTable)
def _inline_table(relation: r.InlineTable) -> Sql:
    return join(" ", (_rows(relation.rows), _alias(relation)))


def _rows(rows: tuple[n.Expression, ...]) -> Sql:
    written = [compose("({})", write_list(each.items if isinstance(each, n.Row) else (each,))) for each in rows]
    return compose("VALUES {}", join(", ", written))


_JOINS: Final[dict[r.JoinKind, str]] = {
    "inner": "{}JOIN",
    "cross": "{}CROSS JOIN",
    "left": "{}LEFT JOIN",
    "right": "{}RIGHT JOIN",
    "full": "{}FULL JOIN",
    "semi": "{}LEFT SEMI JOIN",
    "anti": "{}LEFT ANTI JOIN",
}


@writes(r.Join)
def _join(relation: r.Join) -> Sql:
    bracketed = relation.bracketed or relation.alias is not None
    if relation.comma and not bracketed:
        return compose("{}, {}", _join_operand(relation.left, ()), _join_operand(relation.right, (r.LateralView,)))
    left = _join_operand(_as_cross(relation.left), ())
    right = _join_operand(relation.right, (r.Join, r.Pivot, r.Unpivot, r.LateralView))
    word = compose(_JOINS[relation.kind], compose("NATURAL ") if relation.natural else NOTHING)
    criterion = NOTHING
    if relation.using:
        criterion = fill_list("USING ({})", map(quote_name, relation.shared))
    elif relation.on is not None:
        criterion = compose("ON {}", write_text(relation.on))
    text = join(" ", (left, word, right, criterion))
    return join(" ", (compose("({})", text), _alias(relation))) if bracketed else text


def _as_cross(relation: r.Relation) -> r.Relation:
    """Return a join at a comma as a cross join, so that the next one takes in all of it."""
    if isinstance(relation, r.Join) and _is_comma(relation):
        return relation.replace(left=_as_cross(relation.left), comma=False)
    return relation


def _join_operand(relation: r.Relation, loose: tuple[type, ...]) -> Sql:
    """Write an operand of a join, in brackets where it is of a class that takes in what stands before it."""
    if isinstance(relation, loose) or (isinstance(relation, r.InlineTable) and relation.alias is None):
        return _bracket_relation(relation)  # behind VALUES without an alias, what follows a comma would be a row
    if _is_comma(relation) and loose:
        return _bracket_relation(relation)
    return write_text(relation)


def _is_comma(relation: r.Relation) -> bool:
    """Whether a relation ends at a comma, of which a suffix would only take the last operand."""
    return isinstance(relation, r.Join) and relation.comma and not relation.bracketed and relation.alias is None


def _bracket_relation(relation: r.Relation) -> Sql:
    """Write a relation in brackets. Commas become cross joins: brackets hold one relation."""
    if isinstance(relation, r.Join):
        if relation.alias is not None:
            return write_text(relation)
        left = relation.left.replace(bracketed=True) if _is_comma(relation.left) else relation.left
        return write_text(relation.replace(left=left, bracketed=True))
    return compose("({})", write_text(relation))


def _base(relation: r.Relation) -> Sql:
    """Write what PIVOT and UNPIVOT stand behind."""
    return _bracket_relation(relation) if _is_comma(relation) else write_text(relation)


@writes(r.LateralView)
def _lateral_view(relation: r.LateralView) -> Sql:
    outer = compose("OUTER") if relation.outer else NOTHING
    alias = quote_name(relation.alias) if relation.alias else NOTHING
    names = fill_list("AS {}", map(quote_name, relation.names))
    base = write_text(relation.base) if relation.base is not None else NOTHING
    call = write_text(relation.call)
    return join(" ", (base, compose("LATERAL VIEW"), outer, call, alias, names))


@writes(r.Pivot)
def _pivot(relation: r.Pivot) -> Sql:
    columns = compose("({})", write_list(relation.columns))
    aggregates, values = (write_list(each) for each in (relation.aggregates, relation.values))
    text = compose("{} PIVOT ({} FOR {} IN ({}))", _base(relation.base), aggregates, columns, values)
    return join(" ", (text, _alias(relation)))


@writes(r.Unpivot)
def _unpivot(relation: r.Unpivot) -> Sql:
    several = "({})" if len(relation.values) > 1 else "{}"
    groups: list[Sql] = []
    for group in relation.groups:
        alias = compose("AS {}", quote_name(group.alias)) if group.alias is not None else NOTHING
        groups.append(join(" ", (compose(several, write_list(group.columns)), alias)))
    values = compose(several, join(", ", map(quote_name, relation.values)))
    nulls = compose("INCLUDE NULLS ") if relation.include_nulls else NOTHING
    text = compose(
        "{} UNPIVOT {}({} FOR {} IN ({}))",
        _base(relation.base), nulls, values, quote_name(relation.label), join(", ", groups),
    )  # fmt: skip
    return join(" ", (text, _alias(relation)))


_NUMBER: Final = re.compile(r"[0-9.]+")


@writes(r.Sample)
def _sample(relation: r.Sample) -> Sql:
    base = relation.base
    named = base if relation.alias is None else relation
    text = write_text(base.replace(alias=None, names=()))
    amounts = [write_number(each) for each in _NUMBER.findall(relation.amount)]
    template = {"percent": "{} PERCENT", "rows": "{} ROWS", "bucket": "BUCKET {} OUT OF {}"}[relation.unit]
    seed = compose("REPEATABLE ({})", relation.seed) if relation.seed is not None else NOTHING
    return join(" ", (text, compose("TABLESAMPLE ({})", compose(template, *amounts)), seed, _alias(named)))


def _with(query: r.Query) -> Sql:
    return fill_list("WITH RECURSIVE {}" if query.recursive else "WITH {}", map(_cte, query.ctes))


def _cte(cte: r.Cte) -> Sql:
    names = fill_list("({})", map(quote_name, cte.names))
    level = compose("MAX RECURSION LEVEL {}", cte.level) if cte.level is not None else NOTHING
    return join(" ", (quote_name(cte.name), names, level, compose("AS ({})", write_text(cte.query))))


def _bracket_query(query: r.Query) -> Sql:
    return compose("({})", write_text(query))


@writes(r.Values)
def _values(values: r.Values) -> Sql:
    text = _rows(values.rows)
    names = fill_list("AS t ({})", map(quote_name, values.names))
    return join(" ", (text, names))


@writes(r.SetOperation)
def _set_operation(operation: r.SetOperation) -> Sql:
    level = _set_level(operation)
    words = compose(
        operation.kind.upper() + "{}{}",
        compose(" ALL" if operation.all else ""),
        compose(" BY NAME" if operation.by_name else ""),
    )
    return join(" ", (_set_operand(operation.left, level), words, _set_operand(operation.right, level + 1)))


def _set_level(body: object) -> int:
    """INTERSECT binds more tightly than UNION and EXCEPT; all are read from left to right."""
    return (1 if body.kind == "intersect" else 0) if isinstance(body, r.SetOperation) else 2


def _set_operand(query: r.Query, lowest: int) -> Sql:
    organised = query.ctes or query.order or query.order_all or query.sort or query.distribute
    bare = not organised and query.limit is None and query.offset is None and _set_level(query.body) >= lowest
    return write_text(query) if bare else _bracket_query(query)


@writes(r.Select)
def _select(select: r.Select) -> Sql:
    windows = (compose("{} AS {}", quote_name(each.name), write_text(each.window)) for each in select.windows)
    return join(
        " ",
        (
            compose("SELECT DISTINCT" if select.distinct else "SELECT"),
            write_list(select.items),
            _from(select.base) if select.base else NOTHING,
            compose("WHERE {}", write_text(select.where)) if select.where else NOTHING,
            write_text(select.group) if select.group else NOTHING,
            compose("HAVING {}", write_text(select.having)) if select.having else NOTHING,
            compose("QUALIFY {}", write_text(select.qualify)) if select.qualify else NOTHING,
            fill_list("WINDOW {}", windows),
        ),
    )


def _from(base: r.Relation) -> Sql:
    alone = isinstance(base, r.LateralView) and base.base is None  # a view may stand where no FROM is
    return write_text(base) if alone else compose("FROM {}", write_text(base))


@writes(r.Item)
def _item(item: r.Item) -> Sql:
    text = write_text(item.operand)
    if not item.aliases or item.sent is item.operand:
        return text
    names = join(", ", map(quote_name, item.aliases))
    return compose("{} AS {}" if len(item.aliases) == 1 else "{} AS ({})", text, names)


@writes(r.Grouping)
def _group(group: r.Grouping) -> Sql:
    if group.all:
        return compose("GROUP BY ALL")
    if group.given:
        return compose("GROUP BY {} {}", write_list(group.given), write_list(group.keys))
    return fill_list("GROUP BY {}", map(write_text, group.keys))


@writes(r.Keys)
def _keys(keys: r.Keys) -> Sql:
    return compose("({})", write_list(keys.operands))


@writes(r.GroupingSets)
def _grouping_sets(sets: r.GroupingSets) -> Sql:
    word = compose({"rollup": "ROLLUP", "cube": "CUBE", "sets": "GROUPING SETS"}[sets.kind])
    return compose("{} ({})", word, write_list(sets.sets))
