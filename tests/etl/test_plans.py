"""How Spark reads what a load has written: little of it, and what is small is sent to what is large."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.etl.conftest import manifest_of, rows_of
from tests.etl.plans import Plan, run_statements

CREDITS_AND_TITLES = (
    "SELECT m.primaryTitle, p.category FROM principals_delta p JOIN movies_delta m ON m.tconst = p.tconst "
    "WHERE m.startYear = 1994 AND m.titleType = 'movie'"
)
BY_DECADE = (
    "SELECT floor(startYear / 10) AS decade, count(*), avg(averageRating) FROM movies_with_ratings "
    "WHERE titleType = 'movie' GROUP BY 1"
)
BUSIEST = (
    "SELECT n.primaryName, c.credits FROM (SELECT nconst, count(*) AS credits FROM movie_cast GROUP BY nconst) c "
    "JOIN persons_delta n ON n.nconst = c.nconst WHERE c.credits > 20"
)


@dataclass(frozen=True)
class Ran:
    """The plans of the statements above, and of a look-up in each table by its clustering key."""

    lake: Path
    credits_and_titles: Plan
    by_decade: Plan
    busiest: Plan
    lookups: dict[str, Plan]


@pytest.fixture(scope="module")
def ran(spark_sample_lake: Path) -> Ran:
    lookups = {}
    for table, entry in manifest_of(spark_sample_lake)["tables"].items():
        key = entry["clustered_by"][0]
        values = sorted(row[key] for row in rows_of(spark_sample_lake, table) if row[key] is not None)
        value = values[len(values) // 2]
        lookups[table] = f"SELECT * FROM {table} WHERE {key} = {value if isinstance(value, int) else repr(value)}"
    plans = run_statements(spark_sample_lake, [CREDITS_AND_TITLES, BY_DECADE, BUSIEST, *lookups.values()])
    return Ran(spark_sample_lake, *plans[:3], dict(zip(lookups, plans[3:], strict=True)))


def test_a_look_up_by_the_clustering_key_reads_few_of_the_files(ran: Ran) -> None:
    entries = manifest_of(ran.lake)["tables"]
    assert {"movies_delta", "principals_delta", "movie_cast"} <= {t for t, e in entries.items() if e["files"] >= 3}
    for table, plan in ran.lookups.items():
        scan, files = plan.scan_of(table), entries[table]["files"]
        assert 1 <= scan.files <= max(1, files // 2), (table, scan.files, files)
        assert files == 1 or scan.rows < entries[table]["rows"], table


def test_conditions_go_down_into_parquets_reader(ran: Ran) -> None:
    for table, plan in ran.lookups.items():
        key = manifest_of(ran.lake)["tables"][table]["clustered_by"][0]
        assert f"EqualTo({key}," in plan.scan_of(table).pushed
    pushed = ran.credits_and_titles.scan_of("movies_delta").pushed
    assert "EqualTo(startYear,1994)" in pushed
    assert "EqualTo(titleType,movie)" in pushed


def test_only_the_columns_that_a_statement_names_are_read(ran: Ran) -> None:
    joined = ran.credits_and_titles
    assert joined.scan_of("principals_delta").columns == ["tconst", "category"]
    assert sorted(joined.scan_of("movies_delta").columns) == ["primaryTitle", "startYear", "tconst", "titleType"]
    assert sorted(ran.by_decade.scan_of("movies_with_ratings").columns) == ["averageRating", "startYear", "titleType"]


def test_the_small_side_of_a_join_is_broadcast(ran: Ran) -> None:
    for plan in (ran.credits_and_titles, ran.busiest):
        assert plan.has("BroadcastHashJoinExec")
        assert not plan.has("SortMergeJoinExec")
    assert ran.credits_and_titles.runs_below("BroadcastExchangeExec", "BroadcastHashJoinExec")
    assert not ran.credits_and_titles.has("ShuffleExchangeExec")


def test_a_view_is_aggregated_without_a_join_and_in_part_before_rows_are_moved(ran: Ran) -> None:
    assert not [name for _, name in ran.by_decade.operators if "Join" in name]
    assert [scan.table for scan in ran.by_decade.scans] == ["movies_with_ratings"]
    assert ran.by_decade.runs_below("HashAggregateExec", "ShuffleExchangeExec")


def test_credits_are_counted_before_they_are_joined(ran: Ran) -> None:
    assert ran.busiest.runs_below("HashAggregateExec", "BroadcastHashJoinExec")
    assert ran.busiest.scan_of("movie_cast").columns == ["nconst"]
    assert sorted(ran.busiest.scan_of("persons_delta").columns) == ["nconst", "primaryName"]
