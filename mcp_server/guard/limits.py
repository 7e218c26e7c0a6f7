"""What one statement may take; LIMIT, OFFSET, recursion and grouping sets, which must be plain and small."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlglot import exp

from mcp_server.sql.refusal import refused, shown
from mcp_server.sql.source import Source, is_plain_integer
from mcp_server.sql.tree import Tree

MAX_OFFSET = 100_000
"""Rows that are computed and thrown away; paging deeper is done by a condition on the key."""

MAX_LEVELS = 1_000
"""Steps of a recursion. Spark's own default is 100."""

MAX_GROUPINGS = 256
"""Grouping sets of one GROUP BY: CUBE of eight columns. Every one is a pass over the rows."""

_AFTER_LIMIT = frozenset({")", "OFFSET", "|>"})


@dataclass(frozen=True)
class Limits:
    """What one statement may take: rows of the answer, bytes of its text, seconds of the engine, calls of AI functions.

    A call is one AI function applied to one row.
    """

    max_rows: int
    max_sql_bytes: int
    deadline_seconds: float
    ai_calls: int = 50


def lower_limits(limits: Limits, row_limit: int | None) -> Limits:
    """The limits with the caller's own wish for the number of rows, which may lower `max_rows` and never raise it.

    Errors: Refused, with the code `row_limit`.
    """
    if row_limit is not None and row_limit < 1:
        raise refused(
            "row_limit", f"The row limit must be at least 1, not {row_limit}. Leave it out for {limits.max_rows:,}."
        )
    return replace(limits, max_rows=min(limits.max_rows, row_limit or limits.max_rows))


def check_row_limits(source: Source) -> None:
    """LIMIT and OFFSET are plain integers.

    Errors: Refused, with the code `limit_not_plain` or `offset_too_large`.
    """
    for index, token in enumerate(source.tokens):
        before, after = source.key(index - 1), source.key(index + 1)
        if token.key in {"LIMIT", "OFFSET"} and before not in {".", "AS"}:
            _check_number(source, index, token.key)
        elif token.key == "FETCH" and after in {"FIRST", "NEXT"}:
            raise source.refused_at("limit_not_plain", "Write LIMIT 100 at the end in place of FETCH FIRST.", index)
        elif token.key == "TOP" and before in {"SELECT", "DISTINCT", "ALL"} and _is_number(source, index + 1):
            raise source.refused_at("limit_not_plain", "Write LIMIT 100 at the end in place of TOP.", index)


def _is_number(source: Source, index: int) -> bool:
    return index < len(source.tokens) and is_plain_integer(source.tokens[index])


def _ends(source: Source, index: int) -> bool:
    return index >= len(source.tokens) or source.key(index) in _AFTER_LIMIT


def _check_number(source: Source, index: int, key: str) -> None:
    value = source.tokens[index + 1] if index + 1 < len(source.tokens) else None
    plain = value is not None and is_plain_integer(value) and len(value.text) <= 18
    if value is None or not plain or not _ends(source, index + 2):
        raise source.refused_at(
            "limit_not_plain",
            f"{key} takes a plain integer and nothing after it but OFFSET, as in {key} 100"
            + ("." if value is None else f", not {shown(value.text)} …."),
            index,
        )
    if key == "OFFSET" and int(value.text) > MAX_OFFSET:
        raise source.refused_at(
            "offset_too_large",
            f"OFFSET is at most {MAX_OFFSET:,}. To read on, compare the key with the last one seen in WHERE.",
            index,
        )


def check_recursion(tree: Tree) -> None:
    """A WITH RECURSIVE ends: by MAX RECURSION LEVEL, or by a comparison with a number in its own step.

    Errors: Refused, with the code `recursion`.
    """
    for clause in tree.every(exp.With):
        if clause.recursive:
            for cte in clause.expressions:
                _check_recursive(tree, cte)


def _check_recursive(tree: Tree, cte: exp.CTE) -> None:
    name = cte.alias.lower()
    own = [t for t in cte.this.find_all(exp.Table) if t.name.lower() == name and not t.db]
    if not own:
        return
    source = tree.source
    index = tree.index(cte.args["alias"].this)
    level = _level(source, index)
    if level is not None and level <= MAX_LEVELS:
        return
    if level is None and all(_is_bounded(table) for table in own):
        return
    raise source.refused_at(
        "recursion",
        f"The recursion of {shown(cte.alias)} has no bound. Write {shown(cte.alias)} MAX RECURSION LEVEL 100 AS (…), "
        f"at most {MAX_LEVELS:,}, or compare a column with a number in its WHERE.",
        0 if index is None else index,
    )


def _level(source: Source, index: int | None) -> int | None:
    """The n of `name (columns) MAX RECURSION LEVEL n`."""
    if index is None:
        return None
    at = index + 1
    at = source.closing[at] + 1 if source.key(at) == "(" else at
    return int(source.tokens[at + 3].text) if source.key(at) == "MAX" else None


def _is_bounded(table: exp.Table) -> bool:
    """Whether the step that reads the name again compares a column with a number."""
    step = table.find_ancestor(exp.Select)
    where = step.args.get("where") if step else None
    if where is None:
        return False
    conditions = where.this.flatten() if isinstance(where.this, exp.And) else [where.this]
    return any(
        isinstance(condition, (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between))
        and condition.find(exp.Literal) is not None
        and condition.find(exp.Column) is not None
        for condition in conditions
    )


def check_groupings(tree: Tree) -> None:
    """CUBE, ROLLUP and GROUPING SETS make few sets.

    Errors: Refused, with the code `too_many_groupings`.
    """
    for group in tree.every(exp.Group):
        sets = 1
        for node in group.find_all(exp.Cube, exp.Rollup, exp.GroupingSets):
            count = len(node.expressions) or len(group.expressions)
            sets *= 2 ** min(count, 30) if isinstance(node, exp.Cube) else count + 1
        if sets > MAX_GROUPINGS:
            raise tree.refused_at(
                "too_many_groupings",
                f"The GROUP BY makes {sets:,} grouping sets, and at most {MAX_GROUPINGS} are allowed. "
                "Name the sets that you need: GROUPING SETS ((a), (b), ()).",
                group,
            )
