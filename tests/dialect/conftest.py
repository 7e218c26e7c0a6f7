"""A sample lake of 1,000 titles and both engines on it, to compare what they answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import QueryFailed
from lakehouse.settings import load_settings
from lakehouse.storage import Lake
from mcp_server import guard
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.engines.local import LocalEngine
from mcp_server.engines.spark import SparkEngine
from mcp_server.models import CheckedQuery, Principal
from mcp_server.query import catalog_of, limits_of
from tests.etl.conftest import run_etl

KINDS: Mapping[str, type[LocalEngine]] = {"embedded": EmbeddedEngine, "spark": SparkEngine}
MAX_ROWS = 10_000


@dataclass(frozen=True)
class Answer:
    """What an engine gave: names and types of the columns, the rows in their order, and what it warns of."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Any, ...], ...]
    caveats: tuple[str, ...] = ()

    @property
    def types(self) -> list[str]:
        """The types of the columns, whatever they are called."""
        return [kind for _, kind in self.columns]

    @property
    def written(self) -> list[str]:
        """The rows as texts. Numbers with a fraction have twelve digits: engines add them up in any order."""
        return [repr(_rounded(row)) for row in self.rows]

    @property
    def sorted(self) -> list[str]:
        """The same in an order of their own, for statements that ask for none."""
        return sorted(self.written)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


Ask = Callable[[str], Answer]


@pytest.fixture(scope="session")
def sample_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("dialect")
    for step in (
        ("sample", "--titles", "1000", "--seed", "7", "--out", folder / "files"),
        ("load", "--source", folder / "files", "--lake", folder / "lake"),
    ):
        done = run_etl(*step)
        assert done.returncode == 0, done.stderr
    return Lake.parse(str(folder / "lake"))


def _values(column: Any) -> list[Any]:
    """The cells of a column; dates and texts that Python has none of as the numbers and bytes that they are."""
    import pyarrow as pa

    try:
        values: list[Any] = column.to_pylist()
    except (OverflowError, UnicodeDecodeError):
        plain = {pa.date32(): pa.int32(), pa.string(): pa.binary()}.get(column.type, pa.int64())
        values = column.cast(plain).to_pylist()
    return values


def asker(kind: str, lake: Lake, state: Path) -> Iterator[Ask]:
    """Checks a statement for an engine as the server does, third reading and judged failures included, and runs it."""
    settings = load_settings(engine=kind, state_dir=state, max_rows=MAX_ROWS)
    engine = KINDS[kind](lake, settings)
    catalog = catalog_of(engine, engine.tables())

    def ask(sql: str) -> Answer:
        query_id = uuid.uuid4().hex
        checked = guard.check(
            sql,
            catalog=catalog,
            limits=limits_of(settings),
            principal=Principal("tester"),
            read=lambda sql, tables, stage: engine.read(sql, tables, stage, query_id),
        )
        assert isinstance(checked, CheckedQuery)
        try:
            found = engine.execute(checked, query_id)
        except QueryFailed as error:
            raise guard.judge(error, checked, catalog) from error
        columns = zip(found.table.column_names, found.types, strict=True)
        rows = zip(*map(_values, found.table.columns), strict=True)
        return Answer(tuple(columns), tuple(rows), checked.caveats)

    yield ask
    engine.close()


@pytest.fixture(scope="session")
def embedded(sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    yield from asker("embedded", sample_lake, tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def spark(java: None, sample_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    yield from asker("spark", sample_lake, tmp_path_factory.mktemp("state"))
