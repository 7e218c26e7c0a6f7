"""The limits of one statement, and the numbers in its text: LIMIT, OFFSET, recursion, grouping sets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlglot import exp

from mcp_server.sql.refusal import clip, make_refusal
from mcp_server.sql.source import AFTER_LIMIT, Source, is_plain_integer
from mcp_server.sql.tree import Tree

MAX_OFFSET = 100_000
"""Rows that are computed and thrown away; paging deeper is done by a condition on the key."""

MAX_LEVELS = 1_000
"""Steps of a recursion. Spark's own default is 100."""

MAX_GROUPINGS = 256
"""Grouping sets of one GROUP BY: CUBE of eight columns. Every one is a pass over the rows."""


@dataclass(frozen=True)
class Limits:
    """What one statement may take.

    `max_rows` bounds the answer, `max_sql_bytes` the text, `deadline_seconds` the engine's time, and `ai_calls` the
    calls of AI functions; a call is one function applied to one row. `default_rows` bounds the answer where nobody says
    how many rows it should have; None for as many as `max_rows`.
    """

    max_rows: int
    max_sql_bytes: int
    deadline_seconds: float
    ai_calls: int = 50
    default_rows: int | None = None

    def bound_rows(self, limit: int | None) -> int:
        """Return the rows that an answer may have; `limit` is the LIMIT of the statement, None without one."""
        if limit is None:
            limit = self.default_rows
        return self.max_rows if limit is None else min(limit, self.max_rows)


def lower_limits(limits: Limits, row_limit: int | None) -> Limits:
    """Return the limits with the caller's row limit, which replaces `default_rows` and never raises `max_rows`.

    Errors: Refused, with the code `row_limit`.
    """
    if row_limit is not None and row_limit < 1:
        raise make_refusal(
            "row_limit",
            f"The row limit must be at least 1, not {row_limit}. Leave it out for {limits.bound_rows(None):,}.",
        )
    if row_limit is None:
        return limits
    return replace(limits, max_rows=min(limits.max_rows, row_limit), default_rows=None)


def check_row_limits(source: Source) -> None:
    """Refuse a LIMIT or OFFSET that is not a plain integer.

    Errors: Refused, with the code `limit_not_plain` or `offset_too_large`.
    """
    for index, token in enumerate(source.tokens):
        before, after = source.key(index - 1), source.key(index + 1)
        if token.key in {"LIMIT", "OFFSET"} and before not in {".", "AS"}:
            _check_number(source, index, token.key)
        elif token.key == "FETCH" and after in {"FIRST", "NEXT"}:
            raise source.refusal_at("limit_not_plain", "Write LIMIT 100 at the end in place of FETCH FIRST.", index)
        elif token.key == "TOP" and before in {"SELECT", "DISTINCT", "ALL"} and _is_number(source, index + 1):
            raise source.refusal_at("limit_not_plain", "Write LIMIT 100 at the end in place of TOP.", index)


def _is_number(source: Source, index: int) -> bool:
    return index < len(source.tokens) and is_plain_integer(source.tokens[index])


def _is_end(source: Source, index: int) -> bool:
    return index >= len(source.tokens) or source.key(index) in AFTER_LIMIT


def _check_number(source: Source, index: int, key: str) -> None:
    value = source.tokens[index + 1] if index + 1 < len(source.tokens) else None
    plain = value is not None and is_plain_integer(value) and len(value.text) <= 18
    if value is None or not plain or not _is_end(source, index + 2):
        raise source.refusal_at(
            "limit_not_plain",
            f"{key} takes a plain integer and nothing after it but OFFSET, as in {key} 100"
            + ("." if value is None else f", not {clip(value.text)} …."),
            index,
        )
    if key == "OFFSET" and int(value.text) > MAX_OFFSET:
        raise source.refusal_at(
            "offset_too_large",
            f"OFFSET is at most {MAX_OFFSET:,}. To read on, compare the key with the last one seen in WHERE.",
            index,
        )


def check_recursion(tree: Tree) -> None:
    """Refuse a WITH RECURSIVE without a bound: MAX RECURSION LEVEL, or a comparison with a number in its step.

    Errors: Refused, with the code `recursion`.
    """
    for clause in tree.find_all(exp.With):
        if clause.recursive:
            for cte in clause.expressions:
                _check_recursive(tree, cte)


def _check_recursive(tree: Tree, cte: exp.CTE) -> None:
    name = cte.alias.lower()
    own = [t for t in cte.this.find_all(exp.Table) if t.name.lower() == name and not t.db]
    if not own:
        return
    source = tree.source
    index = tree.token_index(cte.args["alias"].this)
    level = _read_level(source, index)
    if level is not None and level <= MAX_LEVELS:
        return
    if level is None and all(_is_bounded(table) for table in own):
        return
    raise source.refusal_at(
        "recursion",
        f"The recursion of {clip(cte.alias)} has no bound. Write {clip(cte.alias)} MAX RECURSION LEVEL 100 AS (…), "
        f"at most {MAX_LEVELS:,}, or compare a column with a number in its WHERE.",
        0 if index is None else index,
    )


def _read_level(source: Source, index: int | None) -> int | None:
    """Return the n of `name (columns) MAX RECURSION LEVEL n`."""
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
    """Refuse CUBE, ROLLUP and GROUPING SETS that produce too many sets.

    Errors: Refused, with the code `too_many_groupings`.
    """
    for group in tree.find_all(exp.Group):
        sets = 1
        for node in group.find_all(exp.Cube, exp.Rollup, exp.GroupingSets):
            count = len(node.expressions) or len(group.expressions)
            sets *= 2 ** min(count, 30) if isinstance(node, exp.Cube) else count + 1
        if sets > MAX_GROUPINGS:
            raise tree.refusal_at(
                "too_many_groupings",
                f"The GROUP BY makes {sets:,} grouping sets, and at most {MAX_GROUPINGS} are allowed. "
                "Name the sets that you need: GROUPING SETS ((a), (b), ()).",
                group,
            )
