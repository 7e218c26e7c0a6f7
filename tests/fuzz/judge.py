"""What must hold of any statement at all: it is refused, or what would run is harmless by a reading of its own."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlglot
from sqlglot import exp

from lakehouse.errors import EngineLacks, QueryFailed, Refused
from mcp_server import checking
from mcp_server.guard.functions import function_policy
from mcp_server.guard.journal import Journal
from mcp_server.guard.metadata import read_explain
from mcp_server.guard.rules import read_case
from mcp_server.models import Checked, CheckedQuery, DescribeQuery, Explain, Principal
from mcp_server.sql.case import Case
from mcp_server.sql.lexer import tokenize
from mcp_server.sql.source import MAX_TOKENS, read_source, spell_out

CPU_SECONDS: Final = 0.25
"""The issue's bound on any check."""

LEAKED: Final = "leaked"
"""A word that the grammar writes within names alone."""

LONGEST_TEXT: Final = 900
"""Characters of a refusal; those of rewrites quote the one that their result met."""

_TEXTS = re.compile(r"[rR]'[^']*'|[rR]\"[^\"]*\"|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`]|``)*`", re.DOTALL)
_CALLED = re.compile(r"([\w)`]*)\s*(\b\w+)\s*\(")
_NAMED_BEFORE = re.compile(
    r"(?i)(?!FROM|JOIN|SELECT|WHERE|AND|OR|BY|ON|VIEW|OUTER|THEN|ELSE|WHEN|HAVING|DISTINCT|NOT|IN)[\w)`]+$"
)

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it says aloud what it cannot read


@dataclass(frozen=True)
class Judged:
    """What became of a statement. `checked` is None where it was refused; `seconds` are of CPU."""

    sql: str
    code: str
    checked: Checked | None
    seconds: float


def judge(sql: str, catalog: checking.Catalog, limits: checking.Limits) -> Judged:
    """Checks a statement and asserts what must hold. Whatever the check raises but its own errors is a defect."""
    settings = {"catalog": catalog, "limits": limits, "principal": Principal("fuzz")}
    started = time.process_time()
    refusal: Refused | EngineLacks | QueryFailed | None = None
    checked: Checked | None = None
    try:
        checked = checking.check(sql, **settings)
    except (Refused, EngineLacks, QueryFailed) as said:
        refusal = said
    spent = time.process_time() - started
    if refusal is not None:
        assert refusal.code
        assert len(str(refusal)) < LONGEST_TEXT
        return Judged(sql, refusal.code, None, spent)
    query = checked.query if isinstance(checked, Explain | DescribeQuery) else checked
    if isinstance(query, CheckedQuery):
        _check_ai(query, limits)
        _check_again(query, settings)
        _read_otherwise(query, catalog)
    return Judged(sql, "", checked, spent)


def _check_ai(query: CheckedQuery, limits: checking.Limits) -> None:
    """No engine hears of an AI function, and the text bounds how often those around it are called."""
    assert not [name for name in query.functions if name.startswith("ai_")], query.sql
    assert query.limit.rows * len(query.ai) <= limits.ai_calls, query.sent
    for column in query.ai:
        added = [name for name in (column.argument, column.key) if name is not None]
        assert all(query.sql.count(f" AS {name}") == 1 for name in added), query.sql
        assert not [name for name in added if name in query.sent], query.sent


def _check_again(query: CheckedQuery, settings: Mapping[str, Any]) -> None:
    """What would run passes every layer as it stands, rewritten or not, and reads the same tables."""
    as_it_stands = settings | {"catalog": replace(settings["catalog"], dialect="spark")}
    again = checking.check(query.sql, **as_it_stands)
    assert isinstance(again, CheckedQuery)
    assert again.sql == query.sql
    assert again.tables == query.tables
    assert query.rewrites or again.functions == query.functions


def _read_otherwise(query: CheckedQuery, catalog: checking.Catalog) -> None:
    """No comment, second statement, forbidden table or refused function, by simpler readers than the guard's."""
    bare = _TEXTS.sub(lambda text: "``" if text[0][0] == "`" else "''", query.sql)
    assert not re.search(r"--|/\*|;|[@?#$\\]", bare), query.sql
    assert "${" not in query.sql
    if LEAKED not in _TEXTS.sub("", query.sent).lower():  # what stands in a name or a text stays there
        assert LEAKED not in bare.lower(), query.sql
    assert not [name for name in _called(bare) if name in function_policy().refused or name.startswith("ai_")], (
        query.sql
    )
    try:
        root = sqlglot.parse_one(query.sql, dialect="databricks")
    except Exception:  # noqa: BLE001  (what sqlglot cannot read as it stands; the guard's copy is written for it)
        return
    names = {cte.alias.lower() for cte in root.find_all(exp.CTE)}
    for table in root.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier):
            known = table.name.lower() in catalog.by_name and table.db.lower() == "imdb" and not table.catalog
            assert known or (not table.db and table.name.lower() in names), query.sql


def _called(bare: str) -> list[str]:
    """Names before a bracket that are no alias with its columns, such as `(SELECT 1) version (a)`."""
    calls = (found for found in _CALLED.finditer(bare) if not _NAMED_BEFORE.match(found[1]))
    return [found[2].lower() for found in calls]


def case_of(sql: str, catalog: checking.Catalog) -> Case | None:
    """An allowed query, or the one that is to be explained, as the guard's rules see it; None of SHOW and DESCRIBE."""
    source = read_source(sql, spell_out(tokenize(sql, MAX_TOKENS)))
    if source.key(0) in {"SHOW", "DESCRIBE", "DESC"}:
        return None
    if source.key(0) == "EXPLAIN":
        _, start = read_explain(source)
        source = read_source(sql, source.tokens[start:])
    return read_case(source, catalog, Journal())
