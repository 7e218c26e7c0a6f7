"""Source files whose columns change from one load to the next: added, moved, renamed, retyped, and gone again."""

from __future__ import annotations

import gzip
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from etl.datasets import UNDESCRIBED
from lakehouse.storage import Lake
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.models import GUARD_SEAL, CheckedQuery, Principal, RowLimit
from mcp_server.settings import load_settings
from tests.etl.conftest import AWKWARD, HEADERS, MakeSource, manifest_of, rejects_of, rows_of, run_etl

MANY = 60
"""Rows of a file: enough to tell another column from malformed lines."""


def write_columns(source: Path, file: str, columns: dict[str, Sequence[str]], line_end: str = "\n") -> None:
    """Replace a file of a source by one with these columns."""
    lines = ["\t".join(columns), *("\t".join(values) for values in zip(*columns.values(), strict=True))]
    text = "".join(line + line_end for line in lines)
    (source / f"{file}.tsv.gz").write_bytes(gzip.compress(text.encode()))


def columns_of(file: str) -> dict[str, Sequence[str]]:
    """The columns of an awkward file."""
    rows = [row.split("\t") for row in AWKWARD[file]]
    return {name: [row[i] for row in rows] for i, name in enumerate(HEADERS[file].split("\t"))}


def with_columns(make_source: MakeSource, name: str, *added: str) -> Path:
    """A source whose titles have further columns, one of them in the middle and the rest in front."""
    source, titles = make_source(name), columns_of("title.basics")
    rows = len(AWKWARD["title.basics"])
    for column in added:
        first, *rest = titles.items()
        values = [rf"{column} {i}" if i else r"\N" for i in range(rows)]
        titles = dict([first, (column, values), *rest])
    write_columns(source, "title.basics", titles)
    return source


def test_a_new_column_is_added_as_text_wherever_it_stands(make_source: MakeSource, tmp_path: Path, engine: str) -> None:
    lake = tmp_path / "lake"
    assert load(make_source(), lake, engine).returncode == 0
    before = manifest_of(lake)["tables"]["movies_delta"]

    done = load(with_columns(make_source, "wider", "budget", "studio"), lake, engine)

    assert done.returncode == 0, done.stderr
    assert (
        "title.basics.tsv.gz has a column budget that is not described here: it is in movies_delta, as text."
        in said(done)
    )
    after = manifest_of(lake)["tables"]["movies_delta"]
    assert after["columns"][:-2] == before["columns"]
    assert after["columns"][-2:] == [
        {"name": name, "type": "string", "comment": UNDESCRIBED, "nullable": True} for name in ("studio", "budget")
    ]
    rows = {row["tconst"]: row for row in rows_of(lake, "movies_delta")}
    assert rows["tt0000002"]["budget"] == "budget 1"
    assert (rows["tt0000002"]["genres"], rows["tt0000001"]["studio"]) == (["Crime", "Drama"], None)
    fields = {field.name: field for field in DeltaTable(str(lake / "movies_delta")).schema().fields}
    assert fields["budget"].metadata["comment"] == UNDESCRIBED
    for view in ("movies_with_ratings", "movie_cast"):
        assert "budget" not in {column["name"] for column in manifest_of(lake)["tables"][view]["columns"]}
    old = before["version"]
    for answers in (ask_embedded, ask_spark):
        assert answers(lake, f"SELECT * FROM movies_delta VERSION AS OF {old}") == (
            sorted(column["name"] for column in before["columns"]),
            len(AWKWARD["title.basics"]),
        ), answers
        newest = answers(lake, f"SELECT budget FROM movies_delta VERSION AS OF {after['version']}")
        assert newest == (["budget"], len(AWKWARD["title.basics"]))


