"""A sample lake of 1,000 titles, the embedded engine on it, and Spark or what it has answered before."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import QueryFailed
from lakehouse.storage import Lake
from mcp_server import checking
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.engines.local import LocalEngine
from mcp_server.engines.spark import SparkEngine
from mcp_server.models import CheckedQuery, Principal
from mcp_server.settings import load_settings
from mcp_server.terms import catalog_of, limits_of
from tests.conftest import ASKED, skip_without_java
from tests.etl.conftest import run_etl
from tests.expected import Answer, Mode, Record, digest_files
from tests.guard.conftest import SETTINGS, TABLES

KINDS: Mapping[str, type[LocalEngine]] = {"embedded": EmbeddedEngine, "spark": SparkEngine}
MAX_ROWS = 10_000

BOUNDS = {"startyear": (1874, 2031), "endyear": (1927, 2031), "numvotes": (5, 3_000_000)}

Check = Callable[[str], CheckedQuery]


@pytest.fixture(scope="package")
def check() -> Check:
    """The guard for the embedded engine, without pins."""
    typed = tuple(replace(table, nan_free=True) for table in TABLES)
    return functools.partial(
        checking.check, **{**SETTINGS, "catalog": checking.Catalog("imdb", typed, {}, "sail", lambda *_: BOUNDS)}
    )


@pytest.fixture(scope="package")
def sample_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dialect") / "files"
    done = run_etl("sample", "--titles", "1000", "--seed", "7", "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="package")
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


class Asker:
    """Checks statements for an engine as the server does, and runs them; failures are judged as there."""

    def __init__(self, kind: str, lake: Lake, state: Path, record: Record | None = None) -> None:
        """With a record the engine is only asked what the record lacks, by the text that would run."""
        self._settings = load_settings(engine=kind, state_dir=state, max_rows=MAX_ROWS)
        self._engine = KINDS[kind](lake, self._settings)
        self._catalog = catalog_of(self._engine, self._engine.tables())
        self._record = record

    def __call__(self, sql: str) -> Answer:
        if self._record is None:
            return self.live(sql)
        return self._record.answer(self._check(sql, None).sql, lambda: self.live(sql))

    def live(self, sql: str) -> Answer:
        """What the engine answers, whatever is recorded."""
        if self._engine.name == "spark":
            skip_without_java()
        query_id = uuid.uuid4().hex
        checked = self._check(sql, lambda sql, tables, stage: self._engine.read(sql, tables, stage, query_id))
        try:
            found = self._engine.execute(checked, query_id)
        except QueryFailed as error:
            raise checking.judge_failure(error, checked, self._catalog) from error
        columns = zip(found.table.column_names, found.types, strict=True)
        rows = zip(*map(_values, found.table.columns), strict=True)
        return Answer(tuple(columns), tuple(rows), checked.caveats)

    def _check(self, sql: str, read: Callable[..., Any] | None) -> CheckedQuery:
        limits, who = limits_of(self._settings), Principal("tester")
        checked = checking.check(sql, catalog=self._catalog, limits=limits, principal=who, read=read)
        assert isinstance(checked, CheckedQuery)
        return checked

    def close(self) -> None:
        self._engine.close()


@pytest.fixture(scope="package")
def embedded(sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    with closing(Asker("embedded", sample_lake, tmp_path_factory.mktemp("state"))) as asker:
        yield asker


@contextmanager
def open_record(name: str, lake: str, config: pytest.Config) -> Iterator[Record]:
    """What Spark has answered over a lake, used and written as `pytest --spark=…` says. `lake` is a digest of it."""
    mode = Mode(config.getoption("spark"))
    record = Record(name, lake, mode)
    yield record
    config.stash[ASKED] |= record.asked
    if mode is Mode.RECORD:
        record.write()


@pytest.fixture(scope="package")
def recorded(sample_files: Path, pytestconfig: pytest.Config) -> Iterator[Record]:
    with open_record("sample", digest_files(sample_files), pytestconfig) as record:
        yield record


@pytest.fixture(scope="package")
def spark(recorded: Record, sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """Spark's answers: recorded, or of Spark itself, which starts with the first statement that is not recorded."""
    with closing(Asker("spark", sample_lake, tmp_path_factory.mktemp("state"), recorded)) as asker:
        yield asker
