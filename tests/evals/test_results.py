"""The file of results: nothing that was spent is forgotten, whenever the process was killed."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from imdb_lakehouse.evals.results import ResultFile
from lakehouse.errors import LakehouseError, UsageError

RUN = {"model": "one"}
KEY = ("q1", 1)


def record(verdict: str = "match", usd: float = 0.25) -> dict[str, Any]:
    return {"id": "q1", "attempt": 1, "verdict": verdict, "model_usd": usd, "ai_usd": 0.0}


def opened(folder: Path) -> ResultFile:
    return ResultFile(folder / "results.jsonl", RUN)


def test_a_question_that_was_killed_counts_at_its_maximum_each_time(tmp_path: Path) -> None:
    for times in (1, 2, 3):
        with closing(opened(tmp_path)) as results:
            assert results.spent == (times - 1) * 10
            results.begin_attempt(KEY, 10)  # and the process is killed
    with closing(opened(tmp_path)) as results:
        assert results.spent == 30
    with closing(opened(tmp_path)) as results:
        assert results.spent == 30


def test_a_question_that_is_asked_again_and_killed_counts_beside_what_it_cost_before(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as results:
        results.begin_attempt(KEY, 10)
        results.end_attempt(record("error"))
        assert not results.is_done(KEY)
        results.begin_attempt(KEY, 7)
    with closing(opened(tmp_path)) as results:
        assert results.spent == 250_000_007


def test_a_line_that_was_written_before_the_kill_counts_alone(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as results:
        results.begin_attempt(KEY, 10)
        state = (tmp_path / "results.jsonl.state").read_text()
        results.end_attempt(record())
    (tmp_path / "results.jsonl.state").write_text(state)  # killed between the line and the note of it
    with closing(opened(tmp_path)) as results:
        assert results.spent == 250_000_000
        assert results.is_done(KEY)


def test_a_torn_line_is_taken_away_and_counts_as_killed(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as results:
        results.begin_attempt(KEY, 10)
        results.end_attempt(record())
        results.begin_attempt(("q2", 1), 10)
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write(json.dumps(record())[:-1])
    with closing(opened(tmp_path)) as results:
        assert results.is_repaired
        assert results.spent == 250_000_010
        assert list(results.latest) == [KEY]


def test_two_cannot_write_one_file(tmp_path: Path) -> None:
    with closing(opened(tmp_path)), pytest.raises(LakehouseError, match="Another run is writing"):
        opened(tmp_path)
    opened(tmp_path).close()


def test_a_note_of_what_was_spent_that_cannot_be_read_is_not_taken_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl.state").write_text("{")
    with pytest.raises(UsageError, match="nobody knows what was spent"):
        opened(tmp_path)


def test_another_run_is_told_by_what_differs(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as results:
        results.specify_run({"server": "a"})
        results.end_attempt(record())
    with closing(opened(tmp_path)) as results, pytest.raises(UsageError, match="another run: server was a, is b"):
        results.specify_run({"server": "b"})
    with pytest.raises(UsageError, match="another run: model was one, is two"):
        ResultFile(tmp_path / "results.jsonl", {"model": "two"})
