"""The long proofs in full, one after another. Every test run has a small, fixed share of each.

    python -m tests.long [--seed N] [--only NAME …]

Prints the seed, then the seconds of each proof and how it ended; its own words go to a file for each. Ends with 1
where one failed. All of them take hours. All but `fuzz`, both of `loads` and `worst` need Java.
"""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

PROOFS: Final[Mapping[str, Sequence[str]]] = {
    "long tests": ("pytest", "--all", "-m", "long"),
    "tests live": ("pytest", "--spark=live", "tests/dialect"),
    "spark as users have it": (
        *("pytest", "--spark=live", "tests/etl", "tests/engines", "tests/server/test_auto.py"),
        *("tests/server/test_ai_engines.py", "tests/server/test_strangers.py", "tests/test_questions.py"),
    ),
    "fuzz": ("tests.fuzz", "--seed", "{seed}"),
    "parity": ("tests.parity", "--seed", "{seed}", "--count", "500"),
    "functions": ("tests.parity.functions",),
    "pruning embedded": ("tests.engines.pruning", "--seed", "{seed}", "--engine", "embedded"),
    "pruning spark": ("tests.engines.pruning", "--seed", "{seed}", "--engine", "spark"),
    "cancelling embedded": ("tests.engines.cancelling", "--queries", "1000", "--engine", "embedded"),
    "cancelling spark": ("tests.engines.cancelling", "--queries", "1000", "--engine", "spark"),
    "cancelling connect": ("tests.engines.cancelling", "--queries", "100", "--engine", "connect"),
    "cancelling databricks": ("tests.engines.cancelling", "--queries", "100", "--engine", "databricks"),
    "loads": ("tests.etl.loads", "--loads", "25"),
    "loads into storage": ("tests.etl.loads", "--loads", "6", "--storage"),
    "worst": ("tests.server.worst",),
}
"""What proves what is said at the head of each module, and its arguments."""


def run(name: str, arguments: Sequence[str], log: Path) -> int:
    """Run a proof to its end, and print how it ended."""
    began = time.monotonic()
    with log.open("wb") as words:
        done = subprocess.run([sys.executable, "-m", *arguments], stdout=words, stderr=subprocess.STDOUT, check=False)
    ending = "passed" if done.returncode == 0 else f"FAILED with {done.returncode}"
    print(f"{name}: {ending} after {time.monotonic() - began:,.0f} s; {log}", flush=True)
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--only", nargs="+", choices=list(PROOFS), default=list(PROOFS), metavar="NAME")
    parser.add_argument("--logs", type=Path, default=Path("build/long"), help="the folder of their words")
    options = parser.parse_args()
    options.logs.mkdir(parents=True, exist_ok=True)
    print(f"seed {options.seed}", flush=True)
    ended = [
        run(
            name,
            [part.format(seed=options.seed) for part in PROOFS[name]],
            options.logs / f"{name.replace(' ', '-')}.log",
        )
        for name in options.only
    ]
    return 1 if any(ended) else 0


if __name__ == "__main__":
    sys.exit(main())
