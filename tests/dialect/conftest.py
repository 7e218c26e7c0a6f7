"""A sample lake of 1,000 titles, the embedded engine on it, and Spark or what it has answered before."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lakehouse.settings import load_settings
from lakehouse.storage import Lake
from mcp_server import guard
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.engines.local import LocalEngine
from mcp_server.engines.spark import SparkEngine
from mcp_server.models import CheckedQuery, Principal
from mcp_server.query import catalog_of, limits_of
from tests.conftest import ASKED, skip_without_java
from tests.etl.conftest import run_etl
from tests.expected import Answer, Ask, Mode, Record, digest_files

KINDS: Mapping[str, type[LocalEngine]] = {"embedded": EmbeddedEngine, "spark": SparkEngine}
MAX_ROWS = 10_000


@pytest.fixture(scope="session")
def sample_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dialect") / "files"
    done = run_etl("sample", "--titles", "1000", "--seed", "7", "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def sample_lake(sample_files: Path) -> Lake:
    lake = sample_files.parent / "lake"
    done = run_etl("load", "--source", sample_files, "--lake", lake)
    assert done.returncode == 0, done.stderr
    return Lake.parse(str(lake))


def _values(column: Any) -> list[Any]:
    """The cells of a column; dates and texts that Python has none of as the numbers and bytes that they are."""
    import pyarrow as pa

    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, UnicodeDecodeError):
        plain = {pa.date32(): pa.int32(), pa.string(): pa.binary()}.get(column.type, pa.int64())
        values = column.cast(plain).to_pylist()
    return values


def open_asker(kind: str, lake: Lake, state: Path, record: Record | None = None) -> Iterator[Ask]:
    """Checks a statement for an engine as the server does, the engine's own reading included, and runs it.

    With a record the engine is only asked what the record lacks: it is looked up by the text that would run.
    """
    settings = load_settings(engine=kind, state_dir=state, max_rows=MAX_ROWS)
    engine = KINDS[kind](lake, settings)
    catalog = catalog_of(engine, engine.tables())

    def check(sql: str, query_id: str | None) -> CheckedQuery:
        """Without the engine's own reading where there is no id."""
        checked = guard.check(
            sql,
            catalog=catalog,
            limits=limits_of(settings),
            principal=Principal("tester"),
            read=query_id and (lambda sql, tables, stage: engine.read(sql, tables, stage, query_id)),
        )
        assert isinstance(checked, CheckedQuery)
        return checked

    def run(sql: str) -> Answer:
        if kind == "spark":
            skip_without_java()
        query_id = uuid.uuid4().hex
        checked = check(sql, query_id)
        found = engine.execute(checked, query_id)
        columns = zip(found.table.column_names, found.types, strict=True)
        rows = zip(*map(_values, found.table.columns), strict=True)
        return Answer(tuple(columns), tuple(rows), checked.caveats)

    def ask(sql: str) -> Answer:
        return run(sql) if record is None else record.answer(check(sql, None).sql, lambda: run(sql))

    yield ask
    engine.close()


@pytest.fixture(scope="session")
def embedded(sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    yield from open_asker("embedded", sample_lake, tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def recorded(sample_files: Path, pytestconfig: pytest.Config) -> Iterator[Record]:
    """What Spark has answered over this lake."""
    mode = Mode(pytestconfig.getoption("spark"))
    record = Record("dialect", digest_files(sample_files), mode)
    yield record
    pytestconfig.stash[ASKED] |= record.asked
    if mode is Mode.RECORD:
        record.write()


@pytest.fixture(scope="session")
def spark(recorded: Record, sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Spark's answers: recorded, or of Spark itself, which starts with the first statement that is not recorded."""
    yield from open_asker("spark", sample_lake, tmp_path_factory.mktemp("state"), recorded)
