"""Rows of a step as a file: by the real server and engine, and cells that no engine of ours makes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.result_files import name_columns, write_result
from tests.bridge.rest import Site, Visitor, site

KINDS = """SELECT CAST(1 AS TINYINT) AS a, 9007199254740993 AS b, CAST(1.50 AS DECIMAL(10, 2)) AS c,
 DATE'2020-02-29' AS d, TIMESTAMP'2020-01-01 12:00:00.123' AS e, array(1, 2, NULL) AS f,
 named_struct('x', 1, 'y z', array('a')) AS g, NULL AS h, true AS i, map('k', 1) AS j,
 map(1, 'x') AS k, double('NaN') AS l, X'00ff' AS m, '=1+1' AS n, 2 AS n, ' ' AS ` `,
 TIMESTAMP_NTZ'2020-01-01 12:00:00' AS o UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '-5', NULL, NULL, NULL"""
VALUES = {
    "a": 1, "b": 9007199254740993, "c": Decimal("1.50"), "d": date(2020, 2, 29),
    "e": datetime(2020, 1, 1, 12, 0, 0, 123000, UTC), "f": [1, 2, None], "g": {"x": 1, "y z": ["a"]}, "h": None,
    "i": True, "j": [("k", 1)], "k": [(1, "x")], "m": b"\x00\xff", "n": "=1+1", "n (2)": 2, "column 16": " ",
    "o": datetime.fromisoformat("2020-01-01T12:00:00"),
}  # fmt: skip
TYPES = {
    "a": pa.int8(), "b": pa.int64(), "c": pa.decimal128(10, 2), "d": pa.date32(), "e": pa.timestamp("us", "UTC"),
    "f": pa.list_(pa.int32()), "h": pa.null(), "i": pa.bool_(), "l": pa.float64(), "o": pa.timestamp("us"),
}  # fmt: skip


@pytest.fixture(scope="module")
def here(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(lake, tmp_path_factory.mktemp("tables"), IMDB_CHAT_VISITORS_PER_HOUR="1000") as found:
        yield found


@pytest.fixture(scope="module")
def visitor(here: Site) -> Visitor:
    return here.visitor()


@pytest.fixture(scope="module")
def operation(visitor: Visitor) -> str:
    found = visitor.ask(KINDS, "sql")
    assert found["state"] == "done", found
    return str(found["id"])


def fetch(visitor: Visitor, operation: str, step: object = 0, **query: str) -> httpx2.Response:
    return visitor.client.get(f"/api/operations/{operation}/steps/{step}/table", params=query)


def test_parquet_has_the_types_of_the_statement_and_every_value(visitor: Visitor, operation: str) -> None:
    found = fetch(visitor, operation, format="parquet")
    assert found.headers["content-type"] == "application/vnd.apache.parquet"
    assert found.headers["content-disposition"] == 'attachment; filename="result-1.parquet"'
    assert "content-encoding" not in found.headers
    table = pq.read_table(io.BytesIO(found.content))
    first, second = table.to_pylist()
    assert str(first.pop("l")) == "nan"
    assert first == VALUES
    assert {name: value for name, value in second.items() if value is not None} == {"n": "-5"}
    assert {name: table.schema.field(name).type for name in TYPES} == TYPES


def test_other_readers_of_parquet_read_it_too(visitor: Visitor, operation: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    file.write_bytes(fetch(visitor, operation, format="parquet").content)
    rows = duckdb.sql(f"SELECT b, c, g.x, n, \"n (2)\" FROM '{file}'").fetchall()
    assert rows == [(9007199254740993, Decimal("1.50"), 1, "=1+1", 2), (None, None, None, "-5", None)]


def test_csv_holds_no_formula_and_null_is_nothing(visitor: Visitor, operation: str) -> None:
    found = fetch(visitor, operation)
    assert found.headers["content-type"] == "text/csv; charset=utf-8"
    head, first, second = csv.reader(io.StringIO(found.content.decode("utf-8-sig")))
    assert head[13:16] == ["n", "n", " "]
    assert first[1:4] == ["9007199254740993", "1.50", "2020-02-29"]
    assert first[13] == "'=1+1"
    assert (second[0], second[13]) == ("", "-5")


def test_json_is_an_object_for_each_row(visitor: Visitor, operation: str) -> None:
    found = fetch(visitor, operation, format="json")
    assert found.headers["content-type"] == "application/json"
    first, second = found.json()
    assert (first["b"], first["g"], first["n"], first["n (2)"]) == (
        "9007199254740993",
        {"x": 1, "y z": ["a"]},
        "=1+1",
        2,
    )
    assert second["i"] is None


def test_only_their_visitor_gets_rows_and_only_those_that_there_are(
    here: Site, visitor: Visitor, operation: str
) -> None:
    assert fetch(here.visitor(), operation).status_code == 404
    assert httpx2.get(f"{here.url}/api/operations/{operation}/steps/0/table").status_code == 401
    assert fetch(visitor, operation, 1).status_code == 404
    assert fetch(visitor, operation, -1).status_code == 422
    assert fetch(visitor, operation, format="xlsx").status_code == 422
    refused = visitor.ask("DROP TABLE movies_delta", "sql")["id"]
    assert "Run its statement again" in fetch(visitor, refused).json()["detail"]


def test_what_was_said_names_the_operation_whose_tables_can_be_had(visitor: Visitor) -> None:
    conversation = visitor.start()
    operation = visitor.ask("SELECT 1 AS one", "sql", conversation)["id"]
    asked, answered = visitor.conversation(conversation)["messages"]
    assert asked["operation"] == answered["operation"] == operation


def read_parquet(*columns: tuple[str, str, list[Any]]) -> pa.Table:
    heads = [{"name": name, "type": kind} for name, kind, _ in columns]
    rows = list(zip(*(cells for *_, cells in columns), strict=True))
    return pq.read_table(io.BytesIO(write_result(heads, rows, "parquet")))


@pytest.mark.parametrize(
    ("kind", "cells", "texts"),
    [
        ("array<int>", ["[1,2…[+30 chars]", [1]], ["[1,2…[+30 chars]", "[1]"]),
        ("struct<x:int,x:int>", [{"x": 1, "x_2": 2}, None], ['{"x": 1, "x_2": 2}', None]),
        ("struct<>", [{}], ["{}"]),
        ("struct<a:int,... 30 more fields>", [{"a": 1}], ['{"a": 1}']),
        ("date", ["+10000-01-01", "2020-01-01"], ["+10000-01-01", "2020-01-01"]),
        ("int", [1.5], ["1.5"]),
        ("decimal(3,1)", ["123.45"], ["123.45"]),
        ("interval day to second", ["1 day, 0:00:00"], ["1 day, 0:00:00"]),
    ],
)
def test_what_has_no_type_or_was_cut_is_the_text_that_the_answer_shows(
    kind: str, cells: list[Any], texts: list[Any]
) -> None:
    table = read_parquet(("c", kind, cells))
    assert table.column("c").to_pylist() == texts
    assert table.schema.field("c").metadata[b"spark_type"] == kind.encode()


def test_parts_within_parts_keep_their_types() -> None:
    kind = "array<struct<when:date,of:map<string,array<decimal(2,1)>>>>"
    (cell,) = read_parquet(("c", kind, [[{"when": "2020-01-01", "of": {"k": ["1.5", None]}}]])).column("c").to_pylist()
    assert cell == [{"when": date(2020, 1, 1), "of": [("k", [Decimal("1.5"), None])]}]


def test_a_result_without_rows_is_a_file_with_its_columns() -> None:
    heads = [{"name": "n", "type": "bigint"}]
    assert pq.read_table(io.BytesIO(write_result(heads, [], "parquet"))).schema.field("n").type == pa.int64()
    assert write_result(heads, [], "csv").decode("utf-8-sig") == "n\r\n"
    assert json.loads(write_result(heads, [], "json")) == []


def test_no_two_columns_have_names_that_differ_by_case_alone() -> None:
    assert name_columns(["n", "N", "n (2)", "", "\t"]) == ["n", "N (2)", "n (2) (2)", "column 4", "column 5"]
