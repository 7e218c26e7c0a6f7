"""Asks both engines every call over the edges of its types: python -m tests.parity.functions [--only TEXT]

A call stands over the rows of a VALUES, and each row has other values. Where both engines fail, the rows are halved
until those are left that fail. Prints what differs and no caller is told of, and ends with 1 where there is any that
is not in `calls.DECLARED`. It takes about 20 minutes; several at once share the calls: --share 0/3, 1/3, 2/3.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from mcp_server.guard.functions import function_policy
from tests.expected import Ask
from tests.parity.calls import CALLS, DECLARED
from tests.parity.compare import End, Outcome, called, compare
from tests.parity.engines import both_engines
from tests.parity.values import TYPES, VALUES

Row = tuple[str, ...]

ROWS: Final = 36
"""Rows of a statement: what they weigh in tokens is within the guard's limits."""

PLACE: Final = re.compile(rf"{{([{''.join(VALUES)}])(2?)}}")
"""A place for a value in a call: its kind, and 2 for another one of that kind."""

_FAILURES: Final = 8
"""Rows that fail on both engines before the rest of them is let go."""


def outcomes(call: str, embedded: Ask, spark: Ask) -> Iterator[Outcome]:
    """What becomes of a call, over all its values or a sample of them that is the same each time."""
    places = dict.fromkeys(PLACE.findall(call))
    rows = list(itertools.product(*(_values(kind) for kind, _ in places)))
    rows = random.Random(call).sample(rows, min(len(rows), 3 * ROWS))
    todo = [rows[at : at + ROWS] for at in range(0, len(rows), ROWS)]
    failures = 0
    while todo:
        some = todo.pop()
        outcome = compare(statement(call, [kind + which for kind, which in places], some), embedded, spark)
        fails = outcome.end in {End.BOTH_FAIL, End.FAILS_EARLY} or "Spark fails" in outcome.what
        if fails and len(some) > 1:
            todo += [some[: len(some) // 2], some[len(some) // 2 :]] if failures < _FAILURES else []
        else:
            failures += fails
            yield outcome


def _values(kind: str) -> Sequence[str]:
    return [f"CAST(NULL AS {TYPES[kind]})" if value == "NULL" else value for value in VALUES[kind]]


def statement(call: str, places: Sequence[str], rows: Sequence[Row]) -> str:
    """The call over these values: for each row, which has a number, or for all of them where it aggregates."""
    names = [f"c_{letter}" for letter, _ in zip(string.ascii_lowercase, places, strict=False)]
    for place, name in zip(places, names, strict=True):
        call = call.replace(f"{{{place}}}", name)
    number = "" if aggregates(call) else "k_, "
    values = ", ".join(f"({', '.join([str(at), *row])})" for at, row in enumerate(rows))
    return f"SELECT {number}{call} FROM VALUES {values} AS t_({', '.join(['k_', *names])})"


def aggregates(call: str) -> bool:
    """Whether it makes one value of all rows."""
    kinds = {function_policy().allowed.get(name) for name in called(f"SELECT {call}")}
    return " OVER " not in call and not kinds.isdisjoint({"aggregate", "collecting"})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.parity.functions", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="calls that have this in them")
    parser.add_argument("--share", default="0/1", metavar="N/OF", help="every OFth call, from the Nth on")
    parser.add_argument("--verbose", action="store_true", help="show what is declared, warned of or refused, too")
    arguments = parser.parse_args()
    first, step = map(int, arguments.share.split("/"))
    ends, new = Counter[End](), 0
    with both_engines() as (embedded, spark):
        for call in [each for each in CALLS if arguments.only in each][first::step]:
            found = list(outcomes(call, embedded, spark))
            worst = max(found, key=lambda each: list(End).index(each.end))
            ends[worst.end] += 1
            is_new = worst.end is End.DIFFERENT and call not in DECLARED
            new += is_new
            if is_new or (arguments.verbose and worst.what):
                print(f"{worst.end.value}: {call}\n    {worst.what[:400]}\n    {worst.sql[:300]}", flush=True)
    print(f"{ends.total()} calls: {', '.join(f'{end.value} {ends[end]}' for end in End)}; not declared {new}")
    raise SystemExit(1 if new else 0)


if __name__ == "__main__":
    main()
