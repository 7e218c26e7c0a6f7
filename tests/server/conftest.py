"""A small invented lake, one real engine on it for all tests, and servers and clients around it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from lakehouse.storage import Lake
from mcp_server.app import LakehouseServer
from mcp_server.engines import Engine
from mcp_server.settings import load_settings
from tests.openai_server import OpenAiServer, serving
from tests.server.lakes import make_lake

Serve = Callable[..., LakehouseServer]
Connect = Callable[[LakehouseServer], Any]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred invented titles; no test writes to it."""
    return make_lake(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="session")
def engine(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The embedded engine on the small lake, started once."""
    from mcp_server.engines.embedded import EmbeddedEngine

    settings = load_settings(lake=str(lake), state_dir=tmp_path_factory.mktemp("engine-state"))
    engine = EmbeddedEngine(Lake.parse(str(lake)), settings)
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def serve(engine: Engine, lake: Path, tmp_path: Path) -> Serve:
    """Makes a server with settings of the test's own, on the engine of all tests."""

    def make(**flags: Any) -> LakehouseServer:
        return LakehouseServer(load_settings(lake=str(lake), state_dir=tmp_path / "state", **flags), lambda: [engine])

    return make


@pytest.fixture
def models() -> Iterator[OpenAiServer]:
    """A local server in the place of a model provider."""
    with serving() as running:
        yield running


@contextmanager
def servers_with_ai(engine: Engine, **settings: Any) -> Iterator[Serve]:
    """Makes servers on an engine with the given settings, and ends what their AI functions have begun."""
    made: list[LakehouseServer] = []

    def make(**flags: Any) -> LakehouseServer:
        made.append(LakehouseServer(load_settings(**(settings | flags)), lambda: [engine]))
        return made[-1]

    yield make
    for server in made:
        server.toolbox.app.ai.close()


@pytest.fixture(params=["legacy", "auto"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Opens a client in this process, once in each era of the protocol."""

    @asynccontextmanager
    async def open_client(server: LakehouseServer) -> AsyncIterator[Client]:
        async with Client(server, mode=request.param) as client:
            yield client

    return open_client


def audit_lines(server: LakehouseServer) -> list[dict[str, Any]]:
    """What the audit says so far."""
    return [json.loads(line) for line in server.toolbox.app.settings.audit_path.read_text().splitlines()]
