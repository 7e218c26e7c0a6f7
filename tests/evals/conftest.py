"""A lake of real rows where they are at hand, of invented ones otherwise, and the evaluation on it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.scripts import told
from tests.conftest import ROOT, SHARED
from tests.etl.conftest import run_etl
from tests.openai_server import OpenAiServer, Received, Reply, serving
from tests.server.processes import environment, served

QUESTIONS = {
    question["id"]: question
    for question in map(json.loads, (ROOT / "tests/data/evals/questions.jsonl").read_text("utf-8").splitlines())
}

Script = Sequence[Reply]
"""What the model says to one question, call after call."""


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evals")
    source = SHARED / "data" / "imdb-real"
    if not source.is_dir():
        source = folder / "sample"
        assert run_etl("sample", "--out", source, "--titles", 4000, "--seed", 5).returncode == 0
    done = run_etl("load", "--source", source, "--lake", folder / "lake")
    assert done.returncode == 0, done.stderr
    return folder / "lake"


@pytest.fixture(scope="session")
def server(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server for all tests that need none of their own."""
    with served(lake, tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def provider() -> Iterator[OpenAiServer]:
    with serving() as server:
        yield server


def scripted(scripts: Mapping[str, Script]) -> Callable[[Received], Reply]:
    """A model that says to each question, known by its id, what its script does."""
    by_text = {QUESTIONS[name]["question"]: script for name, script in scripts.items()}

    def reply(received: Received) -> Reply:
        messages = told(received)
        number = sum(message["role"] == "assistant" for message in messages)
        return by_text[next(message["content"] for message in messages if message["role"] == "user")][number]

    return reply


def write_questions(path: Path, questions: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(question) + "\n" for question in questions), encoding="utf-8")
    return path


@dataclass
class Evals:
    """`python -m imdb_lakehouse.evals` with a model at a dollar per million tokens read and two per million written."""

    folder: Path
    where: tuple[str, str]
    provider: OpenAiServer
    more: dict[str, str] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "results.jsonl"

    @property
    def set_up(self) -> dict[str, str]:
        price = {"IMDB_CHAT_INPUT_PRICE": "1", "IMDB_CHAT_OUTPUT_PRICE": "2"}
        return {"OPENAI_BASE_URL": self.provider.url, "IMDB_CHAT_MODEL": "scripted", **price, **self.more}

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.folder / "state", **self.set_up)

    def arguments(self, questions: Path, *more: str) -> list[str]:
        return [str(questions), *self.where, "--out", str(self.out), *more]

    def command(self, questions: Path, *more: str) -> list[str]:
        return [sys.executable, "-m", "imdb_lakehouse.evals", *self.arguments(questions, *more)]

    def run(self, questions: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(questions, *arguments),
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text("utf-8").splitlines()]

    def by_id(self) -> dict[str, dict[str, Any]]:
        return {line["id"]: line for line in self.lines()}


@pytest.fixture
def evals(tmp_path: Path, server: str, provider: OpenAiServer) -> Evals:
    return Evals(tmp_path, ("--server", server), provider)
