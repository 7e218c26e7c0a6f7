"""Around every call: its audit line, and errors that teach or name a correlation id and nothing else."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

import anyio
import pytest

from lakehouse.callers import META, Callers
from mcp_server.service import StatementService
from tests.server.conftest import Connect, Serve, audit_lines
from tests.server.test_stdio import SLOW_SQL

pytestmark = pytest.mark.anyio

KEY = "a key of at least thirty-two letters"


def text_of(result: Any) -> str:
    return str(result.content[0].text)


async def test_every_call_leaves_one_audit_line(serve: Serve, connect: Connect) -> None:
    server = serve()
    sql = "SELECT tconst /* the id */ FROM movies_delta LIMIT 3"
    async with connect(server) as client:
        result = await client.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": "to see some ids"})
    (line,) = audit_lines(server)
    assert line["sql_sent"] == sql
    assert "the id" not in line["sql_run"][0]
    assert line["query_ids"] == [result.structured_content["query_id"]]
    assert (line["tool"], line["verdict"], line["rows"], line["engine"]) == ("execute_spark_sql", "ok", 3, "embedded")
    assert line["reasoning"] == "to see some ids"
    assert line["caller"] == server.toolbox.app.principal.name
    assert line["bytes"] > 30
    assert line["ms"] >= 0
    assert line["time"].endswith("+00:00")


async def test_the_audit_is_for_its_owner_alone(serve: Serve, connect: Connect) -> None:
    server = serve()
    async with connect(server) as client:
        await client.call_tool("list_views", {})
    assert stat.S_IMODE(os.stat(server.toolbox.app.settings.audit_path).st_mode) == 0o600


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("execute_spark_sql", {"sql_query": "SELECT 1"}, "argument reasoning is missing"),
        ("execute_spark_sql", {"query": "SELECT 1", "reasoning": "x"}, "Did you mean sql_query?"),
        (
            "execute_spark_sql",
            {"sql_query": "SELECT 1", "reasoning": "x", "row_limit": 0},
            "greater than or equal to 1",
        ),
        ("execute_spark_sql", {"sql_query": 7, "reasoning": "x"}, "should be a valid string"),
        ("describe_schema", {"table": ["a"]}, "argument table does not fit"),
        ("ai_movie_summary", {}, "needs a title or a tconst"),
        ("execute_sql", {}, "Did you mean execute_spark_sql?"),
    ],
)
async def test_bad_arguments_are_taught_and_audited(
    serve: Serve, connect: Connect, tool: str, arguments: dict[str, Any], said: str
) -> None:
    server = serve()
    async with connect(server) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert said in text_of(result)
    assert "pydantic" not in text_of(result)
    (line,) = audit_lines(server)
    assert (line["tool"], line["verdict"]) == (tool, "bad_request")
    assert all(repr(value)[1:-1] in str(line) for value in arguments.values() if isinstance(value, str))


ADDED = {"toolCallId": "1", "_sessionID": "2", "_meta": {"a": 1}, "sessionId": None, "chatInput": "hello"}


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("execute_spark_sql", {"sql_query": "SELECT 1", "reasoning": "x"}),
        ("describe_schema", {}),
        ("list_views", {}),
    ],
)
async def test_what_a_client_adds_to_the_arguments_is_left_out_and_noted_in_the_audit(
    serve: Serve, connect: Connect, tool: str, arguments: dict[str, Any]
) -> None:
    server = serve()
    async with connect(server) as client:
        result = await client.call_tool(tool, {**arguments, **ADDED})
        plain = await client.call_tool(tool, arguments)
    assert not result.is_error
    assert len(result.content) == len(plain.content)
    assert [line["ignored"] for line in audit_lines(server)] == [[*ADDED], []]


async def test_a_model_is_told_of_an_argument_that_it_may_have_meant(serve: Serve, connect: Connect) -> None:
    server = serve()
    async with connect(server) as client:
        ignored = await client.call_tool("execute_spark_sql", {"sql_query": "SELECT 1", "reasoning": "x", "explain": 1})
        named = await client.call_tool("describe_schema", {"tableName": "movies_delta"})
        refused = [
            await client.call_tool("execute_spark_sql", {"sql_query": "SELECT 1", "reasoning": "x", "dryRun": True}),
            await client.call_tool("execute_spark_sql", {"sql": "SELECT 1", "reasoning": "x"}),
        ]
    assert not ignored.is_error
    assert ignored.content[-1].text == "Ignored, as execute_spark_sql has no such argument: 'explain'."
    assert "'tableName'" in named.content[-1].text
    assert [result.is_error for result in refused] == [True, True]
    assert "Did you mean dry_run?" in text_of(refused[0])
    assert "no argument 'sql'" in text_of(refused[1])


@pytest.mark.parametrize("unset", [None, "", "  "])
@pytest.mark.parametrize(
    ("tool", "needed", "optional"),
    [
        ("execute_spark_sql", {"sql_query": "SELECT 1", "reasoning": "x"}, ("row_limit", "dry_run")),
        ("describe_schema", {}, ("table", "page")),
        ("ai_movie_summary", {"title": "The Twin Bridges"}, ("tconst",)),
        ("ai_person_summary", {"nconst": "nm0"}, ("name",)),
    ],
)
async def test_an_optional_argument_that_is_null_or_blank_is_as_good_as_left_out(
    serve: Serve, tool: str, needed: dict[str, Any], optional: tuple[str, ...], unset: str | None
) -> None:
    from mcp.client import Client

    async with Client(serve(), mode="legacy") as client:
        plain = await client.call_tool(tool, needed)
        given = await client.call_tool(tool, {**needed, **dict.fromkeys(optional, unset)})
    assert not given.is_error
    assert given.structured_content.keys() == plain.structured_content.keys()
    assert given.structured_content.get("status") == plain.structured_content.get("status")


@pytest.mark.parametrize("title", ["[1]", "{}", '{"a": 1}', "12", "true"])
async def test_a_text_that_could_be_json_is_a_text(serve: Serve, connect: Connect, title: str) -> None:
    async with connect(serve()) as client:
        result = await client.call_tool("ai_movie_summary", {"title": title})
    assert "does not fit" not in str(result.content)


async def test_of_many_arguments_the_audit_keeps_the_first(serve: Serve, connect: Connect) -> None:
    server = serve()
    async with connect(server) as client:
        result = await client.call_tool("list_views", {f"a{number}": [number] * 500 for number in range(1_000)})
    assert "1000 arguments" in result.content[0].text
    assert len(audit_lines(server)[-1]["arguments"]) < 3_000


async def test_a_needed_argument_that_is_null_is_missing(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        result = await client.call_tool("execute_spark_sql", {"sql_query": "SELECT 1", "reasoning": None})
    assert "argument reasoning is missing" in text_of(result)


async def test_a_call_without_an_object_of_arguments_is_audited_too(serve: Serve) -> None:
    from mcp.client import Client

    server = serve()
    async with Client(server, mode="legacy") as client:
        with pytest.raises(Exception, match="Invalid request parameters"):
            await client.session._dispatcher.send_raw_request(  # no client sends this; a hand-written one may
                "tools/call", {"name": "list_views", "arguments": [1]}
            )
    (line,) = audit_lines(server)
    assert (line["tool"], line["verdict"], line["code"]) == ("list_views", "bad_request", "malformed")


async def test_a_defect_reaches_the_caller_as_a_correlation_id_only(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the secret path /etc/shadow")

    monkeypatch.setattr(StatementService, "submit_sql", broken)
    server = serve()
    async with connect(server) as client:
        result = await client.call_tool("execute_spark_sql", {"sql_query": "SELECT 1", "reasoning": "x"})
    (line,) = audit_lines(server)
    assert result.is_error
    assert "secret" not in text_of(result)
    assert line["correlation_id"] in text_of(result)
    assert (line["verdict"], line["code"]) == ("error", "RuntimeError")
    (record,) = [record for record in caplog.records if line["correlation_id"] in record.getMessage()]
    assert record.exc_info is not None


async def test_a_call_that_cannot_be_audited_is_not_answered(serve: Serve, connect: Connect) -> None:
    server = serve()
    server.toolbox.app.settings.audit_path.mkdir(parents=True)
    async with connect(server) as client:
        result = await client.call_tool("list_views", {})
        server.toolbox.app.settings.audit_path.rmdir()
        again = await client.call_tool("list_views", {})
    assert result.is_error
    assert "audit" in text_of(result)
    assert str(server.toolbox.app.settings.audit_path) not in text_of(result)
    assert not again.is_error


async def test_a_lone_surrogate_in_a_statement_does_not_break_the_answer(serve: Serve, connect: Connect) -> None:
    server = serve()
    async with connect(server) as client:
        result = await client.call_tool(
            "execute_spark_sql", {"sql_query": "SELECT '\ud800' FROM nowhere\ud800", "reasoning": "\udfff"}
        )
    assert result.is_error
    json.dumps(text_of(result)).encode("utf-8")
    assert len(audit_lines(server)) == 1


async def test_a_statement_that_takes_too_long_is_stopped_and_says_what_to_do(serve: Serve, connect: Connect) -> None:
    server = serve(query_timeout_seconds=0.5)
    async with connect(server) as client:
        result = await client.call_tool("execute_spark_sql", {"sql_query": SLOW_SQL, "reasoning": "x"})
    (line,) = audit_lines(server)
    assert result.is_error
    assert "0.5 s" in text_of(result)
    assert (line["verdict"], line["code"]) == ("failed", "timed_out")


async def test_while_all_slots_are_taken_the_server_still_answers(serve: Serve, connect: Connect) -> None:
    server = serve(max_concurrent_queries=1)
    asked = ("execute_spark_sql", {"sql_query": SLOW_SQL, "reasoning": "x"})
    async with connect(server) as client, anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(client.call_tool, *asked)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(30):
            listed = await client.list_tools(cache_mode="bypass")
            described = await client.call_tool("describe_schema", {})
        tasks.cancel_scope.cancel()
    assert len(listed.tools) == 8
    assert not described.is_error


async def test_more_statements_than_slots_are_all_answered(serve: Serve, connect: Connect) -> None:
    server = serve(max_concurrent_queries=2)
    answers: list[int] = []

    async def ask(client: Any, number: int) -> None:
        sql = f"SELECT {number} AS n, count(*) FROM movies_delta"
        result = await client.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": "x"})
        answers.append(result.structured_content["rows"][0][0])

    async with connect(server) as client, anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(ask, client, number)
    assert sorted(answers) == list(range(10))
    assert len(audit_lines(server)) == 10


async def test_callers_who_are_vouched_for_have_budgets_handles_and_audit_lines_of_their_own(
    serve: Serve, connect: Connect
) -> None:
    server = serve(caller_key=KEY, wait_seconds=0.3)
    mine, theirs = Callers(KEY).new(), Callers(KEY).new()
    async with connect(server) as client:
        arguments = {"sql_query": SLOW_SQL, "reasoning": "to wait"}
        slow = await client.call_tool("execute_spark_sql", arguments, meta={META: mine})
        handle = {"handle": slow.structured_content["handle"]}
        other = await client.call_tool("query_status", handle, meta={META: theirs})
        own = await client.call_tool("cancel_query", handle, meta={META: mine})
    assert other.is_error
    assert own.structured_content == {"state": "cancelled"}
    callers = [line["caller"] for line in audit_lines(server)][:3]
    assert callers[0] == callers[2] != callers[1]
    assert {*callers} == {Callers(KEY).name(mine), Callers(KEY).name(theirs)}


@pytest.mark.parametrize(
    "token",
    [None, "", 7, "root", Callers("another key of thirty-two letters").new(), Callers(KEY).new()[:-1] + "x"],
    ids=["none", "blank", "number", "name", "other key", "changed"],  # tokens are random, names of tests are not
)
async def test_where_callers_are_vouched_for_nobody_else_is_answered(
    serve: Serve, connect: Connect, token: object
) -> None:
    server = serve(caller_key=KEY)
    async with connect(server) as client:
        result = await client.call_tool("list_views", {}, meta={} if token is None else {META: token})
    assert result.is_error
    assert "IMDB_CALLER_KEY" in text_of(result)
    (line,) = audit_lines(server)
    assert (line["caller"], line["verdict"], line["code"]) == ("unknown", "bad_request", "unknown_caller")


async def test_whom_a_client_claims_to_be_counts_for_nothing_where_nobody_vouches(
    serve: Serve, connect: Connect
) -> None:
    server = serve()
    async with connect(server) as client:
        await client.call_tool("list_views", {}, meta={META: Callers(KEY).new()})
    (line,) = audit_lines(server)
    assert line["caller"] == server.toolbox.app.principal.name
