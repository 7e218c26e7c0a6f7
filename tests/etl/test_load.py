"""`imdb-etl load`: what is read, what is rejected, and what happens to the lake that was there."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.etl.conftest import AWKWARD, HEADERS, MakeSource, manifest_of, rejects_of, rows_of, run_etl


def _in_members(data: bytes) -> bytes:
    """Members that end in the middle of lines, an empty one among them."""
    parts = [data[:7], data[7:40], b"", data[40:]]
    return b"".join(gzip.compress(part) for part in parts)


def _with_odd_header(data: bytes) -> bytes:
    """All that a header may have (RFC 1952): an extra field, a name, a comment and a sum of its own."""
    plain = gzip.compress(data)
    header = plain[:3] + b"\x1e" + plain[4:10] + b"\x04\x00abcd" + b"name\x00" + b"comment\x00"
    return header + (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little") + plain[10:]


# Files without a malformed line, packed as gzip's tools read them and engines may not.
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "name.basics": lambda data: gzip.compress(data) + b"\0" * 100_000,
    "title.crew": _in_members,
    "title.akas": lambda data: _in_members(data) + b"\0",
    "title.episode": _with_odd_header,
}


@pytest.fixture(scope="session", params=["embedded", "spark"])
def awkward_lake(
    request: pytest.FixtureRequest, nothing_declared: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The awkward rows, and one malformed line of every class, loaded by one engine."""
    more = {"IMDB_MAX_REJECT_PERCENT": "90"}
    if request.param == "spark":
        request.getfixturevalue("java")
        more |= nothing_declared
    folder = tmp_path_factory.mktemp(f"awkward-{request.param}")
    source, lake = folder / "source", folder / "lake"
    source.mkdir()
    for file, rows in AWKWARD.items():
        lines = [HEADERS[file], *rows, *(line for line, _ in MALFORMED.get(file, []))]
        data = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n"
        (source / f"{file}.tsv.gz").write_bytes(PACKED.get(file, gzip.compress)(data))
    done = run_etl("load", "--source", source, "--lake", lake, "--engine", request.param, **more)
    assert done.returncode == 0, done.stderr
    return lake


# file → malformed lines, each with a part of the reason.
MALFORMED: dict[str, list[tuple[str | bytes, str]]] = {
    "title.basics": [
        ("tt0000100\tmovie\ttoo few", "3 fields instead of 9"),
        ("", "1 field instead of 9"),
        ("tt0000101\tmovie\ta\ta\t0\t1999\t\\N\t90\tDrama\textra", "10 fields instead of 9"),
        ("tt0000102\tmovie\ta\ta\t0\tMCMXC\t\\N\t90\tDrama", "startYear is not a whole number"),
        ("tt0000103\tmovie\ta\ta\t0\t1999\t\\N\t90.5\tDrama", "runtimeMinutes is not a whole number"),
        ("tt0000104\tmovie\ta\ta\t2\t1999\t\\N\t 90\tDrama", "isAdult is neither 0 nor 1; runtimeMinutes is not"),
        ("\\N\tmovie\ta\ta\t0\t1999\t\\N\t90\tDrama", "tconst is missing"),
        ("nm0000105\tmovie\ta\ta\t0\t1999\t\\N\t90\tDrama", "tconst does not start with tt"),
        ("tt0000106\tmovie\t\ta\t0\t1999\t\\N\t90\tDrama", "primaryTitle is missing"),
        ("tt0000107\tmovie\ta\ta\t0\t99999999999\t\\N\t90\tDrama", "startYear is not a whole number"),
        (b"tt0000108\tmovie\t\xff\xfe\ta\t0\t1999\t\\N\t90\tDrama", "not UTF-8"),
        ("tt0000109\tmovie\ta\rb\ta\t0\t1999\t\\N\t90\tDrama", "carriage return"),
        ("tt0000110\tmovie\ta\0b\ta\t0\t1999\t\\N\t90\tDrama", "zero byte"),
    ],
    "title.ratings": [
        ("tt0000100\tgood\t5", "averageRating is not a number"),
        ("tt0000100\t\\N\t5", "averageRating is missing"),
        ("tt0000100\t5.5\t-", "numVotes is not a whole number"),
        ("tt0000100\t5.5\t9999999999", "numVotes is not a whole number of at most nine digits"),
    ],
    "title.principals": [
        ('tt0000100\t1\tnm1\tactor\t\\N\t["broken', "characters is not a JSON list"),
        ('tt0000100\t2\tnm1\tactor\t\\N\t{"a": 1}', "characters is not a JSON list"),
        ('tt0000100\t3\tnm1\tactor\t\\N\t["a", 1]', "characters is not a JSON list"),
        ('tt0000100\t4\tnm1\tactor\t\\N\t["a"] tail', "characters is not a JSON list"),
        ('tt0000100\t5\tnm1\tactor\t\\N\t["a" "b"]', "characters is not a JSON list"),
        ('tt0000100\t6\tnm1\tactor\t\\N\t["a", b]', "characters is not a JSON list"),
        ('tt0000100\t7\tnm1\tactor\t\\N\t[\u00a0"a"]', "characters is not a JSON list"),
        ('tt0000100\t8\tnm1\tactor\t\\N\t["\\ud800"]', "characters is not a JSON list"),
        ('tt0000100\t9\tnm1\tactor\t\\N\t["a"]\u2028', "characters is not a JSON list"),
        ('tt0000100\t10\tnm1\tactor\t\\N\t["a",]', "characters is not a JSON list"),
        ('tt0000100\t11\tnm1\tactor\t\\N\t["a\x1f"]', "characters is not a JSON list"),
        ('tt0000100\t12\tnm1\tactor\t\\N\t\\N["a"]', "characters is not a JSON list"),
        ("tt0000100\t1\u2028\tnm1\tactor\t\\N\t\\N", "ordering is not a whole number"),
    ],
}


