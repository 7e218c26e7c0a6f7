"""The fictional data set: IMDb's format to the letter, the same for a seed, shaped like the real thing."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from etl.datasets import DATASETS, FieldKind
from etl.sample import MAX_TITLES, SAMPLE_STAR, SHOWCASE_FROM, write_sample
from etl.sample.world import World
from lakehouse.errors import SourceError, UsageError

NULL = "\\N"
FORMS = {
    FieldKind.TITLE_ID: r"tt\d{7,8}",
    FieldKind.PERSON_ID: r"nm\d{7,8}",
    FieldKind.INTEGER: r"\d+",
    FieldKind.DECIMAL: r"(\d\.\d|10\.0)",
    FieldKind.FLAG: r"[01]",
    FieldKind.TEXT: r"[^\t\r\n]+",
    FieldKind.COMMA_LIST: r"[^,\s]+(,[^,\s]+)*",
    FieldKind.CONTROL_B_LIST: r"[^\x02]+(\x02[^\x02]+)*",
    FieldKind.JSON_LIST: r"\[.+\]",
}

Row = dict[str, str]
Tables = dict[str, list[Row]]


def lines_of(folder: Path, file: str) -> list[str]:
    text = gzip.decompress((folder / f"{file}.tsv.gz").read_bytes()).decode("utf-8", errors="strict")
    assert text.endswith("\n")
    return text[:-1].split("\n")


def read(folder: Path) -> Tables:
    tables: Tables = {}
    for dataset in DATASETS:
        header, *lines = lines_of(folder, dataset.file)
        assert header == "\t".join(dataset.header)
        tables[dataset.file] = [dict(zip(dataset.header, line.split("\t"), strict=True)) for line in lines]
    return tables


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Twelve thousand titles: more than one block."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, titles=12_000, seed=3)
    return read(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("small")
    write_sample(folder, titles=100, seed=11)
    return read(folder)


@pytest.mark.parametrize("titles", [1, 2, 37, 100, 500, 5_000])
def test_every_line_is_in_the_published_format_at_any_size(tmp_path: Path, titles: int) -> None:
    rows = write_sample(tmp_path, titles=titles, seed=titles)
    tables = read(tmp_path)
    assert len(tables["title.basics"]) == titles
    assert rows == {file: len(table) for file, table in tables.items()}
    for dataset in DATASETS:
        for field in dataset.fields:
            form = re.compile(FORMS[field.kind])
            values = [row[field.name] for row in tables[dataset.file]]
            known = [value for value in values if value != NULL]
            assert [value for value in known if not form.fullmatch(value)] == []
            assert not field.required or len(known) == len(values)
            if field.kind is FieldKind.JSON_LIST:
                assert all(all(isinstance(part, str) and part for part in json.loads(value)) for value in known)


@pytest.mark.parametrize("titles", [100, 12_000])
def test_rows_come_in_the_order_of_their_first_column_and_keys_are_unique(
    titles: int, small: Tables, sample: Tables
) -> None:
    names = {
        dataset.file: [field.name for field in dataset.fields if field.column_name in dataset.key]
        for dataset in DATASETS
    }
    for file, rows in (small if titles == 100 else sample).items():
        keys = [tuple(int(row[n]) if n == "ordering" else row[n] for n in names[file]) for row in rows]
        assert keys == sorted(set(keys))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_sample(tmp_path / folder, titles=900, seed=seed)
    for dataset in DATASETS:
        a, b, c = ((tmp_path / folder / f"{dataset.file}.tsv.gz").read_bytes() for folder in "abc")
        assert a == b
        assert a != c


def test_the_content_is_the_same_on_every_machine(tmp_path: Path) -> None:
    """A change of the generator changes this digest: then it is a new data set, and that is said in the changelog."""
    write_sample(tmp_path, titles=3_000, seed=42)
    digest = hashlib.sha256()
    for dataset in DATASETS:
        digest.update("\n".join(lines_of(tmp_path, dataset.file)).encode())
    assert digest.hexdigest() == "87fd7b8cc3013dd898a01b2fb690dbe90871e69cd69eb8655109a46df17777fc"


def test_memory_does_not_grow_with_the_number_of_titles(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path; from etl.sample import write_sample\n"
        "write_sample(Path(sys.argv[1]), titles=int(sys.argv[2]), seed=1)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    unit = 1 if sys.platform == "darwin" else 1024
    peaks = []
    for titles in ("20000", "120000"):
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path, titles], check=True, capture_output=True, text=True
        )
        peaks.append(int(done.stdout) * unit)
    assert peaks[1] - peaks[0] < 24 << 20  # 100,000 titles more are 75 MB of text


def test_it_is_skewed_like_the_real_files(sample: Tables) -> None:
    titles, principals = sample["title.basics"], sample["title.principals"]
    kinds = Counter(row["titleType"] for row in titles)
    assert 0.70 < kinds["tvEpisode"] / len(titles) < 0.80
    assert [kind for kind, _ in kinds.most_common(3)] == ["tvEpisode", "short", "movie"]
    assert len(kinds) == 10
    assert 0.12 < len(sample["title.ratings"]) / len(titles) < 0.25
    assert 6 < len(principals) / len(titles) < 8
    credits_of = sorted(Counter(row["nconst"] for row in principals).values())
    assert credits_of[len(credits_of) // 2] <= 2
    assert credits_of[-1] > 100
    votes = sorted(int(row["numVotes"]) for row in sample["title.ratings"])
    assert votes[len(votes) // 2] < 50
    assert sum(n > 10_000 for n in votes) > 10
    ratings = [float(row["averageRating"]) for row in sample["title.ratings"]]
    assert 6 < sum(ratings) / len(ratings) < 7
    years = [int(row["startYear"]) for row in titles if row["startYear"] != NULL]
    assert sum(year >= 2000 for year in years) > len(years) / 2
    assert min(years) < 1900
    assert NULL in {row["startYear"] for row in titles}
    assert 0 < sum(row["isAdult"] == "1" for row in titles) < len(titles) * 0.03
    assert len({genre for row in titles for genre in row["genres"].split(",")} - {NULL}) >= 27


def test_genres_are_up_to_three_in_alphabetical_order(sample: Tables) -> None:
    lists = [row["genres"].split(",") for row in sample["title.basics"] if row["genres"] != NULL]
    assert all(genres == sorted(set(genres)) and len(genres) <= 3 for genres in lists)


def test_characters_are_given_for_the_cast_alone_and_all_categories_occur(sample: Tables) -> None:
    principals = sample["title.principals"]
    cast = {"actor", "actress", "self", "archive_footage", "archive_sound"}
    assert {row["category"] for row in principals if row["characters"] != NULL} == cast
    assert {row["category"] for row in principals if row["job"] != NULL}.isdisjoint(cast)
    assert len({row["category"] for row in principals}) == 13


def test_billing_is_numbered_from_one_without_a_gap(sample: Tables) -> None:
    orderings = defaultdict(list)
    for row in sample["title.principals"]:
        orderings[row["tconst"]].append(int(row["ordering"]))
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in orderings.values())


@pytest.mark.parametrize(("column", "category"), [("directors", "director"), ("writers", "writer")])
def test_crew_names_the_directors_and_writers_of_the_principals(sample: Tables, column: str, category: str) -> None:
    wanted = defaultdict(list)
    for row in sample["title.principals"]:
        if row["category"] == category and row["nconst"] not in wanted[row["tconst"]]:
            wanted[row["tconst"]].append(row["nconst"])
    crew = {row["tconst"]: [] if row[column] == NULL else row[column].split(",") for row in sample["title.crew"]}
    assert crew == {row["tconst"]: wanted[row["tconst"]] for row in sample["title.basics"]}


def test_people_are_known_for_titles_that_they_worked_on(sample: Tables) -> None:
    worked = defaultdict(set)
    for row in sample["title.principals"]:
        worked[row["nconst"]].add(row["tconst"])
    listed = {row["tconst"] for row in sample["title.basics"]}
    known = {row["nconst"]: row["knownForTitles"].split(",") for row in sample["name.basics"]}
    known = {person: titles for person, titles in known.items() if titles != [NULL]}
    assert len(known) > len(sample["name.basics"]) * 0.7
    assert all(set(titles) <= worked[person] & listed for person, titles in known.items())
    assert max(len(titles) for titles in known.values()) == 4


def test_nobody_worked_before_being_born(sample: Tables) -> None:
    year = {row["tconst"]: int(row["startYear"]) for row in sample["title.basics"] if row["startYear"] != NULL}
    born = [row for row in sample["name.basics"] if row["birthYear"] != NULL and row["birthYear"] != "531"]
    known_for = {row["nconst"]: [year.get(title, 9999) for title in row["knownForTitles"].split(",")] for row in born}
    assert len(born) > len(sample["name.basics"]) * 0.04
    assert all(int(row["birthYear"]) < min(known_for[row["nconst"]]) for row in born)


def test_episodes_belong_to_series_that_exist_and_no_two_share_a_number(sample: Tables) -> None:
    kinds = {row["tconst"]: row["titleType"] for row in sample["title.basics"]}
    episodes = sample["title.episode"]
    assert {kinds[row["parentTconst"]] for row in episodes} == {"tvSeries", "tvMiniSeries"}
    assert {row["tconst"] for row in episodes} == {title for title, kind in kinds.items() if kind == "tvEpisode"}
    numbered = [
        tuple(row.values())[1:] for row in episodes if int(row["seasonNumber"].replace(NULL, "0")) in range(1, 900)
    ]
    assert len(numbered) == len(set(numbered))
    assert len(numbered) > len(episodes) * 0.85


@pytest.mark.parametrize("size", ["small", "sample"])
def test_a_few_orphans_exist_as_in_the_real_files(size: str, small: Tables, sample: Tables) -> None:
    tables = small if size == "small" else sample
    titles = {row["tconst"] for row in tables["title.basics"]}
    people = {row["nconst"] for row in tables["name.basics"]}
    ratings = sum(row["tconst"] not in titles for row in tables["title.ratings"])
    no_title = sum(row["tconst"] not in titles for row in tables["title.principals"])
    no_person = sum(row["nconst"] not in people for row in tables["title.principals"])
    assert min(ratings, no_title, no_person) >= 1
    if size == "sample":
        assert ratings < len(tables["title.ratings"]) * 0.005
        assert max(no_title, no_person) < len(tables["title.principals"]) * 0.005


def _with(file: str, **wanted: str) -> Callable[[Tables], bool]:
    """A row in which every named field matches its pattern from end to end."""
    return lambda tables: any(
        all(re.fullmatch(pattern, row[name]) for name, pattern in wanted.items()) for row in tables[file]
    )


NULL_FORM = r"\\N"
BASICS, PRINCIPALS, NAMES, AKAS, EPISODE = (
    "title.basics",
    "title.principals",
    "name.basics",
    "title.akas",
    "title.episode",
)
AWKWARD = {
    "a lone leading quote": _with(BASICS, primaryTitle='"[^"]+', originalTitle='"[^"]+'),
    "balanced quotes": _with(BASICS, primaryTitle='"[^"]+"'),
    "a closed quoted part that goes on": _with(BASICS, primaryTitle='"[^"]+" [^"]+'),
    "a title of more than 300 characters": _with(BASICS, primaryTitle=".{301,}"),
    "all null": _with(BASICS, startYear=NULL_FORM, endYear=NULL_FORM, runtimeMinutes=NULL_FORM, genres=NULL_FORM),
    "a future year, 8 digits": _with(BASICS, tconst=r"tt\d{8}", startYear="2027"),
    "True": _with(BASICS, primaryTitle="True"),
    "12.10": _with(BASICS, primaryTitle=r"12\.10"),
    "99": _with(BASICS, primaryTitle="99"),
    "punctuation": _with(BASICS, primaryTitle=r".*#\$&%.*\?"),
    "quoted question mark": _with(BASICS, primaryTitle=".*'\\?'.*"),
    "comma and semicolon, another original": _with(BASICS, primaryTitle=".*; or, .*", originalTitle=".*[èé].*"),
    "one letter": _with(BASICS, primaryTitle="[A-Z]", originalTitle=".*ü.*"),
    "a very long film": _with(BASICS, titleType="movie", runtimeMinutes=r"1\d{3}"),
    "a year before 1894": _with(BASICS, startYear="1892"),
    "a series that ended, genres null": _with(BASICS, titleType="tvSeries", endYear=r"\d{4}", genres=NULL_FORM),
    "tvShort": _with(BASICS, titleType="tvShort"),
    "adult": _with(BASICS, isAdult="1", genres="Adult.*"),
    "a numbered episode": _with(BASICS, titleType="tvEpisode", primaryTitle=r"Episode #1\.1", startYear="2027"),
    "escaped quotes": _with(PRINCIPALS, characters=r'.*\\".*\\".*'),
    "escaped quotes and a comma": _with(PRINCIPALS, characters=r'\["[^,]*\\"[^"]*,[^"]*\\".*"\]'),
    "several characters": _with(PRINCIPALS, characters=r'\[".*\'.*: .*","[^"]*","[^"]*"\]'),
    "a comma inside one character": _with(PRINCIPALS, characters=r'\["[^"]*,[^"]*"\]'),
    "a bracket inside": _with(PRINCIPALS, characters=r'\["[^"]*\[[^"]*\]"\]'),
    "self with a role": _with(PRINCIPALS, category="self", characters=r'\["Self - [^"]*"\]'),
    "a long job with quotes": _with(PRINCIPALS, job=r'(?=.{101}).*".*".*,.*".*', ordering=r"[89]"),
    "ordering above ten": _with(PRINCIPALS, ordering=r"1\d"),
    "a job that ends with a title": _with(PRINCIPALS, job='[^"]*"[^"]*"'),
    "a long job": _with(PRINCIPALS, job='[^"]{101,}'),
    "8-digit nconst": _with(PRINCIPALS, nconst=r"nm\d{8}"),
    "a nickname": _with(NAMES, primaryName='[^"]+ "[^"]+" .*'),
    "apostrophes around the name": _with(NAMES, primaryName="'.*'"),
    "colon and digits": _with(NAMES, primaryName=r".* \d+:\d+"),
    "one word": _with(NAMES, primaryName=r"\w+"),
    "born in 1564": _with(NAMES, birthYear="1564"),
    "death without birth": _with(NAMES, birthYear=NULL_FORM, deathYear=r"\d+"),
    "only a name": _with(NAMES, birthYear=NULL_FORM, deathYear=NULL_FORM, primaryProfession=NULL_FORM),
    "no profession, accents": _with(NAMES, primaryName=".*Ø.*", birthYear=r"\d+", primaryProfession=NULL_FORM),
    "byte 0x02 in attributes": _with(AKAS, attributes=".*\x02.*"),
    "byte 0x02 in types": _with(AKAS, types=".*\x02.*"),
    "a Japanese name": _with(AKAS, title=".*[\u3040-\u30ff].*", language="ja"),
    "region XEU": _with(AKAS, region="XEU"),
    "episode without a number": _with(EPISODE, seasonNumber=NULL_FORM, episodeNumber=NULL_FORM),
    "a year as the season": _with(EPISODE, seasonNumber="1994"),
    "episode 0": _with(EPISODE, episodeNumber="0"),
    "rating 10.0": _with("title.ratings", averageRating=r"10\.0"),
    "born BC": lambda tables: any(
        row["deathYear"] != NULL and row["birthYear"] != NULL and int(row["deathYear"]) < int(row["birthYear"])
        for row in tables[NAMES]
    ),
    "the same person four times in a title": lambda tables: (
        max(Counter((row["tconst"], row["nconst"]) for row in tables[PRINCIPALS]).values()) >= 4
    ),
    "films of one name": lambda tables: (
        Counter(row["primaryTitle"] for row in tables[BASICS] if row["titleType"] == "movie").most_common(1)[0][1] >= 2
    ),
    "other scripts": lambda tables: all(
        re.search(script, "".join(row["primaryTitle"] + row["originalTitle"] for row in tables[BASICS]))
        and re.search(script, "".join(row["primaryName"] for row in tables[NAMES]))
        for script in ("[\u4e00-\u9fff]", "[а-я]", "[\u0600-\u06ff]", "[\u0900-\u097f]", "[å-ö]")
    ),
}


@pytest.mark.parametrize("kind", AWKWARD)
def test_a_hundred_titles_hold_every_awkward_kind_of_row(kind: str, small: Tables) -> None:
    assert AWKWARD[kind](small)


@pytest.mark.parametrize(("titles", "seed"), [(SHOWCASE_FROM, 1), (2_000, 2), (2_000, 99)])
def test_the_star_worked_with_several_directors_and_2020_has_rated_films(
    tmp_path: Path, titles: int, seed: int
) -> None:
    write_sample(tmp_path, titles=titles, seed=seed)
    tables = read(tmp_path)
    (star,) = [row["nconst"] for row in tables["name.basics"] if row["primaryName"] == SAMPLE_STAR]
    hers = {
        row["tconst"] for row in tables["title.principals"] if row["nconst"] == star and row["category"] == "actress"
    }
    people = {row["nconst"] for row in tables["name.basics"]}
    directors = Counter(
        row["nconst"] for row in tables["title.principals"] if row["tconst"] in hers and row["category"] == "director"
    )
    assert len(hers) == 18
    assert len(directors) == 9
    assert set(directors) <= people
    assert directors.most_common(1)[0][1] >= 3
    votes = {row["tconst"]: int(row["numVotes"]) for row in tables["title.ratings"]}
    films = [row for row in tables["title.basics"] if row["titleType"] == "movie" and row["startYear"] == "2020"]
    assert sum(votes.get(row["tconst"], 0) >= 1_000 for row in films) >= 8
    assert sum(n > 10_000 for n in votes.values()) >= 10


def test_progress_tells_the_rows_of_each_file(tmp_path: Path) -> None:
    told: dict[str, list[int]] = defaultdict(list)
    rows = write_sample(tmp_path, titles=9_000, seed=1, progress=lambda file, count: told[file].append(count))
    assert {file: counts[-1] for file, counts in told.items()} == rows
    assert all(counts == sorted(counts) for counts in told.values())
    assert len(told["title.principals"]) >= 3


@pytest.mark.parametrize("titles", [0, -1, MAX_TITLES + 1])
def test_a_size_that_cannot_be_is_wrong_usage(tmp_path: Path, titles: int) -> None:
    with pytest.raises(UsageError, match="1 to 20,000,000 titles"):
        write_sample(tmp_path, titles=titles, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_the_largest_size_has_identifiers_enough() -> None:
    import numpy as np

    world = World(1, MAX_TITLES, own_titles=60, own_people=60)
    last = world.titles.count - 1 - np.arange(1_000)[::-1]
    assert sorted(set(world.format_tconst(last).to_pylist())) == world.format_tconst(last).to_pylist()
    last = world.people.count - 1 - np.arange(1_000)[::-1]
    ids = world.format_nconst(last).to_pylist()
    assert sorted(set(ids)) == ids
    assert all(re.fullmatch(r"nm\d{7,8}", person) for person in ids)


def test_a_killed_run_leaves_what_was_there(tmp_path: Path) -> None:
    write_sample(tmp_path, titles=50, seed=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code = (
        "from pathlib import Path; from etl.sample import write_sample\n"
        "write_sample(Path('.'), titles=20_000_000, seed=2)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) as process:
        part = tmp_path / "title.principals.tsv.gz.part"
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 100_000):
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert {path.name for path in tmp_path.iterdir()} - set(before) == {f"{name}.part" for name in before}
    write_sample(tmp_path, titles=60, seed=2)
    assert {path.name for path in tmp_path.iterdir()} == set(before)


def test_a_full_disk_is_said_in_one_sentence_and_replaces_nothing(tmp_path: Path) -> None:
    write_sample(tmp_path, titles=50, seed=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(SourceError, match=r"could not be written to .*Nothing there was replaced"):
            write_sample(tmp_path, titles=20_000, seed=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SourceError, match="could not be written"):
        write_sample(tmp_path / "file" / "out", titles=10, seed=1)
