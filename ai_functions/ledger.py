"""Who may spend what: reserve before a call, settle after it.

One SQLite file for all processes of a state folder. A reservation is one transaction: it looks at every budget and
charges every call at its maximum, or charges nothing. What a process that died had reserved stays charged so, for its
calls may have been billed. A ledger that cannot be read or written means that nothing is spent.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ai_functions.alerts import LEVELS, Alert, Budget
from ai_functions.ledger_file import LedgerFile
from ai_functions.types import NANOS_PER_DOLLAR, BudgetExceeded, RateLimited, Spender, dollars

if TYPE_CHECKING:
    from ai_functions.settings import AiSettings

log = logging.getLogger(__name__)

QUESTION = "question:"
"""What the ids of questions to imdb-chat begin with, in a ledger where AI queries have plain ones."""

_HOUR = 3600.0


@dataclass(frozen=True)
class Limits:
    """Every budget in nano-dollars, and the queries of a caller within an hour. None is no limit.

    Money counts whatever it was spent on. The rate is that of one `kind` of queries, by which their ids begin.
    """

    query: int | None
    caller_hour: int | None
    caller_day: int | None
    day: int | None
    month: int | None
    queries_per_hour: int | None
    kind: str = ""

    @classmethod
    def of(cls, settings: AiSettings) -> Limits:
        """What the settings allow callers of the server."""
        return cls(
            query=_nanos(settings.ai_query_budget),
            caller_hour=_nanos(settings.ai_caller_hour_budget),
            caller_day=_nanos(settings.ai_caller_day_budget),
            day=_nanos(settings.ai_day_budget),
            month=_nanos(settings.ai_month_budget),
            queries_per_hour=settings.ai_queries_per_hour,
        )

    @classmethod
    def of_chat(cls, settings: AiSettings, question_dollars: float, questions_per_hour: int) -> Limits:
        """What visitors of imdb-chat may spend on the model that plans: what callers may, and its own per question."""
        return replace(
            cls.of(settings), query=_nanos(question_dollars), queries_per_hour=questions_per_hour, kind=QUESTION
        )

    @classmethod
    def of_batch(cls, settings: AiSettings, most_dollars: float) -> Limits:
        """For a batch that an operator starts: its own cap, and what all may spend."""
        day, month = _nanos(settings.ai_day_budget), _nanos(settings.ai_month_budget)
        return cls(_nanos(most_dollars), None, None, day, month, None)


@dataclass(frozen=True)
class Standing:
    """How one budget stands: `nanos` of `limit` are spent or reserved. `caller` is empty where it is everybody's."""

    budget: Budget
    caller: str
    period: str
    nanos: int
    limit: int

    def lacks(self, more: int) -> bool:
        """Whether so much more would exceed it."""
        return self.nanos + more > self.limit


@dataclass(frozen=True)
class _Words:
    """How a refusal calls what was asked for, what it would be spent on, and what to do instead."""

    one: str
    many: str
    spent_on: str
    setting: str
    less: str
    meanwhile: str


_WORDS = {
    "": _Words(
        "query",
        "AI queries",
        "AI functions",
        "IMDB_AI_QUERIES_PER_HOUR",
        "Ask for fewer rows",
        "use plain SQL; what is in the cache costs nothing",
    ),
    QUESTION: _Words(
        "question",
        "questions",
        "the model that plans",
        "IMDB_CHAT_QUESTIONS_PER_HOUR",
        "Ask a shorter question",
        "ask in SQL, which costs nothing",
    ),
}

_MAY: dict[Budget, tuple[str, str]] = {
    "query": ("one {one} may spend", "{less}"),
    "caller_hour": ("you may spend within an hour", "{less}, or again within an hour"),
    "caller_day": ("you may spend on one day (UTC)", "{less}, or again tomorrow"),
    "day": ("this server may spend on one day (UTC)", "{less}, or again tomorrow"),
    "month": ("this server may spend in one month", "{less}; whoever runs the server can raise it"),
}


