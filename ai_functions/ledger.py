"""Budgets and what was spent of them: reserve before a call, settle after it.

One SQLite file for all processes of a state folder. A reservation is one transaction: it checks every budget and
charges every call at its maximum, or charges nothing. Reservations of a process that died stay charged, because its
calls may have been billed. Where the ledger cannot be read or written, nothing is spent.
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
"""Prefix of the ids of questions to imdb-chat; ids of AI queries have none."""

_HOUR = 3600.0


@dataclass(frozen=True)
class Limits:
    """Every budget in nano-dollars, and the queries of a caller within an hour. None is no limit.

    Budgets count all spending. The rate counts only queries whose ids begin with `kind`.
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
        """The limits of callers of the server."""
        return cls(
            query=_to_nanos(settings.ai_query_budget),
            caller_hour=_to_nanos(settings.ai_caller_hour_budget),
            caller_day=_to_nanos(settings.ai_caller_day_budget),
            day=_to_nanos(settings.ai_day_budget),
            month=_to_nanos(settings.ai_month_budget),
            queries_per_hour=settings.ai_queries_per_hour,
        )

    @classmethod
    def of_chat(cls, settings: AiSettings, question_dollars: float, questions_per_hour: int) -> Limits:
        """The limits of visitors of imdb-chat: those of callers, with a budget and a rate of questions."""
        return replace(
            cls.of(settings), query=_to_nanos(question_dollars), queries_per_hour=questions_per_hour, kind=QUESTION
        )

    @classmethod
    def of_batch(cls, settings: AiSettings, most_dollars: float) -> Limits:
        """The limits of a batch that an operator starts: its own cap, and the budgets of all callers."""
        day, month = _to_nanos(settings.ai_day_budget), _to_nanos(settings.ai_month_budget)
        return cls(_to_nanos(most_dollars), None, None, day, month, None)


@dataclass(frozen=True)
class Standing:
    """The state of one budget: `nanos` of `limit` are spent or reserved. `caller` is empty for a budget of all."""

    budget: Budget
    caller: str
    period: str
    nanos: int
    limit: int

    def lacks(self, more: int) -> bool:
        """Whether `more` nano-dollars would exceed the budget."""
        return self.nanos + more > self.limit


