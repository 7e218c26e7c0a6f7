"""Checks of the lake and its engines, on the path of a tool call."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from lakehouse.errors import EngineUnavailable, QueryError
from lakehouse.storage import Lake, LakeKind
from mcp_server.context.statements import Statements, open_statements
from mcp_server.doctor.findings import Finding
from mcp_server.engines.worker.fence import landlock_version
from mcp_server.models import TableInfo
from mcp_server.settings import Settings

_ENGINES = "mcp_server.engines"
_NAME_ONE = "Give --lake DIR (catalog.schema on Databricks), or set IMDB_LAKE."


def check_lake(settings: Settings, *, online: bool) -> Iterator[Finding]:
    """Check that the lake can be read and the engine answers. A metered engine is asked with `online` alone."""
    if settings.lake is None:
        yield Finding("lake", "failure", "none is named", _NAME_ONE)
        return
    lake = Lake.parse(settings.lake)
    with _collect_warnings() as warnings, open_statements(settings, lake, "doctor") as statements:
        if statements.engine.capabilities.metered and not online:
            yield Finding("engine", "warning", f"{statements.engine.name} was not asked: it costs", "Give --online.")
            return
        try:
            yield from _check_tables(lake, statements.list_tables())
            yield from _check_engine(statements)
        except (EngineUnavailable, QueryError) as error:
            yield Finding("engine", "failure", str(error))
            return  # what fences the engine in is known of one that has started
    yield from _check_fence(settings, warnings)


def _check_tables(lake: Lake, tables: tuple[TableInfo, ...]) -> Iterator[Finding]:
    readable = [table for table in tables if not table.problem]
    if not readable:
        yield Finding("lake", "failure", f"{lake} has no table that can be read", "`imdb-etl load` makes a lake.")
    else:
        shown = f"{lake}: {len(readable)} table{'s' if len(readable) > 1 else ''}"
        yield Finding("lake", "ok", f"{shown}, {_describe_age(lake)}")
    for table in tables:
        if table.problem:
            yield Finding("lake", "warning", f"{table.name} is not served: {table.problem}", "The others are.")


def _describe_age(lake: Lake) -> str:
    from lakehouse.manifest import read_manifest

    manifest = None if lake.kind is LakeKind.CATALOG else read_manifest(lake)
    if manifest is None:
        return "each served as it is"
    days = (datetime.now(UTC) - manifest.created_at).total_seconds() / 86_400
    age = f"{days:.0f} days ago" if days >= 2 else f"{days * 24:.0f} hours ago" if days * 24 >= 2 else "just now"
    return f"generation {manifest.generation}, published {age}"


def _check_engine(statements: Statements) -> Iterator[Finding]:
    began = time.monotonic()
    answer = statements.run_sql("SELECT 1 AS one", 1)
    seconds = time.monotonic() - began
    if answer.rows and str(answer.rows[0][0]) == "1":
        yield Finding("engine", "ok", f"{statements.engine.name} answered SELECT 1, {seconds:.1f} s with its start")
    else:
        yield Finding("engine", "failure", f"{statements.engine.name} answered SELECT 1 with {answer.rows!r:.40}")


def _check_fence(settings: Settings, warnings: list[str]) -> Iterator[Finding]:
    """Report what the engine said that it could not give up."""
    for text in warnings:
        sentence, _, advice = text.partition(". ")
        yield Finding("fence", "warning", sentence.rstrip("."), advice)
    if settings.engine_isolation == "off":
        yield Finding(
            "fence", "warning", "IMDB_ENGINE_ISOLATION=off: the guard alone keeps statements from files and network",
            "Unset it, where the system can fence the engine in.",
        )  # fmt: skip
    elif not warnings and "embedded" in settings.runtimes:
        yield Finding(
            "fence", "ok", f"files (Landlock {landlock_version()}), network and memory of the engine are bounded"
        )


@contextmanager
def _collect_warnings() -> Iterator[list[str]]:
    """The warnings of the engines while this is open; they do not reach stderr."""
    found: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    logger, listener = logging.getLogger(_ENGINES), Listener(logging.WARNING)
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield found
    finally:
        logger.removeHandler(listener)
        logger.propagate = True
