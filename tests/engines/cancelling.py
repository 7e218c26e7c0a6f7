"""Many queries that are cancelled at random moments, several at once, and what they leave behind.

    python -m tests.engines.cancelling --queries 1000 --engine embedded

What is looked at is the engine itself: the processor time of its process, its threads, its open descriptors (each
session has its own connection) and its memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psutil

from lakehouse.errors import QueryCancelled
from mcp_server.engines import Engine
from mcp_server.models import GUARD_SEAL, CheckedQuery, Principal, RowLimit
from mcp_server.settings import load_settings
from tests.connect_server import ConnectServer
from tests.engines.conftest import ENGINES, SERVERS, write_lake
from tests.engines.served import ServedEngine
from tests.engines.warehouse import WarehouseEngine, make_tables
from tests.engines.watching import ENDLESS, eventually

_ENDLESS: Mapping[str, str] = {
    "embedded": "SELECT sum(id % 7) AS s FROM range(0, 100000000000)",
    "toy": "SELECT sum(id % 7) AS s FROM range(100000000000) AS r(id)",
}
WORK = (
    "SELECT count(*) AS n FROM many a JOIN many b ON a.id % 500 = b.id % 500",
    "SELECT b.word, count(*) AS n FROM many a JOIN many b ON a.id % 700 = b.id % 700 GROUP BY b.word ORDER BY n",
    "SELECT max(r) AS r FROM (SELECT row_number() OVER (ORDER BY word, id) AS r FROM many)",
    "SELECT word FROM many ORDER BY word DESC",
)
"""What joins, groups and sorts, and what may be over before it is cancelled.

Not among them is what an engine cannot stop (`UNHEARD`, one call of one function): then its process is replaced, and
nothing of it is left that could be counted. `test_life.py` has that.
"""

UNHEARD = "SELECT count(*) AS n FROM many a JOIN many b ON a.id % 3 = b.id % 3"
"""A join in which each row meets a hundred thousand: Sail says that it is cancelled, and goes on for minutes."""

LITTLE = "SELECT word, count(*) AS n FROM many WHERE id % 1000 = 0 GROUP BY word ORDER BY n DESC, word LIMIT 3"

AT_ONCE = 6
LONGEST_WAIT = 0.8
"""Seconds until a query is cancelled, at most; one in ten is cancelled before it begins."""


def endless(engine: Engine) -> str:
    """What does not end by itself.

    In thousands of parts for Spark, which looks for a cancel between parts only, where rows come from nothing. Not so
    for Sail, which listens on the threads that it computes on: thousands of parts at once hold it up.
    """
    return _ENDLESS.get(engine.name, ENDLESS)


def checked(sql: str, deadline: float = 300.0) -> CheckedQuery:
    """The CheckedQuery that the guard would make of one of these."""
    tables = frozenset({"many"} if " many" in sql else ())
    limit, who = RowLimit(10), Principal("tester")
    return CheckedQuery(sql, sql, tables, frozenset(), limit, deadline, who, {}, (), GUARD_SEAL)


@dataclass(frozen=True)
class Footprint:
    """What this process and the engine's hold: threads, open descriptors, MiB of memory."""

    threads_here: int
    threads: int
    descriptors: int
    memory: int

    @classmethod
    def of(cls, engine: Engine) -> Footprint:
        family = _family(engine)
        return cls(
            psutil.Process().num_threads(),
            sum(process.num_threads() for process in family),
            sum(process.num_fds() for process in family),
            sum(process.memory_info().rss for process in family) >> 20,
        )


