"""Every honest statement of the corpora gives the same answer on both engines."""

from __future__ import annotations

import pytest

from tests.dialect.conftest import Ask


def test_smoke(embedded: Ask, spark: Ask) -> None:
    sql = "SELECT count(*) AS n FROM movies_delta"
    assert embedded(sql) == spark(sql)
    with pytest.raises(AssertionError):
        embedded("SHOW TABLES")
