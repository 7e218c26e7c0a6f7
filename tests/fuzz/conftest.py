"""A lake of 1,000 titles among canaries, an embedded engine on it, and the seed of this run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_server.engines.embedded import EmbeddedEngine
from tests.etl.conftest import run_etl
from tests.fuzz.canaries import Canaries, engine_among, guarded

MAX_ROWS = 50


@pytest.fixture(scope="session")
def seed() -> int:
    """The same in every run, so that a failure belongs to the change at hand; FUZZ_SEED makes other statements."""
    return int(os.environ.get("FUZZ_SEED") or 1)


# Of this folder only: the engine of these tests has a worker of its own, which others must not get.
@pytest.fixture(scope="package")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canaries]:
    folder = tmp_path_factory.mktemp("fuzz")
    lake = folder / "around" / "lake"
    make_lake(folder / "files", lake)
    with guarded(lake) as found:
        yield found


@pytest.fixture(scope="package")
def engine(canaries: Canaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    with engine_among(canaries, tmp_path_factory.mktemp("state"), MAX_ROWS) as found:
        yield found


def make_lake(files: Path, lake: Path) -> None:
    """A loaded lake of 1,000 invented titles."""
    for step in (
        ("sample", "--titles", "1000", "--seed", "7", "--out", files),
        ("load", "--source", files, "--lake", lake),
    ):
        done = run_etl(*step)
        assert done.returncode == 0, done.stderr