@dataclass
class Storm:
    """Cancelled queries: how each ended, and how many seconds after its cancel."""

    engine: Engine
    random: Random
    ends: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def run(self, queries: int) -> None:
        """Run and cancel them; a failure of another kind is raised."""
        work = (endless(self.engine), *WORK)
        plans = [(self.random.choice(work), self.random.uniform(-0.1, 0.9) * LONGEST_WAIT) for _ in range(queries)]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for future in [threads.submit(self._one, sql, moment) for sql, moment in plans]:
                future.result()

    def _one(self, sql: str, moment: float) -> None:
        query_id = os.urandom(6).hex()
        cancelled: list[float] = []

        def cancel() -> None:
            cancelled.append(time.monotonic())
            self.engine.cancel(query_id)

        timer = threading.Timer(max(moment, 0.0), cancel)
        if moment < 0:
            cancel()
        else:
            timer.start()
        try:
            self.engine.execute(checked(sql), query_id)
            self.ends["answered"] += 1
        except QueryCancelled:
            self.ends["cancelled"] += 1
            self.seconds.append(time.monotonic() - cancelled[0])
        finally:
            timer.cancel()


def cpu_seconds(engine: Engine) -> float:
    """Processor time of the engine's processes so far."""
    return sum(sum(process.cpu_times()[:2]) for process in _family(engine))


def seconds_until_idle(engine: Any, quiet: float = 0.5, give_up: float = 60.0) -> float:
    """Seconds until the engine works no more.

    A server tells by its event log that no job runs. Of a process of ours it is seen: until it began to use less than
    a quarter of a processor for `quiet` seconds. A JVM that has nothing to do compiles and collects with the rest.
    """
    began = last = time.monotonic()
    if hasattr(engine, "server"):
        eventually(lambda: engine.server.jobs() == 0, give_up)
        return time.monotonic() - began
    before = cpu_seconds(engine)
    while time.monotonic() - last < quiet:
        threading.Event().wait(0.05)
        now = cpu_seconds(engine)
        if now - before > quiet / 4:
            before, last = now, time.monotonic()
            if last - began > give_up:
                raise AssertionError(f"The engine is still at work {give_up:g} s after it was told to stop.")
    return last - began


def busy(engine: Engine, before: float) -> Callable[[], bool]:
    """Whether the engine has worked for half a second since `before`."""
    return lambda: cpu_seconds(engine) - before > 0.5


def is_lost(process: psutil.Process, seconds: float = 0.3) -> Callable[[], bool]:
    """Whether a thread has computed for so long without a wait: then it is in the join, and hears no cancel any more.

    The processor time of the process does not tell: it starts, reads rows, and answers others. Needs Linux.
    """
    tasks = Path(f"/proc/{process.pid}/task")
    since: dict[str, tuple[int, float]] = {}

    def look() -> bool:
        for task in tasks.iterdir():
            with suppress(OSError):  # it has ended meanwhile
                fields = (task / "stat").read_text().rpartition(") ")[2].split()
                waits = (task / "status").read_text().partition("\nvoluntary_ctxt_switches:")[2].split(maxsplit=1)[0]
                computed = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                waits_then, computed_then = since.get(task.name, (-1, 0.0))
                if int(waits) != waits_then:
                    since[task.name] = (int(waits), computed)
                elif computed - computed_then > seconds:
                    return True
        return False

    return look


def settled(engine: Engine, enough: Callable[[Footprint], bool], seconds: float = 60.0) -> Footprint:
    """What is held once it is little enough, or after `seconds`: engines keep idle threads for a while (tokio: ten)."""
    give_up = time.monotonic() + seconds
    while not enough(now := Footprint.of(engine)) and time.monotonic() < give_up:
        threading.Event().wait(0.2)
    return now


def _family(engine: Any) -> list[psutil.Process]:
    process = psutil.Process(engine.process_id)
    return [process, *process.children(recursive=True)]


@contextmanager
def opened(name: str, folder: Path) -> Iterator[Engine]:
    """An engine with the tests' lake; those of others' servers with a Spark Connect server of their own."""
    lake, settings_of = write_lake(folder / "lake"), partial(load_settings, state_dir=folder)
    with ExitStack() as stack:
        engine: Engine
        if name in ENGINES:
            engine = ENGINES[name](lake, settings_of(engine=name))
        else:
            server = ConnectServer(folder)
            server.start()
            stack.callback(server.kill)
            if name == "databricks":
                make_tables(server, folder / "lake")
                engine = WarehouseEngine(server, settings_of)
            else:
                engine = ServedEngine(server, lake, settings_of)
        stack.callback(engine.close)
        engine.start()
        yield engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--engine", choices=[*ENGINES, *SERVERS], default="embedded")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder, opened(options.engine, Path(folder)) as engine:
        _report(engine, options.queries)


