"""Small sources in IMDb's format, and lakes made of them."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from etl.datasets import DATASETS
from tests.conftest import spark_is_as_users_have_it
from tests.warm import end_spark, run_alone, run_forked, run_on_spark

HEADERS = {dataset.file: "\t".join(dataset.header) for dataset in DATASETS}

# Invented rows that have in common with IMDb's what breaks naive readers.
AWKWARD: dict[str, list[str]] = {
    "title.ratings": ["tt0000001\t10.0\t2507134", "tt0000002\t1.0\t5", "tt0000003\t7.3\t1204", "tt7777777\t5.5\t9"],
    "title.basics": [
        'tt0000001\ttvEpisode\t"Rolling the Deep\t"Rolling the Deep\t0\t2019\t\\N\t\\N\tReality-TV',
        'tt0000002\tmovie\t"Gilliam"\t"Gilliam"\t1\t1975\t\\N\t137\tCrime,Drama',
        "tt0000003\tmovie\tTrue\tTrue\t0\t\\N\t\\N\t\\N\t\\N",
        "tt0000004\tmovie\t12.10\t12.10\t0\t1919\t1920\t1428\tShort",
        "tt0000005\tmovie\tWho #$&% '?'\\ Is; M, é\tLa lune à un mètre\t0\t1892\t\\N\t3\tComedy,Fantasy",
        f"tt10000006\ttvEpisode\t{'x' * 400}\tカルメン\t0\t2027\t\\N\t\\N\tNews",
    ],
    "name.basics": [
        'nm0000001\tStephen "Dr" Lave\t\\N\t\\N\tproducer,actor\ttt0000002,tt0000003',
        "nm0000002\t'El Gisa'\t525\t456\t\\N\t\\N",
        "nm10000003\tЖанна Ø\t1564\t\\N\t\tt\\N".replace("\tt\\N", "\t\\N"),
    ],
    "title.principals": [
        'tt0000002\t1\tnm0000001\tactor\t\\N\t["Ben (segment \\"The Waiter\\")"]',
        'tt0000002\t2\tnm0000002\tactor\t\\N\t["The D\'Acoyne: Duke","The Banker, seated","Caf\\u00e9 [x]"]',
        'tt0000002\t3\tnm0000001\twriter\tnovels "A Wizard", "B" and "C"\t\\N',
        "tt0000003\t1\tnm10000003\tself\t\\N\t[]",
        'tt0000003\t2\tnm10000003\tself\t\\N\t[ "\\ud83d\\ude00 \\\\" ,"", "b"]',
        "tt0000003\t3\tnm10000003\tself\t\\N\t[" + ",".join(f'"\\"{i}\\""' for i in range(20_000)) + "]",
        "tt9999999\t1\tnm0000001\tdirector\t\\N\t\\N",
        "tt9999999\t2\tnm9999999\tdirector\t\\N\t\\N",
    ],
    "title.crew": ["tt0000002\tnm0000001,nm0000002\t\\N"],
    "title.akas": ["tt0000002\t5\tThe Hick\tXEU\t\\N\t\\N\treissue title\x02recut version\t0"],
    "title.episode": ["tt0000001\ttt32857063\t\\N\t\\N", "tt10000006\ttt0000004\t1994\t0"],
}


SMALL_FILES = (
    "-Dspark.sql.files.maxRecordsPerFile=1500 "
    "-Dspark.databricks.delta.optimize.maxFileSize=30000 -Dspark.databricks.delta.optimize.minFileSize=30000"
)
"""Options of Spark's JVM: a load writes several files, and OPTIMIZE makes files of some 30 kB of them."""


