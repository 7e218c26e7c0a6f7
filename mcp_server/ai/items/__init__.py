"""AI functions in SQL: the query below them, which has their arguments in their place.

No engine hears of an AI function. Where each call of one is a whole item of a statement's one outermost SELECT, the
guard puts the argument's own tokens in its place, and the server applies the function to the rows that come out. So
nothing but the number of those rows decides how many calls are made, and the text tells it: a LIMIT, a source of few
rows, or a condition that names what is meant. Anywhere else a plan would decide, and the statement is refused with
the form to use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mcp_server.ai.items.calls import RESERVED, find_calls
from mcp_server.ai.items.keys import find_key
from mcp_server.ai.items.rules import check_names, check_ordinals, check_rows, check_source
from mcp_server.guard.limits import Limits
from mcp_server.models import AiColumn
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, copy_tokens, join, quote_name
from mcp_server.sql.refusal import make_refusal

__all__ = ["Below", "calls_ai", "extract_query"]

MAX_TOKENS: Final = 1_000
"""Such a statement is read twice, and stays within the CPU time of one (tests/guard/test_ai_functions.py)."""


@dataclass(frozen=True)
class InnerQuery:
    """The query whose rows AI functions are applied to: its text, at most how many rows, and what columns are for."""

    sql: str
    rows: int
    columns: tuple[AiColumn, ...]


def calls_ai(case: Case, catalog: Catalog) -> bool:
    """Whether a statement calls an AI function of the catalog."""
    return not case.functions.isdisjoint(catalog.ai)


def extract_query(case: Case, catalog: Catalog, limits: Limits) -> InnerQuery:
    """Return the query below the AI functions of a statement that calls some.

    Errors: Refused, with the code `ai_function_in_sql` or `too_long`.
    """
    if len(case.source.tokens) > MAX_TOKENS:
        raise make_refusal(
            "too_long", f"A statement that calls an AI function has at most {MAX_TOKENS:,} words and signs."
        )
    select, calls, end = find_calls(case, catalog)
    check_names(case, select, calls)
    check_ordinals(case, select, calls)
    check_source(case, select, calls)
    rows = check_rows(case, select, calls, catalog, limits)
    pieces: list[Sql] = []
    columns: list[AiColumn] = []
    keys: dict[Sql, str] = {}
    at = 0
    for number, call in enumerate(calls, start=1):
        key = find_key(case, select, call.argument, catalog.ai[call.function])
        hidden = None if key is None else keys.setdefault(key, f"{RESERVED}key_{len(keys) + 1}")
        column = AiColumn(call.function, f"{RESERVED}{number}", call.name, hidden)
        columns.append(column)
        argument = compose("{} AS {}", call.copy_argument(case), quote_name(column.argument))
        pieces += [copy_tokens(case.source, at, call.first), argument]
        at = call.end
    pieces += [copy_tokens(case.source, at, end), _write_keys(keys)]
    pieces.append(copy_tokens(case.source, end, len(case.source.tokens)))
    return InnerQuery(join(" ", pieces), rows, tuple(columns))


def _write_keys(keys: Mapping[Sql, str]) -> Sql:
    """Write the keys as further columns of the list, if any."""
    columns = join(", ", (compose("{} AS {}", key, quote_name(name)) for key, name in keys.items()))
    return compose(", {}", columns) if columns else columns
