"""How much of a lake is known: counted by a load, kept right by what comes after it, and never in its way."""

from __future__ import annotations

import gzip
import os
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from etl.coverage import find_snapshot_day
from lakehouse.context import parse_context
from lakehouse.coverage import Coverage, Share, read_coverage
from lakehouse.storage import Lake
from tests.etl.conftest import MakeSource, manifest_of, run_etl, run_patched
from tests.etl.tomorrow import write_tomorrow

HOLES = {
    "title_basics": [
        *(f"tt000000{n}\tmovie\tA\tA\t0\t1994\t\\N\t90\tDrama" for n in range(1, 5)),
        "tt0000005\tmovie\tB\tB\t0\t2021\t\\N\t\\N\tDrama",
        "tt0000006\tmovie\tC\tC\t0\t\\N\t\\N\t\\N\t\\N",
        "tt0000007\tshort\tD\tD\t0\t1994\t\\N\t\\N\tShort",
    ],
    "title_ratings": ["tt0000001\t5.0\t10", "tt0000007\t5.0\t10", "tt0000009\t5.0\t10"],
    "title_principals": [
        "tt0000001\t1\tnm0000001\tdirector\t\\N\t\\N",
        "tt0000001\t2\tnm0000009\tactor\t\\N\t\\N",
        "tt0000009\t1\tnm0000009\tactor\t\\N\t\\N",
    ],
    "title_crew": ["tt0000001\tnm0000001,nm0000008\t\\N", "tt0000002\t\\N\t\\N", "tt0000005\tnm0000001\tnm0000002"],
    "title_akas": None,
}
OWN = """
[[join]]
from = "ratings_delta.tconst"
to = "movies_delta.tconst"

[[join]]
from = "ratings_delta.nothing"
to = "movies_delta.tconst"

[[join]]
from = "crew_delta.tconst"
to = "movies_delta.tconst"
by = "nothing"

[[coverage]]
table = "movies_delta"
columns = ["genres"]
about = "genres"
of = "titles of type {part}"
sql = "SELECT titleType AS part, count(*) AS rows, count(genres) AS known FROM movies_delta GROUP BY titleType;"

[[coverage]]
table = "movies_delta"
columns = ["genres"]
about = "nothing"
of = "titles"
sql = "DROP TABLE movies_delta"
"""


def counted(lake: Path, generation: int = 1) -> Coverage:
    found = read_coverage(Lake.parse(str(lake)), generation)
    assert found is not None
    return found


