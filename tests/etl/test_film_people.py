"""`film_people`: who worked on what, from principal credits and crew together, nobody counted twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.etl.conftest import MakeSource, manifest_of, run_etl
from tests.etl.live_rows import live_rows

Row = tuple[Any, ...]


def _load(source: Path, lake: Path) -> Path:
    done = run_etl("load", "--source", source, "--lake", lake)
    assert done.returncode == 0, done.stderr
    return lake


def _update(source: Path, lake: Path) -> str:
    done = run_etl("update", "--source", source, "--lake", lake)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _people(lake: Path) -> Counter[Row]:
    return Counter(tuple(row.values()) for row in live_rows(lake, "film_people"))


def _expected(lake: Path) -> Counter[Row]:
    """The rows of the view, put together by hand."""
    titles = {row["tconst"]: row for row in live_rows(lake, "movies_delta")}
    names = {row["nconst"]: row["primaryName"] for row in live_rows(lake, "persons_delta")}
    sources: dict[tuple[str, str, str], set[str]] = {}
    for table, credit in _credits(lake):
        sources.setdefault(credit, set()).add(table)
    found: Counter[Row] = Counter()
    for (tconst, nconst, role), tables in sources.items():
        if tconst in titles:
            title = titles[tconst]
            source = "both" if len(tables) == 2 else min(tables)
            shown = (title["primaryTitle"], title["titleType"], title["startYear"])
            found[(tconst, *shown, nconst, names.get(nconst), role, source)] += 1
    return found


def _credits(lake: Path) -> Iterator[tuple[str, tuple[str, str, str]]]:
    for row in live_rows(lake, "principals_delta"):
        yield "principals", (row["tconst"], row["nconst"], row["category"])
    if "crew_delta" in manifest_of(lake)["tables"]:
        for row in live_rows(lake, "crew_delta"):
            for column, role in (("directors", "director"), ("writers", "writer")):
                for nconst in row[column] or []:
                    yield "crew", (row["tconst"], nconst, role)


@pytest.mark.parametrize("engine", ["embedded", "spark"])
def test_everyone_of_both_tables_is_there_once_on_every_engine(engine: str, request: pytest.FixtureRequest) -> None:
    lake = request.getfixturevalue(f"{engine}_sample_lake")
    found = _people(lake)
    assert found == _expected(lake)
    assert max(found.values()) == 1
    assert {row[-1] for row in found} >= {"both", "principals"}


CREDITS = [
    "tt0000002\t1\tnm0000001\tdirector\t\\N\t\\N",
    'tt0000002\t2\tnm0000001\tactor\t\\N\t["Ben"]',
    'tt0000002\t3\tnm0000001\tactor\t\\N\t["His twin"]',
    "tt0000002\t4\tnm9999999\teditor\t\\N\t\\N",
    "tt9999999\t1\tnm0000002\tdirector\t\\N\t\\N",
]
CREW = ["tt0000002\tnm0000001,nm0000002\tnm0000002", "tt0000003\tnm8888888\t\\N", "tt8888888\tnm0000001\t\\N"]


def test_a_person_in_both_is_one_row_and_one_without_a_name_has_null(make_source: MakeSource, tmp_path: Path) -> None:
    lake = _load(make_source(title_principals=CREDITS, title_crew=CREW), tmp_path / "lake")
    assert {(row["tconst"], row["nconst"], row["role"], row["source"]) for row in live_rows(lake, "film_people")} == {
        ("tt0000002", "nm0000001", "director", "both"),
        ("tt0000002", "nm0000001", "actor", "principals"),
        ("tt0000002", "nm9999999", "editor", "principals"),
        ("tt0000002", "nm0000002", "director", "crew"),
        ("tt0000002", "nm0000002", "writer", "crew"),
        ("tt0000003", "nm8888888", "director", "crew"),
    }
    unknown = {row["nconst"] for row in live_rows(lake, "film_people") if row["primaryName"] is None}
    assert unknown == {"nm9999999", "nm8888888"}


def test_without_the_crew_it_is_made_of_the_principal_credits(make_source: MakeSource, tmp_path: Path) -> None:
    lake = _load(make_source("without", title_principals=CREDITS, title_crew=None), tmp_path / "lake")
    assert _people(lake) == _expected(lake)
    assert {row["source"] for row in live_rows(lake, "film_people")} == {"principals"}
    assert "built whole" in _update(make_source("with", title_principals=CREDITS, title_crew=CREW), lake)
    assert _people(lake) == _expected(lake)
    _update(make_source("without again", title_principals=CREDITS, title_crew=None), lake)
    assert _people(lake) == _expected(lake)


def _title(number: int, year: int = 1999) -> str:
    return f"tt{number:07}\tmovie\tTitle {number}\tTitle {number}\t0\t{year}\t\\N\t90\tDrama"


def _person(number: int, name: str) -> str:
    return f"nm{number:07}\t{name}\t\\N\t\\N\t\\N\t\\N"


def _credit(title: int, place: int, person: int, category: str) -> str:
    return f"tt{title:07}\t{place}\tnm{person:07}\t{category}\t\\N\t\\N"


def _crew(title: int, directors: str, writers: str = "\\N") -> str:
    return f"tt{title:07}\t{directors}\t{writers}"


# What differs reaches a title, or a person, of its own.
BEFORE = {
    "title_basics": [*map(_title, range(1, 7)), _title(8)],
    "name_basics": [_person(1, "Renamed"), _person(3, "Gone"), _person(4, "Same")],
    "title_principals": [
        _credit(1, 1, 1, "actor"),
        _credit(3, 1, 3, "editor"),
        _credit(4, 1, 4, "actor"),
        _credit(5, 1, 4, "director"),
        _credit(7, 1, 4, "actor"),
    ],
    "title_crew": [
        _crew(1, "nm0000004,nm0000001"),
        _crew(2, "nm0000002"),
        _crew(5, "nm0000001,nm0000004"),
        _crew(6, "nm0000004"),
        _crew(8, "nm0000009", "nm0000009"),
    ],
}
AFTER = {
    "title_basics": [*map(_title, (1, 2, 3, 4, 5)), _title(6, 2001), _title(7)],  # one changes, one comes, one goes
    "name_basics": [_person(1, "Given another name"), _person(2, "Not known before"), _person(4, "Same")],
    "title_principals": [
        *BEFORE["title_principals"][:2],
        _credit(4, 1, 4, "writer"),
        _credit(7, 1, 4, "actor"),
    ],
    "title_crew": [*BEFORE["title_crew"][:2], _crew(4, "nm0000009", "nm0000004"), *BEFORE["title_crew"][2:]],
}


def test_an_update_replaces_the_rows_that_a_change_reaches_and_back(make_source: MakeSource, tmp_path: Path) -> None:
    before, after = make_source("before", **BEFORE), make_source("after", **AFTER)
    lake = _load(before, tmp_path / "lake")
    first = _people(lake)
    assert first == _expected(lake)

    for source in (after, before):
        said = _update(source, lake)
        (line,) = (line for line in said.splitlines() if "film_people" in line)
        assert "updated" in line
        assert _people(lake) == _expected(lake)
    assert _people(lake) == first
