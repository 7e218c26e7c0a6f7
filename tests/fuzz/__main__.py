"""Runs the fuzzer on request: python -m tests.fuzz --execute 20000

A lake of 1,000 titles is made for it. What is found is printed and ends the run; make it a line of
tests/data/guard/own-hostile.jsonl or own-honest.jsonl.
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
from itertools import chain
from pathlib import Path

from tests.fuzz.canaries import engine_among, guarded
from tests.fuzz.conftest import MAX_ROWS, make_lake
from tests.fuzz.run import Found, by_turns, check_many, execute
from tests.fuzz.templates import TEMPLATES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    parser.add_argument("--check", type=int, default=100_000, metavar="N", help="statements through the checks at most")
    parser.add_argument("--execute", type=int, default=20_000, metavar="N", help="allowed statements on the engine")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    checks, ran = Found(), Found()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        lake = Path(folder) / "around" / "lake"
        make_lake(Path(folder) / "files", lake)
        with guarded(lake) as canaries, engine_among(canaries, Path(folder) / "state", MAX_ROWS) as engine:
            streams = [
                check_many(arguments.seed, arguments.check // 2, canaries.targets, checks, attacks=attacks)
                for attacks in (True, False)
            ]
            statements = chain(TEMPLATES if arguments.execute else (), by_turns(*streams))
            if arguments.execute:
                execute(engine, statements, arguments.execute, ran)
            else:
                for _ in statements:
                    pass
            disturbed = canaries.disturbed()
    _report(checks, ran, disturbed)


def _report(checks: Found, ran: Found, disturbed: list[str]) -> None:
    checked = checks.codes.total()
    print(f"checked {checked:,}: {checks.allowed:,} allowed, {checked - checks.allowed:,} refused {dict(checks.codes)}")
    print(f"a check took {1000 * checks.cpu_seconds / max(checked, 1):.2f} ms of CPU, the slowest {checks.slowest}")
    print(f"executed {ran.ends.total():,} in {ran.seconds:.0f} s: {dict(ran.ends)}; not run: {dict(ran.unrun)}")
    print(f"functions answered: {sum(1 for name in ran.covered if name.endswith('()'))}")
    print(f"disturbed: {', '.join(disturbed) or 'nothing'}")
    if disturbed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