def test_awkward_titles_come_out_letter_by_letter(awkward_lake: Path) -> None:
    titles = {row["tconst"]: row for row in rows_of(awkward_lake, "movies_delta")}
    assert len(titles) == len(AWKWARD["title.basics"])
    assert titles["tt0000001"]["primaryTitle"] == '"Rolling the Deep'
    assert titles["tt0000002"] == {
        "tconst": "tt0000002",
        "titleType": "movie",
        "primaryTitle": '"Gilliam"',
        "originalTitle": '"Gilliam"',
        "isAdult": True,
        "startYear": 1975,
        "endYear": None,
        "runtimeMinutes": 137,
        "genres": ["Crime", "Drama"],
    }
    assert titles["tt0000003"]["primaryTitle"] == "True"
    assert titles["tt0000003"]["genres"] is None
    assert titles["tt0000004"]["primaryTitle"] == "12.10"
    assert titles["tt0000005"]["primaryTitle"] == "Who #$&% '?'\\ Is; M, é"
    assert len(titles["tt10000006"]["primaryTitle"]) == 400
    assert titles["tt10000006"]["originalTitle"] == "カルメン"


def test_characters_are_lists_with_their_escapes_resolved(awkward_lake: Path) -> None:
    found = {(row["tconst"], row["ordering"]): row for row in rows_of(awkward_lake, "principals_delta")}
    assert found["tt0000002", 1]["characters"] == ['Ben (segment "The Waiter")']
    assert found["tt0000002", 2]["characters"] == ["The D'Acoyne: Duke", "The Banker, seated", "Café [x]"]
    assert found["tt0000002", 3]["characters"] is None
    assert found["tt0000002", 3]["job"] == 'novels "A Wizard", "B" and "C"'
    assert found["tt0000003", 1]["characters"] == []
    assert found["tt0000003", 2]["characters"] == ["😀 \\", "", "b"]
    assert found["tt0000003", 3]["characters"] == [f'"{i}"' for i in range(20_000)]


def test_the_other_files_are_typed_too(awkward_lake: Path) -> None:
    people = {row["nconst"]: row for row in rows_of(awkward_lake, "persons_delta")}
    assert people["nm0000002"]["deathYear"] < people["nm0000002"]["birthYear"]
    assert people["nm0000001"]["knownForTitles"] == ["tt0000002", "tt0000003"]
    assert people["nm10000003"]["primaryProfession"] is None
    assert rows_of(awkward_lake, "akas_delta")[0]["attributes"] == ["reissue title", "recut version"]
    assert rows_of(awkward_lake, "episodes_delta")[1]["seasonNumber"] == 1994
    assert rows_of(awkward_lake, "crew_delta")[0]["directors"] == ["nm0000001", "nm0000002"]
    assert {row["averageRating"] for row in rows_of(awkward_lake, "ratings_delta")} == {10.0, 1.0, 7.3, 5.5}


