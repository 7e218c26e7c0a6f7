"""The audit under load: what a caller can have written is bounded, no line is torn, and a full disk is said."""

from __future__ import annotations

import json
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from mcp_server.audit import AuditEvent, AuditLog, AuditUnwritableError
from tests.server.conftest import Connect, Serve, audit_lines
from tests.server.test_calls import text_of

pytestmark = pytest.mark.anyio

WIDE = "\N{OLD PERSIAN SIGN A}"
"""A character that takes twelve bytes in ASCII JSON."""


def whole_lines(*files: Path) -> list[dict[str, Any]]:
    """The events of files, each line of which has to be whole."""
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


@contextmanager
def room_for(path: Path, more: int) -> Iterator[None]:
    """No file can grow beyond the size of this one and a little, as on a disk that fills up while a line is written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("execute_spark_sql", {"sql_query": f"DROP TABLE {WIDE * 1_000_000}", "reasoning": WIDE * 9_000}),
        ("execute_spark_sql", {"sql_query": WIDE * 8_000, "reasoning": WIDE * 9_000, "_client": WIDE * 900_000}),
        ("execute_spark_sql", {f"sql_query{WIDE * 900_000}": "SELECT 1", "reasoning": "x"}),
        ("execute_spark_sql", {f"x{number}": WIDE * 1_000 for number in range(900)}),
        ("describe_schema", {"table": WIDE * 900_000}),
        ("query_status", {"handle": "\x00" * 3_000_000}),
        (WIDE * 900_000, {}),
    ],
)
async def test_a_call_for_which_nothing_ran_leaves_a_short_line_and_gets_a_short_answer(
    serve: Serve, tool: str, arguments: dict[str, Any]
) -> None:
    server = serve()
    async with Client(server, mode="legacy") as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert len(text_of(result)) < 1_000
    (line,) = audit_lines(server)
    assert len(json.dumps(line)) < 10_000
    assert line["ms"] < 2_000


async def test_a_statement_that_ran_is_kept_whole_however_wide_its_characters_are(serve: Serve) -> None:
    server = serve()
    sql = f"SELECT '{WIDE * 8_000}' AS wide"
    async with Client(server, mode="legacy") as client:
        await client.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": WIDE * 10_000})
    (line,) = audit_lines(server)
    assert (line["sql_sent"], line["verdict"]) == (sql, "ok")
    assert len(json.dumps(line)) < 450_000


async def test_a_full_log_is_rotated_and_the_oldest_file_goes(serve: Serve, connect: Connect) -> None:
    server = serve(audit_max_mb=0.01, audit_files=3)
    path = server.toolbox.app.settings.audit_path
    async with connect(server) as client:
        for _ in range(20):
            await client.call_tool("execute_spark_sql", {"sql_query": f"DROP {'x' * 5_000}", "reasoning": "x"})
    files = sorted(path.parent.glob("audit.jsonl*"))
    assert [file.name for file in files] == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    assert all(file.stat().st_size < 0.01 * 2**20 + 10_000 for file in files)
    assert {line["verdict"] for line in whole_lines(*files)} == {"refused"}


def test_servers_that_share_a_log_lose_no_line_when_they_rotate_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    def write(number: int) -> None:
        log = AuditLog(path, most_bytes=20_000, most_files=1_000)
        for count in range(100):
            log.write(AuditEvent(f"{number}/{count}", "somebody", "embedded"))

    threads = [threading.Thread(target=write, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = [*tmp_path.glob("audit.jsonl*")]
    assert len(files) > 5
    assert {line["tool"] for line in whole_lines(*files)} == {f"{n}/{c}" for n in range(6) for c in range(100)}


async def test_a_full_disk_is_said_and_ends_without_a_restart(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    link = tmp_path / "audit.jsonl"
    link.symlink_to("/dev/full")
    server = serve(audit_file=link)
    async with connect(server) as client:
        refused = [await client.call_tool("list_views", {}) for _ in range(3)]
        link.unlink()
        answered = await client.call_tool("list_views", {})
    assert all("the disk is full" in text_of(result) for result in refused)
    assert not answered.is_error
    said = [record.getMessage() for record in caplog.records if record.name == "mcp_server.audit"]
    assert len(said) == 2
    assert "the disk is full" in said[0]
    assert "3 calls" in said[1]


def test_half_a_line_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, most_bytes=2**20, most_files=2)
    event = AuditEvent("list_views", "somebody", "embedded")
    log.write(event)
    with room_for(path, more=50), pytest.raises(AuditUnwritableError, match="the disk is full"):
        log.write(event)
    log.write(event)
    assert [line["tool"] for line in whole_lines(path)] == ["list_views", "list_views"]
