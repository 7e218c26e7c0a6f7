"""Files that a Windows program has saved: a byte-order mark at the start, lines that end with CRLF."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.etl.conftest import AWKWARD, HEADERS, MakeSource, rejects_of, rows_of, run_etl

MARK = b"\xef\xbb\xbf"

SAVED: dict[str, tuple[Callable[[bytes], bytes], tuple[str, ...]]] = {
    "a mark": (lambda data: MARK + data, ("starts with a byte-order mark, which was left out",)),
    "windows line ends": (
        lambda data: data.replace(b"\n", b"\r\n"),
        ("has Windows line ends (CRLF), which",),
    ),
    "both, and no end of the last line": (
        lambda data: MARK + data.replace(b"\n", b"\r\n")[:-2],
        ("starts with a byte-order mark", "has Windows line ends"),
    ),
    "windows line ends, the last one cut": (lambda data: data.replace(b"\n", b"\r\n")[:-1], ("has Windows line",)),
}


@pytest.fixture(scope="session", params=["embedded", "spark"])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "spark":
        request.getfixturevalue("java")
    return str(request.param)


def test_a_mark_and_windows_line_ends_are_read_and_said(engine: str, make_source: MakeSource, tmp_path: Path) -> None:
    plain, saved = make_source(), make_source("saved")
    cases = dict(zip(AWKWARD, [*SAVED, *SAVED], strict=False))
    for number, (file, case) in enumerate(cases.items()):
        packed = saved / f"{file}.tsv.gz"
        data = SAVED[case][0](gzip.decompress(packed.read_bytes()))
        if number % 2 == 0:
            packed.write_bytes(gzip.compress(data))
        else:
            packed.unlink()
            (saved / f"{file}.tsv").write_bytes(data)
    done = run_etl("load", "--source", saved, "--lake", tmp_path / "lake", "--engine", engine)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    for number, (file, case) in enumerate(cases.items()):
        for words in SAVED[case][1]:
            assert f"{file}.tsv{'' if number % 2 else '.gz'} {words}" in said
    assert run_etl("load", "--source", plain, "--lake", tmp_path / "plain").returncode == 0
    for table in ("movies_delta", "ratings_delta", "persons_delta", "principals_delta", "akas_delta", "episodes_delta"):
        assert rows_of(tmp_path / "lake", table) == rows_of(tmp_path / "plain", table), table
    assert rejects_of(tmp_path / "lake") == []


def test_other_line_ends_than_the_headers_are_malformed_lines(make_source: MakeSource, tmp_path: Path) -> None:
    lines = ["tt0000001\t10.0\t1\r", "tt0000002\t1.0\t5", "tt0000003\t7\r.3\t1204\r", "tt0000004\t7.3\t1\r\r", "\r"]
    text = "\n".join([HEADERS["title.ratings"] + "\r", *lines]) + "\n"
    source = make_source(title_ratings=text.encode(), title_crew=[*AWKWARD["title.crew"], "tt0000003\t\\N\t\\N\r"])
    done = run_etl("load", "--source", source, "--lake", tmp_path / "lake", IMDB_MAX_REJECT_PERCENT="90")
    assert done.returncode == 0, done.stderr
    assert [row["tconst"] for row in rows_of(tmp_path / "lake", "ratings_delta")] == ["tt0000001"]
    assert [(row["file"], row["line"], row["reason"]) for row in rejects_of(tmp_path / "lake")] == [
        ("title.crew.tsv.gz", 2, "carriage return in the line"),
        ("title.ratings.tsv", 5, "1 field instead of 3"),
        ("title.ratings.tsv", 2, "no carriage return at its end, unlike the header"),
        ("title.ratings.tsv", 3, "carriage return in the line"),
        ("title.ratings.tsv", 4, "carriage return in the line"),
    ]


def test_a_file_in_utf_16_is_one_sentence(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source(title_ratings=(HEADERS["title.ratings"] + "\ntt1\t1.0\t1\n").encode("utf-16"))
    done = run_etl("load", "--source", source, "--lake", tmp_path / "lake")
    assert (done.returncode, done.stderr) == (
        1, "imdb-etl: title.ratings.tsv is written in UTF-16. Save it as UTF-8.\n"
    )  # fmt: skip
