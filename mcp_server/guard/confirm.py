"""Compares the engine's own reading of a query with the guard's, before the query runs.

`plans.toml` lists the kinds of nodes that an engine's plan may hold. Any other kind is refused, so a new version of an
engine causes refusals and no holes.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib import resources

from lakehouse.session import Dialect, Stage
from mcp_server.guard.functions import function_policy
from mcp_server.models import EngineReading, TableInfo
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.refusal import clip, make_refusal
from mcp_server.sql.scans import find_scans


@dataclass(frozen=True)
class ExpectedPlan:
    """What an engine's reading may hold. `plans.toml` documents each list."""

    kinds: frozenset[str]
    grammar: frozenset[str]
    operators: frozenset[str]
    leaves: frozenset[str]
    closed: frozenset[str]


@functools.cache
def read_expected(dialect: Dialect, stage: Stage) -> ExpectedPlan:
    """Return the lists of `plans.toml` for one engine and stage."""
    data = tomllib.loads(resources.files(__package__).joinpath("plans.toml").read_text("utf-8"))[dialect][stage]
    return ExpectedPlan(*(frozenset(data.get(field.name, "").split()) for field in fields(ExpectedPlan)))


def confirm_reading(reading: EngineReading, case: Case, catalog: Catalog) -> None:
    """Refuse a query that the engine reads differently, or in which it finds what is on no list.

    Errors: Refused, with the code `engine_reads_otherwise`, `syntax_not_allowed` or `function_not_allowed`.
    """
    lists = read_expected(catalog.dialect, reading.stage)
    if unknown := reading.kinds - lists.kinds:
        raise make_refusal(
            "syntax_not_allowed",
            f"The engine takes a part of this for {clip(min(unknown))}, which queries may not use here. Write it with "
            "SELECT, WITH, JOIN and the functions that are allowed.",
        )
    called = reading.functions - lists.operators
    if forbidden := called & function_policy().refused.keys():
        name = min(forbidden)
        raise make_refusal("function_not_allowed", f"{name} is not allowed: {function_policy().refused[name]}.")
    if reading.stage == "resolved":
        _check_leaves(reading.tables - lists.leaves, case, catalog)
    else:
        partial = bool(reading.kinds & lists.closed)
        _check_same("tables", reading.tables, _written_tables(case, catalog), partial=partial)
        _check_same("functions", called | lists.grammar, case.functions | lists.grammar, partial=partial)


def _check_leaves(leaves: frozenset[str], case: Case, catalog: Catalog) -> None:
    """With every view expanded, the engine reads the tables of the guard's tree and no others.

    It may skip a table that only an unused WITH name reads.
    """
    served = {info.name: info for _, info in case.names.refs}
    if leaves - _spell_tables(served.values(), catalog):
        raise make_refusal(
            "other_schema",
            "One of the names reads a table that this server does not serve, perhaps through a view. Read "
            f"{', '.join(sorted(case.tables)) or catalog.example} as tables of {catalog.schema}.",
        )
    if missing := _spell_tables((served[scan.table] for scan in find_scans(case)), catalog) - leaves:
        raise make_refusal(
            "engine_reads_otherwise",
            f"The engine does not read {clip(min(missing))} in this, and the guard does. Leave out strings that look "
            "like the plan of a query.",
        )


def _spell_tables(tables: Iterable[TableInfo], catalog: Catalog) -> frozenset[str]:
    return frozenset(f"{catalog.schema}.{table.engine_name}".lower() for table in tables)


def _check_same(what: str, engine: frozenset[str], guard: frozenset[str], *, partial: bool) -> None:
    """Refuse names that only one reading has.

    A `partial` reading of the engine may have fewer, never more.
    """
    if differing := engine - guard if partial else engine ^ guard:
        raise make_refusal(
            "engine_reads_otherwise",
            f"The engine reads other {what} in this than the guard does, such as {clip(min(differing))}. Qualify "
            "names, write AS before aliases, and call functions with brackets.",
        )


def _written_tables(case: Case, catalog: Catalog) -> frozenset[str]:
    """Return every relation that is named in what runs, WITH names included, with dots between the parts."""
    spelled = {ref: ".".join([*catalog.schema.split("."), info.engine_name]).lower() for ref, info in case.names.refs}
    return frozenset(spelled.get(ref, ".".join(ref.parts)) for ref in case.reading.tables)
