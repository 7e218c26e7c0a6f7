"""The cache: found again by everybody, whatever happens at the same time, and known to no SQL."""

from __future__ import annotations

import os
import random
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from deltalake import DeltaTable

from ai_functions.cache import BESIDE_LAKE, IN_STATE, Cache, Cached, CacheKey
from ai_functions.types import AiUnavailable, Facts
from lakehouse.errors import LakeError
from lakehouse.storage import Lake
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.settings import load_settings
from tests.ai.keeping import NOW, answer, cache, key
from tests.server.processes import python
from tests.test_layers_at_run_time import loaded_by


def test_what_was_stored_is_found_by_whoever_looks(tmp_path: Path) -> None:
    one, other = cache(tmp_path), cache(tmp_path)
    assert one.look_up([key(1), key(2)]) == {}
    assert other.look_up([key(1)]) == {}

    one.store({key(1): answer(), key(2): Cached("No usage.", None, 9, NOW)})
    one.store({})

    wanted = [key(1), key(2), key(3)]
    found = {key(1): answer(), key(2): Cached("No usage.", None, 9, NOW)}
    assert one.look_up(wanted) == other.look_up(wanted) == cache(tmp_path).look_up(wanted) == found


def test_the_key_is_everything_that_the_model_is_told() -> None:
    facts = Facts("tt1", {"title": "The Kid", "year": 1921})
    same = Facts("tt1", {"year": 1921, "title": "The Kid"})
    keys = [
        CacheKey.of("summary", "v1", "small", facts),
        CacheKey.of("other", "v1", "small", facts),
        CacheKey.of("summary", "v2", "small", facts),
        CacheKey.of("summary", "v1", "large", facts),
        CacheKey.of("summary", "v1", "small", Facts("tt2", facts.record)),
        CacheKey.of("summary", "v1", "small", Facts("tt1", {**facts.record, "year": 1922})),
    ]

    assert len({key.digest for key in keys}) == len(keys)
    assert CacheKey.of("summary", "v1", "small", same) == keys[0]


def test_an_old_answer_counts_no_longer_and_the_newest_counts(tmp_path: Path) -> None:
    day = 86_400
    writer = cache(tmp_path)
    writer.store({key(1): answer("old", NOW - 3 * day)})
    assert cache(tmp_path).look_up([key(1)]) == {key(1): answer("old", NOW - 3 * day)}
    assert cache(tmp_path, days=2).look_up([key(1)]) == {}

    writer.store({key(1): answer("new", NOW - day)})
    writer.store({key(1): answer("between", NOW - 2.5 * day)})
    assert cache(tmp_path, days=2).look_up([key(1)]) == {key(1): answer("new", NOW - day)}


def test_an_answer_in_memory_grows_old_too(tmp_path: Path) -> None:
    now = [NOW]
    place = tmp_path / IN_STATE
    aging = Cache([place], place, days=1, clock=lambda: now[0])
    aging.store({key(1): answer()})
    assert key(1) in aging.look_up([key(1)])

    now[0] += 86_400
    assert aging.look_up([key(1)]) == {}


def test_a_lake_that_is_a_folder_has_its_cache_beside_its_tables_and_sql_does_not_know_it(tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path / "state")
    (tmp_path / "lake").mkdir()
    lake = Lake.parse(str(tmp_path / "lake"))

    Cache.for_lake(lake, settings).store({key(1): answer()})

    assert DeltaTable(str(tmp_path / "lake" / BESIDE_LAKE)).version() == 0
    assert not (tmp_path / "state" / IN_STATE).exists()
    with pytest.raises(LakeError, match="no lake: nothing in it"):
        EmbeddedEngine(lake, settings).tables()


@pytest.mark.parametrize("address", ["s3://bucket/lake", "/no/such/lake", None])
def test_a_lake_elsewhere_has_its_cache_in_the_state_folder(address: str | None, tmp_path: Path) -> None:
    settings = load_settings(state_dir=tmp_path)

    Cache.for_lake(None if address is None else Lake.parse(address), settings).store({key(1): answer()})

    assert cache(tmp_path).look_up([key(1)]) == {key(1): answer()}


def test_beside_a_lake_that_cannot_be_written_answers_are_read_and_new_ones_go_to_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(state_dir=tmp_path / "state")
    (tmp_path / "lake").mkdir()
    lake = Lake.parse(str(tmp_path / "lake"))
    Cache.for_lake(lake, settings).store({key(1): answer()})

    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who may write everywhere
    Cache.for_lake(lake, settings).store({key(2): answer()})

    assert cache(tmp_path / "state").look_up([key(1), key(2)]) == {key(2): answer()}
    assert Cache.for_lake(lake, settings).look_up([key(1), key(2)]) == {key(1): answer(), key(2): answer()}


def test_processes_that_store_at_once_lose_nothing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        writers = [
            stack.enter_context(python("-m", "tests.ai.keeping", str(tmp_path), str(first), "8", state=tmp_path))
            for first in (0, 100, 200, 300)
        ]
        for writer in writers:
            _, said = writer.communicate(timeout=60)
            assert (writer.returncode, said) == (0, b"")

    keys = [key(first + number) for first in (0, 100, 200, 300) for number in range(8)]
    assert set(cache(tmp_path).look_up(keys)) == set(keys)


