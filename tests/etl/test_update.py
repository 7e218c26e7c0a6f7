"""`imdb-etl update`: the lake is what a load of the newer files makes of it, for a fraction of what a load writes."""

from __future__ import annotations

import gzip
import shutil
import signal
from pathlib import Path

import pytest
from filelock import FileLock

from tests.etl.conftest import AWKWARD, MakeSource, manifest_of, rejects_of, run_etl, run_patched, run_signalled
from tests.etl.live_rows import assert_same_lakes, live_rows
from tests.etl.loads import Asker
from tests.etl.tomorrow import write_tomorrow


@pytest.fixture
def lake(embedded_sample_lake: Path, tmp_path: Path) -> Path:
    """A copy of a loaded lake; times of files matter to no update."""
    return Path(shutil.copytree(embedded_sample_lake, tmp_path / "lake"))


@pytest.fixture(scope="session")
def tomorrow(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tomorrow(sample, tmp_path_factory.mktemp("tomorrow") / "source", share=0.02)


@pytest.fixture(scope="session")
def tomorrow_lake(tomorrow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tomorrow's files, loaded in full."""
    lake = tmp_path_factory.mktemp("tomorrow-lake") / "lake"
    assert run_etl("load", "--source", tomorrow, "--lake", lake).returncode == 0
    return lake


def _update(lake: Path, source: Path, **environment: str) -> str:
    done = run_etl("update", "--source", source, "--lake", lake, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _load(source: Path, lake: Path, **environment: str) -> Path:
    done = run_etl("load", "--source", source, "--lake", lake, **environment)
    assert done.returncode == 0, done.stderr
    return lake


def test_an_updated_lake_is_the_lake_that_a_load_makes(lake: Path, tomorrow: Path, tomorrow_lake: Path) -> None:
    files = set(lake.rglob("*.parquet"))

    said = _update(lake, tomorrow)

    assert_same_lakes(lake, tomorrow_lake)
    assert "whole" not in said
    assert files < set(lake.rglob("*.parquet"))  # none was written again
    assert manifest_of(lake)["generation"] == 2


@pytest.mark.parametrize(("engine", "days"), [("embedded", 2), ("spark", 1)])
def test_updates_of_updates_stay_right_on_every_engine(
    engine: str,
    days: int,
    request: pytest.FixtureRequest,
    sample: Path,
    nothing_declared: dict[str, str],
    tmp_path: Path,
) -> None:
    lake = Path(shutil.copytree(request.getfixturevalue(f"{engine}_sample_lake"), tmp_path / "lake"))
    source, more = sample, nothing_declared if engine == "spark" else {}
    for day in range(days):
        source = write_tomorrow(source, tmp_path / f"day {day}", share=0.01, seed=day)
        done = run_etl("update", "--source", source, "--lake", lake, "--engine", engine, **more)
        assert done.returncode == 0, done.stderr
    assert_same_lakes(lake, _load(source, tmp_path / "fresh", **more))


def test_the_same_files_again_write_nothing_and_it_is_said(lake: Path, tomorrow: Path, sample: Path) -> None:
    assert "Nothing to update: the files are those of generation 1" in _update(lake, sample)
    _update(lake, tomorrow)
    before = {path: path.stat().st_mtime_ns for path in lake.rglob("*") if path.name != "_load.lock"}

    assert "Nothing to update: the files are those of generation 2" in _update(lake, tomorrow)

    assert {path: path.stat().st_mtime_ns for path in lake.rglob("*") if path.name != "_load.lock"} == before


def test_only_what_a_changed_file_reaches_is_written(lake: Path, sample: Path, tmp_path: Path) -> None:
    before = manifest_of(lake)["tables"]
    source = write_tomorrow(sample, tmp_path / "source", share=0.02, only=frozenset({"title.ratings"}))

    said = _update(lake, source)

    after = manifest_of(lake)["tables"]
    changed = {name for name in after if after[name]["version"] != before[name]["version"]}
    assert changed == {"ratings_delta", "movies_with_ratings"}
    assert said.count("│ kept") == len(after) - 2
    assert_same_lakes(lake, _load(source, tmp_path / "fresh"))


ROWS = AWKWARD["title.basics"]
CHANGES: dict[str, dict[str, object]] = {
    "a person is renamed, a year changes, a title comes that credits had, keys repeat, an optional file goes": {
        "name_basics": ["nm0000001\tÅke Lave\t\\N\t\\N\tproducer,actor\ttt0000002", *AWKWARD["name.basics"][1:]],
        "title_basics": [
            ROWS[0].replace("2019", "1999"),
            *ROWS[1:],
            "tt9999999\tmovie\tFound\tFound\t0\t\\N\t\\N\t\\N\t\\N",
        ],
        "title_ratings": [AWKWARD["title.ratings"][0], "tt0000001\t9.9\t1", *AWKWARD["title.ratings"][1:2] * 2],
        "title_crew": None,
    },
    "names, credits, titles and values come, go and move, and keys repeat": {
        "name_basics": [
            AWKWARD["name.basics"][1].replace("'El Gisa'", "Ida Rowe"),
            AWKWARD["name.basics"][2].replace("Жанна Ø", "'El Gisa'"),
            "nm9999999\tNew Here\t\\N\t\\N\t\\N\t\\N",
        ],
        "title_basics": [*ROWS[:1], *ROWS[2:], "tt9999999\tpilot\tFound\tFound\t0\t\\N\t\\N\t\\N\t\\N"],
        "title_principals": [
            *AWKWARD["title.principals"][1:4],
            *AWKWARD["title.principals"][3:5],
            "tt0000003\t1\tnm0000002\tself\t\\N\t[]",
            *AWKWARD["title.principals"][6:],
        ],
        "title_crew": ["tt0000003\tnm9999999\tnm0000001,nm10000003"],
        "title_akas": [*AWKWARD["title.akas"], "tt0000003\t1\tVerdad\tES\tes\t\\N\t\\N\t1"],
        "title_episode": AWKWARD["title.episode"][1:],
    },
    "a title goes, all ratings but one go, lines come in another order, malformed lines come": {
        "title_basics": ROWS[1:],
        "title_ratings": AWKWARD["title.ratings"][:1],
        "title_principals": AWKWARD["title.principals"][::-1],
        "title_akas": [*AWKWARD["title.akas"], "tt0000009\ttwo", "tt0000010\tx\ty\t\\N\t\\N\t\\N\t\\N\t0"],
    },
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_changes_is_as_after_a_load_and_so_is_the_way_back(
    case: str, make_source: MakeSource, tmp_path: Path
) -> None:
    lenient = {"IMDB_MAX_REJECT_PERCENT": "90"}
    before, after = make_source("before"), make_source("after", **CHANGES[case])
    lake = _load(before, tmp_path / "lake", **lenient)
    copy = shutil.copytree(lake, tmp_path / "copy")
    _update(lake, after, **lenient)
    assert_same_lakes(lake, _load(after, tmp_path / "fresh", **lenient))
    _update(lake, before, **lenient)
    assert_same_lakes(lake, copy)


def test_rejected_lines_keep_their_numbers_where_lines_before_them_go(make_source: MakeSource, tmp_path: Path) -> None:
    rows = [f"tt{number:07}\t5.0\t{number}" for number in range(1, 2000)]
    rows.insert(1500, "tt0001500\t5.0")
    rows.insert(1700, "tt0001699\tbad\t1")
    lake = _load(make_source("before", title_ratings=rows), tmp_path / "lake")
    source = make_source("after", title_ratings=rows[3:1200] + rows[1210:])
    _update(lake, source)
    assert_same_lakes(lake, _load(source, tmp_path / "fresh"))


def test_rejected_lines_that_cannot_be_read_are_said(make_source: MakeSource, tmp_path: Path) -> None:
    rows = [*AWKWARD["title.ratings"], "tt7777778\tbad\t1"]
    lake = _load(make_source("before", title_ratings=rows), tmp_path / "lake", IMDB_MAX_REJECT_PERCENT="90")
    for path in (lake / "rejects").glob("*.parquet"):
        path.write_bytes(b"not Parquet")
    source = make_source("after", title_ratings=[*rows, "tt8888888\tworse\t1"])
    said = _update(lake, source, IMDB_MAX_REJECT_PERCENT="90")
    assert "The rejected lines of the generation before cannot be read, so" in said
    assert [row["raw"] for row in rejects_of(lake)] == [rows[-1], "tt8888888\tworse\t1"]  # one group of lines


def test_a_file_that_was_not_there_is_loaded(make_source: MakeSource, tmp_path: Path) -> None:
    lake = _load(make_source("before", title_crew=None), tmp_path / "lake")
    _update(lake, make_source("after"))
    assert_same_lakes(lake, _load(make_source("same"), tmp_path / "fresh"))


def test_a_lake_without_fingerprints_is_updated_by_loading_what_changed(
    lake: Path, tomorrow: Path, tomorrow_lake: Path
) -> None:
    shutil.rmtree(lake / "_fingerprints")
    assert "loaded whole" in _update(lake, tomorrow)
    assert_same_lakes(lake, tomorrow_lake)


def test_comments_types_and_the_order_of_rows_survive(lake: Path, tomorrow: Path) -> None:
    from deltalake import DeltaTable

    before = DeltaTable(str(lake / "movie_cast")).schema().to_json()
    _update(lake, tomorrow)
    table = DeltaTable(str(lake / "movie_cast"))
    assert table.schema().to_json() == before
    assert table.metadata().description.startswith("Every principal credit of a known title")


_OLDER_COMMENTS = """
from dataclasses import replace
def older(define):
    def defined(made):
        now = define(made)
        columns = tuple(column.model_copy(update={"comment": "An older text."}) for column in now.columns)
        return replace(now, comment="What was said before.", columns=columns)
    return defined
pipeline.to_definition, pipeline.define_view = older(pipeline.to_definition), older(pipeline.define_view)
"""


def test_comments_of_an_older_release_are_replaced_without_loading_anything_again(
    make_source: MakeSource, tmp_path: Path
) -> None:
    from deltalake import DeltaTable

    source, lake = make_source(), tmp_path / "lake"
    assert run_patched(_OLDER_COMMENTS, "--source", source, "--lake", lake).returncode == 0
    assert manifest_of(lake)["tables"]["movies_delta"]["comment"] == "What was said before."
    files = set(lake.rglob("*.parquet"))

    said = _update(lake, source)

    assert "Comments are those of this release now: ratings_delta, movies_delta" in said
    assert set(lake.rglob("*.parquet")) == files
    assert_same_lakes(lake, _load(source, tmp_path / "fresh"))
    for name in ("movies_delta", "movie_cast"):
        table, fresh = (DeltaTable(str(folder / name)) for folder in (lake, tmp_path / "fresh"))
        assert table.schema().to_json() == fresh.schema().to_json()
        assert table.metadata().description == fresh.metadata().description
    assert "Nothing to update" in _update(lake, source)


def test_a_load_after_updates_starts_afresh(
    lake: Path, tomorrow: Path, sample: Path, embedded_sample_lake: Path
) -> None:
    _update(lake, tomorrow)
    _load(sample, lake)
    assert_same_lakes(lake, embedded_sample_lake)


def test_a_lake_that_was_never_loaded_is_told_to_load(tomorrow: Path, tmp_path: Path) -> None:
    done = run_etl("update", "--source", tomorrow, "--lake", tmp_path / "lake")
    assert done.returncode == 2
    assert "Load it first: imdb-etl load" in done.stderr
    assert not (tmp_path / "lake").exists()


def test_a_bad_file_is_one_sentence_and_changes_nothing(lake: Path, tomorrow: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tomorrow, tmp_path / "source"))
    packed = source / "title.basics.tsv.gz"
    packed.write_bytes(packed.read_bytes()[:-12])
    before = (lake / "_manifest.json").read_bytes()
    done = run_etl("update", "--source", source, "--lake", lake)
    assert done.returncode == 1
    assert "title.basics.tsv.gz is truncated" in done.stderr.splitlines()[-1]
    packed.write_bytes(gzip.compress(b"tconst\twrong\n"))
    assert "another header" in run_etl("update", "--source", source, "--lake", lake).stderr
    assert (lake / "_manifest.json").read_bytes() == before


def test_too_many_malformed_lines_fail_the_update(make_source: MakeSource, tmp_path: Path) -> None:
    lake = _load(make_source("before"), tmp_path / "lake")
    before = (lake / "_manifest.json").read_bytes()
    done = run_etl("update", "--source", make_source("bad", title_ratings=["tt0000001\tbad\t1"] * 3), "--lake", lake)
    assert done.returncode == 1
    assert "3 of 3 lines (100.00 %) are malformed" in done.stderr
    assert (lake / "_manifest.json").read_bytes() == before


def test_an_update_beside_a_load_is_turned_away(lake: Path, tomorrow: Path) -> None:
    with FileLock(lake / "_load.lock"):
        done = run_etl("update", "--source", tomorrow, "--lake", lake)
    assert done.returncode == 1
    assert "Another load into" in done.stderr


def test_a_killed_update_leaves_the_old_lake_to_those_who_ask_and_the_next_one_finishes(
    lake: Path, tomorrow: Path, tomorrow_lake: Path, tmp_path: Path
) -> None:
    before = (lake / "_manifest.json").read_bytes()
    rows = len(live_rows(lake, "movie_cast"))
    (tmp_path / "state").mkdir()
    with Asker(lake, tmp_path / "state", 0.4) as asker:
        for moment in ("compare title.ratings", "update movies_delta", "update episodes_delta", "refresh movies_with"):
            done = run_signalled(moment, "update", "--source", tomorrow, "--lake", lake)
            assert done.returncode == -signal.SIGKILL
            assert (lake / "_manifest.json").read_bytes() == before, moment
            assert len(live_rows(lake, "movie_cast")) == rows
        (lake / "movies_delta" / "deletion_vector_orphan.bin").write_bytes(b"left behind")
        _update(lake, tomorrow)
        assert asker.count_all()["movie_cast"] == len(live_rows(lake, "movie_cast"))
    assert asker.wrong == []
    assert asker.answers.total() > 0
    assert_same_lakes(lake, tomorrow_lake)
    assert not (lake / "movies_delta" / "deletion_vector_orphan.bin").exists()
    assert not (lake / "_work").exists()
