"""No estimate leaves out a file that a query needs."""

from __future__ import annotations

from pathlib import Path
from random import Random

from lakehouse.storage import Lake
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.settings import Settings
from tests.engines.pruning import Trial, write_tables

QUERIES = 60


def test_a_query_over_the_files_that_an_estimate_keeps_gives_the_same_answer(tmp_path: Path) -> None:
    random = Random(7)
    lake = tmp_path / "lake"
    write_tables(lake, random)
    engine = EmbeddedEngine(Lake.parse(str(lake)), Settings(state_dir=tmp_path))
    trial = Trial(engine, lake, random)
    try:
        trial.run(QUERIES)
    finally:
        engine.close()

    assert trial.wrong == []
    assert trial.seen["pruned"] > QUERIES / 4
    assert trial.seen["pruned"] + trial.seen["whole"] > QUERIES * 3 / 4
