"""A small lake with two versions of a table, and one started engine of each kind for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakehouse.manifest import Column, Manifest, TableEntry, publish_manifest
from lakehouse.storage import Lake
from mcp_server.engines import Engine
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.engines.local import LocalEngine
from mcp_server.engines.spark import SparkEngine
from mcp_server.models import GUARD_SEAL, CheckedQuery, Principal, RowLimit
from mcp_server.settings import Settings, load_settings
from tests.engines.toy_engine import ToyEngine

if TYPE_CHECKING:
    from tests.connect_server import ConnectServer
    from tests.engines.served import ServedEngine
    from tests.engines.warehouse import WarehouseEngine

Query = Callable[..., CheckedQuery]
ENGINES: Mapping[str, type[LocalEngine]] = {"embedded": EmbeddedEngine, "spark": SparkEngine}
"""Those whose processes are ours."""

SERVERS: Mapping[str, str] = {"connect": "connect_engine", "databricks": "warehouse_engine"}
"""Those that talk to a server of others, and the fixture that has one of it."""

every_engine = pytest.mark.parametrize("engine", [*ENGINES, *SERVERS, "toy"], indirect=True)
"""For a test of the contract itself: the toy that shows how an engine is added keeps it too (docs/new-engine.md)."""

of_our_own = pytest.mark.parametrize("engine", list(ENGINES), indirect=True)
"""For a test of what only an engine on this machine has: a process, a fence, readings, files to look at."""


def gap(engine: str, reason: str, raises: type[BaseException] = AssertionError) -> pytest.MarkDecorator:
    """Declares what an engine does not keep of the contract: the test has to fail there, and in this way."""
    return pytest.mark.gap(engine=engine, reason=reason, raises=raises)


FILMS_AT_FIRST = pa.table({"id": pa.array([1, 2, 3], pa.int32()), "title": ["Alpha", "Beta", "Gamma"]})
FILMS = pa.table(
    {
        "id": pa.array([1, 2, 3, 4, 5], pa.int32()),
        "title": ["Alpha", "Beta", 'A "quoted" one', "日本", None],
        "rating": [7.5, 8.0, None, 9.1, 2.25],
        "genres": pa.array([["Drama"], ["Drama", "News"], [], None, ["Comedy"]], pa.list_(pa.string())),
    }
)
KINDS = pa.table(
    {
        "tiny": pa.array([-128, None], pa.int8()),
        "small": pa.array([32767, None], pa.int16()),
        "whole": pa.array([-(2**31), None], pa.int32()),
        "long": pa.array([2**63 - 1, None], pa.int64()),
        "single": pa.array([1.5, None], pa.float32()),
        "number": pa.array([float("nan"), None], pa.float64()),
        "exact": pa.array([Decimal("-99999999999999999999999999.0123456789"), None], pa.decimal128(38, 10)),
        "yes": pa.array([True, None], pa.bool_()),
        "words": pa.array(["x" * 5000 + "\u0000é🎬", None], pa.string()),
        "raw": pa.array([b"\xff\x00\x01", None], pa.binary()),
        "day": pa.array([date(1, 1, 1), None], pa.date32()),
        "moment": pa.array([datetime(9999, 12, 31, 23, 59, 59, 999999, UTC), None], pa.timestamp("us", "UTC")),
        "wall": pa.array([datetime(1970, 1, 1, 0, 0, 0, 1), None], pa.timestamp("us")),  # noqa: DTZ001  (no zone)
        "list": pa.array([[1, None], None], pa.list_(pa.int32())),
        "pairs": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int32())),
        "nested": pa.array([{"a": 1, "b": {"c": ["d"]}}, None],
                           pa.struct([("a", pa.int32()), ("b", pa.struct([("c", pa.list_(pa.string()))]))])),
    }
)  # fmt: skip
KIND_TYPES = (
    "tinyint", "smallint", "int", "bigint", "float", "double", "decimal(38,10)", "boolean", "string", "binary",
    "date", "timestamp", "timestamp_ntz", "array<int>", "map<string,int>", "struct<a:int,b:struct<c:array<string>>>",
)  # fmt: skip

FIRST_VERSIONS_AGE = timedelta(hours=2)


def write_lake(folder: Path) -> Lake:
    """Films in two versions and a table of all types, published as one generation."""
    write_deltalake(str(folder / "films"), FILMS_AT_FIRST)
    then = (datetime.now(UTC) - FIRST_VERSIONS_AGE).timestamp()
    os.utime(
        folder / "films" / "_delta_log" / "00000000000000000000.json", (then, then)
    )  # a commit is as old as its file
    write_deltalake(str(folder / "films"), FILMS, mode="overwrite", schema_mode="overwrite")
    write_deltalake(str(folder / "kinds"), KINDS)
    many = pa.table({"id": pa.array(range(300_000), pa.int64()), "word": [f"word number {i}" for i in range(300_000)]})
    write_deltalake(str(folder / "many"), many)
    lake = Lake.parse(str(folder))
    publish(lake, 1, films=1)
    return lake


def publish(lake: Lake, generation: int, films: int) -> None:
    """Publish the lake with the given version of `films`."""
    of_kinds = [Column(name=name, type=kind) for name, kind in zip(KINDS.column_names, KIND_TYPES, strict=True)]
    described = {
        "films": (films, FILMS.num_rows, [Column(name="id", type="int", comment="Number of the film.")]),
        "kinds": (0, KINDS.num_rows, of_kinds),
        "many": (0, 300_000, [Column(name="id", type="bigint"), Column(name="word", type="string")]),
    }
    tables = {
        name: TableEntry(path=name, version=version, rows=rows, bytes=1, files=1, kind="table", columns=tuple(columns))
        for name, (version, rows, columns) in described.items()
    }
    publish_manifest(
        lake,
        Manifest(generation=generation, created_at=datetime.now(UTC), engine="test", tables=tables),
    )


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    # A space, a quote and a letter beyond ASCII: all of them reach CREATE TABLE … LOCATION.
    return write_lake(tmp_path_factory.mktemp("lake") / "films' läke")


@pytest.fixture(scope="session")
def query() -> Query:
    """Makes the CheckedQuery that the guard would make."""

    def make(sql: str, *tables: str, limit: int = 100, deadline: float = 120.0) -> CheckedQuery:
        # Spark on a busy machine takes its time, so only tests of the deadline set one.
        who = Principal("tester")
        most = RowLimit(limit)
        return CheckedQuery(sql, sql, frozenset(tables), frozenset(), most, deadline, who, {}, (), GUARD_SEAL)

    return make


@pytest.fixture(scope="session")
def settings_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    """Settings with a state folder of the test run's own."""
    state = tmp_path_factory.mktemp("state")

    def make(**changes: object) -> Settings:
        return load_settings(**({"state_dir": state} | changes))

    return make