@dataclass(frozen=True)
class _Words:
    """The words of a refusal: for the kind of query, what it spends on, and what to do instead."""

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

    `clock` returns the seconds since 1970. After it was set back, the ledger's time stands still until it has caught
    up, so that no period's budget is spent twice.
    `tell` is called once per level of a budget, whichever process reached it, after that transaction. The file is
    created on first use; removing it starts from zero.
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
        """Charge a call for each amount (its maximum, in nano-dollars), all or none, and return their numbers in order.

        The first reservation of a query counts as one of its caller's AI queries. No amounts are no query.
        Raises BudgetExceeded, RateLimited, AiUnavailable: then nothing is charged.
        """
        if any(amount < 0 for amount in amounts):
            raise ValueError("an amount below zero cannot be reserved")
        if not amounts:
            return []
        most = sum(amounts)
        with self._file.transaction() as database:
            now = self._read_clock(database)
            self._check_rate(database, spender, now)
            standings = self._read_standings(database, spender, now)
            short = next((standing for standing in standings if standing.lacks(most)), None)
            if short is None:
                numbers = self._charge_calls(database, spender, now, amounts)
                alerts = []
            else:
                alerts = _find_used_up(database, short, most)
        self._tell_all(alerts)
        if short is not None:
            raise _explain_excess(short, most, _WORDS[self._limits.kind])
        return numbers

    def settle(self, number: int, nanos: int) -> None:
        """Charge the actual cost of a call instead of its maximum. Settling it again changes nothing.

        Raises AiUnavailable: then the call stays charged at its maximum.
        """
        self.settle_all({number: nanos})

    def settle_all(self, costs: Mapping[int, int]) -> None:
        """Settle several calls by their numbers, all or none."""
        with self._file.transaction() as database:
            changed = [self._change_cost(database, number, nanos) for number, nanos in costs.items()]
            alerts = []
            for spender in dict.fromkeys(spender for spender in changed if spender is not None):
                for standing in self._read_standings(database, spender, self._read_clock(database)):
                    alerts += _find_reached_level(database, standing)
        self._tell_all(alerts)

    def release(self, *numbers: int) -> None:
        """Cancel the charges of calls that were never sent. Their query stays counted. Raises AiUnavailable."""
        with self._file.transaction() as database:
            for number in numbers:
                self._change_cost(database, number, 0)

    def read_charged(self, spender: Spender) -> int:
        """Read what a query has spent or reserved, in nano-dollars. Raises AiUnavailable."""
        with self._file.transaction() as database:
            return _select_number(
                database, "SELECT nanos FROM queries WHERE caller = ? AND query = ?", *_key_of_query(spender)
            )

    def standings(self, spender: Spender) -> list[Standing]:
        """The state of all budgets that apply to a query of a caller. Raises AiUnavailable."""
        with self._file.transaction() as database:
            return self._read_standings(database, spender, self._read_clock(database))

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        self._file.close()

    def _read_clock(self, database: sqlite3.Connection) -> float:
        """The time, but never before that of the newest call, so that times of calls never decrease."""
        now = self._clock()
        row = database.execute("SELECT at FROM calls ORDER BY id DESC LIMIT 1").fetchone()
        if row is None or row[0] <= now:
            return now
        if row[0] - now > _HOUR:
            log.warning(
                "The clock is %s behind the newest AI call: budgets renew after that.", _format_duration(row[0] - now)
            )
        return float(row[0])

    def _check_rate(self, database: sqlite3.Connection, spender: Spender, now: float) -> None:
        most, words = self._limits.queries_per_hour, _WORDS[self._limits.kind]
        known = database.execute(
            "SELECT 1 FROM queries WHERE caller = ? AND query = ?", _key_of_query(spender)
        ).fetchone()
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
            wait = _format_duration(row[0] + _HOUR - self._clock())
            raise RateLimited(
                f"You have used your {most} {words.many} of this hour. The next is free in {wait}. "
                f"Meanwhile {words.meanwhile}."
            )

    def _read_standings(self, database: sqlite3.Connection, spender: Spender, now: float) -> list[Standing]:
        caller, moment = spender.caller, datetime.fromtimestamp(now, UTC)
        hour, day, month = f"{moment:%Y-%m-%dT%H}", f"{moment:%Y-%m-%d}", f"{moment:%Y-%m}"
        total = "SELECT nanos FROM totals WHERE period = ? AND caller = ?"
        query = "SELECT nanos FROM queries WHERE caller = ? AND query = ?"
        recent = "SELECT coalesce(sum(nanos), 0) FROM calls WHERE caller = ? AND at > ?"
        limits = self._limits
        budgets: list[tuple[Budget, str, str, int | None, str, tuple[str | float, ...]]] = [
            ("query", caller, spender.query_id, limits.query, query, _key_of_query(spender)),
            ("caller_hour", caller, hour, limits.caller_hour, recent, (caller, now - _HOUR)),
            ("caller_day", caller, day, limits.caller_day, total, (day, caller)),
            ("day", "", day, limits.day, total, (day, "")),
            ("month", "", month, limits.month, total, (month, "")),
        ]
        return [
            Standing(budget, whose, period, _select_number(database, select, *arguments), limit)
            for budget, whose, period, limit, select, arguments in budgets
            if limit is not None
        ]

    def _charge_calls(
        self, database: sqlite3.Connection, spender: Spender, now: float, amounts: Sequence[int]
    ) -> list[int]:
        database.execute(
            "INSERT OR IGNORE INTO queries (caller, query, at) VALUES (?, ?, ?)", [*_key_of_query(spender), now]
        )
        insert = "INSERT INTO calls (caller, query, at, reserved, nanos) VALUES (?, ?, ?, ?, ?) RETURNING id"
        numbers = [
            int(database.execute(insert, [*_key_of_query(spender), now, amount, amount]).fetchone()[0])
            for amount in amounts
        ]
        _add_to_totals(database, spender, now, sum(amounts))
        return numbers

    def _change_cost(self, database: sqlite3.Connection, number: int, nanos: int) -> Spender | None:
        """Set the cost of a call and return its spender, or None where it was settled before."""
        row = database.execute(
            "SELECT caller, query, at, nanos FROM calls WHERE id = ? AND NOT settled", [number]
        ).fetchone()
        if row is None:
            return None
        spender = Spender(row[0], row[1])
        database.execute("UPDATE calls SET nanos = ?, settled = 1 WHERE id = ?", [nanos, number])
        # In the periods of its reservation, whatever the time is now.
        _add_to_totals(database, spender, row[2], nanos - row[3])
        return spender

    def _tell_all(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self._tell(alert)


def _add_to_totals(database: sqlite3.Connection, spender: Spender, at: float, nanos: int) -> None:
    """Add to all sums that a call belongs to."""
    moment = datetime.fromtimestamp(at, UTC)
    day, month = f"{moment:%Y-%m-%d}", f"{moment:%Y-%m}"
    database.execute(
        "UPDATE queries SET nanos = nanos + ? WHERE caller = ? AND query = ?", [nanos, *_key_of_query(spender)]
    )
    database.executemany(
        "INSERT INTO totals VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET nanos = nanos + excluded.nanos",
        [(day, spender.caller, nanos), (day, "", nanos), (month, "", nanos)],
    )


def _find_reached_level(database: sqlite3.Connection, standing: Standing) -> list[Alert]:
    """An alert for the highest level that a budget has newly reached; one query's own result says how it stands."""
    if not standing.limit or standing.budget == "query":
        return []
    reached = [level for level in LEVELS if standing.nanos * 100 >= standing.limit * level]
    new = [level for level in reached if _is_first_time(database, standing, level)]
    return [_make_alert(standing, standing.limit, new[-1])] if new else []


def _find_used_up(database: sqlite3.Connection, standing: Standing, more: int) -> list[Alert]:
    """An alert where a budget has refused a query that it would have allowed when nothing was spent of it."""
    if not standing.limit or standing.budget == "query" or more > standing.limit:
        return []
    return [_make_alert(standing, standing.limit, LEVELS[-1])] if _is_first_time(database, standing, LEVELS[-1]) else []


def _is_first_time(database: sqlite3.Connection, standing: Standing, level: int) -> bool:
    row = [standing.budget, standing.caller, standing.period, level]
    return database.execute("INSERT OR IGNORE INTO told VALUES (?, ?, ?, ?)", row).rowcount == 1


def _make_alert(standing: Standing, limit: int, level: int) -> Alert:
    return Alert(standing.budget, standing.caller, standing.period, level, standing.nanos, limit)


def _explain_excess(standing: Standing, most: int, words: _Words) -> BudgetExceeded:
    may, advice = (text.format(one=words.one, less=words.less) for text in _MAY[standing.budget])
    limit = standing.limit
    return BudgetExceeded(
        f"This would spend up to {dollars(most)} on {words.spent_on}. Of the {dollars(limit)} that {may}, "
        f"{dollars(max(0, limit - standing.nanos))} is left. {advice}. Nothing was spent for it."
    )


def _select_number(database: sqlite3.Connection, select: str, *arguments: str | float) -> int:
    """The number that a statement selects, 0 without a row."""
    row = database.execute(select, arguments).fetchone()
    return int(row[0]) if row else 0


def _key_of_query(spender: Spender) -> tuple[str, str]:
    return spender.caller, spender.query_id


def _to_nanos(amount: float) -> int:
    return round(amount * NANOS_PER_DOLLAR)


def _format_duration(seconds: float) -> str:
    return f"{math.ceil(seconds)} s" if seconds <= 90 else f"{math.ceil(seconds / 60)} min"
