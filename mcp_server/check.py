"""`imdb-mcp check`: the guard's verdict on statements, for the engine that would answer them.

No engine is started for it, so what only an engine's own reading can tell is not in it (a dry run asks for that).
Where the tables are a catalogue's, that has to be asked for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lakehouse.errors import LakehouseError
from lakehouse.storage import Lake
from mcp_server import checking
from mcp_server.auth import os_user
from mcp_server.engines import Engine
from mcp_server.engines.choice import create_engines
from mcp_server.models import Checked
from mcp_server.router import Router
from mcp_server.settings import Settings
from mcp_server.terms import catalog_of, limits_of


class CheckFileError(LakehouseError):
    """The file of statements, or a line of it, cannot be read."""


def check_one(settings: Settings, lake: Lake, sql: str, *, explain: bool) -> int:
    """Print the verdict as a sentence, and before it with `explain` what each layer said.

    The exit code is 0 where the statement is allowed, else 3.
    """
    engine, verdict = _Checker(settings, lake).verdict(sql)
    if explain:
        width = max(len(step.layer) for step in verdict.steps)
        for step in verdict.steps:
            print(f"{step.layer:{width}}  {'pass' if step.passed else 'STOP'}  {step.said}")
    if not verdict.allow:
        print(f"Refused ({verdict.code}): {verdict.message}")
        return 3
    if verdict.code is not None:
        print(f"Allowed, but the {engine} engine could not answer it ({verdict.code}): {verdict.message}")
    else:
        print(f"Allowed on the {engine} engine; answers with at most {verdict.limit} rows.")
    return 0


def check_file(settings: Settings, lake: Lake, path: Path, *, explain: bool) -> int:
    """Print a verdict for every line of a file of `{"id", "sql"}`, as JSON lines. The exit code is 0.

    With `explain` each has its `steps`. A harmless statement that the engine lacks is allowed, with the code
    `engine_lacks`. Raises CheckFileError at the first line that is not such an object, after the verdicts of those
    before it.
    """
    checker = _Checker(settings, lake)
    for identifier, sql in _statements(path):
        _, verdict = checker.verdict(sql)
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
    """The guard on one lake: the same catalogues, limits and choice of the engine as the server's."""

    def __init__(self, settings: Settings, lake: Lake) -> None:
        self._router = Router(create_engines(settings, lake))
        self._catalogs = {engine.name: catalog_of(engine, engine.tables()) for engine in self._router.engines}
        self._limits = limits_of(settings)
        self._principal = os_user()

    def verdict(self, sql: str) -> tuple[str, checking.Verdict]:
        """The engine that would answer, and the verdict for it."""
        engine = self._router.choose(partial(self._check, sql))
        catalog = self._catalogs[engine.name]
        return engine.name, checking.verdict(sql, catalog=catalog, limits=self._limits, principal=self._principal)

    def _check(self, sql: str, engine: Engine) -> Checked:
        catalog = self._catalogs[engine.name]
        return checking.check(sql, catalog=catalog, limits=self._limits, principal=self._principal)


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
