"""Names that are vouched for, and the key that makes them."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lakehouse.callers import Callers, kept_key


def test_processes_that_make_a_key_at_once_agree_on_one_that_only_its_owner_reads(tmp_path: Path) -> None:
    with ThreadPoolExecutor(32) as pool:
        keys = set(pool.map(lambda _: kept_key(tmp_path), range(64)))
    (key,) = keys
    assert len(key) == 64
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_token_is_good_where_the_key_is_the_same_and_tells_whose_it_is() -> None:
    one, same, other = Callers("k" * 32), Callers("k" * 32), Callers("x" * 32)
    token = one.new()
    assert same.name(token) == one.name(token)
    assert str(one.name(token)).startswith("visitor-")
    assert one.name(one.new()) != one.name(token)
    assert other.name(token) is None
    assert one.name(token + "0") is None
