"""What happens when something goes wrong: bad sources, odd folders, full disks, killed and interrupted loads."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from filelock import FileLock

from tests.etl.conftest import HEADERS, MakeSource, manifest_of, rows_of, run_etl, run_patched, run_signalled

HEADER = HEADERS["title.ratings"].encode()
DRAFTS = (
    "_loading.json.4711.tmp",
    "_manifest.json.4711.tmp",
    "_coverage/1.json.4711.tmp",
    f"movies_delta/_delta_log/.{7:020}.4711.tmp",
)
"""What a process leaves that is killed while it writes a small file."""
BAD_SOURCES: dict[str, tuple[dict[str, Any], str]] = {
    "a missing file": ({"title_ratings": None}, "title.ratings.tsv.gz is missing"),
    "an empty file": ({"title_ratings": b""}, "is empty"),
    "a header alone": ({"title_ratings": HEADER + b"\n"}, "no line below it"),
    "another header": ({"title_ratings": b"tconst\trating\tvotes\ntt1\t1.0\t1\n"}, "another header"),
}


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_a_source_that_cannot_be_loaded_is_one_sentence(case: str, make_source: MakeSource, tmp_path: Path) -> None:
    changes, words = BAD_SOURCES[case]
    _assert_refused(make_source(**changes), tmp_path / "lake", words)


def test_a_truncated_file_is_one_sentence(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source()
    packed = source / "title.basics.tsv.gz"
    packed.write_bytes(packed.read_bytes()[:-12])
    _assert_refused(source, tmp_path / "lake", "title.basics.tsv.gz is truncated")


def test_bytes_behind_the_end_of_a_file_are_one_sentence(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source()
    with (source / "title.basics.tsv.gz").open("ab") as packed:
        packed.write(b"\0\0more")
    _assert_refused(source, tmp_path / "lake", "title.basics.tsv.gz has bytes behind its end")


def test_counts_that_fail_are_said_and_the_lake_is_loaded(make_source: MakeSource, tmp_path: Path) -> None:
    change = """quality.list_checks = lambda keys: [
    quality.QualityCheck("repeated keys", "", ("SELECT nothing FROM nowhere",), "tconst", ("ratings_delta",))]"""
    lake = tmp_path / "lake"
    done = run_patched(f"from etl import quality\n{change}", "--source", make_source(), "--lake", lake)
    assert done.returncode == 0, done.stderr
    assert "Not counted, repeated keys: " in done.stdout
    assert manifest_of(lake)["generation"] == 1


@pytest.mark.parametrize("closed", ["stdout", "both"])
def test_a_reader_that_goes_away_does_not_end_a_load(closed: str, make_source: MakeSource, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "etl.cli",
        "load",
        "--source",
        str(make_source()),
        "--lake",
        str(lake),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        if closed != "stderr":
            process.stdout.close()
        if closed != "stdout":
            process.stderr.close()
        said = b"" if closed != "stdout" else process.stderr.read()
        assert (process.wait(timeout=120), b"unforeseen" in said) == (0, False), said
    assert manifest_of(lake)["generation"] == 1


def test_a_damaged_file_is_one_sentence(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source()
    (source / "title.basics.tsv.gz").write_bytes(b"not gzip at all")
    _assert_refused(source, tmp_path / "lake", "not a valid gzip file")


def test_a_file_that_is_there_twice_is_one_sentence(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source()
    (source / "title.basics.tsv").write_text("x")
    _assert_refused(source, tmp_path / "lake", "Both title.basics.tsv.gz and title.basics.tsv")


def test_a_second_load_into_the_same_lake_is_turned_away(make_source: MakeSource, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    with FileLock(lake / "_load.lock"):
        _assert_refused(make_source(), lake, "Another load into")


def _assert_refused(source: Path, lake: Path, words: str) -> None:
    done = run_etl("load", "--source", source, "--lake", lake)
    assert done.returncode == 1
    progress = ("inspect ", "load ", "build ")
    (sentence,) = (line for line in done.stderr.splitlines() if not line.startswith(progress))
    assert sentence.startswith("imdb-etl: ")
    assert words in sentence
    assert not (lake / "_manifest.json").exists()
    assert not (lake / "_work").exists()


@pytest.mark.parametrize("name", ["with space", "ünï日本", "a[1]{b}*?", "hash#quote\"'$;"])
def test_any_folder_name_can_be_source_and_lake(name: str, make_source: MakeSource, tmp_path: Path) -> None:
    source, lake = make_source(name), tmp_path / f"{name} lake"
    assert run_etl("load", "--source", source, "--lake", lake).returncode == 0
    assert len(rows_of(lake, "movie_cast")) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, lake.name])


@pytest.mark.parametrize("name", ["a%20b", "back\\slash"])
def test_a_folder_that_no_engine_can_read_is_refused(name: str, make_source: MakeSource, tmp_path: Path) -> None:
    done = run_etl("load", "--source", make_source(), "--lake", tmp_path / name)
    assert done.returncode == 2
    assert "Choose another folder" in done.stderr
    assert not (tmp_path / name).exists()


def test_a_lake_that_is_a_file_is_one_sentence(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source()
    (tmp_path / "file").write_text("x")
    for lake in (tmp_path / "file", tmp_path / "file" / "lake"):
        done = run_etl("load", "--source", source, "--lake", lake)
        assert done.returncode == 1
        assert "cannot be written" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_damaged_manifest_is_replaced_by_loading_again(make_source: MakeSource, tmp_path: Path) -> None:
    source, lake = make_source(), tmp_path / "lake"
    for _ in range(2):
        assert run_etl("load", "--source", source, "--lake", lake, "--again").returncode == 0
    previous = (lake / "_manifest.previous.json").read_bytes()
    (lake / "_manifest.json").write_text('{"broken')
    assert run_etl("load", "--source", source, "--lake", lake).returncode == 0
    assert manifest_of(lake)["generation"] == 2  # one above the one that could still be read
    assert (lake / "_manifest.previous.json").read_bytes() == previous


@pytest.mark.parametrize("table", ["orders", "sales/orders", "."])
def test_a_load_into_somebody_elses_folder_is_refused(table: str, make_source: MakeSource, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    write_deltalake(str(lake / table), pa.table({"x": [1]}))
    before = sorted(lake.rglob("*"))
    _assert_refused(make_source(), lake, "give a new or empty folder as --lake")
    assert sorted(lake.rglob("*")) == before


def test_files_of_other_tables_in_the_folder_are_left_alone(make_source: MakeSource, tmp_path: Path) -> None:
    assert run_etl("load", "--source", make_source("first"), "--lake", tmp_path / "lake").returncode == 0
    foreign = tmp_path / "lake" / "other"
    (foreign / "_delta_log").mkdir(parents=True)
    (foreign / "_delta_log" / f"{0:020}.json").write_text("{}")
    (foreign / "in-flight.parquet").write_bytes(b"x")
    assert run_etl("load", "--source", make_source(), "--lake", tmp_path / "lake").returncode == 0
    assert (foreign / "in-flight.parquet").exists()


def test_files_that_no_load_has_made_are_left_alone(make_source: MakeSource, tmp_path: Path) -> None:
    ours = tmp_path / "lake" / "movies_delta"
    ours.mkdir(parents=True)
    (ours / "somebody's.parquet").write_bytes(b"x")
    assert run_etl("load", "--source", make_source(), "--lake", tmp_path / "lake").returncode == 0
    assert (ours / "somebody's.parquet").exists()


def test_a_full_disk_is_one_sentence_and_the_lake_is_as_before(make_source: MakeSource, tmp_path: Path) -> None:
    lake = tmp_path / "small"
    lake.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", lake], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small disk")
    try:
        assert run_etl("load", "--source", make_source(), "--lake", lake).returncode == 0
        before = rows_of(lake, "movies_delta")
        big = [
            f"tt{i:07}\tmovie\t{i * 7919:x}{'é' * (i % 40)}\t{i * 104729:x}\t0\t1999\t\\N\t90\tDrama"
            for i in range(40_000)
        ]
        done = run_etl("load", "--source", make_source("big", title_basics=big), "--lake", lake)
        assert done.returncode == 1
        assert "The disk of" in done.stderr
        assert "is full" in done.stderr
        assert rows_of(lake, "movies_delta") == before
    finally:
        subprocess.run(["umount", lake], check=True)


def test_a_killed_load_leaves_the_old_lake_and_the_next_one_cleans_up(sample: Path, tmp_path: Path) -> None:
    source, lake = sample, tmp_path / "lake"
    assert run_etl("load", "--source", source, "--lake", lake).returncode == 0
    before = (lake / "_manifest.json").read_bytes()
    rows = {table: len(rows_of(lake, table)) for table in manifest_of(lake)["tables"]}
    for moment in ("inspect title.ratings", "load movies_delta", "load principals_delta", "build movies_with_ratings"):
        done = run_signalled(moment, "load", "--again", "--source", source, "--lake", lake)
        assert done.returncode == -signal.SIGKILL
        assert (lake / "_manifest.json").read_bytes() == before, moment
        assert {table: len(rows_of(lake, table)) for table in rows} == rows, moment
    for name in ("movies_delta/part-orphan.parquet", *DRAFTS, "notes.tmp"):
        (lake / name).write_bytes(b"left behind")
    assert run_etl("load", "--source", source, "--lake", lake).returncode == 0
    assert {table: len(rows_of(lake, table)) for table in rows} == rows
    assert not (lake / "movies_delta" / "part-orphan.parquet").exists()
    assert [name for name in DRAFTS if (lake / name).exists()] == []
    assert (lake / "notes.tmp").exists()  # somebody's own
    assert not (lake / "_work").exists()
    assert not (lake / "_loading.json").exists()


def test_a_first_load_that_is_killed_is_marked_and_the_next_one_finishes(sample: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    done = run_signalled("load principals_delta", "load", "--source", sample, "--lake", lake)
    assert done.returncode == -signal.SIGKILL
    assert (lake / "_loading.json").exists()
    assert not (lake / "_manifest.json").exists()
    assert run_etl("load", "--source", sample, "--lake", lake).returncode == 0
    assert not (lake / "_loading.json").exists()
    assert manifest_of(lake)["generation"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_load_ends_soon_and_cleans_up(number: signal.Signals, sample: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    done = run_signalled("load movies_delta", "load", "--source", sample, "--lake", lake, number=number)
    _assert_ended_by_interrupt(done, lake)


_DROPPED = {
    "by a finalizer": """
