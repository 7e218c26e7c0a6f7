"""What holds around the calls of AI functions, so that they are made for rows of the answer and for few of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sqlglot import exp

from mcp_server.ai.items.calls import PLACES, RESERVED, AiCall, refusal_at
from mcp_server.guard.joins import find_repeating
from mcp_server.guard.limits import Limits
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.lexer import Kind
from mcp_server.sql.refusal import clip
from mcp_server.sql.relations import iter_conjuncts

_ORDERING: Final = ("group", "order", "sort", "cluster", "distribute")
_AFTER_THE_LIST: Final = (*_ORDERING, "having", "qualify", "windows")
_LETTERS: Final = ("lower", "upper")
_AROUND_ORDINALS: Final = (exp.Ordered, exp.Paren, exp.Tuple, exp.Cube, exp.Rollup, exp.GroupingSets)


def check_names(case: Case, select: exp.Select, calls: Sequence[AiCall]) -> None:
    """Nothing in the SELECT reads what a call gives: that is made only once the rows are known.

    Errors: Refused, with the code `ai_function_in_sql`.
    """
    for index, token in enumerate(case.source.tokens):
        # A string may become a name: in from_json, named_struct or PIVOT.
        named = token.is_name and token.name.startswith(RESERVED)
        if named or (token.kind is Kind.STRING and RESERVED in token.text.lower()):
            why = f"{clip(token.text)} cannot be used beside an AI function: names must not begin with {RESERVED}."
            raise case.source.refusal_at("ai_function_in_sql", why, index)
    relations = {relation.alias for relation in case.relations.list_relations(select)}
    for call in calls:
        name = _normalize_name(call.name)
        readers = [item for number, item in enumerate(select.expressions, start=1) if number != call.number]
        for column in (
            found for part in [*readers, *_iter_clauses(select, _AFTER_THE_LIST)] for found in part.find_all(exp.Column)
        ):
            if _normalize_name(column.parts[0].name) == name and (len(column.parts) == 1 or name not in relations):
                raise refusal_at(
                    case,
                    call.node,
                    f"gives {clip(call.name)} once the rows are known: nothing in this SELECT can sort, group, filter "
                    "by it or use it. If a column of a table is meant, give what the function makes another name with "
                    "AS.",
                )


def check_ordinals(case: Case, select: exp.Select, calls: Sequence[AiCall]) -> None:
    """`ORDER BY 2`, `GROUP BY ALL` and the like reach neither a call nor a column that the guard adds.

    Errors: Refused, with the code `ai_function_in_sql`.
    """
    calling = {call.number for call in calls}
    starred = any(item.is_star for item in select.expressions)
    reached = set() if starred else set(range(1, len(select.expressions) + 1)) - calling
    for clause in _iter_clauses(select, _ORDERING):
        every = clause.args.get("all") or any(_is_all(part) for part in clause.expressions)
        numbers = {int(node.name) for node in clause.find_all(exp.Literal) if _is_ordinal(node, clause)}
        if every or numbers - reached:
            why = f"would be reached {PLACES[type(clause)]}, by a number or ALL. Name the columns that are meant there."
            raise refusal_at(case, calls[0].node, why)


def check_source(case: Case, select: exp.Select, calls: Sequence[AiCall]) -> None:
    """The rows are the same each time, so that what was paid for once is found in the cache, and are not multiplied.

    Errors: Refused, with the code `ai_function_in_sql`.
    """
    if case.tree.root.find(exp.TableSample) is not None:
        why = "over TABLESAMPLE would be paid for again each time, for other rows. Choose rows by ORDER BY and LIMIT."
        raise refusal_at(case, calls[0].node, why)
    if (repeated := find_repeating(select, case.relations)) is not None:
        why = (
            f"is paid for by the row, and {clip(repeated)} repeats rows. Join in WITH found AS (…), or by an equality."
        )
        raise refusal_at(case, calls[0].node, why)


def check_rows(case: Case, select: exp.Select, calls: Sequence[AiCall], catalog: Catalog, limits: Limits) -> int:
    """At most how many rows come out. The sender's own text says that they are few, or names what is meant.

    Errors: Refused, with the code `ai_function_in_sql`.
    """
    most = limits.ai_calls // len(calls)
    known = case.relations.bound_rows(select)
    rows = limits.bound_rows(None if known is None else int(known))
    if rows <= most or (known is None and all(_is_named(case, select, call, catalog, most) for call in calls)):
        return min(rows, most)
    if most < 1:
        raise refusal_at(
            case, calls[0].node, f"is one of {len(calls)} calls for a row; a query makes {limits.ai_calls}."
        )
    each = "a paid call" if len(calls) == 1 else f"{len(calls)} paid calls"
    raise refusal_at(
        case,
        calls[0].node,
        f"makes {each} for each row, and this statement does not say that its rows are few: a query makes at most "
        f"{limits.ai_calls} calls. Write LIMIT {most} or less at the end.",
    )


def _is_named(case: Case, select: exp.Select, call: AiCall, catalog: Catalog, most: int) -> bool:
    """Whether WHERE compares the argument's column, or the key, with a few plain values."""
    where = select.args.get("where")
    argument = call.argument.name.lower() if isinstance(call.argument, exp.Column) else ""
    for part in iter_conjuncts(where.this) if where is not None else ():
        column, values = _read_comparison(case, part)
        few = 0 < len(values) <= most and all(isinstance(value, exp.Literal) for value in values)
        if few and isinstance(column, exp.Column) and column.name.lower() in {argument, catalog.ai[call.function]}:
            return True
    return False


def _read_comparison(case: Case, part: exp.Expr) -> tuple[exp.Expr, Sequence[exp.Expr]]:
    """Return the column and the values of a comparison, without lower() or upper(); no values for other conditions."""
    if isinstance(part, exp.In):
        column, values = part.this, part.expressions
    elif isinstance(part, exp.EQ | exp.NullSafeEQ):
        column, value = sorted((part.this, part.expression), key=lambda side: isinstance(side, exp.Literal))
        values = [value]
    else:
        return part, ()
    changed = case.tree.called_name(column) in _LETTERS and len(column.expressions) == 1
    return column.expressions[0] if changed else column, values


def _normalize_name(name: str) -> str:
    """Normalize a name for comparison: without an alias it is the text of the call, with any blanks."""
    return "".join(name.lower().split())


def _iter_clauses(select: exp.Select, names: tuple[str, ...]) -> Iterator[exp.Expr]:
    for name in names:
        found = select.args.get(name)
        yield from found if isinstance(found, list) else [found] if found is not None else []


def _is_all(node: exp.Expr) -> bool:
    node = node.this if isinstance(node, exp.Ordered) else node
    return isinstance(node, (exp.Column, exp.Var)) and node.name.upper() == "ALL"


def _is_ordinal(node: exp.Literal, clause: exp.Expr) -> bool:
    """Whether a number stands for an item of the list: nothing but brackets and groupings is around it."""
    above = node.parent
    while isinstance(above, _AROUND_ORDINALS):
        above = above.parent
    return not node.is_string and node.name.isdigit() and above is clause
