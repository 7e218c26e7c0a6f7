"""`python -m bench.side_by_side` from end to end on a small lake, and the statements that DuckDB gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from bench.duckdb_server import list_changes, list_live_files, to_duckdb
from bench.summary import fit_growth
from etl.sample import write_sample
from lakehouse.manifest import read_manifest
from lakehouse.storage import Lake
from tests.conftest import ROOT

QUESTIONS = {
    "count": "SELECT count(*) AS titles FROM movies_delta",
    "no such column": "SELECT brightness FROM movies_delta",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    write_sample(folder / "source", titles=200, seed=1)
    command = [sys.executable, "-m", "etl.cli", "load", "--source", str(folder / "source"), "--lake"]
    subprocess.run([*command, str(folder / "lake")], check=True, capture_output=True, cwd=ROOT)
    return folder / "lake"


def test_the_server_and_the_raw_engine_answer_alike_and_a_failure_is_a_row(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps({"id": name, "sql": sql}) + "\n" for name, sql in QUESTIONS.items()))
    command = [sys.executable, "-m", "bench.side_by_side", "--questions", str(questions), "--out", str(out)]
    command += ["--lake", f"one={lake}", "--lake", f"two={lake}", "--runs", "1"]
    done = subprocess.run(
        [*command, "--contender", "server", "--contender", "raw"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "side_by_side.json").read_text())
    for measured in (each["found"] for each in report["lakes"]):
        assert {name: (each["row"], each["error"]) for name, each in measured["count"].items()} == {
            "server": ([200], None),
            "raw": ([200], None),
        }
        assert all("brightness" in each["error"] for each in measured["no such column"].values())
        assert measured["title"]["server"]["peak_bytes"] > 0
    assert "no such column" in done.stdout
    assert sorted(path.name for path in out.glob("*.png")) == [
        "bench-growth.png",
        "bench-questions-one.png",
        "bench-questions-two.png",
    ]


def test_duckdb_gets_the_files_of_the_versions_that_the_manifest_names(lake: Path) -> None:
    manifest = read_manifest(Lake.parse(str(lake)))
    assert manifest is not None
    for name, files in list_live_files(lake, manifest).items():
        rows = duckdb.sql(f"SELECT count(*) FROM read_parquet({files!r})").fetchall()
        assert rows == [(manifest.tables[name].rows,)], name


def test_the_words_that_are_rewritten_for_duckdb_are_named() -> None:
    sql = "SELECT startYear DIV 10 FROM movies_delta"
    assert "//" in to_duckdb(sql)
    assert list_changes(sql) == "DIV → //"
    assert list_changes("SELECT count(*) FROM movies_delta") == ""


def test_growth_is_one_where_time_grows_as_the_data_do() -> None:
    assert round(fit_growth([1, 3, 15], [10, 30, 150]), 6) == 1
    assert round(fit_growth([1, 3, 15], [10, 10, 10]), 6) == 0