@pytest.fixture(scope="package", autouse=True)
def _no_spark_afterwards() -> Iterator[None]:
    """Nobody else needs the memory of the Java that loads share."""
    yield
    end_spark()


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An invented data set of 4,000 titles."""
    folder = tmp_path_factory.mktemp("sample")
    done = run_etl("sample", "--out", folder, "--titles", 4000, "--seed", 5)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def embedded_sample_lake(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _load(sample, tmp_path_factory.mktemp("embedded") / "lake", "embedded")


@pytest.fixture(scope="session")
def nothing_declared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables for a load that neither indexes nor counts what lake.toml declares: Spark takes long for it."""
    folder = tmp_path_factory.mktemp("nothing-declared")
    (folder / "lake.toml").write_text("")
    return {"IMDB_CONTEXT_DIR": str(folder)}


@pytest.fixture(scope="session")
def spark_sample_lake(
    java: None, sample: Path, nothing_declared: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Tables of several files, as large ones have."""
    import os

    more = nothing_declared | {"SPARK_SUBMIT_OPTS": f"{os.environ.get('SPARK_SUBMIT_OPTS', '')} {SMALL_FILES}"}
    return _load(sample, tmp_path_factory.mktemp("spark") / "lake", "spark", **more)


def _load(source: Path, lake: Path, engine: str, **environment: str) -> Path:
    done = run_etl("load", "--source", source, "--lake", lake, "--engine", engine, **environment)
    assert done.returncode == 0, done.stderr
    return lake


MakeSource = Callable[..., Path]


@pytest.fixture
def make_source(tmp_path: Path) -> MakeSource:
    """Writes a source folder. A file given as bytes is written as it is, None leaves it out."""

    def make(name: str = "source", **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, rows in AWKWARD.items():
            content = changes.get(file.replace(".", "_"), rows)
            if content is None:
                continue
            if isinstance(content, bytes):
                (folder / f"{file}.tsv").write_bytes(content)
                continue
            text = "\n".join([HEADERS[file], *content]) + "\n"
            (folder / f"{file}.tsv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
        return folder

    return make


def run_etl(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `imdb-etl` as a person would: `tests/warm.py` says what it is spared. With --spark=live it starts Spark."""
    import os

    words = list(map(str, arguments))
    run = run_forked
    if "spark" in words:
        run = run_alone if spark_is_as_users_have_it() else run_on_spark
    return run(words, os.environ | environment)


def run_patched(change: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `imdb-etl load` with a statement before it that changes `pipeline`."""
    import os

    return run_forked(["load", *map(str, arguments)], os.environ, f"import etl.pipeline as pipeline\n{change}")


def run_signalled(
    moment: str, *arguments: object, number: signal.Signals = signal.SIGKILL
) -> subprocess.CompletedProcess[str]:
    """Run `imdb-etl`, which sends itself a signal when it says a line that begins with `moment`.

    A test that reads the line and sends the signal may come too late on a machine that is busy.
    """
    import os

    change = (
        "import os\nfrom etl.progress import ProgressReporter\nprint_line = ProgressReporter.print_line\n"
        "def stop_at(reporter, line):\n"
        "    print_line(reporter, line)\n"
        f"    line.startswith({moment!r}) and os.kill(os.getpid(), {number:d})\n"
        "ProgressReporter.print_line = stop_at"
    )
    done = run_forked(list(map(str, arguments)), os.environ, change)
    assert any(line.startswith(moment) for line in done.stderr.splitlines()), done.stderr
    return done


def notes_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The findings below the summary of a load."""
    return done.stdout.rpartition("┘")[2].split("\n")[1:-1]


def manifest_of(lake: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((lake / "_manifest.json").read_text())
    return content


def rows_of(lake: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table at the version that the manifest names, in a stable order."""
    entry = manifest_of(lake)["tables"][table]
    rows = DeltaTable(str(lake / entry["path"]), version=entry["version"]).to_pyarrow_table().to_pylist()
    return sorted(rows, key=lambda row: json.dumps(row, default=str))


def rejects_of(lake: Path) -> list[dict[str, Any]]:
    rows = DeltaTable(str(lake / "rejects")).to_pyarrow_table().to_pylist()
    return sorted(rows, key=lambda row: (row["file"], row["raw"]))