class Ledger:
    """The ledger of a state folder, as one process sees it. Safe for several threads and processes.

    `clock` gives the seconds since 1970. Where it is set back, the ledger's time stands still until it has caught up:
    no hour, day or month is lived twice, and none of their budgets spent twice.
    `tell` hears of every level of a budget once for all processes, after the transaction that reached it. Nothing is
    made or opened before the first use; taking the file away starts from zero.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.time,
        tell: Callable[[Alert], None] = lambda _: None,
    ) -> None:
        self._file = LedgerFile(folder)
        self._limits = limits
        self._clock = clock
        self._tell = tell

    def reserve(self, spender: Spender, amounts: Sequence[int]) -> list[int]:
        """Charge one call for each amount (nano-dollars, its maximum), all or none, and give their numbers in order.

        The first reservation of a query counts as one of its caller's AI queries. No amounts are no query.
        Raises BudgetExceeded, RateLimited, AiUnavailable: then nothing is charged.
        """
        if any(amount < 0 for amount in amounts):
            raise ValueError("an amount below zero cannot be reserved")
        if not amounts:
            return []
        most = sum(amounts)
        with self._file.transaction() as database:
            now = self._now(database)
            self._check_rate(database, spender, now)
            standings = self._standings(database, spender, now)
            short = next((standing for standing in standings if standing.lacks(most)), None)
            if short is None:
                numbers = self._charge(database, spender, now, amounts)
                alerts = []
            else:
                alerts = _used_up(database, short, most)
        self._tell_all(alerts)
        if short is not None:
            raise _exceeded(short, most, _WORDS[self._limits.kind])
        return numbers

    def settle(self, number: int, nanos: int) -> None:
        """Charge what a call really cost instead of its maximum. A second time changes nothing.

        Raises AiUnavailable: then the call stays charged at its maximum.
        """
        self.settle_all({number: nanos})

    def settle_all(self, costs: Mapping[int, int]) -> None:
        """The same for several calls by their numbers, all or none."""
        with self._file.transaction() as database:
            changed = [self._change(database, number, nanos) for number, nanos in costs.items()]
            alerts = []
            for spender in dict.fromkeys(spender for spender in changed if spender is not None):
                for standing in self._standings(database, spender, self._now(database)):
                    alerts += _reached(database, standing)
        self._tell_all(alerts)

    def release(self, *numbers: int) -> None:
        """Take back the charges for calls that were never sent. Their query stays counted. Raises AiUnavailable."""
        with self._file.transaction() as database:
            for number in numbers:
                self._change(database, number, 0)

    def charged(self, spender: Spender) -> int:
        """What a query has spent or reserved so far, in nano-dollars. Raises AiUnavailable."""
        with self._file.transaction() as database:
            return _number(database, "SELECT nanos FROM queries WHERE caller = ? AND query = ?", *_names(spender))

    def standings(self, spender: Spender) -> list[Standing]:
        """How all budgets stand that a query of a caller has to keep. Raises AiUnavailable."""
        with self._file.transaction() as database:
            return self._standings(database, spender, self._now(database))

    def close(self) -> None:
        """Let go of the file. The next use opens it again."""
        self._file.close()

    def _now(self, database: sqlite3.Connection) -> float:
        """The time, never before that of the newest call: those before it have earlier ones."""
        now = self._clock()
        row = database.execute("SELECT at FROM calls ORDER BY id DESC LIMIT 1").fetchone()
        if row is None or row[0] <= now:
            return now
        if row[0] - now > _HOUR:
            log.warning("The clock is %s behind the newest AI call: budgets renew after that.", _duration(row[0] - now))
        return float(row[0])

    def _check_rate(self, database: sqlite3.Connection, spender: Spender, now: float) -> None:
        most, words = self._limits.queries_per_hour, _WORDS[self._limits.kind]
        known = database.execute("SELECT 1 FROM queries WHERE caller = ? AND query = ?", _names(spender)).fetchone()
        if most is None or known:
            return
        if most == 0:
            raise RateLimited(f"This server allows no {words.many} ({words.setting} is 0). Ask in plain SQL.")
        # The query that has to be an hour old before the next may begin.
        row = database.execute(
            "SELECT at FROM queries WHERE caller = ? AND at > ? AND substr(query, 1, instr(query, ':')) = ? "
            "ORDER BY at DESC LIMIT 1 OFFSET ?",
            [spender.caller, now - _HOUR, self._limits.kind, most - 1],
        ).fetchone()
        if row is not None:
            wait = _duration(row[0] + _HOUR - self._clock())
            raise RateLimited(
                f"You have used your {most} {words.many} of this hour. The next is free in {wait}. "
                f"Meanwhile {words.meanwhile}."
            )

    def _standings(self, database: sqlite3.Connection, spender: Spender, now: float) -> list[Standing]:
        caller, moment = spender.caller, datetime.fromtimestamp(now, UTC)
        hour, day, month = f"{moment:%Y-%m-%dT%H}", f"{moment:%Y-%m-%d}", f"{moment:%Y-%m}"
        total = "SELECT nanos FROM totals WHERE period = ? AND caller = ?"
        query = "SELECT nanos FROM queries WHERE caller = ? AND query = ?"
        recent = "SELECT coalesce(sum(nanos), 0) FROM calls WHERE caller = ? AND at > ?"
        limits = self._limits
        budgets: list[tuple[Budget, str, str, int | None, str, tuple[str | float, ...]]] = [
            ("query", caller, spender.query_id, limits.query, query, _names(spender)),
            ("caller_hour", caller, hour, limits.caller_hour, recent, (caller, now - _HOUR)),
            ("caller_day", caller, day, limits.caller_day, total, (day, caller)),
            ("day", "", day, limits.day, total, (day, "")),
            ("month", "", month, limits.month, total, (month, "")),
        ]
        return [
            Standing(budget, whose, period, _number(database, select, *arguments), limit)
            for budget, whose, period, limit, select, arguments in budgets
            if limit is not None
        ]

    def _charge(self, database: sqlite3.Connection, spender: Spender, now: float, amounts: Sequence[int]) -> list[int]:
        database.execute("INSERT OR IGNORE INTO queries (caller, query, at) VALUES (?, ?, ?)", [*_names(spender), now])
        insert = "INSERT INTO calls (caller, query, at, reserved, nanos) VALUES (?, ?, ?, ?, ?) RETURNING id"
        numbers = [
            int(database.execute(insert, [*_names(spender), now, amount, amount]).fetchone()[0]) for amount in amounts
        ]
        _add(database, spender, now, sum(amounts))
        return numbers

    def _change(self, database: sqlite3.Connection, number: int, nanos: int) -> Spender | None:
        """Set what a call cost and give whose it was; None where that was known already."""
        row = database.execute(
            "SELECT caller, query, at, nanos FROM calls WHERE id = ? AND NOT settled", [number]
        ).fetchone()
        if row is None:
            return None
        spender = Spender(row[0], row[1])
        database.execute("UPDATE calls SET nanos = ?, settled = 1 WHERE id = ?", [nanos, number])
        # In the periods of its reservation, whatever the time is now.
        _add(database, spender, row[2], nanos - row[3])
        return spender

    def _tell_all(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self._tell(alert)


def _add(database: sqlite3.Connection, spender: Spender, at: float, nanos: int) -> None:
    """Change all sums that a call belongs to."""
    moment = datetime.fromtimestamp(at, UTC)
    day, month = f"{moment:%Y-%m-%d}", f"{moment:%Y-%m}"
    database.execute("UPDATE queries SET nanos = nanos + ? WHERE caller = ? AND query = ?", [nanos, *_names(spender)])
    database.executemany(
        "INSERT INTO totals VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET nanos = nanos + excluded.nanos",
        [(day, spender.caller, nanos), (day, "", nanos), (month, "", nanos)],
    )


def _reached(database: sqlite3.Connection, standing: Standing) -> list[Alert]:
    """The highest level that a budget has newly reached. What one query costs is in its result: nobody is told."""
    if not standing.limit or standing.budget == "query":
        return []
    reached = [level for level in LEVELS if standing.nanos * 100 >= standing.limit * level]
    new = [level for level in reached if _first(database, standing, level)]
    return [_alert(standing, standing.limit, new[-1])] if new else []


def _used_up(database: sqlite3.Connection, standing: Standing, more: int) -> list[Alert]:
    """A budget has refused what it would have allowed when it was untouched."""
    if not standing.limit or standing.budget == "query" or more > standing.limit:
        return []
    return [_alert(standing, standing.limit, LEVELS[-1])] if _first(database, standing, LEVELS[-1]) else []


def _first(database: sqlite3.Connection, standing: Standing, level: int) -> bool:
    row = [standing.budget, standing.caller, standing.period, level]
    return database.execute("INSERT OR IGNORE INTO told VALUES (?, ?, ?, ?)", row).rowcount == 1


def _alert(standing: Standing, limit: int, level: int) -> Alert:
    return Alert(standing.budget, standing.caller, standing.period, level, standing.nanos, limit)


def _exceeded(standing: Standing, most: int, words: _Words) -> BudgetExceeded:
    may, advice = (text.format(one=words.one, less=words.less) for text in _MAY[standing.budget])
    limit = standing.limit
    return BudgetExceeded(
        f"This would spend up to {dollars(most)} on {words.spent_on}. Of the {dollars(limit)} that {may}, "
        f"{dollars(max(0, limit - standing.nanos))} is left. {advice}. Nothing was spent for it."
    )


def _number(database: sqlite3.Connection, select: str, *arguments: str | float) -> int:
    """The number that a statement finds, 0 where it finds no row."""
    row = database.execute(select, arguments).fetchone()
    return int(row[0]) if row else 0


def _names(spender: Spender) -> tuple[str, str]:
    return spender.caller, spender.query_id


def _nanos(amount: float) -> int:
    return round(amount * NANOS_PER_DOLLAR)


def _duration(seconds: float) -> str:
    return f"{math.ceil(seconds)} s" if seconds <= 90 else f"{math.ceil(seconds / 60)} min"
