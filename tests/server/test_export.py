"""Results as files in the user's folder: the rows are those of the statement, and no file is half, or another's."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mcp.client import Client

from lakehouse.result_files import to_csv
from mcp_server import checking
from mcp_server.app import LakehouseServer
from mcp_server.engines import Engine
from mcp_server.exports import ExportFailedError, ExportFile, ExportFolder, write_export
from mcp_server.fetching import choose_kept_rows
from mcp_server.kept_results import KeptRows
from mcp_server.models import CheckedQuery, Estimate, Principal, ResultSet, ScanEstimate
from mcp_server.settings import load_settings
from mcp_server.terms import catalog_of, limits_of
from tests.server.conftest import Connect, Serve, audit_lines
from tests.server.test_calls import text_of
from tests.server.test_long_queries import principal_of

pytestmark = pytest.mark.anyio

ALL_KINDS_SQL = """
SELECT 1 AS id, CAST(1.50 AS DECIMAL(10, 2)) AS price, DATE '2026-12-01' AS day, TIMESTAMP '2026-12-01 10:00:00' AS at,
    CAST('NaN' AS DOUBLE) AS nan, array(1, 2, NULL) AS xs, map('a', 1) AS m, named_struct('x', 1, 'y', 'é') AS s,
    CAST('ab' AS BINARY) AS raw, CAST(NULL AS STRING) AS nothing, 9007199254740993 AS big, '=1+1' AS formula,
    true AS yes