def test_of_those_who_make_the_table_at_once_nobody_loses_anything(tmp_path: Path) -> None:
    def store(folder: Path, number: int) -> None:
        keeping = cache(folder)
        together.wait()
        keeping.store({key(number): answer()})

    for attempt in range(4):
        together = threading.Barrier(8)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(partial(store, tmp_path / str(attempt)), range(8)))
        assert len(cache(tmp_path / str(attempt)).look_up(map(key, range(8)))) == 8


def test_many_small_files_are_put_together_and_nothing_is_lost(tmp_path: Path) -> None:
    writer = cache(tmp_path)
    for number in range(70):
        writer.store({key(number): answer()})

    assert len(DeltaTable(str(tmp_path / IN_STATE)).file_uris()) < 20
    assert len(cache(tmp_path).look_up([key(number) for number in range(70)])) == 70


def test_a_writer_killed_at_a_random_moment_leaves_all_that_it_had_stored(tmp_path: Path) -> None:
    chance = random.Random(4)
    stored = []
    for first in (0, 1000, 2000):
        with python("-m", "tests.ai.keeping", str(tmp_path), str(first), "1000", state=tmp_path) as writer:
            assert writer.stdout is not None
            stored += [key(int(writer.stdout.readline())) for _ in range(chance.randint(2, 12))]
            writer.kill()
            stored += [key(int(line)) for line in writer.stdout.read().splitlines() if line.isdigit()]
        assert set(stored) <= set(cache(tmp_path).look_up(stored))
        cache(tmp_path).store({key(first + 999): answer()})


def test_who_slept_while_the_log_was_shortened_finds_and_stores_all_the_same(tmp_path: Path) -> None:
    sleeper, reader = cache(tmp_path), cache(tmp_path)
    sleeper.store({key(0): answer()})
    assert key(0) in reader.look_up([key(0), key(1)])
    table = DeltaTable(str(tmp_path / IN_STATE))
    table.alter.set_table_properties(
        {"delta.logRetentionDuration": "interval 0 seconds", "delta.checkpointInterval": "5"}
    )  # fmt: skip
    for number in range(1, 13):
        cache(tmp_path).store({key(number): answer()})
    assert not (tmp_path / IN_STATE / "_delta_log" / f"{0:020}.json").exists()

    sleeper.store({key(13): answer()})
    keys = [key(number) for number in range(14)]
    assert set(reader.look_up(keys)) == set(cache(tmp_path).look_up(keys)) == set(keys)


def torn_log(table: Path) -> None:
    commit = table / "_delta_log" / f"{0:020}.json"
    commit.write_bytes(commit.read_bytes()[:40])


def torn_data(table: Path) -> None:
    (data,) = table.glob("*.parquet")
    data.write_bytes(data.read_bytes()[:40])


def no_data(table: Path) -> None:
    (data,) = table.glob("*.parquet")
    data.unlink()


@pytest.mark.parametrize("harm", [torn_log, torn_data, no_data])
def test_a_damaged_cache_is_said_rather_than_paid_for_again(harm: partial[None], tmp_path: Path) -> None:
    cache(tmp_path).store({key(1): answer()})
    harm(tmp_path / IN_STATE)

    with pytest.raises(AiUnavailable, match=r"cannot be read .*ai_cache in the state folder") as raised:
        cache(tmp_path).look_up([key(1)])
    assert str(tmp_path) not in str(raised.value)


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / IN_STATE).touch()

    with pytest.raises(AiUnavailable, match="cannot be written"):
        cache(tmp_path).store({key(1): answer()})


def test_a_cache_that_was_taken_away_or_replaced_is_read_as_it_is_now(tmp_path: Path) -> None:
    reader, other = cache(tmp_path), cache(tmp_path / "other")
    cache(tmp_path).store({key(1): answer()})
    assert reader.look_up([key(2)]) == {}
    other.store({key(2): answer("of another table")})

    (tmp_path / IN_STATE).rename(tmp_path / "away")
    assert reader.look_up([key(2)]) == {}
    (tmp_path / "other" / IN_STATE).rename(tmp_path / IN_STATE)
    assert reader.look_up([key(2)]) == {key(2): answer("of another table")}


def test_a_cache_that_was_made_anew_is_read_though_the_system_gives_its_folder_the_same_number(tmp_path: Path) -> None:
    for attempt in range(5):
        place, reader, paying = tmp_path / str(attempt), cache(tmp_path / str(attempt)), cache(tmp_path / str(attempt))
        for number in range(3):
            paying.store({key(number): answer()})
        assert reader.look_up([key(9)]) == {}

        shutil.rmtree(place / IN_STATE)
        cache(place).store({key(9): answer("of the new one")})
        assert reader.look_up([key(9)]) == {key(9): answer("of the new one")}
        paying.store({key(8): answer()})
        assert set(cache(place).look_up(map(key, range(10)))) == {key(8), key(9)}


def test_nothing_slow_is_loaded_before_the_cache_is_used() -> None:
    assert loaded_by("import ai_functions.cache, ai_functions.ledger") & {"deltalake", "pyarrow", "httpx2"} == set()
