# ruff: noqa: E501  (a line holds what belongs together)
"""Search for names and values in an index in memory: what is found, what is not, and what never happens."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from lakehouse.find.finder import Finder, open_in_memory
from lakehouse.find.things import VALUE, Thing
from lakehouse.find.values import list_values
from lakehouse.find.words import fold_text, split_words

TITLES = {
    "It": 600_000, "Her": 680_000, "M": 170_000, "1917": 720_000, "2001: A Space Odyssey": 740_000, "12 Angry Men": 900_000,
    "The Godfather": 2_000_000, "The Godfather Part II": 1_400_000, "Godfather of Harlem": 30_000, "Spider-Man": 900_000,
    "Spider": 40_000, "Ocean's Eleven": 640_000, "Ocean's Twelve": 400_000, "Am\u00e9lie": 800_000, "Am\u00e9lia": 90,
    "Cowboys & Aliens": 230_000, "Star Wars: Episode V - The Empire Strikes Back": 1_400_000, "Empire": 300,
    "Face/Off": 400_000, "WALL\u00b7E": 1_200_000, "M*A*S*H": 80_000, "La La Land": 700_000, "Dr. No": 180_000,
    "Avatar": 1_400_000, "Rocky": 650_000, "Rocky V": 170_000, "Spartan": 10_000, "The Abyss": 200_000,
}  # fmt: skip
OTHERS = {
    "The Godfather": ("\u041a\u0440\u0451\u0441\u0442\u043d\u044b\u0439 \u043e\u0442\u0435\u0446",),
    "Am\u00e9lie": ("Le fabuleux destin d'Am\u00e9lie Poulain",),
    "Avatar": ("\u963f\u51e1\u9054", "\u30a2\u30d0\u30bf\u30fc"),
}
PEOPLE = {
    "Steven Spielberg": 9_000_000, "Stanley Kubrick": 6_000_000, "Akira Kurosawa": 2_000_000, "Leonardo DiCaprio": 8_000_000,
    "J.R.R. Tolkien": 6_900_000, "Tolga Kien": 0, "Arnold Schwarzenegger": 5_000_000, "Hayao Miyazaki": 3_000_000,
    "Conan O'Brien": 200_000, "Krzysztof Kie\u015blowski": 300_000, "Stanley Tucci": 900_000, "Steven Spilborg": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def finder() -> Finder:
    titles = [
        Thing("title", "movies", "primaryTitle", f"tt{number}", label, "tconst", OTHERS.get(label, ()), "movie", votes)
        for number, (label, votes) in enumerate(TITLES.items())
    ]
    people = [
        Thing("person", "persons", "primaryName", f"nm{number}", label, "nconst", weight=votes)
        for number, (label, votes) in enumerate(PEOPLE.items())
    ]
    regions = list_values(
        "akas", "region", {"DE": 4000, "FR": 3000, "BR": 20, "AT": 9, "JP": 4, "XWW": 8}, is_list=False
    )
    languages = list_values("akas", "language", {"de": 40, "fr": 30, "pt": 2, "ja": 7}, is_list=False)
    genres = list_values("movies", "genres", {"Drama": 900, "Sci-Fi": 80, "Film-Noir": 3}, is_list=True)
    return open_in_memory([*titles, *people, *regions, *languages, *genres])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("it", "It"), ("HER", "Her"), ("m", "M"), ("1917", "1917"), ("2001", "2001: A Space Odyssey"),
        ("twelve angry men", "12 Angry Men"), ("godfater", "The Godfather"), ("god father", "The Godfather"),
        ("god father 2", "The Godfather Part II"), ("the godfather, part two", "The Godfather Part II"),
        ("spiderman", "Spider-Man"), ("spider man", "Spider-Man"), ("spidrman", "Spider-Man"),
        ("oceans eleven", "Ocean's Eleven"), ("Ocean\u2019s 11", "Ocean's Eleven"), ("oceans 12", "Ocean's Twelve"),
        ("amelie", "Am\u00e9lie"), ("le fabuleux destin", "Am\u00e9lie"), ("fabuleux destin d amelie", "Am\u00e9lie"),
        ("cowboys and aliens", "Cowboys & Aliens"), ("the empire strikes back", "Star Wars: Episode V - The Empire Strikes Back"),
        ("face off", "Face/Off"), ("faceoff", "Face/Off"), ("walle", "WALL\u00b7E"), ("wall e", "WALL\u00b7E"), ("mash", "M*A*S*H"),
        ("lalaland", "La La Land"), ("doctor no", "Dr. No"), ("rocky 5", "Rocky V"), ("rocky", "Rocky"),
        ("\u043a\u0440\u0435\u0441\u0442\u043d\u044b\u0439 \u043e\u0442\u0435\u0446", "The Godfather"), ("\u963f\u51e1\u9054", "Avatar"),
        ("\u30a2\u30d0\u30bf\u30fc", "Avatar"), ("avatr", "Avatar"), ("abyss", "The Abyss"),
        ("spilberg", "Steven Spielberg"), ("kubrick stanley", "Stanley Kubrick"), ("Kurosava", "Akira Kurosawa"),
        ("leonardo di caprio", "Leonardo DiCaprio"), ("jrr tolkien", "J.R.R. Tolkien"), ("tolkien", "J.R.R. Tolkien"),
        ("arnold shvartsenegger", "Arnold Schwarzenegger"), ("miazaki", "Hayao Miyazaki"), ("conan obrien", "Conan O'Brien"),
        ("kieslowski", "Krzysztof Kie\u015blowski"), ("kislovsky", "Krzysztof Kie\u015blowski"),
        ("drama", "Drama"), ("scifi", "Sci-Fi"), ("film noir", "Film-Noir"), ("germany", "DE"), ("Deutschland", "DE"),
        ("brasil", "BR"), ("XWW", "XWW"),
    ],
)  # fmt: skip
def test_what_a_person_means_is_found_first(finder: Finder, text: str, label: str) -> None:
    assert [hit.label for hit in finder.search(text)][:1] == [label]


def test_german_finds_the_region_and_the_language(finder: Finder) -> None:
    found = {(hit.column, hit.id) for hit in finder.search("german", kinds=frozenset({VALUE}))}
    assert {("region", "DE"), ("language", "de")} <= found
    assert ("region", "AT") not in found  # German is spoken there, but "German films" are not those of Austria


def test_a_hit_says_what_to_filter_by_and_by_which_name_it_was_found(finder: Finder) -> None:
    (hit,) = finder.search("le fabuleux destin d'am\u00e9lie poulain", limit=1)
    assert (hit.kind, hit.table, hit.column, hit.id_column, hit.detail) == (
        "title", "movies", "primaryTitle", "tconst", "movie",
    )  # fmt: skip
    assert hit.matched == "Le fabuleux destin d'Am\u00e9lie Poulain"
    assert 0.9 <= hit.score <= 1
    (genre,) = finder.search("sci fi", limit=1)
    assert (genre.id, genre.id_column, genre.is_list, genre.detail) == ("Sci-Fi", "genres", True, "80 rows")


def test_kinds_tables_and_columns_restrict_the_search(finder: Finder) -> None:
    assert {hit.kind for hit in finder.search("stanley", kinds=frozenset({"title"}))} <= {"title"}
    assert {hit.kind for hit in finder.search("avatar", table="PERSONS")} <= {"person"}
    assert [hit.id for hit in finder.search("de", table="akas", column="region")][:1] == ["DE"]
    assert finder.search("avatar", kinds=frozenset({"no such kind"})) == []


@pytest.mark.parametrize(
    "text",
    ["", "   ", "?!", "\x00", "*", '"', "\u0301", "a:b AND (c OR", "x" * 100_000, "a " * 50_000, "\ud800", "z\u0301" * 9999,
     "+title:foo^5 ~3 [* TO *]", "' OR 1=1 --", "\u202e" * 50, "0" * 200, "\U0001f600" * 40, "zz " * 12, "abababab" * 20],
)  # fmt: skip
def test_no_text_breaks_the_search(finder: Finder, text: str) -> None:
    assert isinstance(finder.search(text), list)
    assert finder.has_label("movies", "primaryTitle", text) in {False, None}


def test_what_is_called_by_no_such_name_is_not_found(finder: Finder) -> None:
    assert finder.search("qwertyuiop") == []


def test_a_limit_is_kept_and_the_likeliest_come_first(finder: Finder) -> None:
    found = finder.search("spider", limit=3)
    assert len(found) <= 3
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert finder.search("spider", limit=0) == []


def test_whether_something_is_called_so_is_known_exactly(finder: Finder) -> None:
    assert finder.has_label("movies", "primaryTitle", "Her") is True
    assert finder.has_label("movies", "primaryTitle", "her") is False
    assert finder.has_label("akas", "region", "DE") is True
    assert finder.has_label("akas", "region", "GER") is False
    assert finder.has_label("nowhere", "region", "DE") is None
    partial = open_in_memory([Thing("title", "t", "c", "1", "One", "id")], missing=["Half of t."])
    assert partial.has_label("t", "c", "One") is True
    assert partial.has_label("t", "c", "Two") is None
    assert partial.partial == ("Half of t.",)


def test_an_empty_index_finds_nothing() -> None:
    empty = open_in_memory([])
    assert empty.search("anything") == []
    assert empty.entities == 0


def test_many_threads_find_the_same(finder: Finder) -> None:
    texts = ["spilberg", "god father 2", "german", "amelie", "kubrick stanley"] * 20
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(finder.search, texts))
    assert found == [finder.search(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "words"),
    [("L\u00e9on: The Professional", "leon the professional"), ("d'Am\u00e9lie", "d amelie"), ("Ocean's", "oceans"),
     ("Stra\u00dfe", "strasse"), ("\u0141\u00f3d\u017a", "lodz"), ("\u00c6on Flux", "aeon flux"), ("Q&A", "q and a"), ("snake_case", "snake case"),
     ("\u5343\u3068\u5343\u5c0b", "\u5343 \u3068 \u5343 \u5c0b"), ("\uff21\uff22\uff23", "abc"), ("\u0130stanbul", "istanbul")],
)  # fmt: skip
def test_texts_fold_to_words(text: str, words: str) -> None:
    assert split_words(text) == words.split()
    assert split_words(fold_text(text)) == words.split()


def test_columns_that_hold_no_codes_get_no_names() -> None:
    for values in ({"Drama": 1, "War": 2, "de": 3}, {"it": 1}, {"ab1": 3, "cd2": 4}, {}):
        assert all(not thing.others for thing in list_values("t", "c", values, is_list=False))


def test_importing_it_costs_a_start_nothing() -> None:
    code = (
        "import sys, lakehouse.find.finder, lakehouse.find.published\n"
        "print([name for name in ('tantivy', 'rapidfuzz', 'babel') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