def test_the_gold_views_hold_the_rated_titles_and_the_known_credits(awkward_lake: Path) -> None:
    rated = rows_of(awkward_lake, "movies_with_ratings")
    assert [row["tconst"] for row in rated] == ["tt0000001", "tt0000002", "tt0000003"]
    assert {(row["tconst"], row["ordering"]) for row in rows_of(awkward_lake, "movie_cast")} == {
        ("tt0000002", 1),
        ("tt0000002", 2),
        ("tt0000002", 3),
        ("tt0000003", 1),
        ("tt0000003", 2),
        ("tt0000003", 3),
    }
    assert list(rows_of(awkward_lake, "movie_cast")[0]) == [
        "tconst", "primaryTitle", "titleType", "startYear", "nconst",
        "primaryName", "category", "job", "characters", "ordering",
    ]  # fmt: skip


def test_every_malformed_line_is_kept_with_its_reason(awkward_lake: Path) -> None:
    kept = {(row["file"], row["raw"]): row["reason"] for row in rejects_of(awkward_lake)}
    expected = {
        (f"{file}.tsv.gz", line.decode("utf-8", "backslashreplace") if isinstance(line, bytes) else line): reason
        for file, lines in MALFORMED.items()
        for line, reason in lines
    }
    assert set(kept) == set(expected)
    for key, reason in expected.items():
        assert reason in kept[key], key


def test_comments_travel_with_the_tables(awkward_lake: Path) -> None:
    table = DeltaTable(str(awkward_lake / "movies_delta"))
    comments = {field.name: field.metadata.get("comment") for field in table.schema().fields}
    assert "titleType = 'movie'" in (table.metadata().description or "")
    assert comments["runtimeMinutes"] == "Running time in minutes. Null: unknown."
    assert all(comments.values())
    entry = manifest_of(awkward_lake)["tables"]["movies_delta"]
    assert {column["name"]: column["comment"] for column in entry["columns"]} == comments


def test_what_the_tools_of_gzip_read_is_loaded_whole(awkward_lake: Path) -> None:
    tables = manifest_of(awkward_lake)["tables"].values()
    rows = {table["source"]["name"]: table["rows"] for table in tables if table["source"]}
    assert {file: rows[f"{file}.tsv.gz"] for file in PACKED} == {file: len(AWKWARD[file]) for file in PACKED}
    assert not {f"{file}.tsv.gz" for file in PACKED if file not in MALFORMED} & {
        row["file"] for row in rejects_of(awkward_lake)
    }


def test_both_engines_make_equal_tables(embedded_sample_lake: Path, spark_sample_lake: Path) -> None:
    tables = manifest_of(embedded_sample_lake)["tables"]
    assert set(tables) == set(manifest_of(spark_sample_lake)["tables"])
    for table in tables:
        assert rows_of(embedded_sample_lake, table) == rows_of(spark_sample_lake, table), table


def test_loading_twice_gives_the_same_tables_and_keeps_the_old_versions(
    make_source: MakeSource, tmp_path: Path
) -> None:
    source, lake = make_source(), tmp_path / "lake"
    assert run_etl("load", "--source", source, "--lake", lake).returncode == 0
    first, rows = manifest_of(lake), {t: rows_of(lake, t) for t in manifest_of(lake)["tables"]}
    assert run_etl("load", "--source", source, "--lake", lake, "--again").returncode == 0
    second = manifest_of(lake)
    assert second["generation"] == first["generation"] + 1
    assert {t: rows_of(lake, t) for t in second["tables"]} == rows
    old = first["tables"]["movies_delta"]["version"]
    assert second["tables"]["movies_delta"]["version"] > old
    assert DeltaTable(str(lake / "movies_delta"), version=old).to_pyarrow_table().num_rows == 6


def test_the_summary_counts_what_was_read_written_and_rejected(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source(title_ratings=[*AWKWARD["title.ratings"], "tt0000001\tbad\t1", "only one field"])
    done = run_etl("load", "--source", source, "--lake", tmp_path / "lake", IMDB_MAX_REJECT_PERCENT="50")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if "ratings_delta" in line and "title.ratings" in line)
    cells = [cell.strip() for cell in line.strip("│ ").split("│")]
    assert cells[2:5] == ["6", "4", "2"]
    assert "principals_delta: 2 values of tconst are not in movies_delta." in done.stdout
    assert "principals_delta: 1 values of nconst are not in persons_delta." in done.stdout


def test_a_reload_adds_one_version_to_each_table(make_source: MakeSource, tmp_path: Path) -> None:
    source, lake = make_source(), tmp_path / "lake"
    for _ in range(2):
        assert run_etl("load", "--source", source, "--lake", lake, "--again").returncode == 0
    for name, entry in manifest_of(lake)["tables"].items():
        assert entry["version"] == 2, name  # made, filled, filled again


