"""Loads and updates that are killed at random, while an engine of the server answers all the while.

    python -m tests.etl.kills --kills 20 [--seed 1]

A run is killed at a line of its progress that is drawn, and every other time only once it has written another file
after that line: moments are drawn over the whole run, whatever the speed of the machine. After each kill, or two, a run
has to finish, and the lake to be that of a load in one go.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from etl.datasets import DATASETS
from tests.etl.conftest import run_etl
from tests.etl.live_rows import assert_same_lakes, published
from tests.etl.loads import Asker, describe_edition
from tests.etl.tomorrow import write_tomorrow

_LINES = 2 * len(DATASETS) + 5
"""Lines of progress of a load: each file is inspected and loaded, views are built, keys are counted."""
_COMMANDS = (("load",), ("load", "--again"), ("update",))
_KEPT = {"IMDB_KEEP_MINUTES": "1"}


@dataclass
class Killings:
    """Kills loads and updates of a lake that was loaded from the first of two sources.

    `loaded` are lakes of each source, loaded in one go. `said` counts the lines at which a run was killed.
    """

    lake: Path
    sources: tuple[Path, Path]
    loaded: tuple[Path, Path]
    dice: random.Random
    said: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    went_on: int = 0

    @property
    def editions(self) -> list[dict[str, tuple[int, str]]]:
        """What a manifest may say of each table: its rows and the file that it was loaded from."""
        return [describe_edition(published(lake)) for lake in self.loaded]

    def kill_and_finish(self, target: int) -> None:
        """Kill a run that would publish a source, once or twice, and let the next one finish."""
        for _ in range(self.dice.choice((1, 1, 2))):
            self.kill_run(target)
        before = published(self.lake).generation
        command = self.dice.choice(_COMMANDS)
        done = run_etl(*command, "--source", self.sources[target], "--lake", self.lake, **_KEPT)
        assert done.returncode == 0, done.stderr
        self.finished += 1
        self.went_on += "Went on from" in done.stdout
        assert_same_lakes(self.lake, self.loaded[target])
        if published(self.lake).generation > before:  # else the run that was killed had published it
            assert not list(self.lake.glob("_loading*"))

    def kill_run(self, target: int) -> None:
        """Start a run that would publish a source and kill it. What is served is one edition, whole."""
        command = [sys.executable, "-W", "ignore", "-m", "etl.cli", *self.dice.choice(_COMMANDS)]
        command += ["--source", str(self.sources[target]), "--lake", str(self.lake)]
        line, wait = self.dice.randrange(_LINES), self.dice.random() < 0.5
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            said = self._read_lines(process, line)
            files = self._count_files()
            while wait and process.poll() is None and self._count_files() <= files:
                threading.Event().wait(0.002)
            if process.poll() is None:
                process.kill()
                self.said[said] += 1
        assert describe_edition(published(self.lake)) in self.editions

    def _read_lines(self, process: subprocess.Popen[str], line: int) -> str:
        assert process.stderr is not None
        said = "start"
        for number, text in enumerate(process.stderr):
            said = text.partition(":")[0]
            if number == line:
                break
        return said

    def _count_files(self) -> int:
        return sum(len(files) for _, _, files in os.walk(self.lake))


def kill_at_random(sample: Path, folder: Path, kills: int, seed: int) -> tuple[Killings, Asker]:
    """Kill so many runs, and assert that nobody saw anything but the editions of the two sources."""
    sources = sample, write_tomorrow(sample, folder / "tomorrow", share=0.02)
    loaded = folder / "today", folder / "tomorrow lake"
    lake, state = folder / "lake", folder / "state"
    state.mkdir()
    for source, into in zip((*sources, sample), (*loaded, lake), strict=True):
        done = run_etl("load", "--source", source, "--lake", into)
        assert done.returncode == 0, done.stderr
    killings = Killings(lake, sources, loaded, random.Random(seed))
    with Asker(lake, state, 0.3, editions=killings.editions) as asker:
        target = 1
        while killings.said.total() < kills:
            killings.kill_and_finish(target)
            target = 1 - target
    assert asker.wrong == []
    assert asker.answers.total() > 0
    return killings, asker


def main() -> int:
    """Kill runs and print what came of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample"
        assert run_etl("sample", "--out", sample, "--titles", 2000).returncode == 0
        killings, asker = kill_at_random(sample, Path(folder), options.kills, options.seed)
    print(
        f"{killings.said.total()} kills, {killings.finished} runs that finished, {killings.went_on} of which went on."
    )
    print(f"{asker.answers.total()} answers, none wrong.")
    for said, count in killings.said.most_common():
        print(f"{count} after: {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
