"""Definitions of IMDb's files and their tables: columns, types, keys, comments and layout.

Source of formats and meanings: IMDb, "Non-Commercial Datasets" (the page that describes the published files). An
assistant reads the comments before it writes SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class FieldKind(Enum):
    """Text format of a field in the file, which determines its Spark type."""

    TEXT = "string"
    TITLE_ID = "title id"
    PERSON_ID = "person id"
    INTEGER = "int"
    DECIMAL = "double"
    FLAG = "boolean"
    COMMA_LIST = "comma list"
    CONTROL_B_LIST = "list separated by the byte 0x02"
    JSON_LIST = "JSON list"

    @property
    def spark_type(self) -> str:
        """Name of the Spark type."""
        return _SPARK_TYPES.get(self, self.value)


_SPARK_TYPES = {
    FieldKind.TITLE_ID: "string",
    FieldKind.PERSON_ID: "string",
    FieldKind.COMMA_LIST: "array<string>",
    FieldKind.CONTROL_B_LIST: "array<string>",
    FieldKind.JSON_LIST: "array<string>",
}


UNDESCRIBED = "A column of the source file that is not described here; text as it stands in the file."
"""The comment of columns that a file has and this module has not: a reload recognises them by it."""


@dataclass(frozen=True)
class Field:
    """A column of a file. A line with a null in a `required` field is malformed. `column` renames it."""

    name: str
    kind: FieldKind
    comment: str
    required: bool = False
    column: str = ""

    @property
    def column_name(self) -> str:
        """Name of the column in the table."""
        return self.column or self.name


@dataclass(frozen=True)
class Dataset:
    """A file and its table.

    `key` identifies a row. `clustered_by` is the order of the rows in the table's files: the first column of the source
    needs no sort, because IMDb's files have that order (checked while reading).
    """

    file: str
    table: str
    comment: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    clustered_by: tuple[str, ...]
    required: bool = True

    @property
    def header(self) -> tuple[str, ...]:
        """Names of the fields, in the order of the file."""
        return tuple(field.name for field in self.fields)


TITLE_TYPES = "movie, short, tvEpisode, tvSeries, tvMiniSeries, tvMovie, tvSpecial, tvShort, video, videoGame, tvPilot"
CATEGORIES = (
    "actor, actress, self, director, writer, producer, composer, cinematographer, editor, production_designer, "
    "casting_director, archive_footage, archive_sound"
)

_TCONST = Field(
    "tconst", FieldKind.TITLE_ID, "Title id, such as tt0111161. Text: ids have 7 or more digits.", required=True
)
_NCONST = Field("nconst", FieldKind.PERSON_ID, "Person id, such as nm0000151.", required=True)

_TITLES = Dataset(
    file="title.basics",
    table="movies_delta",
    comment="One row per title of any type (films, series, episodes, games). Despite the name not only films: "
    "filter titleType = 'movie' for feature films.",
    fields=(
        _TCONST,
        Field("titleType", FieldKind.TEXT, f"One of: {TITLE_TYPES}.", required=True),
        Field("primaryTitle", FieldKind.TEXT, "The best-known title. Not unique.", required=True),
        Field(
            "originalTitle", FieldKind.TEXT, "The title in the original language; which language that is is not known."
        ),
        Field("isAdult", FieldKind.FLAG, "True for adult titles."),
        Field("startYear", FieldKind.INTEGER, "Year of release (first year of a series). Null: unknown."),
        Field(
            "endYear",
            FieldKind.INTEGER,
            "Last year of a series that has ended. Null: a series that still runs or whose end is unknown (which of "
            "the two is not told), or no series.",
        ),
        Field("runtimeMinutes", FieldKind.INTEGER, "Running time in minutes. Null: unknown."),
        Field("genres", FieldKind.COMMA_LIST, "Up to three genres, such as ['Crime','Drama']. Null: unknown."),
    ),
    key=("tconst",),
    clustered_by=("tconst",),
)

DATASETS: tuple[Dataset, ...] = (
    Dataset(
        file="title.ratings",
        table="ratings_delta",
        comment="One row per rated title: mean rating and number of votes. Titles without votes are not here.",
        fields=(
            _TCONST,
            Field("averageRating", FieldKind.DECIMAL, "Weighted mean of the votes, 1.0 to 10.0.", required=True),
            Field("numVotes", FieldKind.INTEGER, "Number of votes.", required=True),
        ),
        key=("tconst",),
        clustered_by=("tconst",),
    ),
    _TITLES,
    Dataset(
        file="name.basics",
        table="persons_delta",
        comment="One row per person.",
        fields=(
            _NCONST,
            Field("primaryName", FieldKind.TEXT, "The name most often credited. Not unique.", required=True),
            Field("birthYear", FieldKind.INTEGER, "Year of birth; years BC are positive too. Null: unknown."),
            Field("deathYear", FieldKind.INTEGER, "Year of death. Null: alive or unknown."),
            Field("primaryProfession", FieldKind.COMMA_LIST, "Up to three professions, such as ['actor','producer']."),
            Field("knownForTitles", FieldKind.COMMA_LIST, "Up to four title ids that the person is known for."),
        ),
        key=("nconst",),
        clustered_by=("nconst",),
    ),
    Dataset(
        file="title.principals",
        table="principals_delta",
        comment="One row per principal credit: the best-known people of a title, not all of them. A person can have "
        "several in one title. Joined with names and titles in movie_cast; with crew_delta too in film_people.",
        fields=(
            _TCONST,
            Field("ordering", FieldKind.INTEGER, "Billing order within the title, from 1.", required=True),
            _NCONST,
            Field("category", FieldKind.TEXT, f"One of: {CATEGORIES}.", required=True),
            Field("job", FieldKind.TEXT, "The job in words, where the category does not say it. Null: none given."),
            Field("characters", FieldKind.JSON_LIST, "Characters played, or how a person appears. Null: none given."),
        ),
        key=("tconst", "ordering"),
        clustered_by=("tconst",),
    ),
    Dataset(
        file="title.crew",
        table="crew_delta",
        comment="Directors and writers of titles as lists of person ids, principal credits or not. A title without a "
        "row here is one whose crew is not in the data. One row per person, with names, is in film_people.",
        fields=(
            _TCONST,
            Field("directors", FieldKind.COMMA_LIST, "Person ids of the directors. Null: none listed."),
            Field("writers", FieldKind.COMMA_LIST, "Person ids of the writers. Null: none listed."),
        ),
        key=("tconst",),
        clustered_by=("tconst",),
        required=False,
    ),
    Dataset(
        file="title.akas",
        table="akas_delta",
        comment="Names of titles by region and language, the original title among them. Many per title, or none.",
        fields=(
            Field(
                "titleId", FieldKind.TITLE_ID, "Title id: the tconst of movies_delta.", required=True, column="tconst"
            ),
            Field("ordering", FieldKind.INTEGER, "Number of the name within the title, from 1.", required=True),
            Field("title", FieldKind.TEXT, "The name in that region.", required=True),
            Field(
                "region",
                FieldKind.TEXT,
                "Where the name is used: ISO 3166 code such as US, GB, DE, FR, JP, or IMDb's own, such as XWW "
                "(worldwide), XEU (Europe), SUHH (Soviet Union), XYU (Yugoslavia), XWG (West Germany). Null: original "
                "title, or unknown.",
            ),
            Field(
                "language",
                FieldKind.TEXT,
                "ISO 639 code such as en, ja, fr, or IMDb's own, such as qbn. Given where the region does not tell it; "
                "original titles carry none. For German titles filter region = 'DE', not language alone.",
            ),
            Field(
                "types",
                FieldKind.CONTROL_B_LIST,
                "Kinds of name: imdbDisplay, original, alternative, working, tv, dvd, video, festival. Null: not told.",
            ),
            Field(
                "attributes",
                FieldKind.CONTROL_B_LIST,
                "Remarks, such as 'reissue title', 'literal title', 'transliterated title', 'short title', 'new "
                "title', 'complete title'. Null: none.",
            ),
            Field(
                "isOriginalTitle", FieldKind.FLAG, "True for the original title; it has neither region nor language."
            ),
        ),
        key=("tconst", "ordering"),
        clustered_by=("tconst",),
        required=False,
    ),
    Dataset(
        file="title.episode",
        table="episodes_delta",
        comment="Which series an episode belongs to, and its season and number.",
        fields=(
            Field("tconst", FieldKind.TITLE_ID, "Title id of the episode.", required=True),
            Field("parentTconst", FieldKind.TITLE_ID, "Title id of the series.", required=True),
            Field("seasonNumber", FieldKind.INTEGER, "Season; some series use the year. Null: unknown."),
            Field("episodeNumber", FieldKind.INTEGER, "Number within the season; 0 is a pilot. Null: unknown."),
        ),
        key=("tconst",),
        clustered_by=("tconst",),
        required=False,
    ),
)