def _report_unheard(engine: Any) -> None:
    """How long the process that goes on with a cancelled join lives, and how soon another one answers."""
    for number in range(5):
        process = _family(engine)[0]
        with ThreadPoolExecutor() as threads:
            running = threads.submit(engine.execute, checked(UNHEARD), f"unheard {number}")
            eventually(is_lost(process))
            began = time.monotonic()
            engine.cancel(f"unheard {number}")
            psutil.wait_procs([process], timeout=60)
            ended = time.monotonic()
            running.exception()
        engine.execute(checked("SELECT 1 AS x"), f"after {number}")
        print(f"a join that goes on: ended after {ended - began:.2f} s, answers {time.monotonic() - ended:.2f} s later")


@contextmanager
def asking(engine: Engine, callers: int = 3) -> Iterator[list[float]]:
    """Callers who keep asking for little meanwhile; gives when each answer came. Raises what fails for one of them."""
    answered: list[float] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            engine.execute(checked(LITTLE), os.urandom(6).hex())
            answered.append(time.monotonic())

    with ThreadPoolExecutor(callers) as threads:
        asked = [threads.submit(ask) for _ in range(callers)]
        try:
            yield answered
        finally:
            over.set()
        for each in asked:
            each.result()


def _report_beside(engine: Any) -> None:
    """The same while three callers keep asking, and how many answers a second they get."""

    def rate(answered: list[float], seconds: float = 3) -> float:
        threading.Event().wait(seconds)
        return sum(time.monotonic() - at < seconds for at in answered) / seconds

    with asking(engine) as answered:
        print(f"three callers: {rate(answered):.1f} answers a second")
        for number in range(5):
            process = _family(engine)[0]
            with ThreadPoolExecutor() as threads:
                running = threads.submit(engine.execute, checked(UNHEARD), f"beside {number}")
                beside, began = rate(answered), time.monotonic()
                engine.cancel(f"beside {number}")
                psutil.wait_procs([process], timeout=60)
                ended = time.monotonic() - began
                text = str(running.exception())
            after = time.monotonic()
            eventually(lambda: answered[-1] > after)  # noqa: B023  (called at once)
            again = time.monotonic() - after
            print(
                f"beside a join: {beside:.1f} a second. Ended {ended:.2f} s after its cancel ({text}); the next answer"
            )
            print(f"{again:.2f} s later, then {rate(answered):.1f} a second")


def _report(engine: Engine, queries: int) -> None:
    for _ in range(5):
        before = cpu_seconds(engine)
        with ThreadPoolExecutor() as threads:
            running = threads.submit(engine.execute, checked(endless(engine)), "one")
            eventually(busy(engine, before))
            engine.cancel("one")
            idle = seconds_until_idle(engine)
            running.exception()
        print(f"one query: idle {idle:.2f} s after its cancel")
    if engine.name == "embedded":
        _report_unheard(engine)
        _report_beside(engine)
    Storm(engine, Random(0)).run(60)
    seconds_until_idle(engine)
    storm, first = Storm(engine, Random(1)), settled(engine, lambda _: False, seconds=12)
    process = _family(engine)[0].pid
    print("before:", first)
    for part in range(5):
        storm.run(queries // 5)
        print(f"after {(part + 1) * (queries // 5)}: {Footprint.of(engine)}")
    print(f"idle after {seconds_until_idle(engine):.2f} s; settled: {settled(engine, lambda _: False, seconds=12)}")
    ranked = sorted(storm.seconds)
    print(dict(storm.ends), f"cancel → error: p50 {statistics.median(ranked):.2f} s, slowest {ranked[-1]:.2f} s")
    print("same process:", process == _family(engine)[0].pid)
    print("next query:", engine.execute(checked("SELECT 1 AS x"), "next").table.to_pylist())


if __name__ == "__main__":
    main()