import signal
class Finalized:
    def __del__(self):
        signal.raise_signal({number:d})
def drop():
    Finalized()
""",
    "by a thread's end": """
import signal, threading
def fail():
    raise AttributeError("the interrupt left this half made")
def drop():
    try:
        signal.raise_signal({number:d})
    finally:
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
""",
    "by a bare except": """
import signal
def drop():
    try:
        signal.raise_signal({number:d})
    except:
        pass
""",
    "by an error in its place": """
import signal
def drop():
    try:
        signal.raise_signal({number:d})
    except KeyboardInterrupt:
        pass
    raise ValueError("the engine has ended by the same signal")
""",
}
_DROP = """
write_rejects = pipeline.LoadRun._write_rejects
def interrupted(run):
    drop()
    write_rejects(run)
pipeline.LoadRun._write_rejects = interrupted
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("dropped", _DROPPED)
def test_an_interrupt_that_python_or_a_library_drops_ends_the_load_all_the_same(
    dropped: str, number: signal.Signals, make_source: MakeSource, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    done = run_patched(f"{_DROPPED[dropped].format(number=number)}\n{_DROP}", "--source", make_source(), "--lake", lake)
    _assert_ended_by_interrupt(done, lake)
    assert not (lake / "_manifest.json").exists()


def _assert_ended_by_interrupt(done: subprocess.CompletedProcess[str], lake: Path) -> None:
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1].startswith("imdb-etl: interrupted.")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert not (lake / "_work").exists()
