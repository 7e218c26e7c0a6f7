"""Tables that Spark wrote, as the embedded engine answers from them: values at the ends of their types, every version.

From a folder, and from object storage that holds the same files.

`tests/data/delta/spark_tables.tar.xz` was made by `python -m tests.engines.spark_tables`.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lakehouse.errors import EngineLacks, LakeError, QueryFailed
from lakehouse.storage import Lake
from mcp_server.checking import Catalog, Limits, check
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.engines.local import LocalEngine
from mcp_server.models import Principal
from mcp_server.settings import load_settings
from tests.engines.conftest import Query
from tests.engines.watching import rows
from tests.object_storage import upload_lake

ARCHIVE = Path(__file__).parents[1] / "data" / "delta" / "spark_tables.tar.xz"
INSERTS = 23
"""Each into a version of its own of `v2` and `multi`, whose logs have a checkpoint every five versions."""


_STORAGES = {
    "s3": ("_object_storage", "s3://lakes/spark"),
    "signed s3": ("_signed_storage", "s3://lakes/spark"),
    "azure": ("_azure_storage", "abfss://lakes@devstoreaccount1.dfs.core.windows.net/spark"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spark") / "lake"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
        for name in ("multi", "v2"):
            members = [each for each in archive.getmembers() if each.name.split("/")[0] == name]
            archive.extractall(folder / "cleaned", members, filter="data")
    for name in ("multi", "v2"):
        (folder / "cleaned" / name).rename(folder / f"cleaned_{name}")
        for file in (folder / f"cleaned_{name}" / "_delta_log").iterdir():
            if file.name[:20].isdigit() and int(file.name[:20]) < 15:
                file.unlink()
    (folder / "cleaned").rmdir()
    return folder


@pytest.fixture(scope="module", params=["folder", "s3", "signed s3", "azure"])
def lake(folder: Path, request: pytest.FixtureRequest) -> Iterator[Lake]:
    if request.param == "folder":
        yield Lake.parse(str(folder))
        return
    fixture, url = _STORAGES[request.param]
    variables = request.getfixturevalue(fixture)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield upload_lake(folder, url)


@pytest.fixture(scope="module")
def engine(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEngine]:
    made = EmbeddedEngine(lake, load_settings(state_dir=tmp_path_factory.mktemp("state")))
    yield made
    made.close()


def _times(lake: Lake, table: str, versions: int) -> list[float]:
    """When each commit of a table was written, in seconds since 1970."""
    if lake.directory is not None:
        log = lake.directory / table / "_delta_log"
        return [(log / f"{version:020}.json").stat().st_mtime for version in range(versions)]
    found = lake.objects.list_files(f"{table}/_delta_log")
    return [found[f"{version:020}.json"].modified.timestamp() for version in range(versions)]


@pytest.mark.parametrize("table", ["v2", "multi"])
def test_every_version_is_read_whatever_checkpoints_there_are(engine: LocalEngine, query: Query, table: str) -> None:
    for version in range(INSERTS + 1):
        found = rows(engine, query(f"SELECT count(*) AS n, max(id) AS m FROM {table} VERSION AS OF {version}", table))
        assert found == [{"n": version, "m": version - 1 if version else None}], version
    both = f"SELECT a.id FROM {table} VERSION AS OF 8 a JOIN {table} VERSION AS OF 3 b ON a.id = b.id ORDER BY 1"
    assert rows(engine, query(both, table)) == [{"id": 0}, {"id": 1}, {"id": 2}]


@pytest.mark.parametrize("table", ["cleaned_v2", "cleaned_multi"])
def test_a_log_that_was_cleaned_up_is_read_from_its_oldest_checkpoint_on(
    engine: LocalEngine, query: Query, table: str
) -> None:
    for version in range(15, INSERTS + 1):
        found = rows(engine, query(f"SELECT count(*) AS n FROM {table} VERSION AS OF {version}", table))
        assert found == [{"n": version}]
    for gone in (0, 14, INSERTS + 1):
        with pytest.raises(QueryFailed, match=f"no version {gone} that can be read"):
            rows(engine, query(f"SELECT * FROM {table} VERSION AS OF {gone}", table))


def test_a_moment_means_the_newest_version_of_that_time(engine: LocalEngine, query: Query, lake: Lake) -> None:
    written = _times(lake, "v2", INSERTS + 1)
    for version, (this, following) in enumerate(pairwise(written)):
        if following - this > 0.01:
            moment = datetime.fromtimestamp((this + following) / 2, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            asked = f"SELECT count(*) AS n, 'v2 TIMESTAMP AS OF ''2020''' AS s FROM v2 TIMESTAMP AS OF '{moment}'"
            assert rows(engine, query(asked, "v2"))[0]["n"] == version
    for moment, says in (("2999-01-01", "newest version"), ("1999", "as old as 1999-01-01"), ("soon", "no moment")):
        with pytest.raises(QueryFailed, match=says):
            rows(engine, query(f"SELECT * FROM v2 FOR TIMESTAMP AS OF '{moment}'", "v2"))


def test_times_that_a_table_keeps_itself_count_for_moments(engine: LocalEngine, query: Query, folder: Path) -> None:
    ids = []
    for version in range(1, 5):
        text = (folder / "ict" / "_delta_log" / f"{version:020}.json").read_text()
        kept = int(text.partition('"inCommitTimestamp":')[2].partition(",")[0])
        moment = datetime.fromtimestamp(kept / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00:00")
        ids += rows(engine, query(f"SELECT max(id) AS m FROM ict TIMESTAMP AS OF '{moment}'", "ict"))
    assert ids == [{"m": 0}, {"m": 1}, {"m": 2}, {"m": 3}]


DECIMALS = (
    "2234567890123456.4321", "1234567890123456.78", "12345678901234567890", "12345678901234567890123456789012345678",
    "12345678901234567890.123456789012345678", "9999999999999.99", "9999.9",
)  # fmt: skip
LEAST_DECIMALS = (
    "-9999999999999999.9999", "-9999999999999999.99", "-99999999999999999999",
    "-99999999999999999999999999999999999999", "-99999999999999999999.999999999999999999", "-9999999999999.99",
    "-9999.9",
)  # fmt: skip


def test_decimals_come_out_to_the_last_digit(engine: LocalEngine, query: Query) -> None:
    found = rows(engine, query("SELECT * FROM decs ORDER BY a NULLS LAST", "decs"))
    wanted: list[list[Decimal | None]] = [[Decimal(d) for d in LEAST_DECIMALS], [Decimal(d) for d in DECIMALS]]
    assert [list(row.values()) for row in found] == [*wanted, [None] * len(DECIMALS)]
    ends = ", ".join(f"min({c}) AS {c}0, max({c}) AS {c}1" for c in "abcdefg")
    assert list(rows(engine, query(f"SELECT {ends} FROM decs", "decs"))[0].values()) == [
        Decimal(each) for pair in zip(LEAST_DECIMALS, DECIMALS, strict=True) for each in pair
    ]


LITERALS = {
    "decs": {c: (f"{d}BD", f"{e}BD") for c, d, e in zip("abcdefg", DECIMALS, LEAST_DECIMALS, strict=True)},
    "kinds": {
        "t": ("-128", "127", "5"),
        "s": ("-32768", "32767"),
        "i": ("-2147483648", "2147483647"),
        "l": ("-9223372036854775807 - 1", "9223372036854775807", "9007199254740993"),
        "f": ("CAST('NaN' AS FLOAT)", "CAST('-Infinity' AS FLOAT)", "CAST('1.1' AS FLOAT)", "16777216.0F"),
        "d": ("CAST('NaN' AS DOUBLE)", "CAST('Infinity' AS DOUBLE)", "0.1D", "1e308D"),
        "b": ("true", "false"),
        "x": ("''", "'zzz'", "'é日本🎬'", f"'{'x' * 100}'", f"'{'a' * 31}\U0010ffffb'", "'tail  '"),
        "y": ("DATE '0001-01-01'", "DATE '9999-12-31'", "DATE '1582-10-04'", "DATE '1582-10-15'"),
        "m": ("TIMESTAMP '9999-12-31 23:59:59.999999'", "TIMESTAMP '1970-01-01 00:00:00.001999'"),
        "n": ("TIMESTAMP_NTZ '0001-01-01 00:00:00.000001'", "TIMESTAMP_NTZ '2024-02-29 12:00:00.123456'"),
    },
    "wide": {
        "f": ("CAST(CAST('1.1' AS FLOAT) AS DOUBLE)", "2.2D", "CAST('NaN' AS DOUBLE)"),
        "i": ("123456789BD", "9999999999.99BD", "-5BD"),
        "j": ("12", "9223372036854775807"),
        "k": ("7D", "1e300D"),
        "g": ("1.25BD", "1234567890123456.7891BD", "-999.99BD"),
    },
    "part2": {"p": ("2234567890123456.4321BD",)},
    "part5": {"p": ("TIMESTAMP '2024-02-29 12:00:00.123456'",)},
    "part10": {"p": ("'a b/%é=:#?&+'", "'x y'", "'日本'", "'a\\\\b'", "'[x]{y}'", "'quo\\'te\"'")},
}


@pytest.mark.parametrize("table", list(LITERALS))
def test_filters_drop_no_row_whatever_the_log_tells_of_its_files(engine: LocalEngine, query: Query, table: str) -> None:
    """A filter that files could be pruned by, against the same condition where nothing can be."""
    for column, literals in LITERALS[table].items():
        conditions = [f"{column} {op} {value}" for value in literals for op in ("=", "<>", "<", "<=", ">", ">=")]
        conditions += [f"{column} IN ({', '.join(literals)})", f"{column} IS NULL", f"{column} IS NOT NULL"]
        conditions += [f"{column} BETWEEN {value} AND {value}" for value in literals]
        counted = ", ".join(f"count_if({condition}) AS c{number}" for number, condition in enumerate(conditions))
        wanted = list(rows(engine, query(f"SELECT {counted} FROM {table}", table))[0].values())
        filtered = " UNION ALL ".join(
            f"SELECT {number} AS k, count(*) AS n FROM {table} WHERE {condition}"
            for number, condition in enumerate(conditions)
        )
        found = {row["k"]: row["n"] for row in rows(engine, query(filtered, table))}
        assert found == dict(enumerate(wanted)), column
        present = rows(engine, query(f"SELECT count(*) AS n FROM {table} WHERE {column} = {literals[0]}", table))
        assert present[0]["n"] > 0, column


def test_values_at_the_ends_of_their_types_come_out_as_spark_wrote_them(engine: LocalEngine, query: Query) -> None:
    ends = rows(engine, query("SELECT min(y) a, max(y) b, min(m) c, max(m) d, min(n) e, max(l) f FROM kinds", "kinds"))
    assert list(ends[0].values()) == [
        date(1, 1, 1), date(9999, 12, 31), datetime(1, 1, 1, 0, 0, 0, 1, UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, UTC), datetime(1, 1, 1, 0, 0, 0, 1), 2**63 - 1,  # noqa: DTZ001
    ]  # fmt: skip
    longest = rows(engine, query("SELECT max(x) AS m FROM kinds WHERE x < 'y'", "kinds"))
    assert longest == [{"m": "x" * 100}]


def test_types_that_were_widened_are_read_as_they_are_now(engine: LocalEngine, query: Query) -> None:
    found = rows(engine, query("SELECT id, i, j, k, g FROM wide ORDER BY id", "wide"))
    assert [list(row.values()) for row in found] == [
        [1, Decimal("123456789.00"), 12, 7.0, Decimal("1.2500")],
        [2, Decimal("-5.00"), -5, -5.0, Decimal("-999.9900")],
        [3, Decimal("9999999999.99"), 2**63 - 1, 1e300, Decimal("1234567890123456.7891")],
    ]


@pytest.mark.parametrize(
    ("sql", "lacks"),
    [
        ("SELECT * FROM chars", True),
        ("SELECT id FROM chars WHERE c = 'ab'", True),
        ("SELECT t.c FROM (SELECT * FROM chars) t", True),
        ("SELECT count(*) AS n, max(v) AS v FROM chars", False),
        ("SELECT a FROM decs JOIN chars ON a = id", False),
    ],
)
def test_columns_that_spark_fills_up_with_blanks_are_left_to_it(engine: LocalEngine, sql: str, lacks: bool) -> None:
    catalog = Catalog("imdb", engine.tables(), dialect="sail")
    with pytest.raises(EngineLacks, match=r"c is CHAR\(5\)") if lacks else nullcontext():
        check(sql, catalog=catalog, limits=Limits(10, 1000, 10.0), principal=Principal("tester"))


def _dv(found: list[dict[str, Any]]) -> bool:
    return [row["id"] for row in found] == [n for n in range(100) if n % 7 != 3]


def test_deletion_vectors_and_mapped_columns_are_followed(engine: LocalEngine, query: Query) -> None:
    assert _dv(rows(engine, query("SELECT id FROM dv ORDER BY id", "dv")))
    assert rows(engine, query("SELECT count(*) AS n FROM dv WHERE x = 'u' AND id = 50", "dv")) == [{"n": 1}]
    assert rows(engine, query("SELECT count(*) AS n FROM dv VERSION AS OF 1", "dv")) == [{"n": 100}]
    assert rows(engine, query("SELECT id, y, x FROM mapped ORDER BY id DESC LIMIT 1", "mapped")) == [
        {"id": 3, "y": "c", "x": 9}
    ]
    assert rows(engine, query("SELECT y FROM mapped WHERE y = 'b'", "mapped")) == [{"y": "b"}]
    assert rows(engine, query("SELECT x FROM mapped VERSION AS OF 1 ORDER BY id", "mapped")) == [
        {"x": "a"},
        {"x": "b"},
    ]


def test_a_commit_that_is_missing_is_said_of_its_table(
    embedded: Any, query: Query, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "v2", tmp_path / "holed")
    shutil.copytree(folder / "decs", tmp_path / "whole")
    (tmp_path / "holed" / "_delta_log" / "00000000000000000007.json").unlink()
    engine = embedded(Lake.parse(str(tmp_path)))

    assert rows(engine, query("SELECT count(*) AS n FROM holed VERSION AS OF 23", "holed")) == [{"n": 23}]
    with pytest.raises((LakeError, QueryFailed), match="no version 8"):
        rows(engine, query("SELECT * FROM holed VERSION AS OF 8", "holed"))
    assert rows(engine, query("SELECT count(*) AS n FROM whole", "whole")) == [{"n": 3}]
