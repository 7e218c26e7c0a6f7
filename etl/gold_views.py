"""Definitions of the gold views: joins that are computed once per load, and kept up to date by updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from etl.datasets import CATEGORIES, DATASETS, Field, FieldKind


@dataclass(frozen=True)
class ViewSource:
    """A table that a view is made of.

    `columns` are those that the view shows or chooses rows by: a change of any other does not reach it. `links` maps
    columns of the view to the columns that hold their values, or lists of them, in this table. A row of a `lookup`,
    such as a title or a person, adds columns to rows of the view; rows of other tables make them.
    """

    table: str
    columns: tuple[str, ...]
    links: tuple[tuple[str, tuple[str, ...]], ...]
    lookup: bool = False


@dataclass(frozen=True)
class GoldView:
    """A join that is computed once per load. `sql` reads the tables by name. The embedded engine holds the first side
    of each join in memory: one that is cut into slices, and the smaller one of two.

    `columns` lists the output columns, each with the table that defines its type and comment; `own_columns`, behind
    them, are defined here. The tables in `sliced` are joined by `slice_key`, so the view of a range of keys needs only
    their rows in it. The largest stands first. `sql` has no `*`: a view keeps its columns when a source file gains one.
    `found_by` is explained at `etl.tables.TableDefinition`.
    """

    name: str
    comment: str
    sql: str
    sources: tuple[ViewSource, ...]
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    clustered_by: tuple[str, ...]
    sliced: tuple[str, ...]
    slice_key: str = "tconst"
    own_columns: tuple[Field, ...] = ()
    found_by: Mapping[str, int] = field(default_factory=dict)


_MOVIES, _RATINGS, _PERSONS = "movies_delta", "ratings_delta", "persons_delta"
_PRINCIPALS, _CREW = "principals_delta", "crew_delta"
_TITLE_COLUMNS = tuple(field.column_name for each in DATASETS if each.table == _MOVIES for field in each.fields)
_SHOWN_TITLE = ("tconst", "primaryTitle", "titleType", "startYear")
_FOUND_BY = {"nconst": 20_000, "tconst": 100_000}
"""The different persons and titles in 131,072 rows that are in the order of names: 7 credits each, and 1.3."""
_BY_TITLE, _BY_PERSON = ("tconst", ("tconst",)), ("nconst", ("nconst",))

GOLD_VIEWS: tuple[GoldView, ...] = (
    GoldView(
        name="movies_with_ratings",
        comment="Every rated title with its rating: movies_delta joined with ratings_delta, pre-computed. Use it "
        "instead of that join for anything about ratings, votes or 'best' titles. Unrated titles are not here.",
        sql=f"SELECT {', '.join(f'm.{name}' for name in _TITLE_COLUMNS)}, r.averageRating, r.numVotes "
        f"FROM {_RATINGS} r JOIN {_MOVIES} m ON m.tconst = r.tconst",
        sources=(
            ViewSource(_RATINGS, ("tconst", "averageRating", "numVotes"), (_BY_TITLE,)),
            ViewSource(_MOVIES, _TITLE_COLUMNS, (_BY_TITLE,), lookup=True),
        ),
        columns=(
            *((name, _MOVIES) for name in _TITLE_COLUMNS),
            ("averageRating", _RATINGS),
            ("numVotes", _RATINGS),
        ),
        key=("tconst",),
        clustered_by=("startYear", "tconst"),
        found_by={"tconst": 100_000},
        sliced=(_RATINGS, _MOVIES),
    ),
    GoldView(
        name="movie_cast",
        comment="Every principal credit of a known title and person, with characters, job and billing order: "
        "principals_delta joined with movies_delta and persons_delta, pre-computed. Use it for who plays whom and how "
        "people are billed: the cast of one title (filter tconst), the roles of an actor (filter nconst; the "
        "primaryName beside it makes that faster). It is not all of who worked on what: directors and writers that "
        "only crew_delta lists are not here, nor is anyone whose name is unknown. film_people has them.",
        sql=f"SELECT c.tconst, c.primaryTitle, c.titleType, c.startYear, c.nconst, p.primaryName, c.category, c.job, "
        f"c.characters, c.ordering FROM (SELECT x.tconst, x.ordering, x.nconst, x.category, x.job, x.characters, "
        f"m.primaryTitle, m.titleType, m.startYear FROM {_MOVIES} m JOIN {_PRINCIPALS} x ON x.tconst = m.tconst) c "
        f"JOIN {_PERSONS} p ON c.nconst = p.nconst",
        sources=(
            ViewSource(
                _PRINCIPALS,
                ("tconst", "ordering", "nconst", "category", "job", "characters"),
                (_BY_TITLE, _BY_PERSON),
            ),
            ViewSource(_MOVIES, _SHOWN_TITLE, (_BY_TITLE,), lookup=True),
            ViewSource(_PERSONS, ("nconst", "primaryName"), (_BY_PERSON,), lookup=True),
        ),
        columns=(
            ("tconst", _PRINCIPALS),
            ("primaryTitle", _MOVIES),
            ("titleType", _MOVIES),
            ("startYear", _MOVIES),
            ("nconst", _PRINCIPALS),
            ("primaryName", _PERSONS),
            ("category", _PRINCIPALS),
            ("job", _PRINCIPALS),
            ("characters", _PRINCIPALS),
            ("ordering", _PRINCIPALS),
        ),
        key=("tconst", "ordering"),
        clustered_by=("primaryName", "nconst", "tconst", "ordering"),
        found_by=_FOUND_BY,
        sliced=(_PRINCIPALS, _MOVIES),
    ),
    GoldView(
        name="film_people",
        comment="Who worked on what: one row per title, person and role, of all that principals_delta and crew_delta "
        "know together, pre-computed, nobody counted twice. Use it for directors, writers, filmographies, who worked "
        "with whom, and counts of people or titles; for a person filter nconst; the primaryName beside it makes that "
        "faster. People without a known name are here, with a null primaryName: group and join by nconst. Titles that "
        "movies_delta lacks are not here. Characters, jobs and billing order are in movie_cast.",
        sql="SELECT c.tconst, c.primaryTitle, c.titleType, c.startYear, c.nconst, p.primaryName, c.role, c.source "
        "FROM (SELECT x.tconst, m.primaryTitle, m.titleType, m.startYear, x.nconst, x.role, CASE WHEN x.least < "
        f"x.most THEN 'both' WHEN x.least = 1 THEN 'principals' ELSE 'crew' END AS source FROM {_MOVIES} m JOIN "
        "(SELECT tconst, nconst, role, min(origin) AS least, max(origin) AS most FROM ("
        f"SELECT tconst, nconst, category AS role, 1 AS origin FROM {_PRINCIPALS} "
        f"UNION ALL SELECT tconst, explode(directors) AS nconst, 'director' AS role, 2 AS origin FROM {_CREW} "
        f"UNION ALL SELECT tconst, explode(writers) AS nconst, 'writer' AS role, 2 AS origin FROM {_CREW}) "
        "GROUP BY tconst, nconst, role) x ON x.tconst = m.tconst) c "
        f"LEFT JOIN {_PERSONS} p ON c.nconst = p.nconst",
        sources=(
            ViewSource(_PRINCIPALS, ("tconst", "nconst", "category"), (_BY_TITLE, _BY_PERSON)),
            ViewSource(_CREW, ("tconst", "directors", "writers"), (_BY_TITLE, ("nconst", ("directors", "writers")))),
            ViewSource(_MOVIES, _SHOWN_TITLE, (_BY_TITLE,), lookup=True),
            ViewSource(_PERSONS, ("nconst", "primaryName"), (_BY_PERSON,), lookup=True),
        ),
        columns=(
            ("tconst", _PRINCIPALS),
            ("primaryTitle", _MOVIES),
            ("titleType", _MOVIES),
            ("startYear", _MOVIES),
            ("nconst", _PRINCIPALS),
        ),
        own_columns=(
            Field(
                "primaryName", FieldKind.TEXT, "The name most often credited. Not unique. Null: not in persons_delta."
            ),
            Field("role", FieldKind.TEXT, f"One of: {CATEGORIES}. Actors are 'actor' or 'actress'.", required=True),
            Field(
                "source",
                FieldKind.TEXT,
                "'principals' or 'crew', by the table that lists the person in this role; 'both'.",
                required=True,
            ),
        ),
        key=("tconst", "nconst", "role"),
        clustered_by=("primaryName", "nconst", "tconst", "role"),
        found_by=_FOUND_BY,
        sliced=(_PRINCIPALS, _CREW, _MOVIES),
    ),
)

REJECTS_TABLE = "rejects"

TABLE_NAMES = (*(dataset.table for dataset in DATASETS), *(view.name for view in GOLD_VIEWS), REJECTS_TABLE)
"""The folders of all tables and views of a lake."""