UNION ALL SELECT 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
ORDER BY id
"""
VALUES = {
    "id": 1, "price": Decimal("1.50"), "day": date(2026, 12, 1), "at": datetime(2026, 12, 1, 10, tzinfo=UTC),
    "xs": [1, 2, None], "m": [("a", 1)], "s": {"x": 1, "y": "é"}, "raw": b"ab", "nothing": None,
    "big": 9007199254740993, "formula": "=1+1", "yes": True,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read_text(path: str | Path, encoding: str = "utf-8") -> str:
    return Path(path).read_text(encoding)


def read_mode(path: Path) -> tuple[int, int]:
    """The size of a file, and who may do what with it."""
    found = path.stat()
    return found.st_size, stat.S_IMODE(found.st_mode)


async def export(session: Any, query_id: str, **more: Any) -> Any:
    return await session.call_tool("export_result", {"query_id": query_id, **more})


async def exported(session: Any, sql: str, format: str = "csv", **more: Any) -> tuple[Any, Any]:  # noqa: A002
    """The answer of a statement, and that of its export."""
    shown = await ask_for(session, sql, **more)
    return shown, await export(session, shown["query_id"], format=format)


async def ask_for(session: Any, sql: str, **more: Any) -> Any:
    answered = await session.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": "a test", **more})
    assert not answered.is_error, text_of(answered)
    return answered.structured_content


async def test_rows_of_all_kinds_are_in_the_file_as_the_statement_gave_them(
    serve: Serve, connect: Connect, folder: Path
) -> None:
    server = serve(export_dir=folder)
    async with connect(server) as session:
        shown = await ask_for(session, ALL_KINDS_SQL)
        files = {}
        for kind in ("json", "csv", "parquet"):
            found = (await export(session, shown["query_id"], format=kind)).structured_content
            files[kind] = Path(found["location"])
            assert files[kind].parent == folder
            assert (found["format"], found["rows"], found["complete"]) == (kind, 2, True)
            assert read_mode(files[kind]) == (found["bytes"], 0o600)
    names = [column["name"] for column in shown["columns"]]
    assert json.loads(read_text(files["json"])) == [dict(zip(names, row, strict=True)) for row in shown["rows"]]
    head, first, second = csv.reader(io.StringIO(read_text(files["csv"], "utf-8-sig")))
    assert head == names
    by_name = dict(zip(names, first, strict=True))
    assert (by_name["price"], by_name["formula"], by_name["nan"], by_name["nothing"]) == ("1.50", "'=1+1", "NaN", "")
    assert second == ["2", *[""] * (len(names) - 1)]
    one, two = pq.read_table(files["parquet"]).to_pylist()
    assert math.isnan(one.pop("nan"))
    assert one == VALUES
    assert {value for name, value in two.items() if name != "id"} == {None}
    assert names_in(folder) == sorted(path.name for path in files.values())
    lines = audit_lines(server)[1:]
    assert [(line["tool"], line["verdict"], line["rows"]) for line in lines] == [("export_result", "ok", 2)] * 3
    assert all(shown["query_id"] in line["query_ids"] and not line["sql_run"] for line in lines)


async def test_a_file_has_more_rows_than_the_answer_showed_and_nothing_runs_again(
    serve: Serve, connect: Connect, folder: Path
) -> None:
    server = serve(export_dir=folder)
    async with connect(server) as session:
        shown, found = await exported(session, "SELECT tconst FROM movies_delta ORDER BY tconst")
    assert (shown["row_count"], shown["total_rows"]) == (100, 300)
    content = found.structured_content
    assert (content["rows"], content["total_rows"], content["complete"]) == (300, 300, True)
    assert len(read_text(content["location"]).splitlines()) == 301
    assert [len(line["sql_run"]) for line in audit_lines(server)] == [1, 0]


async def test_a_cut_file_says_so_and_how_to_get_the_rest(serve: Serve, connect: Connect, folder: Path) -> None:
    sql = "SELECT tconst, ordering FROM principals_delta ORDER BY tconst, ordering"
    async with connect(serve(export_dir=folder, export_rows=700)) as session:
        _, found = await exported(session, sql)
        assert text_of(found).startswith("500 of 900 rows, csv, ")
        assert "row_limit=700 and export that; where that has no more, page: " in text_of(found)
        assert not found.structured_content["complete"]
        _, found = await exported(session, sql, row_limit=700)
        assert (found.structured_content["rows"], found.structured_content["total_rows"]) == (700, 900)
        assert "OFFSET 700" in text_of(found)
        _, found = await exported(session, f"{sql} LIMIT 650")
        assert text_of(found).startswith("all 650 rows, csv, ")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT m.tconst FROM movies_delta m JOIN principals_delta p USING (tconst)",
        "SELECT repeat(primaryTitle, 2) FROM movies_delta",
    ],
)
async def test_rows_that_may_be_dear_are_not_fetched_beyond_those_that_are_shown(
    serve: Serve, connect: Connect, folder: Path, sql: str
) -> None:
    async with connect(serve(export_dir=folder, default_rows=50)) as session:
        _, found = await exported(session, sql)
    assert found.structured_content["rows"] == 50
    assert not found.structured_content["complete"]


@pytest.mark.parametrize(("row_bytes", "rows"), [(20, 500), (10_000, 200), (1_000_000, 100)])
def test_of_a_table_with_large_rows_fewer_are_fetched(engine: Engine, row_bytes: int, rows: int) -> None:
    settings = load_settings()
    checked = checking.check(
        "SELECT * FROM movies_delta",
        catalog=catalog_of(engine, engine.tables()),
        limits=limits_of(settings),
        principal=Principal("me"),
        row_limit=None,
        read=lambda *_: None,
    )
    assert isinstance(checked, CheckedQuery)
    files = ScanEstimate("movies_delta", 0, 1, 1, 300 * row_bytes, 300 * row_bytes, 300)
    assert choose_kept_rows(checked, None, settings, 2_000_000, lambda _: Estimate((files,), exact=True)) == rows


async def test_a_row_that_fails_beyond_the_answer_fails_no_answer(serve: Serve, connect: Connect, folder: Path) -> None:
    server = serve(export_dir=folder)
    divided = "SELECT 1 / (CAST(substring(tconst, 3) AS INT) - {}) AS x FROM movies_delta"
    async with connect(server) as session:
        every = await ask_for(session, "SELECT tconst FROM movies_delta", row_limit=300)
        number = [int(tconst[2:]) for (tconst,) in every["rows"]]
        shown, found = await exported(session, divided.format(number[250]))
        shown_to_fail = await session.call_tool(
            "execute_spark_sql", {"sql_query": divided.format(number[50]), "reasoning": "a test"}
        )
    assert (shown["row_count"], shown["truncated"], found.structured_content["rows"]) == (100, True, 100)
    assert not found.structured_content["complete"]
    assert "DIVIDE_BY_ZERO" in text_of(shown_to_fail)


async def test_results_of_others_and_of_long_ago_are_unknown(
    serve: Serve, connect: Connect, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(export_dir=folder)
    async with connect(server) as session:
        shown = await ask_for(session, "SELECT 1")
        me = server.toolbox.app.principal.name
        principal_of(server, "somebody else")
        theirs = await export(session, shown["query_id"])
        never = await export(session, "000000000000")
        principal_of(server, me)
        kept = server.toolbox.app.service.kept
        monkeypatch.setattr(kept, "_clock", lambda: math.inf)
        expired = await export(session, shown["query_id"])
    assert theirs.is_error
    assert text_of(theirs) == text_of(expired) == text_of(never).replace("000000000000", shown["query_id"])
    assert [line["code"] for line in audit_lines(server)[1:]] == ["unknown_result"] * 3
    assert not names_in(folder)


async def test_without_a_folder_the_tool_is_not_offered(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as session:
        assert "export_result" not in [tool.name for tool in (await session.list_tools()).tools]
        shown = await ask_for(session, "SELECT 1")
        assert (await export(session, shown["query_id"])).is_error


async def test_a_folder_that_is_not_there_is_told_without_its_path(
    serve: Serve, connect: Connect, tmp_path: Path
) -> None:
    async with connect(serve(export_dir=tmp_path / "nowhere")) as session:
        _, found = await exported(session, "SELECT 1")
    assert found.is_error
    assert "IMDB_EXPORT_DIR" in text_of(found)
    assert "nowhere" not in text_of(found)


FILE = ExportFile("0123456789ab", "csv", b"n\n1\n", 1, 1, has_cut_cells=False)


def test_a_folder_that_cannot_be_written_to_is_an_error(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("no folder")
    with pytest.raises(ExportFailedError, match="cannot be written"):
        ExportFolder(folder).place_file(FILE, "me")


def test_a_name_that_is_taken_stays_what_it_is(folder: Path, tmp_path: Path) -> None:
    taken, outside = folder / FILE.name, tmp_path / "outside"
    taken.write_text("mine")
    with pytest.raises(ExportFailedError, match="stays as it is"):
        ExportFolder(folder).place_file(FILE, "me")
    assert taken.read_text() == "mine"
    taken.unlink()
    for target in (outside, tmp_path / "nothing"):
        outside.write_bytes(FILE.data)
        taken.symlink_to(target)
        with pytest.raises(ExportFailedError, match="stays as it is"):
            ExportFolder(folder).place_file(FILE, "me")
        taken.unlink()
    assert not (tmp_path / "nothing").exists()
    assert not list(folder.iterdir())


def test_the_same_file_again_is_the_same(folder: Path) -> None:
    places = [ExportFolder(folder).place_file(FILE, "me") for _ in range(2)]
    assert places[0] == places[1]
    assert [path.name for path in folder.iterdir()] == [FILE.name]


KILLED = """
import os, sys, time
from pathlib import Path
from mcp_server.exports import ExportFile, ExportFolder
os.fsync = lambda _: (print("written", flush=True), time.sleep(600))
file = ExportFile("0123456789ab", "csv", b"n\\n1\\n", 1, 1, has_cut_cells=False)
ExportFolder(Path(sys.argv[1])).place_file(file, "me")
"""


def test_a_process_that_is_killed_while_it_writes_leaves_no_file_and_the_next_one_tidies_up(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        child.kill()
    (draft,) = folder.iterdir()
    assert draft.name != FILE.name
    os.utime(draft, (0, 0))
    ExportFolder(folder).place_file(FILE, "me")
    assert [path.name for path in folder.iterdir()] == [FILE.name]


def test_a_file_system_without_hard_links_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(ExportFailedError, match="FAT and exFAT have none"):
        ExportFolder(folder).place_file(FILE, "me")
    assert names_in(folder) == []


def test_what_cannot_be_tidied_up_stands_in_no_files_way(folder: Path) -> None:
    other = folder / ".imdb-export-not-a-file"
    other.mkdir()
    os.utime(other, (0, 0))
    assert Path(ExportFolder(folder).place_file(FILE, "me").location).read_bytes() == FILE.data
    assert other.is_dir()


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_names_that_every_row_repeats_make_no_file_of_any_size(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_server.exports.MOST_FILE_CHARS", 100_000)
    name = "a" * 1_000
    column = pa.array([{name: 1}] * 300) if kind == "csv" else pa.array([1] * 300)
    types = (f"struct<{name}:int>" if kind == "csv" else "int",)
    kept = KeptRows(ResultSet(pa.table({name: column}), types), 0, 300, 300)
    file = write_export("0123456789ab", kept, kind, lambda: None)
    assert 80 < file.rows < 100 < len(file.data) // 1_000 + 20
    assert (file.total, file.is_complete) == (300, False)


@pytest.mark.parametrize("unseen", ["\0", "\x1b", "\ufeff", "\u200b", "\u2060 "])
def test_a_formula_behind_what_is_not_seen_is_still_a_formula(unseen: str) -> None:
    assert to_csv(["n"], [[f"{unseen}=1+1"], [f"{unseen}1"]]) == f"n\r\n'{unseen}=1+1\r\n{unseen}1\r\n"


class Metered:
    """The engine as one whose statements are paid for, and what it was asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.capabilities = replace(engine.capabilities, metered=True)
        self.estimated: list[CheckedQuery] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def estimate(self, query: CheckedQuery) -> Estimate:
        self.estimated.append(query)
        return self._engine.estimate(query)


@pytest.mark.parametrize("more", [{}, {"row_limit": 250}])
async def test_where_statements_are_paid_for_no_more_is_asked_for_than_is_shown(
    engine: Engine, lake: Path, tmp_path: Path, folder: Path, more: dict[str, Any]
) -> None:
    metered = Metered(engine)
    settings = load_settings(lake=str(lake), state_dir=tmp_path / "state", export_dir=folder)
    async with Client(LakehouseServer(settings, lambda: [cast("Engine", metered)])) as session:
        shown, found = await exported(session, "SELECT tconst FROM movies_delta", **more)
    assert found.structured_content["rows"] == shown["row_count"] == more.get("row_limit", 100)
    assert metered.estimated == []


async def test_cells_that_the_answer_had_to_cut_are_said_to_be_cut(
    serve: Serve, connect: Connect, folder: Path
) -> None:
    sql = "SELECT repeat('x', 900000) AS a FROM movies_delta LIMIT 2"
    async with connect(serve(export_dir=folder, kept_mb=1)) as session:
        _, found = await exported(session, sql)
    assert "cells are cut" in text_of(found)
    assert not found.structured_content["complete"]
