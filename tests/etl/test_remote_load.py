"""Loads into object storage."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from etl.lease import LEASE_NAME, Lease, hold_lease
from lakehouse.errors import LakeError
from lakehouse.foreign import describe_foreign
from lakehouse.manifest import MANIFEST_NAME, Manifest, publish_manifest
from lakehouse.storage import Lake
from tests.etl.conftest import MakeSource, run_etl
from tests.openai_server import serving
from tests.ports import free_port, listening_sockets


@pytest.fixture(params=["bucket", "signed_bucket", "container"])
def storage(request: pytest.FixtureRequest) -> str:
    """The URL of a folder of the test's own, in S3's storage and in Azure's."""
    url: str = request.getfixturevalue(request.param)
    return url


def test_of_two_first_loads_at_once_one_is_published(storage: str, make_source: MakeSource) -> None:
    load = [sys.executable, "-W", "ignore", "-m", "etl.cli", "load"]
    command = [*load, "--source", str(make_source()), "--lake", storage]
    with ThreadPoolExecutor() as pool:
        states = (f"{os.environ['IMDB_STATE_DIR']}-{machine}" for machine in range(2))  # as two machines have
        done = list(
            pool.map(
                lambda state: subprocess.run(
                    command, capture_output=True, text=True, env=os.environ | {"IMDB_STATE_DIR": state}, check=False
                ),
                states,
            )
        )
    assert sorted(each.returncode for each in done) == [0, 1], [each.stderr[-300:] for each in done]
    assert any("imdb-etl: Another load into" in each.stderr for each in done)
    manifest = json.loads(Lake.parse(storage).read_file(MANIFEST_NAME) or b"")
    assert manifest["generation"] == 1
    assert {entry["version"] for entry in manifest["tables"].values()} <= {1, 2}
    assert DeltaTable(f"{storage}/movies_delta").version() == manifest["tables"]["movies_delta"]["version"]
    assert Lake.parse(storage).read_file(LEASE_NAME) is None


def test_of_two_manifests_of_one_generation_one_is_published(storage: str) -> None:
    lake, start = Lake.parse(storage), threading.Barrier(8)

    def publish(engine: int) -> str:
        manifest = Manifest(generation=1, created_at=datetime.now(UTC), engine=str(engine), tables={})
        start.wait()
        try:
            publish_manifest(lake, manifest)
        except LakeError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(8) as pool:
        said = sorted(pool.map(publish, range(8)))
    assert said[0] == ""
    assert all("was published while this one ran" in each for each in said[1:])


def test_a_lease_is_held_by_one_and_taken_where_its_holder_has_ended(storage: str) -> None:
    lake = Lake.parse(storage)
    with hold_lease(lake, beat=0.2, patience=2) as lease:
        with pytest.raises(LakeError, match="is running"), hold_lease(lake, beat=0.2, patience=2):
            pass
        lease.check_held()
    lake.replace_file(LEASE_NAME, b"left behind by a load that was killed")
    with hold_lease(lake, beat=0.2, patience=1) as lease:
        lake.replace_file(LEASE_NAME, b"taken by another")
        with pytest.raises(LakeError, match="lost its hold"):
            _check_for_seconds(lease)
    assert lake.read_file(LEASE_NAME) == b"taken by another"


def _check_for_seconds(lease: Lease) -> None:
    for _ in range(100):
        threading.Event().wait(0.1)
        lease.check_held()


def test_a_load_into_somebody_elses_folder_of_storage_is_refused(storage: str, make_source: MakeSource) -> None:
    write_deltalake(f"{storage}/orders", pa.table({"x": [1]}))
    done = run_etl("load", "--source", make_source(), "--lake", storage)
    assert done.returncode == 1
    assert "holds tables that imdb-etl did not load (orders)" in done.stderr
    assert Lake.parse(storage).objects.list_folders() == ["orders"]