def test_a_column_that_is_gone_again_stays_in_the_table_and_is_said(make_source: MakeSource, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    assert load(with_columns(make_source, "wide", "budget", "studio"), lake).returncode == 0

    done = load(with_columns(make_source, "narrower", "Studio"), lake)

    assert done.returncode == 0, done.stderr
    gone = "title.basics.tsv.gz no longer has the column budget: it stays in movies_delta, with null in every row."
    assert gone in said(done)
    assert "studio" not in said(done).lower()  # known, in another spelling
    rows = rows_of(lake, "movies_delta")
    assert {row["budget"] for row in rows} == {None}
    assert {row["studio"] for row in rows} == {None, *(f"Studio {i}" for i in range(1, 6))}
    assert gone in said(load(make_source(), lake))


def test_a_first_load_takes_columns_that_are_not_described(make_source: MakeSource, tmp_path: Path) -> None:
    source = with_columns(make_source, "wide", "numVotes")  # a name that the view of rated titles has
    done = load(source, tmp_path / "lake")
    assert done.returncode == 0, done.stderr
    assert {row["numVotes"] for row in rows_of(tmp_path / "lake", "movies_with_ratings")} == {2507134, 5, 1204}
    assert len(rows_of(tmp_path / "lake", "movie_cast")) == 6


def test_columns_in_another_order_are_matched_by_name(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source()
    write_columns(source, "title.basics", dict(reversed(columns_of("title.basics").items())))
    done = load(source, tmp_path / "lake")
    assert "title.basics.tsv.gz has its columns in another order than IMDb's; they were matched by name." in said(done)
    assert load(make_source("plain"), tmp_path / "plain").returncode == 0
    assert rows_of(tmp_path / "lake", "movies_delta") == rows_of(tmp_path / "plain", "movies_delta")


def test_lines_without_the_new_column_are_rejected(make_source: MakeSource, tmp_path: Path) -> None:
    source = with_columns(make_source, "wide", "budget")
    packed = source / "title.basics.tsv.gz"
    short = "tt0000100\tmovie\ta\ta\t0\t1999\t\\N\t90\tDrama"
    packed.write_bytes(packed.read_bytes() + gzip.compress(short.encode()))
    assert load(source, tmp_path / "lake", percent="50").returncode == 0
    assert [row["reason"] for row in rejects_of(tmp_path / "lake")] == ["9 fields instead of 10"]


REFUSED: dict[str, tuple[dict[str, str | None], str]] = {
    "a missing column": (
        {"genres": None},
        "title.basics.tsv.gz has another header than IMDb's title.basics: it lacks genres. Found: tconst | titleType",
    ),
    "a renamed column": ({"genres": None, "genre": "Drama"}, "it lacks genres. Found: "),
    "the same column twice": ({"Genres": "Drama"}, "has two columns for Genres in movies_delta."),
    "a name that no table can have": ({"a b": "x"}, "has a column named 'a b'. A new column's name is a letter and"),
    "a name that is none": ({"": "x"}, "has a column named ''."),
    "flags in words": (
        {"isAdult": "false"},
        "isAdult has another form than IMDb's: expected 0 or 1, found 'false' (none of the first 60 values fits).",
    ),
    "dates for years": (
        {"startYear": "1994-10-14"},
        "startYear has another form than IMDb's: expected a whole number of at most nine digits, found '1994-10-14'",
    ),
    "ids of another kind": ({"tconst": "42"}, "the column tconst has another form than IMDb's: expected an id that "),
    "nothing where a value is needed": ({"primaryTitle": r"\N"}, r"expected a value, found '\\N'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_column_that_cannot_be_loaded_is_one_sentence_before_any_work(
    case: str, make_source: MakeSource, tmp_path: Path
) -> None:
    changes, words = REFUSED[case]
    titles = {name: values[0] for name, values in columns_of("title.basics").items()} | changes
    source = make_source()
    write_columns(source, "title.basics", {name: [value] * MANY for name, value in titles.items() if value is not None})
    done = load(source, tmp_path / "lake")
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert words in sentence
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("engine", ["embedded"])
def test_too_many_values_of_another_form_name_the_column(make_source: MakeSource, tmp_path: Path, engine: str) -> None:
    good = [f"tt{i:07}\t5.5\t{i}" for i in range(1, 1_500)]
    bad = [f"tt{i:07}\t5,5\t{i}" for i in range(1_500, 1_600)]
    done = load(make_source(title_ratings=good + bad), tmp_path / "lake", engine)
    assert done.returncode == 1
    assert (
        "title.ratings.tsv.gz: 100 of 1,599 lines (6.25 %) are malformed, more than the 1 % allowed "
        "(IMDB_MAX_REJECT_PERCENT), most of them in averageRating: expected a number, found '5,5'. They are kept"
    ) in done.stderr


@pytest.fixture(params=["embedded", "spark"])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "spark":
        request.getfixturevalue("java")
    return str(request.param)


def load(source: Path, lake: Path, engine: str = "embedded", percent: str = "1") -> subprocess.CompletedProcess[str]:
    return run_etl("load", "--source", source, "--lake", lake, "--engine", engine, IMDB_MAX_REJECT_PERCENT=percent)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a load said, without the ends of lines that a narrow terminal would have."""
    return " ".join(done.stdout.split())


def ask_embedded(lake: Path, sql: str) -> tuple[list[str], int]:
    """The columns and the number of rows that the server's embedded engine answers."""
    engine = EmbeddedEngine(Lake.parse(str(lake)), load_settings(state_dir=lake.parent / "state"))
    (lake.parent / "state").mkdir(exist_ok=True)
    engine.start()
    try:
        query = CheckedQuery(sql, sql, frozenset({"movies_delta"}), frozenset(), RowLimit(100), 60.0,
                             Principal("asker"), {}, (), GUARD_SEAL)  # fmt: skip
        table: Any = engine.execute(query, uuid.uuid4().hex).table
    finally:
        engine.close()
    return sorted(table.column_names), table.num_rows


def ask_spark(lake: Path, sql: str) -> tuple[list[str], int]:
    """The same from Spark itself, in a process of its own."""
    code = """
import sys
from lakehouse.session import open_session
lake, sql = sys.argv[1:]
with open_session("spark") as session:
    session.spark.sql(f"CREATE TABLE movies_delta USING delta LOCATION '{lake}/movies_delta'")
    rows = session.spark.sql(sql)
    print(*sorted(rows.columns), rows.count())
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(lake), sql]
    *columns, count = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return columns, int(count)
