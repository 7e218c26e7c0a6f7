"""Statements about AI functions, damaged and crossed with others: whatever is allowed has its calls bounded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from mcp_server.models import CheckedQuery
from tests.fuzz.generate import Generator
from tests.fuzz.judge import judge
from tests.fuzz.run import CATALOGS, LIMITS

DATA = Path(__file__).parent.parent / "data" / "guard"
CHECKED = 2_000


def _statements(wanted: str, name: str) -> list[str]:
    lines = map(json.loads, (DATA / name).read_text("utf-8").splitlines())
    return [line["sql"] for line in lines if line["class"] == wanted]


class AiGenerator(Generator):
    """Its seeds are the corpora's statements with AI functions, mostly the honest ones."""

    _honest: Sequence[str] = _statements("ai-ok", "own-honest.jsonl")
    _hostile: Sequence[str] = _statements("ai-cost", "own-hostile.jsonl")

    def expand(self, form: str, depth: int = 3) -> str:
        return self._seed() if form == "{statement}" else super().expand(form, depth)

    def _seed(self) -> str:
        if self.random.random() < 0.1:
            return super()._seed()
        return self.random.choice(self._hostile if self.random.random() < 0.3 else self._honest)


def test_whatever_is_allowed_bounds_its_calls_and_tells_no_engine_of_them(seed: int) -> None:
    allowed: Counter[int] = Counter()
    for number, sql in enumerate(islice(AiGenerator(seed).stream(), CHECKED)):
        judged = judge(sql, CATALOGS["sail" if number % 2 else "spark"], LIMITS)
        if isinstance(judged.checked, CheckedQuery):
            allowed[len(judged.checked.ai)] += 1

    assert allowed.total() - allowed[0] > CHECKED / 10, f"seed {seed}: {allowed}"
    assert allowed[2], f"seed {seed}: {allowed}"
