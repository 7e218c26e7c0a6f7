"""Which engine answers a statement, and what is handed to the next one: for queries, dry runs and `imdb-mcp check`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lakehouse.errors import EngineLacks, EngineUnavailable, QueryError
from mcp_server.engines import Engine
from mcp_server.models import Checked, CheckedQuery, TableInfo

log = logging.getLogger(__name__)

T = TypeVar("T")
Tables = tuple[TableInfo, ...]


@dataclass(frozen=True)
class Allowed:
    """A statement that the guard has allowed on an engine, and the tables that it was checked against."""

    engine: Engine
    tables: Tables
    checked: Checked


class Router:
    """The engines of a server in order of preference: the first one answers, the second one what it is handed.

    Handed over is what the first engine lacks, what it failed at though another may not (`QueryError.lacking`), and
    what it may answer otherwise than Spark (`CheckedQuery.caveats`). Safe for several threads.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.engines = tuple(engines)
        self.main, *others = self.engines
        self._next = others[0] if others else None
        self._started: set[str] = set()

    def route(self, check: Callable[[Engine], Allowed], finish: Callable[[Allowed], T]) -> T:
        """Check a statement and finish it, on the engine whose answer is the one that Spark would give.

        Where the second engine cannot be had, a statement with caveats is finished on the first one, with them; any
        other fails as it did there. Raises what `check` and `finish` raise.
        """
        if self._next is None:
            return finish(check(self.main))
        lack: QueryError | None = None
        try:
            allowed = check(self.main)
            if not _is_handed_over(allowed.checked):
                return finish(allowed)
        except QueryError as error:
            if not _is_handed_over(error):
                raise
            lack = error
        try:
            return finish(check(self._next))
        except EngineUnavailable as gone:
            if isinstance(lack, EngineLacks):
                raise EngineLacks(f"{lack} The {self._next.name} engine could, and is not there: {gone}") from gone
            log.warning("The %s engine is not there to help: %s", self._next.name, gone)
            if lack is not None:
                raise lack from gone
        return finish(check(self.main))  # checked again, because the run was the second engine's meanwhile

    def choose(self, check: Callable[[Engine], Checked]) -> Engine:
        """The engine that answers a statement, as far as `check` tells; nothing is run and no engine is started."""
        if self._next is None:
            return self.main
        outcome: Checked | QueryError
        try:
            outcome = check(self.main)
        except QueryError as error:
            outcome = error
        return self._next if _is_handed_over(outcome) else self.main

    def is_started(self, engine: Engine) -> bool:
        """Whether the engine was made ready before."""
        return engine.name in self._started

    def start(self, engine: Engine) -> None:
        """Make an engine ready; blocks until it is. Raises EngineUnavailable, and may be called again then."""
        engine.start()
        self._started.add(engine.name)

    def close(self) -> None:
        """End the engines."""
        for engine in self.engines:
            engine.close()


def _is_handed_over(outcome: Checked | QueryError) -> bool:
    """Whether the second engine is to answer, given what became of a statement on the first one."""
    match outcome:
        case QueryError():
            return outcome.lacking
        case CheckedQuery():
            return bool(outcome.caveats)
    return False
