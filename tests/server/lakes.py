"""Writes a small invented lake with deltalake, as a load would publish it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from etl.context_files import store_context_files
from lakehouse.manifest import Column, Manifest, TableEntry, TableKind, publish_manifest, read_manifest
from lakehouse.storage import Lake

SQL_TYPES = {
    pa.string(): "string",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.float64(): "double",
    pa.list_(pa.string()): "array<string>",
}

BASICS = pa.schema(
    {
        "tconst": pa.string(),
        "titleType": pa.string(),
        "primaryTitle": pa.string(),
        "originalTitle": pa.string(),
        "isAdult": pa.bool_(),
        "startYear": pa.int32(),
        "endYear": pa.int32(),
        "runtimeMinutes": pa.int32(),
        "genres": pa.list_(pa.string()),
    }
)
RATINGS = pa.schema({"tconst": pa.string(), "averageRating": pa.float64(), "numVotes": pa.int32()})
PERSONS = pa.schema({"nconst": pa.string(), "primaryName": pa.string(), "birthYear": pa.int32()})
CREDITS = pa.schema(
    {
        "tconst": pa.string(),
        "nconst": pa.string(),
        "ordering": pa.int32(),
        "category": pa.string(),
        "job": pa.string(),
        "characters": pa.list_(pa.string()),
    }
)

WORDS = (
    "Silent",
    "Harbour",
    "Last",
    "Winter",
    "Golden",
    "Road",
    "Hidden",
    "River",
    "Broken",
    "Mirror",
    "Night",
    "Song",
)
INSTEAD = "Use it instead of joining tables."
GENRES = (["Drama"], ["Comedy", "Drama"], ["Action", "Crime", "Thriller"], ["Documentary"], ["Horror"])


def titles(count: int) -> list[dict[str, Any]]:
    """Invented titles of about twenty letters; number 1 and 2 share a name, number 3 is a Japanese one."""
    rows = []
    for i in range(1, count + 1):
        title = f"The {WORDS[i % 12]} {WORDS[(i * 7 + i // 12) % 12]} {i}"
        title = {1: "The Twin Bridges", 2: "The Twin Bridges", 3: "静かな港の夜"}.get(i, title)
        rows.append(
            {
                "tconst": f"tt{i * 7919:07d}",
                "titleType": "movie" if i % 3 else "short",
                "primaryTitle": title,
                "originalTitle": title if i % 9 else f"Le {title}",
                "isAdult": i % 50 == 0,
                "startYear": 1950 + i % 70 if i % 40 else None,
                "endYear": None,
                "runtimeMinutes": 60 + i * 13 % 120,
                "genres": GENRES[i % 5] if i % 60 else None,
            }
        )
    return rows


def ratings(basics: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"tconst": row["tconst"], "averageRating": 1 + i * 37 % 90 / 10, "numVotes": 5 + i * i * 31 % 90_000}
        for i, row in enumerate(basics)
        if i % 10 != 9
    ]


def make_lake(folder: Path, count: int = 300, generation: int = 1) -> Path:
    """Write the tables and publish their manifest, as a load does."""
    basics = titles(count)
    rated = {row["tconst"]: row for row in ratings(basics)}
    persons = [
        {"nconst": f"nm{i:07d}", "primaryName": f"Person {WORDS[i % 12]} {i}", "birthYear": 1900 + i}
        for i in range(1, 41)
    ]
    credited = [
        {
            "tconst": row["tconst"],
            "nconst": persons[(i + j * 11) % 40]["nconst"],
            "ordering": j + 1,
            "category": ("director", "actor", "actress")[j],
            "job": None,
            "characters": None if j == 0 else [f"Character {i}"],
        }
        for i, row in enumerate(basics)
        for j in range(3)
    ]
    names = {person["nconst"]: person["primaryName"] for person in persons}
    by_tconst = {row["tconst"]: row for row in basics}
    cast = [
        {
            **credit,
            "primaryName": names[credit["nconst"]],
            "primaryTitle": by_tconst[credit["tconst"]]["primaryTitle"],
            "startYear": by_tconst[credit["tconst"]]["startYear"],
        }
        for credit in credited
    ]
    cast_schema = pa.schema(
        [
            *CREDITS,
            pa.field("primaryName", pa.string()),
            pa.field("primaryTitle", pa.string()),
            pa.field("startYear", pa.int32()),
        ]
    )
    view = [{**row, **rated[row["tconst"]]} for row in basics if row["tconst"] in rated]
    rated_schema = pa.schema([*BASICS, pa.field("averageRating", pa.float64()), pa.field("numVotes", pa.int32())])
    written = [
        _write(folder, "movies_delta", basics, BASICS, "All titles. One row per title."),
        _write(folder, "ratings_delta", list(rated.values()), RATINGS, "Ratings of titles."),
        _write(folder, "persons_delta", persons, PERSONS, "All people."),
        _write(folder, "principals_delta", credited, CREDITS, "Credits of titles."),
        _write(folder, "movies_with_ratings", view, rated_schema, f"Titles that have a rating. {INSTEAD}", "view"),
        _write(folder, "movie_cast", cast, cast_schema, f"Who did what in which title. {INSTEAD}", "view"),
    ]
    entries = {entry.path: entry for entry in written}
    lake = Lake.parse(str(folder))
    publish_manifest(
        lake, Manifest(generation=generation, created_at=datetime.now(UTC), engine="embedded", tables=entries)
    )
    store_context_files(lake)
    return folder


FILM_PEOPLE = pa.schema(
    [(name, pa.string()) for name in ("tconst", "primaryTitle", "titleType")]
    + [("startYear", pa.int32())]
    + [(name, pa.string()) for name in ("nconst", "primaryName", "role", "source")]
)
AKAS = pa.schema(
    [("tconst", pa.string()), ("ordering", pa.int32()), *((name, pa.string()) for name in ("title", "region"))]
)
EPISODES = pa.schema([("tconst", pa.string()), ("parentTconst", pa.string()), ("seasonNumber", pa.int32())])


def make_film_lake(folder: Path) -> Path:
    """Write a lake that has people without a name too, titles of other countries, and episodes.

    Each of 60 titles has a director, and two actors of whom nothing is known.
    """
    make_lake(folder)
    basics = titles(60)
    people = [
        {
            **{name: row[name] for name in ("tconst", "primaryTitle", "titleType", "startYear")},
            "nconst": f"nm{(9_000_000 if j else 1) + (i + j) % 40:07d}",
            "primaryName": None if j else f"Person {WORDS[(1 + i % 40) % 12]} {1 + i % 40}",
            "role": "actor" if j else "director",
            "source": "principals" if j else "both",
        }
        for i, row in enumerate(basics)
        for j in range(3)
    ]
    akas = [{"tconst": row["tconst"], "ordering": 1, "title": "Titel", "region": "DE"} for row in basics[:20]]
    episodes = [{"tconst": f"tt9{i:06d}", "parentTconst": basics[0]["tconst"], "seasonNumber": 1} for i in range(20)]
    written = [
        _write(folder, "film_people", people, FILM_PEOPLE, INSTEAD, "view", ("tconst", "nconst", "role")),
        _write(folder, "akas_delta", akas, AKAS, "Titles elsewhere.", key=("tconst", "ordering")),
        _write(folder, "episodes_delta", episodes, EPISODES, "Episodes."),
    ]
    lake = Lake.parse(str(folder))
    manifest = read_manifest(lake)
    assert manifest is not None
    tables = manifest.tables | {entry.path: entry for entry in written}
    publish_manifest(lake, manifest.model_copy(update={"generation": manifest.generation + 1, "tables": tables}))
    return folder


def _write(
    folder: Path,
    name: str,
    rows: list[dict[str, Any]],
    schema: pa.Schema,
    comment: str,
    kind: TableKind = "table",
    key: tuple[str, ...] = (),
) -> TableEntry:
    target = folder / name
    write_deltalake(str(target), pa.Table.from_pylist(rows, schema), mode="overwrite")
    return TableEntry(
        path=name,
        version=DeltaTable(str(target)).version(),
        rows=len(rows),
        bytes=1,
        files=1,
        kind=kind,
        key=key or (schema.names[0],),
        clustered_by=(schema.names[0],),
        comment=comment,
        columns=tuple(Column(name=f.name, type=SQL_TYPES[f.type], comment=f"The {f.name} of it.") for f in schema),
    )
