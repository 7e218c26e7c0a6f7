"""`imdb-chat serve` when it, or what stands behind it, is killed: nothing is asked twice, nothing pretends to run."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from imdb_lakehouse.bridge.cli import main
from imdb_lakehouse.bridge.settings import load_settings
from imdb_lakehouse.bridge.store import LEASE_SECONDS, open_store
from lakehouse.callers import Callers
from tests.bridge.conftest import kill_servers
from tests.bridge.rest import Site, site
from tests.bridge.scripts import COUNT, running, said
from tests.openai_server import HANGING, OpenAiServer
from tests.server.processes import busy, gone, until
from tests.server.test_stdio import SLOW_SQL


def below(found: Site) -> list[psutil.Process]:
    return psutil.Process(found.process.pid).children(recursive=True)


def test_what_a_killed_process_answered_is_interrupted_and_its_visitor_goes_on_after_a_restart(
    lake: Path, tmp_path: Path, provider: OpenAiServer
) -> None:
    provider.will(HANGING)
    with site(lake, tmp_path, provider) as first:
        visitor = first.visitor()
        conversation = visitor.start("Before")
        operation = visitor.post(conversation, "How many titles?", **{"Idempotency-Key": "one"}).json()["id"]
        until(lambda: provider.calls, what="the call of the model")
        children = below(first)
        first.end(signal.SIGKILL)
        until(lambda: gone(children), what="the end of the server and its engine")
    # Its lease is over some time later: a reader whose clock is there settles it for all.
    store = open_store(load_settings(state_dir=tmp_path), lambda: time.time() + LEASE_SECONDS + 1)
    owner = Callers((tmp_path / "callers.key").read_text()).name(visitor.token)
    assert store.get_operation(str(owner), operation).state == "interrupted"
    store.close()
    with site(lake, tmp_path, provider) as second:
        again = second.known(visitor.token)
        found = again.conversation(conversation)
        assert [message["text"] for message in found["messages"]] == ["How many titles?"]
        assert (found["operation"]["id"], found["operation"]["state"]) == (operation, "interrupted")
        retried = again.post(conversation, "How many titles?", **{"Idempotency-Key": "one"})
        assert retried.json()["state"] == "interrupted"
        assert len(provider.calls) == 1
        provider.will(running(COUNT), said("300."))
        assert again.ask("How many titles?", conversation=conversation)["result"]["answer"] == "300."


def test_a_process_that_is_told_to_end_says_what_it_interrupts_and_leaves_nothing_running(
    lake: Path, tmp_path: Path, provider: OpenAiServer
) -> None:
    with site(lake, tmp_path, provider) as first:
        visitor = first.visitor()
        conversation = visitor.start()
        operation = visitor.post(conversation, SLOW_SQL, "sql").json()["id"]
        until(lambda: busy(below(first)), what="the statement in the engine")
        children = below(first)
        assert first.end() == 0
        until(lambda: gone(children), what="the end of the server and its engine")
    with site(lake, tmp_path, provider) as second:
        again = second.known(visitor.token)
        assert again.operation(operation)["state"] == "interrupted"
        assert again.ask(COUNT, "sql", conversation)["state"] == "done"
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["verdict"] for line in lines] == ["cancelled", "ok"]


def test_a_server_that_dies_within_a_question_is_replaced_and_the_question_answered(
    lake: Path, tmp_path: Path, provider: OpenAiServer
) -> None:
    with site(lake, tmp_path, provider) as found:
        visitor = found.visitor()
        provider.will(running(SLOW_SQL), running(COUNT), said("300."))
        operation = visitor.post(visitor.start(), "How many?").json()["id"]
        until(lambda: busy(below(found)), what="the statement in the engine")
        kill_servers(found.process.pid)
        # The statement is run again by the new server; its visitor ends it there.
        until(lambda: busy(below(found)), what="the statement in the new engine")
        visitor.client.delete(f"/api/operations/{operation}")
        visitor.ended(operation)
        provider.script.clear()
        assert visitor.ask(COUNT, "sql")["result"]["steps"][0]["table"]["rows"] == [[300]]


def test_an_operation_that_another_process_cancels_ends_where_it_runs(
    lake: Path, tmp_path: Path, provider: OpenAiServer
) -> None:
    with site(lake, tmp_path, provider) as one, site(lake, tmp_path, provider) as two:
        mine = one.visitor()
        same = two.known(mine.token)
        operation = mine.post(mine.start(), SLOW_SQL, "sql").json()["id"]
        until(lambda: busy(below(one)), what="the statement in the engine")
        assert same.operation(operation)["state"] == "running"
        assert same.client.delete(f"/api/operations/{operation}").json()["result"]["outcome"] == "cancelled"
        until(lambda: not busy(below(one)), what="the engine's rest")
        until(lambda: mine.operation(operation)["state"] == "failed", what="the end", pause=0.25)


def test_a_store_that_is_damaged_is_said_without_its_path_and_found_again_when_it_is_mended(
    lake: Path, tmp_path: Path, provider: OpenAiServer
) -> None:
    with site(lake, tmp_path, provider) as found:
        visitor = found.visitor()
        file = tmp_path / "conversations.sqlite"
        visitor.start()
        kept = file.read_bytes()
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            kept = file.read_bytes()
        for left in tmp_path.glob("conversations.sqlite-*"):
            left.unlink()
        file.write_bytes(b"this is no database" * 100)
        failed = visitor.client.get("/api/conversations")
        assert failed.status_code == 503
        assert str(tmp_path) not in failed.text
        file.write_bytes(kept)
        assert len(visitor.client.get("/api/conversations").json()["conversations"]) == 1


def test_a_port_that_is_taken_is_said_in_a_sentence(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["serve", "--lake", str(lake), "--port", str(port)])
    assert ended.value.code == 1
    assert f"Port {port} on 127.0.0.1 cannot be used" in capsys.readouterr().err


def test_without_a_lake_the_site_does_not_start_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--lake", str(tmp_path / "nothing"), "--port", "0"])
    assert ended.value.code == 1
    assert "imdb-etl load" in capsys.readouterr().err