@pytest.fixture(scope="session", params=[*ENGINES, *SERVERS])
def engine(request: pytest.FixtureRequest, lake: Lake, settings_of: Callable[..., Settings]) -> Iterator[Engine]:
    """Each engine in turn, started once for all tests; Spark's only where there is Java."""
    if request.param in SERVERS:
        yield request.getfixturevalue(SERVERS[request.param])
        return
    if request.param == "toy":
        with closing(ToyEngine(lake, settings_of())) as toy:
            yield toy
        return
    if request.param == "spark":
        request.getfixturevalue("java")
    made = ENGINES[request.param](lake, settings_of(engine=request.param))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def declared_gaps(request: pytest.FixtureRequest) -> None:
    """Expects the failures that `gap` declares for the engine of this test."""
    engine = request.node.callspec.params.get("engine") if hasattr(request.node, "callspec") else None
    for mark in request.node.iter_markers("gap"):
        if mark.kwargs["engine"] == engine:
            declared = {name: mark.kwargs[name] for name in ("reason", "raises")}
            request.applymarker(pytest.mark.xfail(strict=True, **declared))


@pytest.fixture(scope="session")
def connect_engine(
    java: None, lake: Lake, tmp_path_factory: pytest.TempPathFactory, settings_of: Callable[..., Settings]
) -> Iterator[ServedEngine]:
    """The connect engine, over a server of its own: it registers the lake there, and tests kill it."""
    from tests.connect_server import ConnectServer
    from tests.engines.served import ServedEngine

    server = ConnectServer(tmp_path_factory.mktemp("served"))
    server.start()
    made = ServedEngine(server, lake, settings_of)
    yield made
    made.close()
    server.kill()


@pytest.fixture(scope="session")
def warehouse_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the local warehouse's tables: a lake of its own, because its tables get comments."""
    folder = tmp_path_factory.mktemp("warehouse") / "films' läke"
    write_lake(folder)
    return folder


@pytest.fixture(scope="session")
def warehouse_engine(
    connect_server: ConnectServer, warehouse_folder: Path, settings_of: Callable[..., Settings]
) -> Iterator[WarehouseEngine]:
    """The databricks engine over the local warehouse."""
    from tests.engines.warehouse import WarehouseEngine, make_tables

    make_tables(connect_server, warehouse_folder)
    made = WarehouseEngine(connect_server, settings_of)
    yield made
    made.close()


@pytest.fixture
def remote_lake(bucket: str) -> Lake:
    """A table of films, published."""
    write_deltalake(f"{bucket}/films", FILMS)
    lake = Lake.parse(bucket)
    entry = TableEntry(
        path="films", version=0, rows=5, bytes=1, files=1, kind="table", columns=(Column(name="id", type="int"),)
    )
    publish_manifest(lake, Manifest(generation=1, created_at=datetime.now(UTC), engine="test", tables={"films": entry}))
    return lake


@pytest.fixture
def embedded(lake: Lake, settings_of: Callable[..., Settings]) -> Iterator[Callable[..., LocalEngine]]:
    """Makes embedded engines of a test's own, and ends them."""
    made: list[LocalEngine] = []

    def make(at: Lake = lake, **changes: object) -> LocalEngine:
        made.append(EmbeddedEngine(at, settings_of(**changes)))
        return made[-1]

    yield make
    for engine in made:
        engine.close()
