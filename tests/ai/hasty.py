"""A process that spends as fast as it can: `python -m tests.ai.hasty FOLDER CALLERS MAXIMUM COST SEED`.

It stands for a server with many callers at once. Every call that is "made" is a line in the file `calls` of the
folder, written before it is settled, as a provider's bill would have it. It ends when no budget is left.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from pathlib import Path

from ai_functions.ledger import Ledger, Limits
from ai_functions.types import BudgetExceeded, Spender

BUDGET = 3_000


def limits(budget: int = BUDGET) -> Limits:
    return Limits(query=500, caller_hour=None, caller_day=None, day=budget, month=None, queries_per_hour=None)


def spend(ledger: Ledger, bill: int, maximum: int, cost: int, seed: str) -> None:
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        rows = chance.randint(1, 4)
        try:
            reserved = ledger.reserve(Spender(f"caller {seed}", str(number)), [maximum] * rows)
        except BudgetExceeded:
            if rows == 1:
                return
            continue
        for call in reserved:
            if cost < maximum and chance.random() < 0.2:
                ledger.release(call)
                continue
            os.write(bill, f"{cost}\n".encode())
            ledger.settle(call, cost)


def main(folder: str, callers: str, maximum: str, cost: str, seed: str) -> None:
    ledger = Ledger(Path(folder), limits())
    bill = os.open(Path(folder) / "calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    threads = [
        threading.Thread(target=spend, args=(ledger, bill, int(maximum), int(cost), f"{seed}-{caller}"))
        for caller in range(int(callers))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
