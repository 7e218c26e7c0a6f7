"""Versions of tables: what was published may be read, by its number or by a time, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lakehouse.errors import Refused
from lakehouse.session import Dialect
from mcp_server import checking
from mcp_server.models import CheckedQuery
from tests.guard.conftest import PINS, SETTINGS, TABLES

M = PINS["movies_delta"]
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PUBLISHED = datetime(2026, 5, 1, 12, tzinfo=UTC)


def _catalog(dialect: Dialect, *, pins: bool, published: datetime | None) -> checking.Catalog:
    tables = tuple(replace(table, published=published) for table in TABLES)
    return checking.Catalog("imdb", tables, PINS if pins else {}, dialect, now=lambda: NOW)


LAKES = [
    pytest.param(_catalog("spark", pins=True, published=PUBLISHED), id="spark"),
    pytest.param(_catalog("sail", pins=True, published=PUBLISHED), id="embedded"),
    pytest.param(_catalog("sail", pins=True, published=None), id="a lake without a manifest"),
    pytest.param(_catalog("spark", pins=False, published=None), id="a catalogue"),
]


def _check(sql: str, catalog: checking.Catalog) -> str:
    checked = checking.check(sql, **(SETTINGS | {"catalog": catalog}))
    assert isinstance(checked, CheckedQuery)
    return checked.sql


def _code(sql: str, catalog: checking.Catalog) -> str:
    with pytest.raises(Refused) as refusal:
        _check(sql, catalog)
    assert "\n" not in str(refusal.value)
    return refusal.value.code


PLACES = (
    "SELECT * FROM movies_delta {0}",
    "select * from `imdb`.`Movies_Delta` {0} m",
    "SELECT 1 FROM ratings_delta r JOIN movies_delta {0} AS m ON m.tconst = r.tconst",
    "WITH a AS (SELECT * FROM movies_delta {0}) SELECT * FROM a",
    "SELECT (SELECT max(startYear) FROM movies_delta {0})",
    "FROM movies_delta {0} |> LIMIT 1",
    "EXPLAIN SELECT * FROM movies_delta {0}",
)
NUMBERED = ("VERSION AS OF {0}", "FOR VERSION AS OF {0}", "for system_version as of {0}")
TIMED = ("TIMESTAMP AS OF {0}", "FOR TIMESTAMP AS OF {0}", "FOR SYSTEM_TIME AS OF {0}")


@pytest.mark.parametrize("catalog", LAKES[:3])
@pytest.mark.parametrize("version", [str(M + 1), "77", "0000000000000000000000000004", "9" * 300, "9" * 5_000])
def test_a_version_above_the_published_one_is_refused_in_every_spelling(
    catalog: checking.Catalog, version: str
) -> None:
    codes = {_code(place.format(form.format(version)), catalog) for place in PLACES for form in NUMBERED}

    assert codes <= {"time_travel", "too_large"}


@pytest.mark.parametrize("catalog", LAKES)
@pytest.mark.parametrize(
    "moment",
    [
        "'2999-01-01'",
        "'2026-06-01 12:00:00.000001'",
        "'2026-06-01T10:00:01-02:00'",
        '"2026-06-02"',
        *("'tomorrow'", "'now'", "'today'", "''", "'2026'", "'2026-02-30'", "'12:00:00'", "'20260101'", "'2026-W01-1'"),
        *(r"'2999\u002d01-01'", r"r'2999-01-01'", "X'32'", "'２０２６-01-01'", "'2026-01-01 00:00:00 Asia/Tokyo'"),
        *("2026", "current_timestamp()", "(SELECT now())", "'2026-01-01' || ''", "DATE '2026-01-01'", "now"),
        *("'2026-01-01' + INTERVAL 9 YEARS", "CAST('2026-01-01' AS TIMESTAMP)", "'2026-01-01' '2999-01-01'"),
    ],
)
def test_a_time_in_the_future_or_of_another_form_is_refused_in_every_spelling(
    catalog: checking.Catalog, moment: str
) -> None:
    for form in TIMED:
        assert {_code(place.format(form.format(moment)), catalog) for place in PLACES} <= {"time_travel", "syntax"}


@pytest.mark.parametrize("catalog", LAKES)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM movies_delta@v9",
        "SELECT * FROM `movies_delta@v9`",
        "SELECT * FROM imdb.`movies_delta@20990101000000000`",
        "SELECT * FROM movies_delta VERSION 9",
        "SELECT * FROM movies_delta WITH (versionAsOf = 9)",
        "SELECT * FROM movies_delta OPTIONS (versionAsOf 9)",
        "SELECT * FROM table_changes('movies_delta', 9)",
        "SELECT * FROM movies_delta CHANGES FROM VERSION 9",
        "SELECT * FROM read_files('movies_delta', versionAsOf => 9)",
        "SELECT * FROM movies_delta VERSION AS OF '9'",
        "SELECT * FROM movies_delta VERSION AS OF 9L",
        "SELECT * FROM movies_delta VERSION AS OF -1",
        "SELECT * FROM movies_delta VERSION AS OF 0 VERSION AS OF 9",
    ],
)
def test_no_other_spelling_of_a_version_is_taken(catalog: checking.Catalog, sql: str) -> None:
    assert _code(sql, catalog)


def test_a_time_since_the_publication_is_that_of_the_published_version() -> None:
    published = LAKES[0].values[0]

    for moment in ("2026-05-01 12:00:00", "2026-05-01T14:00:00+02:00", "2026-06-01", "2026-06-01 12:00:00"):
        for form in TIMED:
            written = form.format(f"'{moment}'")
            assert _check(f"SELECT * FROM movies_delta {written} AS m", published) == (
                f"SELECT * FROM imdb.movies_delta VERSION AS OF {M} AS m"
            )


@pytest.mark.parametrize("catalog", LAKES)
def test_an_older_version_is_asked_for_as_it_was_written(catalog: checking.Catalog) -> None:
    for asked in ("VERSION AS OF 2", "FOR SYSTEM_VERSION AS OF 0", "TIMESTAMP AS OF '2026-05-01 11:59:59'"):
        assert _check(f"SELECT * FROM movies_delta {asked}", catalog) == f"SELECT * FROM imdb.movies_delta {asked}"


def test_a_catalogue_that_keeps_its_versions_to_itself_says_itself_that_one_is_not_there() -> None:
    assert _check("SELECT * FROM movies_delta VERSION AS OF 77", LAKES[3].values[0]).endswith("VERSION AS OF 77")
