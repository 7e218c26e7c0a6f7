"""A local model server for each test, and settings that name it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.openai_server import OpenAiServer, serving


@pytest.fixture(autouse=True)
def _no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test calls a provider that this machine's environment names."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_")):
            monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[OpenAiServer]:
    """A model server that answers everything until it is told otherwise."""
    with serving() as running:
        yield running