def load(source: Path, lake: Path, *arguments: object, **environment: str) -> str:
    done = run_etl("load", "--source", source, "--lake", lake, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def parts_of(coverage: Coverage, table: str, about: str) -> dict[str, tuple[int, int]]:
    (measure,) = (each for each in coverage.measures if (each.table, each.about) == (table, about))
    return {part.part: (part.rows, part.known) for part in measure.parts}


def join_of(coverage: Coverage, left: str) -> Share:
    (join,) = (each for each in coverage.joins if each.left == left)
    return join.whole


@pytest.mark.parametrize("engine", ["embedded", "spark"])
def test_known_holes_are_counted_on_every_engine(
    engine: str, request: pytest.FixtureRequest, make_source: MakeSource, tmp_path: Path
) -> None:
    if engine == "spark":
        request.getfixturevalue("java")
    said = load(make_source(**HOLES), tmp_path / "lake", "--engine", engine)
    coverage = counted(tmp_path / "lake")

    shares = {(each.table, each.column): (each.whole.rows, each.whole.known) for each in coverage.columns}
    assert shares["movies_delta", "runtimeMinutes"] == (7, 4)
    assert shares["movies_delta", "genres"] == (7, 6)
    assert shares["crew_delta", "directors"] == (3, 2)
    assert shares["film_people", "primaryName"] == (5, 3)
    assert ("movies_delta", "tconst") not in shares  # complete
    assert ("movies_delta", "endYear") not in shares  # null is an answer

    assert join_of(coverage, "ratings_delta.tconst") == Share(rows=3, known=2)
    assert join_of(coverage, "principals_delta.tconst") == Share(rows=3, known=2)
    assert join_of(coverage, "crew_delta.directors") == Share(rows=3, known=2)
    (names,) = (each for each in coverage.joins if each.left == "principals_delta.nconst")
    assert [(part.part, part.rows, part.known) for part in names.parts] == [("actor", 2, 0), ("director", 1, 1)]
    assert "ratings_delta: 1 values of tconst are not in movies_delta." in said

    assert parts_of(coverage, "crew_delta", "directors") == {"": (1, 0), "1990": (4, 1), "2020": (1, 1)}
    assert parts_of(coverage, "movies_with_ratings", "ratings") == {"": (1, 0), "1990": (4, 1), "2020": (1, 0)}
    assert parts_of(coverage, "principals_delta", "credits") == {"": (1, 0), "1990": (4, 1), "2020": (1, 0)}
    assert parts_of(coverage, "film_people", "people") == {"": (1, 0), "1990": (4, 1), "2020": (1, 1)}
    assert parts_of(coverage, "film_people", "names") == {"1990": (3, 1), "2020": (2, 2)}
    assert coverage.not_counted == ()


def test_what_a_lake_declares_is_counted_instead_and_a_bad_declaration_is_said(
    make_source: MakeSource, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    (lake / "_context").mkdir(parents=True)
    (lake / "_context" / "lake.toml").write_text(OWN)
    said = load(make_source(**HOLES), lake)
    coverage = counted(lake)
    assert join_of(coverage, "ratings_delta.tconst") == Share(rows=3, known=2)
    assert parts_of(coverage, "movies_delta", "genres") == {"movie": (6, 5), "short": (1, 1)}
    assert "Not counted, nothing that movies_delta knows: " in said
    assert coverage.not_counted == (
        "Not counted: rows of ratings_delta without their movies_delta.",
        "Not counted: rows of crew_delta without their movies_delta.",
        "Not counted: nothing that movies_delta knows.",
    )
    assert manifest_of(lake)["tables"]["movies_delta"]["rows"] == 7


@pytest.mark.parametrize("text", ["[[join]\n", '[[join]]\nfrom = "a"\nto = "b.c"\n'])
def test_declarations_that_cannot_be_read_are_said_and_the_lake_is_loaded(
    text: str, make_source: MakeSource, tmp_path: Path
) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "lake.toml").write_text(text)
    said = load(make_source(), tmp_path / "lake", IMDB_CONTEXT_DIR=str(tmp_path / "context"))
    assert "Not counted, how much of the data is known: lake.toml of the lake's context" in said
    assert not (tmp_path / "lake" / "_coverage").exists()


def test_an_interrupted_count_keeps_what_was_counted(make_source: MakeSource, tmp_path: Path) -> None:
    change = """
from etl.coverage_counts import CoverageCounter
def stop(*_): raise KeyboardInterrupt
CoverageCounter.count_join = stop
"""
    done = run_patched(change, "--source", make_source(**HOLES), "--lake", tmp_path / "lake")
    assert done.returncode == 0, done.stderr
    assert "Interrupted: rows of principals_delta without their movies_delta and what follows were not" in done.stdout
    coverage = counted(tmp_path / "lake")
    assert coverage.columns
    assert (coverage.joins, coverage.measures) == ((), ())
    following = make_source("next", **HOLES | {"title_ratings": ["tt0000001\t6.0\t11"]})
    assert run_etl("update", "--source", following, "--lake", tmp_path / "lake").returncode == 0
    assert counted(tmp_path / "lake", 2).measures


def test_the_day_of_the_source_is_that_of_its_newest_file(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.tsv", tmp_path / "packed.tsv.gz"
    plain.write_bytes(b"x")
    packed.write_bytes(gzip.compress(b"x", mtime=0))
    for path in (plain, packed):
        os.utime(path, (1, 1_000_000_000))
    assert find_snapshot_day([plain, packed]) == date(2001, 9, 9)
    packed.write_bytes(gzip.compress(b"x", mtime=int(datetime(2025, 3, 4, 12, tzinfo=UTC).timestamp())))
    os.utime(packed, (1, 1))
    assert find_snapshot_day([packed, plain]) == date(2025, 3, 4)


def test_an_update_counts_again_what_has_changed_by_more_than_a_little(
    sample: Path, embedded_sample_lake: Path, tmp_path: Path
) -> None:
    lake = Path(shutil.copytree(embedded_sample_lake, tmp_path / "lake"))
    before = counted(lake)

    little = write_tomorrow(sample, tmp_path / "little", share=0.001)
    assert run_etl("update", "--source", little, "--lake", lake).returncode == 0
    kept = counted(lake, 2)
    assert (kept.columns, kept.joins, kept.measures) == (before.columns, before.joins, before.measures)
    assert 0 < kept.changed["principals_delta"] < 300

    much = write_tomorrow(little, tmp_path / "much", share=0.03)
    assert run_etl("update", "--source", much, "--lake", lake).returncode == 0
    load(much, tmp_path / "fresh")
    after, fresh = counted(lake, 3), counted(tmp_path / "fresh")
    assert after.joins == fresh.joins
    assert after.measures == fresh.measures
    assert [each for each in after.columns if each.table == "movies_delta"] == [
        each for each in fresh.columns if each.table == "movies_delta"
    ]
    assert "principals_delta" not in after.changed


def test_counts_come_and_go_with_their_generations(make_source: MakeSource, tmp_path: Path) -> None:
    lake, two = tmp_path / "lake", {"IMDB_KEEP_GENERATIONS": "2", "IMDB_KEEP_MINUTES": "0"}
    load(make_source("first"), lake, **two)
    load(make_source("second", **HOLES), lake, **two)
    load(make_source("third"), lake, **two)
    assert sorted(path.name for path in (lake / "_coverage").iterdir()) == ["2.json", "3.json"]
    assert run_etl("rollback", "--lake", lake).returncode == 0
    assert counted(lake, 4) == counted(lake, 2).model_copy(update={"generation": 4})


def test_what_is_declared_of_imdb_names_its_tables_and_columns(embedded_sample_lake: Path) -> None:
    packaged = (Path(__file__).parents[2] / "prompts" / "imdb" / "lake.toml").read_bytes()
    declared = parse_context({"lake.toml": packaged}).declarations
    columns = {
        f"{table}.{column['name']}"
        for table, entry in manifest_of(embedded_sample_lake)["tables"].items()
        for column in entry["columns"]
    }
    assert {*declared.not_missing, *declared.unindexed} <= columns
    assert {side for each in declared.join for side in (each.left, each.right)} <= columns
    assert {f"{each.table}.{column}" for each in declared.coverage for column in each.columns} <= columns
    assert counted(embedded_sample_lake).not_counted == ()
