"""What statistics of files and old versions make of an answer: both engines over tables with awkward values."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakehouse.errors import EngineLacks, QueryFailed
from lakehouse.storage import Lake
from tests.dialect.conftest import Ask, asker

YEARS = [2020, 2027, 2025, 2027, 2021, 2027]
MOST = 2**31 - 1
BEFORE, SINCE = datetime.now(UTC) - timedelta(days=2), datetime.now(UTC) - timedelta(days=1)


@pytest.fixture(scope="module")
def stored_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("stored")
    write_deltalake(str(folder / "a"), pa.table({"id": pa.array(range(1, 9), pa.int32())}))
    films = pa.table(
        {
            "id": pa.array(range(1, 7), pa.int32()),
            "year": pa.array(YEARS, pa.int32()),
            "most": pa.array([MOST if year == 2027 else year for year in YEARS], pa.int32()),
            "day": [date(year, 1, 1) for year in YEARS],
            "name": [str(year) for year in YEARS],
            "part": pa.array(YEARS, pa.int32()),
        }
    )
    write_deltalake(str(folder / "m"), films)
    write_deltalake(str(folder / "parts"), films, partition_by=["part"])
    _write_versions(str(folder / "versions"))
    return Lake.parse(str(folder))


def _write_versions(place: str) -> None:
    """A table whose columns have another type, another meaning and other names since version 1."""
    before = {"x": pa.array([MOST, -5], pa.int32()), "y": ["1.50", "b"], "z": pa.array([1.5, 1e8])}
    since = {"x": pa.array([1, 2], pa.int64()), "y": pa.array([1, 2], pa.int32()), "w": pa.array([1, 2], pa.int32())}
    write_deltalake(place, pa.table(before))
    commit = Path(place) / "_delta_log" / f"{0:020}.json"
    os.utime(commit, (BEFORE.timestamp(), BEFORE.timestamp()))  # a commit is as old as its file
    write_deltalake(place, pa.table(since), mode="overwrite", schema_mode="overwrite")


@pytest.fixture(scope="module")
def embedded(stored_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    yield from asker("embedded", stored_lake, tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def spark(java: None, stored_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    yield from asker("spark", stored_lake, tmp_path_factory.mktemp("state"))


LEFT = "SELECT m.{0}, a.id FROM a LEFT JOIN m ON a.id = m.id AND {1} ORDER BY m.{0}, a.id"

SORTED = [
    LEFT.format("year", "m.year >= 2027"),
    LEFT.format("year", "m.year > 2026"),
    LEFT.format("year", "m.year <= 2020"),
    LEFT.format("year", "m.year + 1 >= 2028"),
    LEFT.format("year", "m.year * 2 >= 4054"),
    LEFT.format("year", "m.year >= m.part AND m.part >= 2027"),
    LEFT.format("year", "m.year > 2000 AND m.year < 2026"),
    LEFT.format("most", f"m.most >= {MOST}"),
    LEFT.format("day", "m.day >= DATE'2027-01-01'"),
    LEFT.format("day", "m.day <= '2020-01-01'"),
    LEFT.format("day", "m.day >= date_sub(current_date(), 30) AND m.day < current_date()"),
    LEFT.format("name", "m.name >= '2027'"),
    "SELECT p.part, a.id FROM a LEFT JOIN parts p ON a.id = p.id AND p.part >= 2027 ORDER BY p.part, a.id",
    "SELECT m.year, a.id FROM m RIGHT JOIN a ON a.id = m.id AND m.year >= 2027 ORDER BY m.year, a.id",
    "SELECT m.year, a.id FROM a FULL JOIN (SELECT * FROM m WHERE year >= 2027) m ON a.id = m.id ORDER BY 1, 2",
    "SELECT year, id FROM a LEFT JOIN (SELECT * FROM m WHERE year >= 2027) USING (id) ORDER BY year, id",
    (
        "SELECT m.year, a.id, row_number() OVER (ORDER BY m.year, a.id) AS n, count(*) OVER (PARTITION BY m.year) AS c"
        " FROM a LEFT JOIN m ON a.id = m.id AND m.year >= 2027 ORDER BY n"
    ),
    "SELECT year, count(*) FROM m WHERE year >= 2027 GROUP BY ROLLUP (year) ORDER BY year",
    "SELECT DISTINCT m.year FROM a LEFT JOIN m ON a.id = m.id AND m.year >= 2027 ORDER BY year",
    "SELECT m.year + 1 AS next, a.id FROM a LEFT JOIN m ON a.id = m.id AND m.year >= 2027 ORDER BY next, id",
]


@pytest.mark.parametrize("sql", SORTED)
def test_a_key_that_statistics_leave_one_value_still_sorts_what_an_outer_join_fills(
    sql: str, embedded: Ask, spark: Ask
) -> None:
    assert embedded(sql).rows == spark(sql).rows


@pytest.mark.parametrize(
    "sql",
    ["SELECT min(year), max(year), min(most), max(most), min(day), max(day), min(name), count(*), count(year) FROM m",
     "SELECT max(year), max(most), max(day) FROM m WHERE year >= 2027",
     "SELECT count(*) FROM m WHERE year > 2027 OR most < 2020 OR day > '2027-01-01'"],
)  # fmt: skip
def test_bounds_that_are_wider_than_the_values_are_taken_for_none(sql: str, embedded: Ask, spark: Ask) -> None:
    assert embedded(sql).rows == spark(sql).rows


@pytest.mark.parametrize(
    "condition",
    ["m.year + 1 >= 2026 AND m.year <= 2025", "m.year - 5 >= 2020 AND m.year + 2 <= 2027",
     "m.year * 2 >= 4050 AND m.year <= 2025", "0 - m.year <= -2025 AND m.year <= 2025",
     "m.year >= 2025 AND m.year < 2020 + 6", "m.year >= 2025 AND m.year <= abs(2025)",
     "NOT m.year < 2025 AND NOT m.year > 2025", "m.year BETWEEN 2025 AND 2025L",
     "m.year >= 2025 AND CAST(m.year AS BIGINT) < 2026", "m.year > 2024.5 AND 2025.5 > m.year"],
)  # fmt: skip
def test_ranges_that_leave_one_year_are_no_key_below_an_outer_join(condition: str, embedded: Ask) -> None:
    with pytest.raises(EngineLacks, match="constant below an outer join"):
        embedded(LEFT.format("year", condition))


@pytest.mark.parametrize(
    "condition",
    ["m.day >= DATE'2027-01-01' AND m.day <= '2027-01-01'", "m.day BETWEEN '2027-01-01' AND date('2027-01-01')"],
)
def test_ranges_that_leave_one_day_are_no_key_below_an_outer_join(condition: str, embedded: Ask) -> None:
    with pytest.raises(EngineLacks, match="constant below an outer join"):
        embedded(LEFT.format("day", condition))


@pytest.mark.parametrize(
    "condition",
    ["m.year >= 2025 AND m.year < 2027", "m.year + 1 >= 2026 AND m.year <= 2026", "m.year * 2 > 10 AND m.year < 3000",
     "NOT m.year < 2021 AND NOT m.year > 2025", "m.year >= -2025 AND m.year <= 2025"],
)  # fmt: skip
def test_ranges_that_leave_more_years_than_one_are_kept_as_a_key(condition: str, embedded: Ask, spark: Ask) -> None:
    sql = LEFT.format("year", condition)
    assert embedded(sql).rows == spark(sql).rows


OLD = ("VERSION AS OF 0", f"TIMESTAMP AS OF '{SINCE:%Y-%m-%d %H:%M:%S}'")


@pytest.mark.parametrize("asked", OLD)
@pytest.mark.parametrize(
    "sql",
    ["SELECT x * 2L AS c, typeof(x - 1) FROM versions {0} WHERE x < 0",
     "SELECT concat(y, '!'), typeof(y), CAST(z AS STRING), z || '!' FROM versions {0} ORDER BY z",
     "SELECT x / 2 AS c, coalesce(y, 'none') AS d, sum(x) OVER () AS s FROM versions {0} ORDER BY c",
     "SELECT * FROM versions {0} ORDER BY z", "SELECT * EXCEPT (x) FROM versions {0} ORDER BY y",
     "SELECT max(y), count(DISTINCT x, y) FROM versions {0}",
     "SELECT a.x + 1 AS p, b.x + 1 AS q, a.z, b.w FROM versions {0} a JOIN versions b ON a.x = b.x - 6"],
)  # fmt: skip
def test_an_old_version_is_read_with_the_types_that_it_had(sql: str, asked: str, embedded: Ask, spark: Ask) -> None:
    ours, sparks = embedded(sql.format(asked)), spark(sql.format(asked))
    assert (ours.columns, ours.rows) == (sparks.columns, sparks.rows)


@pytest.mark.parametrize("asked", OLD)
def test_a_step_that_outgrows_the_type_of_an_old_version_fails_as_in_spark(
    asked: str, embedded: Ask, spark: Ask
) -> None:
    for ask in (embedded, spark):
        with pytest.raises(QueryFailed):
            ask(f"SELECT x + 1 AS c FROM versions {asked}")
    assert embedded("SELECT x + 1 AS c FROM versions").rows == ((2,), (3,))


def test_a_moment_before_the_first_version_is_said(embedded: Ask) -> None:
    with pytest.raises(QueryFailed, match="no version as old as 2020"):
        embedded("SELECT x + 1 AS c FROM versions TIMESTAMP AS OF '2020-01-01'")
