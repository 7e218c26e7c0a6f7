"""Asks both engines generated queries: python -m tests.parity --count 500 --seed 7

A lake of 1,000 invented titles is made for it; Java is needed. Prints every difference that nobody is told of, and
the counts. Ends with 1 where there is such a difference: mend it in mcp_server/dialects/sail, warn of it in the
result, or refuse it, and say so in docs/engines.md.
"""

from __future__ import annotations

import argparse
import secrets
import time
from collections import Counter
from itertools import islice

from tests.parity.compare import End, compare
from tests.parity.engines import both_engines
from tests.parity.generate import queries


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--count", type=int, default=500, metavar="N", help="queries")
    parser.add_argument("--verbose", action="store_true", help="show what is declared, too")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    started = time.monotonic()
    ends, warned = Counter[End](), 0
    with both_engines() as (embedded, spark):
        for sql in islice(queries(arguments.seed), arguments.count):
            outcome = compare(sql, embedded, spark)
            ends[outcome.end] += 1
            warned += bool(outcome.caveats)
            if outcome.end is End.DIFFERENT or (arguments.verbose and outcome.what):
                print(f"{outcome.end.value}: {sql}\n    {outcome.what[:600]}", flush=True)
    counts = ", ".join(f"{end.value} {ends[end]}" for end in End)
    print(f"{arguments.count} queries in {time.monotonic() - started:.0f} s: {counts}; answered with a caveat {warned}")
    raise SystemExit(1 if ends[End.DIFFERENT] else 0)


if __name__ == "__main__":
    main()
