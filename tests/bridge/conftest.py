"""A small invented lake, a real server on it over stdio, a scripted model in OpenAI's wire format, and every store."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from imdb_lakehouse.bridge.client import Lakehouse, resolve_server
from imdb_lakehouse.bridge.model import ChatModel, open_model
from imdb_lakehouse.bridge.settings import load_settings
from imdb_lakehouse.bridge.store import Store, open_store
from imdb_lakehouse.bridge.turn import Turn, TurnContext, TurnLimits, run_turn
from tests.bridge.cosmos_server import KEY, emulating
from tests.bridge.rest import ROOM, Site, site
from tests.openai_server import OpenAiServer, serving
from tests.server.lakes import make_lake
from tests.server.processes import descendants, gone, until

Ask = Callable[..., Any]
DAY = 86_400.0


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred invented titles; no test writes to it."""
    return make_lake(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder for the server of a module, whose environment is read before any test's own is made."""
    folder = tmp_path_factory.mktemp("bridge-state")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("IMDB_")]:
            patch.delenv(name)
        patch.setenv("IMDB_STATE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
async def lakehouse(lake: Path, state: Path, anyio_backend: str) -> AsyncIterator[Lakehouse]:
    """A real `imdb-mcp serve` in a process of its own, for all tests of a module."""
    async with Lakehouse(resolve_server(load_settings(), "--lake", str(lake))) as lakehouse:
        yield lakehouse


@pytest.fixture(scope="module")
def site_model() -> Iterator[OpenAiServer]:
    """Who plays the model, for the site of all tests of a module. Each test leaves it without a script."""
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def here(lake: Path, state: Path, site_model: OpenAiServer) -> Iterator[Site]:
    """The site of all tests of a module that need no other."""
    with site(lake, state, site_model, **ROOM) as found:
        yield found


@pytest.fixture
def provider() -> Iterator[OpenAiServer]:
    """Who plays the model. Does as the test tells it."""
    with serving() as server:
        yield server


@pytest.fixture
def model(provider: OpenAiServer) -> Iterator[ChatModel]:
    """The bridge's side of it, at a dollar per million tokens read and two per million written."""
    settings = load_settings(
        OPENAI_BASE_URL=provider.url, chat_model="scripted", chat_input_price=1.0, chat_output_price=2.0
    )
    opened = open_model(settings)
    yield opened
    opened.close()


@pytest.fixture
def question(lakehouse: Lakehouse, model: ChatModel) -> Ask:
    """Asks with limits of the test's own."""

    async def put(
        text: str = "How many titles?", *, watch: Any = None, purse: Any = None, history: Any = (), **limits: Any
    ) -> Turn:
        given = {"rounds": 12, "seconds": 60.0, "tokens": 400_000, "context_tokens": 60_000, "nanos": 10**9}
        context = {name: value for name, value in (("on_event", watch), ("purse", purse)) if value is not None}
        return await run_turn(
            text, model, lakehouse, TurnLimits(**{**given, **limits}), history=history, context=TurnContext(**context)
        )

    return put


def kill_servers(parent: int | None = None) -> None:
    """Kill every server that a process (else this one) has started, and wait for its end."""
    serving = [process for process in descendants(parent or os.getpid()) if _serves(process)]
    assert serving
    for process in serving:
        os.kill(process.pid, signal.SIGKILL)
    until(lambda: gone(serving), what="the end of the server")


def _serves(process: psutil.Process) -> bool:
    try:
        return "serve" in process.cmdline()
    except psutil.NoSuchProcess:  # or a zombie, which is one of psutil's kinds of that
        return False


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def emulator(pytestconfig: pytest.Config) -> Iterator[str]:
    with emulating(pytestconfig.cache.mkdir("cosmosdb-server")) as url:
        yield url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "cosmos"])
def opening(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Clock
) -> Iterator[Callable[[], Store]]:
    """Opens the store again and again, as another process would; the first time it is empty."""
    monkeypatch.setenv("IMDB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("COSMOS_ENDPOINT", raising=False)
    if request.param == "cosmos":
        monkeypatch.setenv("COSMOS_ENDPOINT", request.getfixturevalue("emulator"))
        monkeypatch.setenv("COSMOS_KEY", KEY)
        monkeypatch.setenv("COSMOS_DATABASE", tmp_path.name)
    opened: list[Store] = []

    def again() -> Store:
        opened.append(open_store(load_settings(), clock))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


@pytest.fixture
def store(opening: Callable[[], Store]) -> Store:
    return opening()
