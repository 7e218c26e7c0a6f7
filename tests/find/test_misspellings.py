"""Misspelt names of real titles and people: the one that is meant comes first.

The texts are this project's own; the rows that they mean are IMDb's, and are not in the repository.
"""

from __future__ import annotations

import csv
from pathlib import Path

from lakehouse.find.finder import open_index
from lakehouse.manifest import read_manifest
from lakehouse.storage import Lake
from tests.etl.conftest import run_etl

LEAST_SHARE = 0.95


def test_the_right_thing_comes_first_for_misspelt_names(real_rows: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    done = run_etl("load", "--source", real_rows, "--lake", lake)
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(Lake.parse(str(lake)))
    assert manifest is not None
    assert manifest.find is not None
    finder = open_index(lake / manifest.find.path)
    with (Path(__file__).parent.parent / "data" / "find" / "misspellings.tsv").open(encoding="utf-8") as file:
        cases = list(csv.DictReader(file, delimiter="\t"))
    assert len(cases) >= 200
    first = {case["text"]: [hit.id for hit in finder.search(case["text"], limit=1)] for case in cases}
    missed = [case for case in cases if first[case["text"]] != [case["id"]]]
    assert len(missed) <= (1 - LEAST_SHARE) * len(cases), missed

    assert [hit.id for hit in finder.search("german", kinds=frozenset({"value"}), column="region")][:1] == ["DE"]
