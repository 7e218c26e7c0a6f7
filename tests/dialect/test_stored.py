"""What statistics of files and old versions make of an answer: both engines over tables with awkward values."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakehouse.errors import QueryFailed
from lakehouse.manifest import Column
from lakehouse.storage import Lake
from mcp_server.checking import Catalog, Limits, check
from mcp_server.engines.catalog import LakeCatalog
from mcp_server.models import CheckedQuery, Principal, TableInfo
from tests.dialect.conftest import Asker, open_record
from tests.expected import Ask

YEARS = [2020, 2027, 2025, 2027, 2021, 2027]
MOST = 2**31 - 1
NAN = float("nan")
BEFORE, SINCE = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)
"""Fixed, so that Spark's recorded answers and the tests' names are the same on any day and in every worker."""


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
    _write_floats(str(folder / "floats"))
    return Lake.parse(str(folder))


def _write_versions(place: str) -> None:
    """A table whose columns have another type, another meaning and other names since version 1."""
    before = {"x": pa.array([MOST, -5], pa.int32()), "y": ["1.50", "b"], "z": pa.array([1.5, 1e8])}
    since = {"x": pa.array([1, 2], pa.int64()), "y": pa.array([1, 2], pa.int32()), "w": pa.array([1, 2], pa.int32())}
    kept = {"delta.deletedFileRetentionDuration": "interval 36500 days"}  # else Spark reads no version of long ago
    write_deltalake(place, pa.table(before), configuration=kept)
    commit = Path(place) / "_delta_log" / f"{0:020}.json"
    os.utime(commit, (BEFORE.timestamp(), BEFORE.timestamp()))  # a commit is as old as its file
    write_deltalake(place, pa.table(since), mode="overwrite", schema_mode="overwrite")


@pytest.fixture(scope="module")
def embedded(stored_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    with closing(Asker("embedded", stored_lake, tmp_path_factory.mktemp("state"))) as asker:
        yield asker


@pytest.fixture(scope="module")
def spark(stored_lake: Lake, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Asker]:
    written_here = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    with (
        open_record("stored", written_here, pytestconfig) as record,
        closing(Asker("spark", stored_lake, tmp_path_factory.mktemp("state"), record)) as asker,
    ):
        yield asker


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
def test_a_year_that_ranges_leave_alone_still_sorts_what_an_outer_join_fills(
    condition: str, embedded: Ask, spark: Ask
) -> None:
    sql = LEFT.format("year", condition)
    assert embedded(sql).rows == spark(sql).rows


@pytest.mark.parametrize(
    "condition",
    ["m.day >= DATE'2027-01-01' AND m.day <= '2027-01-01'", "m.day BETWEEN '2027-01-01' AND date('2027-01-01')"],
)
def test_a_day_that_ranges_leave_alone_still_sorts_what_an_outer_join_fills(
    condition: str, embedded: Ask, spark: Ask
) -> None:
    sql = LEFT.format("day", condition)
    assert embedded(sql).rows == spark(sql).rows


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


FLOAT_FILES: list[list[tuple[int, float | None]]] = [
    [(1, 1.0), (2, NAN), (3, 2.0), (4, None)],
    [(5, 7.0), (6, 8.0), (7, float("inf"))],
    [(8, -0.0), (9, 0.5)],
    [(10, -NAN), (11, 3.0)],  # with a sign, as 0/0 is on x86
    [(12, NAN)],
    [(13, float("-inf")), (14, None)],
]
"""What each file of the table `floats` holds. Writers leave NaN out of its minimum and maximum."""


def _write_floats(place: str) -> None:
    for rows in FLOAT_FILES:
        values = [value for _, value in rows]
        columns = {
            "id": pa.array([number for number, _ in rows], pa.int32()),
            "f": pa.array(values, pa.float64()),
            "g": pa.array(values, pa.float32()),
            "s": pa.array([{"f": None if value is None else abs(value)} for value in values]),
        }
        write_deltalake(place, pa.table(columns), mode="append")


def _as_values() -> str:
    """The rows of `floats` as a WITH name: Spark, too, leaves out files by statistics that know no NaN."""
    rows = (row for rows in FLOAT_FILES for row in rows)
    texts = (f"({number}, {'NULL' if value is None else f'double({str(value)!r})'})" for number, value in rows)
    columns = "id, f, CAST(f AS FLOAT) AS g, named_struct('f', abs(f)) AS s"
    return f"WITH floats AS (SELECT {columns} FROM VALUES {', '.join(texts)} AS t(id, f)) "


@pytest.mark.parametrize(
    "condition",
    ["f > 5", "f >= 5", "f < 5", "5 < f", "f = double('NaN')", "f <> 1", "f = -0.0D", "f IN (1.0D, double('NaN'))",
     "f NOT IN (1.0D, 2.0D)", "f BETWEEN 5 AND double('NaN')", "NOT f <= 5", "f <=> double('NaN')", "isnan(f)",
     "f + 1 > 5", "g > 5", "g = float('NaN')", "g <> 1", "s.f > 5", "s.f = double('NaN')",
     "f >= (SELECT max(f) FROM floats)", "f IN (SELECT f FROM floats WHERE id = 2)", "CASE WHEN f > 8 THEN id > 2 END",
     "EXISTS (SELECT 1 FROM floats b WHERE b.f = floats.f AND b.id <> floats.id)",
     "floats.f > 8 AND imdb.floats.id > 1"],
)  # fmt: skip
def test_nan_in_a_stored_column_is_found_by_a_condition(condition: str, embedded: Ask, spark: Ask) -> None:
    sql = "SELECT id FROM floats WHERE {} ORDER BY id"
    truth = spark(_as_values() + sql.format(condition.replace("imdb.", "")))
    assert embedded(sql.format(condition)).rows == truth.rows


@pytest.mark.parametrize(
    "sql",
    ["SELECT id FROM floats ORDER BY f DESC, id LIMIT 4", "SELECT id, f IS NULL FROM floats ORDER BY 2, g, id LIMIT 3",
     "SELECT max(f), min(f), max(g), count(f) FROM floats", "SELECT f, count(*) FROM floats GROUP BY f ORDER BY f",
     "SELECT a.id, b.id FROM floats a JOIN floats b ON a.f = b.f WHERE b.id IN (2, 10) ORDER BY 1, 2",
     "SELECT a.id FROM floats a LEFT ANTI JOIN (SELECT f FROM floats WHERE id = 2) b ON a.f = b.f ORDER BY 1",
     "SELECT id FROM floats JOIN (SELECT double('NaN') AS f) USING (f) ORDER BY id",
     "SELECT id FROM floats NATURAL JOIN (SELECT f FROM floats WHERE id = 2) ORDER BY id",
     "SELECT f FROM floats INTERSECT SELECT f FROM floats WHERE id = 2",
     "SELECT id, rank() OVER (ORDER BY f DESC) AS r FROM floats QUALIFY r = 1 ORDER BY id",
     "SELECT k, v FROM (SELECT * FROM floats) AS x (k, v, c, d) WHERE v > 8 ORDER BY k",
     "SELECT FLOATS.f, floats.* FROM floats WHERE f > 8 ORDER BY id",
     "FROM floats |> WHERE f > 8 |> SELECT id |> ORDER BY id",
     "SELECT id, v FROM floats UNPIVOT (v FOR c IN (f)) WHERE v > 8 ORDER BY id",
     "SELECT id FROM (floats JOIN (SELECT 2 AS k) ON id = k) WHERE f > 8",
     "SELECT * FROM (SELECT id, f FROM floats) PIVOT (max(f) FOR id IN (2, 10))",
     "SELECT id, x FROM floats LATERAL VIEW explode(array(f, g)) AS x WHERE x > 8 ORDER BY id",
     "SELECT id FROM floats TABLESAMPLE (100 PERCENT) AS x WHERE x.f > 8 ORDER BY id",
     "SELECT f FROM floats WHERE id = 8"],
)  # fmt: skip
def test_nan_in_a_stored_column_is_the_greatest_and_equal_to_itself(sql: str, embedded: Ask, spark: Ask) -> None:
    ours, truth = embedded(sql), spark(_as_values() + sql)
    assert (ours.columns, ours.written) == (truth.columns, truth.written)


def test_an_old_version_with_nan_is_read_so_too(embedded: Ask) -> None:
    assert embedded("SELECT id FROM floats VERSION AS OF 0 WHERE f > 5").rows == ((2,),)


def test_tables_of_a_load_hold_no_nan_and_are_read_as_they_are(sample_lake: Lake) -> None:
    catalog = Catalog("imdb", LakeCatalog(sample_lake).tables(), dialect="sail")
    sql = "SELECT tconst FROM imdb.ratings_delta WHERE averageRating > 9"
    checked = check(sql, catalog=catalog, limits=Limits(10, 1000, 10.0), principal=Principal("tester"))

    assert isinstance(checked, CheckedQuery)
    assert checked.sql == sql


def test_what_a_wrapped_table_is_estimated_by_stays_as_it_was_sent(stored_lake: Lake) -> None:
    catalog = Catalog("imdb", LakeCatalog(stored_lake).tables(), dialect="sail")
    sql = "SELECT id FROM floats WHERE f > 5 AND id = 3"
    checked = check(sql, catalog=catalog, limits=Limits(10, 1000, 10.0), principal=Principal("tester"))

    assert isinstance(checked, CheckedQuery)
    assert [(scan.columns, {each.column for each in scan.filters}) for scan in checked.scans] == [
        ({"id", "f"}, {"f", "id"})
    ]


@pytest.mark.parametrize(
    ("sql", "wrapped"),
    [("SELECT count(*) FROM imdb.wide WHERE c3 > c4", 2), ("SELECT * FROM imdb.wide LIMIT 10", 0),
     ("SELECT c1 FROM imdb.wide AS a WHERE c1 IS NOT NULL", 1)],
)  # fmt: skip
def test_of_a_wide_table_only_what_is_named_is_wrapped(sql: str, wrapped: int) -> None:
    columns = tuple(Column(name=f"c{number}", type="double") for number in range(2_000))
    catalog = Catalog("imdb", (TableInfo("wide", "table", "", columns),), dialect="sail")
    checked = check(sql, catalog=catalog, limits=Limits(10, 1000, 10.0), principal=Principal("tester"))

    assert isinstance(checked, CheckedQuery)
    assert checked.sql.count("nanvl") == wrapped
