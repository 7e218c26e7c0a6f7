"""`imdb-mcp check`: the guard's verdict on statements, without an engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from lakehouse.errors import LakehouseError
from lakehouse.session import CAPABILITIES
from lakehouse.settings import Settings
from lakehouse.storage import Lake
from mcp_server import guard
from mcp_server.auth import os_user
from mcp_server.engines.catalog import LakeCatalog
from mcp_server.query import limits_of, pins_of


class CheckFileError(LakehouseError):
    """The file of statements, or a line of it, cannot be read."""


def check_one(settings: Settings, lake: Lake, sql: str, *, explain: bool) -> int:
    """Print the verdict as a sentence, and before it with `explain` what each layer said.

    The exit code is 0 where the statement is allowed, else 3.
    """
    verdict = _Checker(settings, lake).verdict(sql)
    if explain:
        width = max(len(step.layer) for step in verdict.steps)
        for step in verdict.steps:
            print(f"{step.layer:{width}}  {'pass' if step.passed else 'STOP'}  {step.said}")
    if not verdict.allow:
        print(f"Refused ({verdict.code}): {verdict.message}")
        return 3
    if verdict.code is not None:
        print(f"Allowed, but not on the {settings.engine} engine ({verdict.code}): {verdict.message}")
    else:
        print(f"Allowed; answers with at most {verdict.limit} rows.")
    return 0


def check_file(settings: Settings, lake: Lake, path: Path, *, explain: bool) -> int:
    """Print a verdict for every line of a file of `{"id", "sql"}`, as JSON lines. The exit code is 0.

    With `explain` each has its `steps`. A harmless statement that the engine lacks is allowed, with the code
    `engine_lacks`. Raises CheckFileError at the first line that is not such an object, after the verdicts of those
    before it.
    """
    checker = _Checker(settings, lake)
    for identifier, sql in _statements(path):
        verdict = checker.verdict(sql)
        line: dict[str, object] = {
            "id": identifier,
            "verdict": "allow" if verdict.allow else "refuse",
            "code": verdict.code,
            "message": verdict.message,
            "limit": verdict.limit,
        }
        if explain:
            line["steps"] = [vars(step) for step in verdict.steps]
        print(json.dumps(line))
    return 0


class _Checker:
    """The guard on one lake: the same catalogue and limits as the server's, read without an engine."""

    def __init__(self, settings: Settings, lake: Lake) -> None:
        tables = LakeCatalog(lake).tables()
        dialect = CAPABILITIES[settings.runtimes[0]].dialect
        self._catalog = guard.Catalog(settings.schema_name, tables, pins_of(tables), dialect)
        self._limits = limits_of(settings)
        self._principal = os_user()

    def verdict(self, sql: str) -> guard.Verdict:
        return guard.verdict(sql, catalog=self._catalog, limits=self._limits, principal=self._principal)


def _statements(path: Path) -> Iterator[tuple[object, str]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise CheckFileError(f"--file {path} cannot be read: {error.strerror}.") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _statement(path, number, line)


def _statement(path: Path, number: int, line: bytes) -> tuple[object, str]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise CheckFileError(f"Line {number} of {path} is not JSON: {error}.") from error
    match entry:
        case {"id": identifier, "sql": str(sql)}:
            return identifier, sql
    raise CheckFileError(f'Line {number} of {path} is not an object with "id" and the text "sql".')
