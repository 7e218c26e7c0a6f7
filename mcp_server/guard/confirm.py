"""The engine's own reading of what would run, against the guard's: the last word before a query is one.

`plans.toml` lists the kinds of nodes that an engine's plan may hold. What it brings that nobody decided is refused,
so that a new version of an engine makes refusals, never holes.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib import resources

from lakehouse.session import Dialect, Stage
from mcp_server.guard.functions import function_policy
from mcp_server.models import EngineReading
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.refusal import refused, shown
from mcp_server.sql.scans import scans


@dataclass(frozen=True)
class Expected:
    """What an engine's reading may hold; `plans.toml` says what each list is."""

    kinds: frozenset[str]
    grammar: frozenset[str]
    operators: frozenset[str]
    leaves: frozenset[str]
    closed: frozenset[str]


@functools.cache
def expected(dialect: Dialect, stage: Stage) -> Expected:
    """The list of `plans.toml` for one engine and stage."""
    data = tomllib.loads(resources.files(__package__).joinpath("plans.toml").read_text("utf-8"))[dialect][stage]
    return Expected(*(frozenset(data.get(field.name, "").split()) for field in fields(Expected)))


def confirm(reading: EngineReading, case: Case, catalog: Catalog) -> None:
    """The engine reads what the guard has read, and nothing that is on no list.

    Errors: Refused, with the code `engine_reads_otherwise`, `syntax_not_allowed` or `function_not_allowed`.
    """
    lists = expected(catalog.dialect, reading.stage)
    if unknown := reading.kinds - lists.kinds:
        raise refused(
            "syntax_not_allowed",
            f"The engine takes a part of this for {shown(min(unknown))}, which queries may not use here. Write it with "
            "SELECT, WITH, JOIN and the functions that are allowed.",
        )
    called = reading.functions - lists.operators
    if forbidden := called & function_policy().refused.keys():
        name = min(forbidden)
        raise refused("function_not_allowed", f"{name} is not allowed: {function_policy().refused[name]}.")
    if reading.stage == "resolved":
        _check_leaves(reading.tables - lists.leaves, case, catalog)
    else:
        partial = bool(reading.kinds & lists.closed)
        _check_same("tables", reading.tables, _written_tables(case, catalog), partial=partial)
        _check_same("functions", called | lists.grammar, case.functions | lists.grammar, partial=partial)


def _check_leaves(leaves: frozenset[str], case: Case, catalog: Catalog) -> None:
    """With every view opened, the tables are read that the guard's tree reads, and no other.

    A table within a WITH name that nothing uses may be read or not.
    """
    if leaves - _spelled(case.tables, catalog):
        raise refused(
            "other_schema",
            "One of the names reads a table that this server does not serve, perhaps through a view. Read "
            f"{', '.join(sorted(case.tables)) or catalog.example} as tables of {catalog.schema}.",
        )
    if missing := _spelled({scan.table for scan in scans(case)}, catalog) - leaves:
        raise refused(
            "engine_reads_otherwise",
            f"The engine does not read {shown(min(missing))} in this, and the guard does. Leave out strings that look "
            "like the plan of a query.",
        )


def _spelled(names: Iterable[str], catalog: Catalog) -> frozenset[str]:
    return frozenset(f"{catalog.schema}.{name}".lower() for name in names)


def _check_same(what: str, engine: frozenset[str], guard: frozenset[str], *, partial: bool) -> None:
    """Both readings name the same; where the engine's is `partial`, it names nothing that the guard does not."""
    if differing := engine - guard if partial else engine ^ guard:
        raise refused(
            "engine_reads_otherwise",
            f"The engine reads other {what} in this than the guard does, such as {shown(min(differing))}. Qualify "
            "names, write AS before aliases, and call functions with brackets.",
        )


def _written_tables(case: Case, catalog: Catalog) -> frozenset[str]:
    """Every relation that is named in what runs, WITH names too, as parts joined by dots."""
    spelled = {ref: ".".join([*catalog.schema.split("."), info.name]).lower() for ref, info in case.names.refs}
    return frozenset(spelled.get(ref, ".".join(ref.parts)) for ref in case.reading.tables)
