"""The catalogue that the statements of the corpora are written against. No engine, no lake."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import pytest

from lakehouse.manifest import Column
from lakehouse.session import Dialect
from mcp_server import checking
from mcp_server.models import CheckedQuery, Principal, TableInfo
from tests.processor import slowness, timed

MAX_ROWS = 1_000
COLUMNS = {
    "movies_delta": "tconst titleType primaryTitle originalTitle isAdult startYear endYear runtimeMinutes genres",
    "ratings_delta": "tconst averageRating numVotes",
    "principals_delta": "tconst ordering nconst category job characters",
    "persons_delta": "nconst primaryName birthYear deathYear primaryProfession knownForTitles",
    "crew_delta": "tconst directors writers",
    "akas_delta": "titleId ordering title region language types attributes isOriginalTitle",
    "episodes_delta": "tconst parentTconst seasonNumber episodeNumber",
    "movies_with_ratings": (
        "tconst titleType primaryTitle originalTitle isAdult startYear endYear runtimeMinutes genres "
        "averageRating numVotes"
    ),
    "movie_cast": "tconst primaryTitle titleType startYear nconst primaryName category job characters ordering",
}
PINS = {name: number for number, name in enumerate(COLUMNS, 3)}
"""Another version for each table, so that a pin put to the wrong table shows."""

TYPES = {
    "isAdult": "boolean", "startYear": "int", "endYear": "int", "runtimeMinutes": "int", "genres": "array<string>",
    "averageRating": "double", "numVotes": "int", "ordering": "int", "birthYear": "int", "deathYear": "int",
    "characters": "array<string>", "directors": "array<string>", "writers": "array<string>",
    "primaryProfession": "array<string>", "knownForTitles": "array<string>", "types": "array<string>",
    "attributes": "array<string>", "isOriginalTitle": "boolean", "seasonNumber": "int", "episodeNumber": "int",
}  # fmt: skip
"""Of the columns that are no text, as the load writes them."""

TABLES = tuple(
    TableInfo(
        name=name,
        kind="table" if name.endswith("_delta") else "view",
        comment="",
        columns=tuple(Column(name=column, type=TYPES.get(column, "string")) for column in columns.split()),
    )
    for name, columns in COLUMNS.items()
)
SETTINGS = {
    "catalog": checking.Catalog("imdb", TABLES, PINS, ai={"ai_movie_summary": "tconst", "ai_person_summary": "nconst"}),
    "limits": checking.Limits(MAX_ROWS, 32_768, 30.0),
    "principal": Principal("ann"),
}

CPU_SECONDS = 0.25
"""What any text may take, on an undisturbed processor (tests.processor)."""

Verdict = Callable[..., checking.Verdict]
Check = Callable[..., CheckedQuery]


def cpu_seconds(sql: str, dialect: Dialect) -> float:
    """CPU time of a check as it would be on an undisturbed processor, the best of three."""
    settings = SETTINGS | {"catalog": replace(SETTINGS["catalog"], dialect=dialect)}
    checking.verdict("SELECT 1", **settings)
    times, before = [], slowness()
    for _ in range(3):
        taken = timed(lambda: checking.verdict(sql, **settings))
        after = slowness()
        times.append(taken / ((before + after) / 2))
        before = after
    return min(times)


@pytest.fixture
def verdict() -> Verdict:
    return functools.partial(checking.verdict, **SETTINGS)


@pytest.fixture
def check() -> Check:
    return functools.partial(checking.check, **SETTINGS)
