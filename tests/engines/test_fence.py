"""What an engine cannot do even with a statement that no guard has read."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from lakehouse.errors import QueryError
from lakehouse.session import delta_jars
from lakehouse.storage import Lake
from mcp_server.engines.local import LocalEngine
from mcp_server.engines.worker import fence
from tests.engines.conftest import Query, of_our_own, write_lake

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Landlock, which is Linux's")

Embedded = Callable[..., LocalEngine]


def _state(folder: Path) -> dict[str, str]:
    """Every file of a lake and what is in it."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _try(engine: LocalEngine, query: Query, sql: str, *tables: str) -> str:
    """What the engine said, empty where it did as it was told."""
    try:
        engine.execute(query(sql, *tables), uuid.uuid4().hex)
    except QueryError as error:
        return str(error)
    return ""


@of_our_own
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO imdb.films SELECT * FROM imdb.films",
        "INSERT OVERWRITE imdb.films SELECT * FROM imdb.films LIMIT 1",
        "DELETE FROM imdb.films WHERE id > 0",
        "UPDATE imdb.films SET title = 'x'",
        "MERGE INTO imdb.films f USING imdb.films s ON f.id = s.id WHEN MATCHED THEN DELETE",
        "CREATE TABLE imdb.copied USING delta LOCATION '{outside}' AS SELECT 1 AS a",
        "INSERT OVERWRITE DIRECTORY '{outside}' USING parquet SELECT 1 AS a",
        "ALTER TABLE imdb.films SET TBLPROPERTIES ('a' = 'b')",
    ],
)
def test_nothing_can_be_written(engine: LocalEngine, lake: Lake, query: Query, tmp_path: Path, sql: str) -> None:
    assert lake.directory is not None
    before, outside = _state(lake.directory), tmp_path / "outside"

    said = _try(engine, query, sql.format(outside=outside), "films")

    assert said
    assert _state(lake.directory) == before
    assert not any(tmp_path.iterdir())


def test_the_embedded_engine_reads_no_file_outside_its_lake(embedded: Embedded, query: Query, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("a marker in a file\n")
    paths = [str(secret), "/etc/passwd", f"/proc/{os.getpid()}/environ", str(Path.home()), str(tmp_path.parent)]
    fenced, free = embedded(), embedded(engine_isolation="off")

    for path in paths:
        said = _try(fenced, query, f"SELECT * FROM text.`{path}`")
        assert "denied" in said, path
        assert "marker" not in said
    assert _try(free, query, f"SELECT * FROM text.`{secret}`") == ""  # it is the fence that stops it


@of_our_own
def test_an_engine_has_a_network_of_its_own(engine: LocalEngine, query: Query) -> None:
    fetched = bool(delta_jars())
    assert _try(engine, query, "SELECT 1") == ""
    if engine.name == "spark" and not fetched:
        pytest.skip("this was Spark's first start, which fetches its jars")

    assert os.readlink(f"/proc/{engine.process_id}/ns/net") != os.readlink("/proc/self/ns/net")


def test_only_the_thread_that_writes_pinned_logs_may_write_them(lake: Lake, tmp_path: Path) -> None:
    """In a process of its own, because nothing gives rights back."""
    program = """
import json, sys, threading
from mcp_server.engines.worker.confinement import open_logs
settings = json.loads(sys.argv[1])
hold, temporary = open_logs(settings)
def attempt(path):
    try:
        open(path, "w").close()
        return "written"
    except PermissionError:
        return "denied"
with hold("SELECT 1 FROM imdb.films VERSION AS OF 0", {"films": settings["lake"] + "/films"}) as held:
    log = held.tables["films"] + "/_delta_log"
    said = [attempt(f"{log}/{1:020}.json")]
    late = threading.Thread(target=lambda: said.append(attempt(held.tables["films"] + "/data/x.parquet")))
    late.start()
    late.join()
    print(said + [attempt(temporary + "/x")])
"""
    settings = {
        "kind": "embedded",
        "lake": lake.address,
        "work_dir": str(tmp_path / "work"),
        "files": {"readable": [lake.address], "writable": [], "required": False},
    }
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(settings)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "['denied', 'denied', 'written']", done.stderr


def test_a_lake_reached_by_a_link_is_read(embedded: Embedded, query: Query, tmp_path: Path) -> None:
    write_lake(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")

    engine = embedded(Lake.parse(str(tmp_path / "link")))

    assert _try(engine, query, "SELECT * FROM imdb.films", "films") == ""


def test_a_table_on_another_disk_is_read_through_its_link(embedded: Embedded, query: Query, tmp_path: Path) -> None:
    write_lake(tmp_path / "lake")
    (tmp_path / "lake" / "films").rename(tmp_path / "elsewhere")
    (tmp_path / "lake" / "films").symlink_to(tmp_path / "elsewhere")

    engine = embedded(Lake.parse(str(tmp_path / "lake")))

    assert _try(engine, query, "SELECT * FROM imdb.films", "films") == ""


def test_where_there_is_no_landlock_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence.sys, "platform", "darwin")

    assert "no Landlock" in (fence.limit_files(None, []) or "")
