"""Values in templates arrive in both engines as they were, whatever is in them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence

import pytest

from mcp_server.guard.template import write_literal

AWKWARD = [
    "", "it's", "a\\", "\\'", "''", '"', "`", "${env:HOME}", "$ {", "%_\\%\\_", "\\n\\t\\u0041\\101\\0",
    "tab\tnl\ncr\r",
    "\x00\x01\x1f\x7f", "日本語 🎬", "--", "/*", "; DROP TABLE x", "\\u0024{x}", "\u200b\u202e", "é\\",
]  # fmt: skip

_ASK = """
import json, sys
from lakehouse.session import open_session
with open_session(sys.argv[1]) as session:
    row = session.spark.sql(sys.stdin.read()).collect()[0]
    print("\\nANSWER", json.dumps(list(row)))
"""


def _values() -> list[str]:
    chance = random.Random(11)
    letters = "\\'\"$ {}unrtxU0%_ab\n日🎬-/*`"
    return AWKWARD + ["".join(chance.choice(letters) for _ in range(chance.randrange(1, 14))) for _ in range(200)]


def _answered(kind: str, values: Sequence[str]) -> list[str]:
    """The values as an engine gives them back, asked for in a process of its own."""
    sql = "SELECT " + ", ".join(f"{write_literal(value)} AS c{number}" for number, value in enumerate(values))
    done = subprocess.run(
        [sys.executable, "-c", _ASK, kind], input=sql, capture_output=True, text=True, check=False, timeout=120
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert answers, done.stderr[-2_000:]
    answer: list[str] = json.loads(answers[-1].removeprefix("ANSWER "))
    return answer


def test_the_embedded_engine_reads_a_literal_as_it_was_meant() -> None:
    assert _answered("embedded", _values()) == _values()


@pytest.mark.usefixtures("java")
def test_spark_reads_a_literal_as_it_was_meant() -> None:
    assert _answered("spark", _values()) == _values()
