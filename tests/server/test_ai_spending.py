"""Whatever SQL many callers send to several processes that are killed at any moment: calls and money are bounded."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from subprocess import Popen

import psutil

from ai_functions.ledger_file import LEDGER_NAME
from tests import openai_server as replies
from tests.openai_server import OpenAiServer, Received, Reply
from tests.server.lakes import make_lake
from tests.server.processes import descendants, gone, python, until

PROCESSES, CALLERS, STATEMENTS = 2, 14, 4
KILLED_AFTER = (12, 45)
"""At which calls of the model those who call it are killed, and others take their places."""

CAP = 8
QUERY_BUDGET, CALLER_BUDGET, DAY_BUDGET = 3_000_000, 8_000_000, 40_000_000
QUERIES_PER_HOUR = 20
USAGE_NANOS = 100 * 400 + 20 * 1_600
"""What the model server charges for a call, at the price of the functions' files."""

SETTINGS = {
    "IMDB_AI_MAX_ROWS": str(CAP),
    "IMDB_AI_QUERY_BUDGET": "0.003",
    "IMDB_AI_CALLER_HOUR_BUDGET": "0.008",
    "IMDB_AI_CALLER_DAY_BUDGET": "0.008",
    "IMDB_AI_DAY_BUDGET": "0.04",
    "IMDB_AI_QUERIES_PER_HOUR": str(QUERIES_PER_HOUR),
    "IMDB_LOG_LEVEL": "ERROR",
}
FREE = (replies.TOO_MANY, replies.BROKEN)
"""What a provider does not charge for."""


class Provider:
    """Answers slowly and now and then not at all, and keeps the bill."""

    def __init__(self, server: OpenAiServer) -> None:
        self.billed = 0
        self._server = server
        self._chance = random.Random(6)
        server.choose = self._reply

    def _reply(self, _: Received) -> Reply:
        if len(self._server.calls) in KILLED_AFTER:
            self.billed += 1
            return replies.HANGING
        odd = (*FREE, replies.FILTERED, replies.CUT, replies.NO_USAGE)
        reply = self._chance.choice(odd) if self._chance.random() < 0.15 else Reply(seconds=0.03)
        self.billed += reply not in FREE
        return reply


def test_calls_and_money_are_bounded_whatever_is_sent_and_whoever_dies(tmp_path: Path, models: OpenAiServer) -> None:
    lake, state = make_lake(tmp_path / "lake"), tmp_path / "state"
    state.mkdir()
    provider = Provider(models)
    ends: Counter[str] = Counter()

    def start(seed: str) -> Popen[bytes]:
        arguments = ("-m", "tests.server.spending", str(lake), str(CALLERS), str(STATEMENTS), seed)
        return stack.enter_context(python(*arguments, state=state, OPENAI_BASE_URL=models.url, **SETTINGS))

    with ExitStack() as stack:
        running = [start(f"a{number}") for number in range(PROCESSES)]
        for number, calls in enumerate(KILLED_AFTER):
            until(lambda calls=calls: len(models.calls) >= calls, 240, f"{calls} calls")
            for unlucky in [process for process in running if _calls(process, models)]:
                children = descendants(unlucky.pid)
                unlucky.kill()
                ends.update(unlucky.communicate()[0].decode().split())  # what it had answered until then
                running[running.index(unlucky)] = start(f"b{number}")
                until(lambda children=children: gone(children), 60, "the end of the dead server's engine")
        for process in running:
            said, complained = process.communicate(timeout=300)
            assert process.returncode == 0, complained.decode()
            ends.update(said.decode().split())

    _check(state / LEDGER_NAME, provider)
    # Whether a statement is the first to ask for its rows, or finds them cached, depends on who was killed when.
    assert {"refused", "ai_budget"} <= set(ends), ends
    assert {"ok", "cached"} & set(ends), ends
    assert set(ends) <= {"ok", "cached", "refused", "ai_budget", "ai_rate", "ai_unavailable"}, ends


def _calls(process: Popen[bytes], models: OpenAiServer) -> bool:
    """Whether a process has a connection to the model server."""
    port = int(models.root.rpartition(":")[2])
    return any(each.raddr and each.raddr.port == port for each in psutil.Process(process.pid).net_connections("tcp"))


def _check(ledger: Path, provider: Provider) -> None:
    """The caps hold in the ledger, and the ledger holds for the bill."""
    with closing(sqlite3.connect(ledger)) as database:

        def number(select: str) -> int:
            return int(database.execute(select).fetchone()[0])

        per_query = "SELECT max({}) FROM (SELECT count(*) AS n, sum(nanos) AS nanos FROM calls GROUP BY caller, query)"
        assert 1 < number(per_query.format("n")) <= CAP
        assert number(per_query.format("nanos")) <= QUERY_BUDGET
        assert number("SELECT max(n) FROM (SELECT sum(nanos) AS n FROM calls GROUP BY caller)") <= CALLER_BUDGET
        assert number("SELECT max(n) FROM (SELECT count(*) AS n FROM queries GROUP BY caller)") <= QUERIES_PER_HOUR
        assert number("SELECT count(*) FROM calls WHERE settled AND nanos > 0") > 0
        assert provider.billed * USAGE_NANOS <= number("SELECT sum(nanos) FROM calls") <= DAY_BUDGET
        assert provider.billed <= number("SELECT count(*) FROM calls WHERE nanos > 0")
        assert number("SELECT count(*) FROM calls WHERE NOT settled") > 0  # those of the dead: charged at their maximum
        assert number("SELECT count(*) FROM calls WHERE NOT settled AND nanos < reserved") == 0
