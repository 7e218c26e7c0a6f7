"""Single flight: one of many pays, in whichever thread or process, and a dead one is waited for by nobody."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from ai_functions.flights import FLIGHTS_NAME, Flights
from ai_functions.types import AiUnavailable
from tests.server.processes import python

ONE, TWO, THREE = (hashlib.sha256(bytes([number])).hexdigest() for number in range(3))

HOLDER = """
import sys
from pathlib import Path
from ai_functions.flights import Flights
with Flights(Path(sys.argv[1])).claim(sys.argv[2:]) as mine:
    print(len(mine), flush=True)
    sys.stdin.readline()
print("done", flush=True)
sys.stdin.readline()
"""

PAYERS = """
import os, sys, threading
from pathlib import Path
from ai_functions.flights import Flights
folder, keys = Path(sys.argv[1]), sys.argv[2:]
def pay():
    flights, missing = Flights(folder), set(keys)
    while missing:
        with flights.claim(missing) as mine:
            for key in mine:
                if not (folder / key).exists():
                    bill = os.open(folder / "bill", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                    os.write(bill, key.encode() + b"\\n")
                    os.close(bill)
                    (folder / key).touch()
        assert flights.wait(missing - mine, 20)
        missing = {key for key in missing if not (folder / key).exists()}
threads = [threading.Thread(target=pay) for _ in range(5)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_of_many_threads_and_processes_each_key_is_paid_for_once(tmp_path: Path) -> None:
    keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(40)]
    with ExitStack() as stack:
        payers = [stack.enter_context(python("-c", PAYERS, str(tmp_path), *keys, state=tmp_path)) for _ in range(4)]
        for payer in payers:
            _, said = payer.communicate(timeout=60)
            assert (payer.returncode, said) == (0, b"")

    assert sorted((tmp_path / "bill").read_text().split()) == sorted(keys)


def test_what_another_process_holds_is_not_given_until_it_lets_go(tmp_path: Path) -> None:
    flights = Flights(tmp_path)
    with python("-c", HOLDER, str(tmp_path), ONE, TWO, state=tmp_path) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"2\n"
        with flights.claim([ONE, THREE]) as mine:
            assert mine == {THREE}
        assert not flights.wait([THREE, ONE], 0.01)

        holder.stdin.write(b"\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == b"done\n"
        assert flights.wait([ONE, TWO], 0)
        with flights.claim([ONE, THREE]) as mine:
            assert mine == {ONE, THREE}


def test_what_a_killed_process_held_is_free(tmp_path: Path) -> None:
    flights = Flights(tmp_path)
    with python("-c", HOLDER, str(tmp_path), ONE, state=tmp_path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"1\n"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(flights.wait, [ONE], 20)
            holder.kill()
            assert waiting.result()

    with flights.claim([ONE]) as mine:
        assert mine == {ONE}


def test_threads_exclude_each_other_too_and_whoever_waits_is_woken(tmp_path: Path) -> None:
    holding, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with Flights(tmp_path).claim([ONE, ONE]):
            holding.set()
            enough.wait(60)

    with ThreadPoolExecutor(2) as pool:
        pool.submit(hold)
        assert holding.wait(60)
        with Flights(tmp_path).claim([ONE, TWO]) as mine:
            assert mine == {TWO}
        waiting = pool.submit(Flights(tmp_path).wait, [ONE], 20)
        enough.set()
        assert waiting.result()


def test_a_claim_ends_with_its_block_whatever_ends_that(tmp_path: Path) -> None:
    flights = Flights(tmp_path)
    with pytest.raises(KeyboardInterrupt), flights.claim([ONE]):
        raise KeyboardInterrupt

    assert flights.wait([ONE], 0)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / FLIGHTS_NAME).mkdir()

    with pytest.raises(AiUnavailable, match=r"ai_flights\.lock in the state folder cannot be written"):
        Flights(tmp_path).wait([ONE], 0)
