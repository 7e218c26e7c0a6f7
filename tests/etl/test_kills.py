"""Runs that are killed at random moments. `python -m tests.etl.kills --kills 20` does it longer."""

from __future__ import annotations

from pathlib import Path

from tests.etl.kills import kill_at_random


def test_whatever_is_killed_whenever_one_edition_is_served_and_the_next_run_finishes(
    sample: Path, tmp_path: Path
) -> None:
    kill_at_random(sample, tmp_path, kills=3, seed=7)
