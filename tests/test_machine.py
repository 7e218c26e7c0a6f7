"""The memory that there is: the machine's, or that of a container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lakehouse.machine import memory_mb
from mcp_server.settings import load_settings

MACHINE = (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) >> 20


def make_groups(folder: Path, own: str, **limits: str) -> tuple[Path, Path]:
    """Write `/sys/fs/cgroup` and `/proc/self/cgroup`: `limits` by the path of their file, `__` for a slash."""
    (folder / "own").write_text(own)
    for name, limit in limits.items():
        file = folder / "mounts" / name.replace("__", "/").replace("_max", ".max").replace("_limit", ".limit")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(limit + "\n")
    return folder / "mounts", folder / "own"


def test_a_machine_without_control_groups_has_its_own_memory(tmp_path: Path) -> None:
    assert memory_mb(tmp_path / "none", tmp_path / "none") == MACHINE
    assert memory_mb() is not None


@pytest.mark.parametrize(
    ("own", "limits", "found"),
    [
        ("0::/pod\n", {"pod__memory_max": str(600 << 20)}, 600),
        ("0::/pod/box\n", {"pod__memory_max": str(600 << 20), "pod__box__memory_max": "max"}, 600),
        ("0::/docker/1f\n", {"memory_max": str(700 << 20)}, 700),
        ("0::/pod\n", {"pod__memory_max": "max"}, MACHINE),
        ("5:memory:/box\n0::/\n", {"memory__box__memory_limit_in_bytes": str(500 << 20)}, 500),
        ("5:cpu,memory:/docker/1f\n", {"memory__memory_limit_in_bytes": str(400 << 20)}, 400),
        ("5:memory:/\n", {"memory__memory_limit_in_bytes": "9223372036854771712"}, MACHINE),
        ("5:memory:/\n", {"memory__memory_limit_in_bytes": "nonsense"}, MACHINE),
        ("nonsense\n5:cpu:/box\n", {"memory__memory_limit_in_bytes": str(400 << 20)}, MACHINE),
    ],
)
def test_a_container_has_what_its_control_group_allows(
    tmp_path: Path, own: str, limits: dict[str, str], found: int
) -> None:
    assert memory_mb(*make_groups(tmp_path, own, **limits)) == found


@pytest.mark.parametrize(
    ("there", "embedded", "spark_alone", "spark_beside"),
    [
        (24_000, 12_000, 12_000, 6_000),
        (6_000, 3_000, 3_000, 1_500),
        (1_000, 2_048, 2_048, 1_024),
        (None, 4_096, 4_096, 2_048),
    ],
)
def test_an_engine_may_have_half_of_the_memory_and_spark_beside_another_a_quarter(
    monkeypatch: pytest.MonkeyPatch, there: int | None, embedded: int, spark_alone: int, spark_beside: int
) -> None:
    monkeypatch.setattr("mcp_server.settings.memory_mb", lambda: there)
    assert load_settings().engine_ceiling_mb == embedded
    assert load_settings(engine="spark").spark_heap_mb == spark_alone
    assert load_settings(engine="auto").spark_heap_mb == spark_beside
    assert load_settings(engine="auto").engine_ceiling_mb == embedded


def test_a_ceiling_that_is_set_holds_for_each_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMDB_ENGINE_MEMORY_MB", "700")
    settings = load_settings(engine="auto")
    assert (settings.engine_ceiling_mb, settings.spark_heap_mb) == (700, 700)
