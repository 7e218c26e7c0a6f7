"""The next day's files: a source folder in which few rows have changed, as IMDb's do from one day to the next.

    python -m tests.etl.tomorrow SOURCE TARGET --share 0.001

Of each file, a share of the lines is changed, an eighth of that is taken away, and as much is added, with new ids.
"""

from __future__ import annotations

import argparse
import gzip
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from etl.datasets import DATASETS, Dataset

_GONE_SHARE = 0.125


def write_tomorrow(
    source: Path, target: Path, *, share: float, seed: int = 1, only: frozenset[str] = frozenset()
) -> Path:
    """Write the next day's files. `only` names those that change (empty: all); the others are copied."""
    target.mkdir(parents=True)
    for dataset in DATASETS:
        path = source / f"{dataset.file}.tsv.gz"
        if not path.exists():
            continue
        if only and dataset.file not in only:
            shutil.copy(path, target / path.name)
            continue
        dice = random.Random(f"{seed} {dataset.file}")
        with (
            gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines,
            gzip.open(target / path.name, "wt", compresslevel=1, encoding="utf-8", newline="\n") as out,
        ):
            out.write(next(lines))
            out.writelines(_change_lines(lines, dataset, share, dice))
    return target


def _change_lines(lines: Iterator[str], dataset: Dataset, share: float, dice: random.Random) -> Iterator[str]:
    change = _CHANGES.get(dataset.file, _change_number)
    draw = dice.random
    for line in lines:
        luck = draw()
        if luck >= share:
            yield line
            continue
        fields = line.rstrip("\n").split("\t")
        if luck >= share * _GONE_SHARE:
            yield "\t".join(change(fields, dice)) + "\n"
        elif draw() < 0.5:
            yield line
            yield "\t".join(_add_row(fields, dataset)) + "\n"


def _add_row(fields: list[str], dataset: Dataset) -> list[str]:
    """A new row that comes next in the order of the file; of an id that has no next one, the same row again."""
    if len(dataset.key) > 1:
        return [fields[0], str(int(fields[1]) + 1000), *fields[2:]]
    return [f"{fields[0]}0", *fields[1:]] if len(fields[0]) < 10 else fields


def _change_number(fields: list[str], dice: random.Random) -> list[str]:
    return [*fields[:-1], str(dice.randrange(1, 1000)) if fields[-1].isdecimal() else fields[-1]]


def _change_votes(fields: list[str], dice: random.Random) -> list[str]:
    return [fields[0], f"{dice.randrange(10, 100) / 10}", str(int(fields[2]) + dice.randrange(1, 50))]


def _change_title(fields: list[str], dice: random.Random) -> list[str]:
    if dice.random() < 0.5:
        return [*fields[:5], str(dice.randrange(1900, 2030)), *fields[6:]]
    return [*fields[:2], f"{fields[2]} (restored)", *fields[3:]]


def _change_name(fields: list[str], dice: random.Random) -> list[str]:
    return [fields[0], f"{dice.choice('AZÉ')}{fields[1]}", *fields[2:]]


def _change_credit(fields: list[str], dice: random.Random) -> list[str]:
    return [*fields[:5], f'["Role {dice.randrange(1000)}"]']


def _change_crew(fields: list[str], dice: random.Random) -> list[str]:
    return [fields[0], f"nm{dice.randrange(10**7):07}", fields[2]]


def _change_aka(fields: list[str], dice: random.Random) -> list[str]:
    return [*fields[:2], f"{fields[2]} {dice.randrange(100)}", *fields[3:]]


_CHANGES: dict[str, Callable[[list[str], random.Random], list[str]]] = {
    "title.ratings": _change_votes,
    "title.basics": _change_title,
    "name.basics": _change_name,
    "title.principals": _change_credit,
    "title.crew": _change_crew,
    "title.akas": _change_aka,
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--share", type=float, default=0.001)
    options = parser.parse_args()
    write_tomorrow(options.source, options.target, share=options.share)
    return 0


if __name__ == "__main__":
    sys.exit(main())