def test_a_load_of_the_same_files_writes_nothing_and_says_so(make_source: MakeSource, tmp_path: Path) -> None:
    source, lake = make_source(), tmp_path / "lake"
    assert run_etl("load", "--source", source, "--lake", lake).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in lake.rglob("*")}

    done = run_etl("load", "--source", source, "--lake", lake)

    assert done.returncode == 0
    assert "Nothing to load: the files are those of generation 1" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in lake.rglob("*")} == before


def test_a_table_of_another_shape_is_replaced_and_its_old_version_stays(
    make_source: MakeSource, tmp_path: Path
) -> None:
    lake, source = tmp_path / "lake", make_source()
    assert run_etl("load", "--source", source, "--lake", lake).returncode == 0
    other = pa.table({"tconst": ["tt1"], "title": ["x"]})
    write_deltalake(str(lake / "movies_delta"), other, mode="overwrite", schema_mode="overwrite")
    version = DeltaTable(str(lake / "movies_delta")).version()

    assert run_etl("load", "--source", source, "--lake", lake).returncode == 0

    fields = {field.name: field.metadata for field in DeltaTable(str(lake / "movies_delta")).schema().fields}
    assert fields["runtimeMinutes"]["comment"] == "Running time in minutes. Null: unknown."
    assert len(rows_of(lake, "movies_delta")) == 6
    assert DeltaTable(str(lake / "movies_delta"), version=version).to_pyarrow_table().column_names == [
        "tconst",
        "title",
    ]


def test_duplicate_keys_are_reported(make_source: MakeSource, tmp_path: Path) -> None:
    credit = "tt0000002\t{}\tnm0000001\tactor\t\\N\t\\N"
    source = make_source(
        title_ratings=[*AWKWARD["title.ratings"], "tt0000001\t9.9\t1"],
        title_principals=[credit.format(number) for number in (*range(1, 71), 7, 7)],  # more than 64, and two repeats
        title_akas=[f"tt0000002\t{number}\tA\t\\N\t\\N\t\\N\t\\N\t0" for number in range(1, 71)],
    )
    done = run_etl("load", "--source", source, "--lake", tmp_path / "lake")
    assert "ratings_delta: 1 rows repeat a key (tconst) and were kept." in done.stdout
    assert "principals_delta: 2 rows repeat a key (tconst, ordering) and were kept." in done.stdout
    assert "akas_delta: " not in done.stdout


def test_too_many_malformed_lines_fail_the_load_and_are_kept(make_source: MakeSource, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    assert run_etl("load", "--source", make_source(), "--lake", lake).returncode == 0
    before = (lake / "_manifest.json").read_bytes()
    done = run_etl("load", "--source", make_source("bad", title_ratings=["tt0000001\tbad\t1"] * 3), "--lake", lake)
    assert done.returncode == 1
    assert "3 of 3 lines (100.00 %) are malformed" in done.stderr
    assert len(rejects_of(lake)) == 3
    assert (lake / "_manifest.json").read_bytes() == before
    assert len(rows_of(lake, "ratings_delta")) == 4


def test_plain_files_are_read_like_packed_ones(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source()
    for packed in source.glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert run_etl("load", "--source", source, "--lake", tmp_path / "lake").returncode == 0
    assert len(rows_of(tmp_path / "lake", "movies_delta")) == 6


def test_a_last_line_without_an_end_is_read(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source(title_ratings=HEADERS["title.ratings"].encode() + b"\ntt0000001\t5.0\t12")
    assert run_etl("load", "--source", source, "--lake", tmp_path / "lake").returncode == 0
    assert rows_of(tmp_path / "lake", "ratings_delta")[0]["numVotes"] == 12


def test_optional_files_may_be_absent(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source(title_crew=None, title_akas=None, title_episode=None)
    done = run_etl("load", "--source", source, "--lake", tmp_path / "lake")
    assert done.returncode == 0
    assert "title.akas is not there: no akas_delta." in done.stdout
    assert "akas_delta" not in manifest_of(tmp_path / "lake")["tables"]


@pytest.mark.parametrize(
    ("arguments", "code"), [(["load"], 2), (["load", "--source", "."], 2), (["nonsense"], 2), (["--help"], 0)]
)
def test_wrong_usage_ends_with_two(arguments: list[str], code: int) -> None:
    assert run_etl(*arguments).returncode == code