def test_what_lies_in_storage_is_said(storage: str) -> None:
    write_deltalake(f"{storage}/sales/orders", pa.table({"x": [1]}))
    assert "There is no lake at" in describe_foreign(Lake.parse(f"{storage}/nothing"))
    assert "is a Delta table, not a lake of tables" in describe_foreign(Lake.parse(f"{storage}/sales/orders"))
    Lake.parse(f"{storage}/notes").replace_file("of/last_year.md", b"")
    assert "nothing in it is a folder with a Delta table" in describe_foreign(Lake.parse(f"{storage}/notes"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs network namespaces, which are Linux's")
@pytest.mark.parametrize("remote", [False, True])
def test_nobody_else_reaches_the_engine_of_a_load(
    remote: bool, bucket: str, make_source: MakeSource, tmp_path: Path
) -> None:
    lake = bucket if remote else str(tmp_path / "lake")
    load = [sys.executable, "-W", "ignore", "-m", "etl.cli", "load", "--source", str(make_source()), "--lake", lake]
    networks, code = _watch_networks(load, os.environ | {"IMDB_ENGINE_ISOLATION": "required"})
    assert (len(networks), code) == (1, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs network namespaces, which are Linux's")
@pytest.mark.parametrize("remote", [False, True])
def test_a_batch_of_ai_calls_reaches_its_provider_and_its_webhook_and_nobody_reaches_its_engine(
    remote: bool, bucket: str, make_source: MakeSource, tmp_path: Path
) -> None:
    lake = bucket if remote else str(tmp_path / "lake")
    assert run_etl("load", "--source", make_source(), "--lake", lake).returncode == 0
    with serving() as provider, closing(socket.create_server(("127.0.0.1", 0))) as webhook:
        environment = os.environ | {
            "IMDB_ENGINE_ISOLATION": "required", "OPENAI_BASE_URL": provider.url, "IMDB_AI_INPUT_PRICE": "0.40",
            "IMDB_AI_OUTPUT_PRICE": "1.60", "IMDB_AI_WEBHOOK": f"http://127.0.0.1:{webhook.getsockname()[1]}/alert",
            "IMDB_STATE_DIR": str(tmp_path / "state"), "IMDB_AI_DAY_BUDGET": "0.0012",
        }  # fmt: skip
        enrich = [sys.executable, "-W", "ignore", "-m", "etl.cli", "enrich", "ai_movie_summary", "--lake", lake]
        select = ("--select", "SELECT tconst FROM movies_delta")
        networks, code = _watch_networks([*enrich, *select, "--dollars", "1"], environment)
        webhook.settimeout(10)
        told, _ = webhook.accept()
        with told:
            assert told.recv(4096).startswith(b"POST /alert HTTP/1.1\r\n")
    assert (len(networks), code) == (1, 0)
    assert provider.calls


def test_a_provider_that_no_tunnel_leads_to_has_charged_nothing(make_source: MakeSource, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    assert run_etl("load", "--source", make_source(), "--lake", lake).returncode == 0
    url = f"https://127.0.0.1:{free_port()}/v1"
    select = ("--select", "SELECT tconst FROM movies_delta LIMIT 1")
    done = run_etl("enrich", "ai_movie_summary", "--lake", lake, *select, "--dollars", 1, OPENAI_BASE_URL=url,
                   IMDB_AI_INPUT_PRICE="0.40", IMDB_AI_OUTPUT_PRICE="1.60",
                   IMDB_STATE_DIR=str(tmp_path / "state"))  # fmt: skip
    assert "cannot be reached (ProxyError).. Cost: $0.00." in done.stderr


def _watch_networks(command: list[str], environment: dict[str, str]) -> tuple[set[str], int]:
    """The networks of its own that a program is seen in, with the ports that it opened before; and its exit code."""
    ours, seen = os.readlink("/proc/self/ns/net"), set()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            with suppress(OSError):
                network = os.readlink(f"/proc/{child.pid}/ns/net")
                seen |= _listening_ports(child.pid) if network == ours else {network}
            threading.Event().wait(0.02)
        return seen, child.returncode


def _listening_ports(process: int) -> set[str]:
    """The sockets of a process that listen for TCP."""
    listening = {f"socket:[{inode}]" for inode in listening_sockets("self")}
    files = Path(f"/proc/{process}/fd")
    return {os.readlink(file) for file in files.iterdir()} & listening


def test_spark_of_this_machine_loads_into_folders_alone(bucket: str, make_source: MakeSource) -> None:
    done = run_etl("load", "--source", make_source(), "--lake", bucket, IMDB_ENGINE="spark")
    assert done.returncode == 2
    assert "no client for object storage. Use --engine embedded" in done.stderr
