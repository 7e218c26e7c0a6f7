"""`imdb-chat serve` as a process of its own, and visitors who use it over HTTP."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from imdb_lakehouse.bridge.store.sqlite import FILE_NAME
from tests.openai_server import OpenAiServer
from tests.server.processes import until

MODEL = {"IMDB_CHAT_MODEL": "scripted", "IMDB_CHAT_INPUT_PRICE": "1", "IMDB_CHAT_OUTPUT_PRICE": "2"}
ROOM = {"IMDB_CHAT_VISITORS_PER_HOUR": "1000", "IMDB_CHAT_REQUESTS_PER_MINUTE": "100000"}
"""Settings of a site that limits no test."""
Answer = dict[str, Any]


@dataclass
class Site:
    """A running `imdb-chat serve`. `url` ends without a slash."""

    process: subprocess.Popen[str]
    url: str
    state: Path
    clients: list[httpx2.Client] = field(default_factory=list)

    def visitor(self) -> Visitor:
        """Somebody new."""
        with httpx2.Client(base_url=self.url) as client:
            found = client.post("/api/visitors")
        assert found.status_code == 201
        return self.known(found.json()["token"])

    def known(self, token: str) -> Visitor:
        """Somebody who has been here before."""
        headers = {"Authorization": f"Bearer {token}"}
        self.clients.append(httpx2.Client(base_url=self.url, headers=headers, timeout=60))
        return Visitor(self.clients[-1], token)

    def expire(self, conversation: str) -> None:
        """Let the time of a conversation be over, for its store."""
        with closing(sqlite3.connect(self.state / FILE_NAME, timeout=30)) as database, database:
            database.execute(
                "UPDATE records SET expires = expires - (SELECT expires FROM records WHERE id = 'conversation' AND "
                "conversation = ?1) + ?2 WHERE conversation = ?1",
                [conversation, time.time()],
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(30)


@dataclass
class Visitor:
    """Somebody with a token."""

    client: httpx2.Client
    token: str

    def start(self, title: str = "") -> str:
        """A new conversation."""
        found = self.client.post("/api/conversations", json={"title": title})
        assert found.status_code == 201
        return str(found.json()["id"])

    def post(self, conversation: str, text: str, kind: str = "question", **headers: str) -> httpx2.Response:
        """Ask, and give what is answered to that."""
        return self.client.post(
            f"/api/conversations/{conversation}/messages", json={"kind": kind, "text": text}, headers=headers
        )

    def ask(self, text: str, kind: str = "question", conversation: str | None = None) -> Answer:
        """Ask, and give the operation once it has ended."""
        found = self.post(conversation or self.start(), text, kind)
        assert found.status_code == 202, found.text
        return self.ended(found.json()["id"])

    def operation(self, operation: str) -> Answer:
        """How far an operation is."""
        found = self.client.get(f"/api/operations/{operation}")
        assert found.status_code == 200, found.text
        return dict(found.json())

    def events(self, operation: str) -> Iterator[tuple[str, Answer]]:
        """The events of an operation, to its end."""
        with self.client.stream("GET", f"/api/operations/{operation}/events") as found:
            assert found.status_code == 200
            name = ""
            for line in found.iter_lines():
                field_name, _, value = line.partition(": ")
                if field_name == "event":
                    name = value
                if field_name == "data":
                    yield name, json.loads(value)

    def ended(self, operation: str) -> Answer:
        """An operation, once it has ended."""

        def has_ended() -> bool:
            return self.operation(operation)["state"] not in ("pending", "running")

        # A visitor may ask 300 times within a minute.
        until(has_ended, what="the end of the operation", pause=0.25)
        return self.operation(operation)

    def conversation(self, conversation: str) -> Answer:
        """A conversation with all that was said."""
        found = self.client.get(f"/api/conversations/{conversation}")
        assert found.status_code == 200, found.text
        return dict(found.json())


@contextmanager
def site(lake: Path, state: Path, model: OpenAiServer | None = None, **settings: str) -> Iterator[Site]:
    """Runs while the test does. Without a model, none is set up."""
    given: Mapping[str, str] = MODEL | {"OPENAI_BASE_URL": model.url} if model is not None else {}
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("IMDB_", "OPENAI_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "imdb_lakehouse.bridge.cli", "serve", "--lake", str(lake), "--port", "0"],
        env=ours | {"IMDB_STATE_DIR": str(state)} | given | settings,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    assert process.stderr is not None
    try:
        for line in process.stderr:
            said.append(line)
            if line.startswith("Serving on "):
                found = Site(process, line.split()[-1].rstrip("/"), state)
                try:
                    yield found
                finally:
                    for client in found.clients:
                        client.close()
                break
        else:
            raise AssertionError("".join(said))
    finally:
        process.kill()
        process.wait(30)
        process.stderr.close()
