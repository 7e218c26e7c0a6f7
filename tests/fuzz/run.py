"""Runs the fuzzer: statements through the checks, and allowed ones on an engine among canaries."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import anyio

from lakehouse.errors import LakehouseError, QueryError
from mcp_server import checking
from mcp_server.audit import AuditEvent
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.guard.functions import function_policy
from mcp_server.models import Principal
from mcp_server.runs import Call
from mcp_server.service import StatementService
from tests.fuzz.canaries import MARKER
from tests.fuzz.generate import Generator, Targets
from tests.fuzz.judge import CPU_SECONDS, Judged, case_of, judge
from tests.guard.conftest import SETTINGS
from tests.processor import slowness

CATALOGS = {dialect: replace(SETTINGS["catalog"], dialect=dialect) for dialect in ("spark", "sail")}
LIMITS: checking.Limits = SETTINGS["limits"]


@dataclass
class Found:
    """What a run has seen. `ends` counts how statements ended that ran in the engine, `unrun` why others did not.

    `covered` and `tried` name the kinds of nodes, the classes of functions and the functions of those that were
    answered, and of those that were not. `codes` counts verdicts of the checks, none for the allowed.
    """

    codes: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    unrun: Counter[str] = field(default_factory=Counter)
    covered: set[str] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)
    slowest: tuple[float, str] = (0.0, "")
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def allowed(self) -> int:
        return self.codes[""]


class Broken(AssertionError):  # noqa: N818  (a finding, not an error of the fuzzer)
    """A statement for which something did not hold, with what is needed to see it again."""


def check_many(seed: int, count: int, targets: Targets, found: Found, *, attacks: bool = True) -> Iterator[str]:
    """Judges `count` statements, in the dialect of each engine by turns, and gives those that are allowed."""
    started = time.monotonic()
    stream = Generator(seed, targets, attacks=attacks).stream()
    for number, sql in enumerate(islice(stream, count)):
        judged = _judged(sql, "sail" if number % 2 else "spark", f"seed {seed}, statement {number}")
        found.codes[judged.code] += 1
        found.cpu_seconds += judged.seconds
        found.slowest = max(found.slowest, (judged.seconds, sql))
        if judged.checked is not None:
            yield sql
    found.seconds += time.monotonic() - started


def _judged(sql: str, dialect: str, place: str) -> Judged:
    try:
        judged = judge(sql, CATALOGS[dialect], LIMITS)
        for _ in range(3):  # another process may have disturbed the clock
            if judged.seconds < CPU_SECONDS or judged.seconds < CPU_SECONDS * slowness():
                return judged
            judged = judge(sql, CATALOGS[dialect], LIMITS)
    except Exception as error:
        raise Broken(f"{place} ({dialect}): {type(error).__name__}: {error}\n{sql!r}") from error
    raise Broken(f"{place} ({dialect}): {judged.seconds:.2f} s of CPU\n{sql!r}")


def execute(engine: EmbeddedEngine, statements: Iterable[str], count: int | None, found: Found) -> None:
    """Asks the server's own path for statements until `count` of them have run in the engine, or for all of them.

    Raises Broken where an answer, an error or the log holds a marker, or where the server fails otherwise.
    """
    started = time.monotonic()
    service = StatementService([engine], engine.settings)
    with _overheard() as log:
        anyio.run(partial(_ask_all, service, statements, count, found, log))
    found.seconds += time.monotonic() - started


def by_turns(*streams: Iterator[str]) -> Iterator[str]:
    """One of each in turn, until one ends."""
    for group in zip(*streams, strict=False):
        yield from group


async def _ask_all(
    service: StatementService, statements: Iterable[str], count: int | None, found: Found, log: list[str]
) -> None:
    done = 0
    for sql in statements:
        if done == count:
            return
        event = AuditEvent(tool="query", caller="fuzz", engine="embedded", sql_sent=sql)
        said, end = await _ask(service, event, sql)
        heard = "\n".join([said, event.to_line().decode(), *log])
        log.clear()
        if MARKER in heard:
            raise Broken(f"a marker came out of {sql!r}: {heard[:2_000]}")
        (found.ends if event.sql_run else found.unrun)[end] += 1
        (found.covered if end == "ok" else found.tried).update(parts_of(sql))
        done += bool(event.sql_run)
    if count is not None and done < count:
        raise AssertionError(f"only {done} statements reached the engine")


async def _ask(service: StatementService, event: AuditEvent, sql: str) -> tuple[str, str]:
    """What a caller would read, and how it ended."""

    async def report(_: str) -> None: ...

    try:
        answer = await service.run_sql(Call(Principal("fuzz"), event, report), sql)
    except QueryError as error:
        return str(error), error.code
    except LakehouseError as error:
        return str(error), type(error).__name__
    except Exception as error:
        raise Broken(f"the server failed at {sql!r}") from error
    return answer.text, "ok"


def parts_of(sql: str) -> set[str]:
    """The kinds of nodes of a query, its functions as `f()`, and the classes of those as `class:c`; nothing of SHOW."""
    case = case_of(sql, CATALOGS["spark"])
    if case is None:
        return set()
    kinds = {type(node).__name__ for node in case.tree.root.walk()}
    classes = {f"class:{function_policy().allowed.get(name, 'ai')}" for name in case.functions}
    return kinds | classes | {f"{name}()" for name in case.functions}


class _Ear(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class _overheard:  # noqa: N801  (reads as a statement: `with _overheard() as log`)
    """The lines that the server logs meanwhile, at every level."""

    def __enter__(self) -> list[str]:
        self._ear, self._log = _Ear(), logging.getLogger()
        self._level = self._log.level
        self._log.addHandler(self._ear)
        self._log.setLevel(logging.DEBUG)
        return self._ear.lines

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self._ear)
        self._log.setLevel(self._level)
