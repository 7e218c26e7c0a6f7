"""A load by a Spark cluster: a master and two workers, over Spark Connect, on folders that all of them read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connect_server import ConnectServer
from tests.etl.conftest import MakeSource, manifest_of, rejects_of, rows_of, run_etl
from tests.spark_cluster import spark_cluster


@pytest.fixture(scope="module")
def cluster(java: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ConnectServer, Path]]:
    folder = tmp_path_factory.mktemp("cluster")
    with spark_cluster(folder) as server:
        yield server, folder


def test_a_cluster_of_two_workers_loads_what_the_embedded_engine_loads(
    cluster: tuple[ConnectServer, Path], make_source: MakeSource, tmp_path: Path
) -> None:
    server, folder = cluster
    odd = [f"tt{number:07}\t{'bad' if number % 50 == 0 else '5.5'}\t{number}" for number in range(1, 400)]
    source = make_source(title_ratings=odd)
    percent = {"IMDB_MAX_REJECT_PERCENT": "5"}
    remote = {"IMDB_ENGINE": "spark", "SPARK_REMOTE": server.url}
    done = run_etl("load", "--source", source, "--lake", tmp_path / "lake", **remote, **percent)
    assert done.returncode == 0, done.stderr
    assert run_etl("load", "--source", source, "--lake", tmp_path / "plain", **percent).returncode == 0
    found, expected = manifest_of(tmp_path / "lake"), manifest_of(tmp_path / "plain")
    assert (found["engine"], found["generation"]) == ("connect", 1)
    assert set(found["tables"]) == set(expected["tables"])
    for table in expected["tables"]:
        assert rows_of(tmp_path / "lake", table) == rows_of(tmp_path / "plain", table), table
        assert found["tables"][table]["columns"] == expected["tables"][table]["columns"]
    assert len(rejects_of(tmp_path / "lake")) == len(rejects_of(tmp_path / "plain")) == 7
    executors = {path.parent.parent.parent.name for path in folder.glob("worker-*/app-*/*/stderr")}
    assert executors == {"worker-0", "worker-1"}


def test_a_cluster_that_does_not_read_this_machines_folders_is_one_sentence(
    cluster: tuple[ConnectServer, Path], make_source: MakeSource, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    load = f"mount -t tmpfs tmpfs {lake} && exec {sys.executable} -W ignore -m etl.cli load --source $0 --lake {lake}"
    environment = os.environ | {"IMDB_ENGINE": "spark", "SPARK_REMOTE": cluster[0].url}
    command = ["unshare", "--mount", "sh", "-c", load, str(make_source())]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if "imdb-etl: " not in done.stderr:
        pytest.skip("needs the right to mount a folder that others do not see")
    assert done.returncode == 2
    assert f"The Spark that loads does not read {lake}/_work of this machine." in done.stderr
    assert list(lake.iterdir()) == []


def test_a_server_that_is_not_there_is_one_sentence(make_source: MakeSource, tmp_path: Path) -> None:
    done = run_etl("load", "--source", make_source(), "--lake", tmp_path / "lake", IMDB_ENGINE="spark",
                   SPARK_REMOTE="sc://127.0.0.1:9")  # fmt: skip
    assert done.returncode == 1
    assert "The Spark that loads cannot be reached" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "lake" / "_manifest.json").exists()
