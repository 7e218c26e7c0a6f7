"""The server's own memory: whatever eight callers ask for at once, it holds no more than answers can show."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.server.worst import CALLERS, WORST, answers, peak_mib, small_server

pytestmark = pytest.mark.anyio

MOST_MIB = 300
NAMED = ("a struct of many fields", "booleans of a struct", "structs of structs", "long names", "a long name")
SOME = ("lists of lists", "long texts", "many columns", "maps", "lists of structs", "binaries", "many rows")


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: the peak of a process's memory is read from /proc")
@pytest.mark.parametrize("some", [SOME, NAMED, NAMED[:1]], ids=["values", "names", "a struct of many fields"])
async def test_large_results_for_eight_callers_at_once_leave_the_server_small(
    lake: Path, tmp_path: Path, some: Sequence[str]
) -> None:
    with small_server(lake, tmp_path) as (pid, url):
        said = await answers(url, [WORST[some[number % len(some)]] for number in range(CALLERS)])
        peak = peak_mib(pid)
    assert len(said) == CALLERS
    assert all("chars]" in text or "truncated" in text for text in said), said
    assert peak < MOST_MIB, f"{peak:.0f} MiB"
