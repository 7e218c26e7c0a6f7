"""The ledger: whatever is asked of it, by how many, and whoever dies of it, no budget is exceeded."""

from __future__ import annotations

import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ai_functions.ledger import Ledger, Limits
from ai_functions.ledger_file import LEDGER_NAME
from ai_functions.types import AiUnavailable, BudgetExceeded, RateLimited, Spender
from mcp_server.settings import load_settings
from tests.ai.hasty import BUDGET, limits
from tests.server.processes import until

HOUR, DAY = 3600.0, 86_400.0
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
UNLIMITED: dict[str, Any] = {
    "query": None, "caller_hour": None, "caller_day": None, "day": None, "month": None, "queries_per_hour": None,
}  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(folder: Path, clock: Clock, **given: int) -> Ledger:
    return Ledger(folder, Limits(**(UNLIMITED | given)), clock=clock)


def rows(folder: Path, select: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as database:
        return database.execute(select).fetchall()


def charged(folder: Path) -> int:
    return int(rows(folder, "SELECT coalesce(sum(nanos), 0) FROM calls")[0][0])


ANN = Spender("ann", "q1")


@pytest.mark.parametrize("budget", ["query", "caller_hour", "caller_day", "day", "month"])
def test_each_budget_refuses_a_reservation_as_a_whole_and_says_what_is_left(
    budget: str, tmp_path: Path, clock: Clock
) -> None:
    ledger = opened(tmp_path, clock, **{budget: 250_000_000})
    ledger.reserve(ANN, [100_000_000])

    with pytest.raises(BudgetExceeded, match=r"up to \$0\.18 .* \$0\.25 .* \$0\.15 is left.*Nothing was spent"):
        ledger.reserve(ANN, [60_000_000] * 3)

    assert charged(tmp_path) == 100_000_000
    assert len(ledger.reserve(ANN, [50_000_000] * 3)) == 3


def test_a_call_that_cost_less_leaves_room_for_others(tmp_path: Path, clock: Clock) -> None:
    ledger = opened(tmp_path, clock, day=100)
    cheap, unsent = ledger.reserve(ANN, [60, 40])

    ledger.settle(cheap, 10)
    ledger.settle(cheap, 60)  # only the first counts
    ledger.release(unsent)

    assert ledger.read_charged(ANN) == 10
    ledger.reserve(Spender("bob", "q2"), [90])
    with pytest.raises(BudgetExceeded):
        ledger.reserve(ANN, [1])


def test_a_call_that_cost_more_than_its_maximum_is_charged_in_full(tmp_path: Path, clock: Clock) -> None:
    ledger = opened(tmp_path, clock, day=100)
    (number,) = ledger.reserve(ANN, [60])
    ledger.settle(number, 130)

    with pytest.raises(BudgetExceeded, match=r"\$0\.00 is left"):
        ledger.reserve(ANN, [1])


def test_budgets_of_a_caller_are_nobody_elses(tmp_path: Path, clock: Clock) -> None:
    ledger = opened(tmp_path, clock, caller_hour=100, caller_day=100)
    ledger.reserve(ANN, [100])

    ledger.reserve(Spender("bob", "q1"), [100])
    with pytest.raises(BudgetExceeded, match="you may spend within an hour"):
        ledger.reserve(Spender("ann", "q2"), [1])


@pytest.mark.parametrize(
    ("budget", "too_early", "late_enough"),
    [
        ("caller_hour", HOUR - 1, HOUR),
        ("caller_day", DAY / 2 - 1, DAY / 2),
        ("day", DAY / 2 - 1, DAY / 2),
        ("month", 6.5 * DAY - 1, 6.5 * DAY),
    ],
)
def test_a_budget_is_whole_again_when_its_time_is_over(
    budget: str, too_early: float, late_enough: float, tmp_path: Path, clock: Clock
) -> None:
    ledger = opened(tmp_path, clock, **{budget: 100})
    (number,) = ledger.reserve(ANN, [100])
    clock.now = NOON + too_early
    with pytest.raises(BudgetExceeded):
        ledger.reserve(ANN, [1])

    clock.now = NOON + late_enough
    ledger.settle(number, 99)  # belongs to the time before
    ledger.reserve(ANN, [100])


def test_a_query_counts_once_however_often_it_reserves_and_the_next_caller_is_told_when(
    tmp_path: Path, clock: Clock
) -> None:
    ledger = opened(tmp_path, clock, queries_per_hour=2, day=100)
    for _ in range(3):
        ledger.reserve(ANN, [1])
    ledger.reserve(Spender("ann", "asks nothing of the model"), [])
    with pytest.raises(BudgetExceeded):
        ledger.reserve(Spender("ann", "too much"), [1000])
    clock.now += 600
    ledger.reserve(Spender("ann", "q2"), [1])

    with pytest.raises(RateLimited, match=r"your 2 AI queries of this hour. The next is free in 50 min"):
        ledger.reserve(Spender("ann", "q3"), [1])
    ledger.reserve(Spender("bob", "q1"), [1])
    ledger.reserve(ANN, [1])
    clock.now += 3000
    ledger.reserve(Spender("ann", "q3"), [1])


@pytest.mark.parametrize("budget", ["query", "caller_hour", "caller_day", "day", "month"])
@pytest.mark.parametrize("back", [1, HOUR, DAY, 40 * DAY, NOON])
def test_a_clock_that_is_set_back_gives_no_budget_a_second_time(
    budget: str, back: float, tmp_path: Path, clock: Clock
) -> None:
    ledger = opened(tmp_path, clock, **{budget: 100})
    ledger.reserve(ANN, [60])
    clock.now = NOON - back

    with pytest.raises(BudgetExceeded, match="is left"):
        ledger.reserve(ANN, [41])
    ledger.reserve(ANN, [40])
    clock.now = NOON + 40 * DAY
    ledger.reserve(Spender("ann", "q2"), [100])


def test_a_clock_that_is_set_back_gives_no_ai_queries_a_second_time(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = opened(tmp_path, clock, queries_per_hour=1)
    ledger.reserve(ANN, [1])
    clock.now -= 2 * HOUR

    with pytest.raises(RateLimited, match="The next is free in 180 min"):
        ledger.reserve(Spender("ann", "q2"), [1])
    assert "clock is 120 min behind the newest AI call" in caplog.text


def test_no_ai_queries_means_none(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(RateLimited, match="allows no AI queries"):
        opened(tmp_path, clock, queries_per_hour=0).reserve(ANN, [0])


def test_the_settings_give_the_limits_and_a_batch_has_a_cap_of_its_own() -> None:
    settings = load_settings()

    assert Limits.of(settings) == Limits(
        250_000_000, 500_000_000, 2_000_000_000, 10_000_000_000, 100_000_000_000, 10
    )  # fmt: skip
    assert Limits.of_batch(settings, 3.5) == Limits(3_500_000_000, None, None, 10_000_000_000, 100_000_000_000, None)


def test_what_is_asked_at_random_never_differs_from_a_plain_list_of_calls(tmp_path: Path, clock: Clock) -> None:
    chance = random.Random(6)
    most = {"query": 400, "caller_hour": 900, "caller_day": 2_500, "day": 4_000, "month": 9_000}
    ledger = opened(tmp_path, clock, **most)
    calls: list[dict[str, Any]] = []
    refused = Counter[bool]()

    def sums(spender: Spender) -> dict[str, int]:
        def total(**wanted: Any) -> int:
            return sum(c["nanos"] for c in calls if all(c[name] == value for name, value in wanted.items()))

        day = datetime.fromtimestamp(clock.now, UTC).strftime("%Y-%m-%d")
        recent = sum(c["nanos"] for c in calls if c["caller"] == spender.caller and c["at"] > clock.now - HOUR)
        return {
            "query": total(caller=spender.caller, query=spender.query_id), "caller_hour": recent,
            "caller_day": total(caller=spender.caller, day=day), "day": total(day=day),
            "month": total(month=day[:7]),
        }  # fmt: skip

    for _ in range(500):
        clock.now += chance.choice([0, 1, 60, 1200, 7200])
        spender = Spender(chance.choice("abc"), f"{chance.randint(1, 3)} of {clock.now // HOUR}")
        amounts = [chance.randint(0, 120) for _ in range(chance.randint(1, 4))]
        fits = all(sums(spender)[name] + sum(amounts) <= limit for name, limit in most.items())
        try:
            numbers = ledger.reserve(spender, amounts)
        except BudgetExceeded:
            numbers = []
        assert bool(numbers) == fits
        refused[fits] += 1
        day = datetime.fromtimestamp(clock.now, UTC).strftime("%Y-%m-%d")
        calls += [
            {"number": number, "nanos": amount, "maximum": amount, "open": True, "caller": spender.caller,
             "query": spender.query_id, "at": clock.now, "day": day, "month": day[:7]}
            for number, amount in zip(numbers, amounts, strict=bool(numbers))
        ]  # fmt: skip
        for call in [call for call in calls if call["open"] and chance.random() < 0.4]:
            call["nanos"] = chance.choice([0, call["maximum"] // 2, call["maximum"]])
            call["open"] = False
            ledger.settle(call["number"], call["nanos"])
        assert {standing.budget: standing.nanos for standing in ledger.standings(spender)} == sums(spender)

    assert min(refused[True], refused[False]) > 50


def hasty(folder: Path, callers: int, maximum: int, cost: int, seed: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.ai.hasty", *map(str, (folder, callers, maximum, cost, seed))]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def consistent(folder: Path) -> bool:
    days = rows(folder, "SELECT sum(nanos) FROM totals WHERE caller = '' AND length(period) = 10")
    whose = rows(folder, "SELECT sum(nanos) FROM totals WHERE caller <> ''")
    queries = rows(folder, "SELECT sum(nanos) FROM queries")
    return days == whose == queries == [(charged(folder),)] and rows(folder, "PRAGMA integrity_check") == [("ok",)]


def test_fifty_callers_in_five_processes_spend_a_budget_to_the_last_call_and_not_one_more(tmp_path: Path) -> None:
    processes = [hasty(tmp_path, 10, 10, 10, seed) for seed in range(5)]
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, b"")

    bill = (tmp_path / "calls").read_text().split()
    assert len(bill) * 10 == BUDGET == charged(tmp_path)
    assert consistent(tmp_path)


def test_processes_killed_at_random_moments_overspend_nothing_and_what_they_had_reserved_stays(tmp_path: Path) -> None:
    chance = random.Random(9)
    bill = tmp_path / "calls"
    bill.touch()
    for round_ in range(6):
        one, other = (hasty(tmp_path, 8, 10, 3, f"{round_}-{seed}") for seed in range(2))
        until(partial(_has_grown, bill, bill.stat().st_size + chance.randint(10, 120), one), 60)
        for process in (one, other):
            process.kill()
            process.communicate()
    process = hasty(tmp_path, 8, 10, 3, "last")
    assert process.communicate(timeout=60) == (None, b"")

    spent = sum(map(int, bill.read_text().split()))
    assert spent <= charged(tmp_path) <= BUDGET
    assert rows(tmp_path, "SELECT count(*) > 0, min(nanos = reserved) FROM calls WHERE NOT settled") == [(1, 1)]
    assert consistent(tmp_path)
    with pytest.raises(BudgetExceeded):
        Ledger(tmp_path, limits()).reserve(ANN, [10])


def _has_grown(bill: Path, size: int, process: subprocess.Popen[bytes]) -> bool:
    return bill.stat().st_size >= size or process.poll() == 0


def no_file(folder: Path) -> None:
    (folder / LEDGER_NAME).mkdir()


def no_folder(folder: Path) -> None:
    folder.rmdir()
    folder.touch()


def empty(folder: Path) -> None:
    (folder / LEDGER_NAME).touch()


def garbage(folder: Path) -> None:
    (folder / LEDGER_NAME).write_bytes(random.Random(1).randbytes(20_000))


def torn(folder: Path) -> None:
    filled(folder)
    whole = (folder / LEDGER_NAME).read_bytes()
    (folder / LEDGER_NAME).write_bytes(whole[: len(whole) - 4096])


def overwritten(folder: Path) -> None:
    filled(folder)
    with (folder / LEDGER_NAME).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


def newer(folder: Path) -> None:
    filled(folder)
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as database:
        database.execute("PRAGMA user_version = 2")


def filled(folder: Path) -> None:
    ledger = Ledger(folder, Limits(**UNLIMITED))
    for number in range(100):
        ledger.reserve(Spender("ann", str(number)), [1])
    ledger.close()


@pytest.mark.parametrize("harm", [no_file, no_folder, empty, garbage, torn, overwritten, newer])
def test_a_ledger_that_cannot_be_trusted_means_that_nothing_is_spent(harm: Any, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    harm(folder)

    with pytest.raises(AiUnavailable, match=r"cannot be written down .*ai_ledger.sqlite in the state folder") as raised:
        Ledger(folder, Limits(**UNLIMITED)).reserve(ANN, [1])
    assert str(tmp_path) not in str(raised.value)


def test_a_full_disk_means_that_nothing_is_spent_until_there_is_room_again(tmp_path: Path, clock: Clock) -> None:
    ledger = opened(tmp_path, clock)
    reserved = ledger.reserve(ANN, [1])
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, was[1]))  # Python ignores the signal: writing fails
    try:
        with pytest.raises(AiUnavailable):
            ledger.reserve(ANN, [1] * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)

    assert ledger.read_charged(ANN) == 1
    ledger.settle(reserved[0], 0)
    ledger.reserve(ANN, [1] * 1000)
    assert ledger.read_charged(ANN) == 1000


def test_a_ledger_that_was_taken_away_begins_anew_without_what_was_left_of_it(tmp_path: Path, clock: Clock) -> None:
    ledger = opened(tmp_path, clock, day=100)
    ledger.reserve(ANN, [100])
    # Somebody died while it was made, and somebody else took away the one file that has a name to be known by.
    shutil.copy(tmp_path / f"{LEDGER_NAME}-wal", tmp_path / "ai_ledger.new-wal")
    (tmp_path / LEDGER_NAME).unlink()

    assert len(ledger.reserve(ANN, [60])) == 1
    assert opened(tmp_path, clock).read_charged(ANN) == 60
    assert (tmp_path / LEDGER_NAME).stat().st_mode & 0o077 == 0
