"""One attempt at a model through the real client: what every kind of answer and failure means, and costs."""

from __future__ import annotations

import json
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ai_functions.providers import OPENAI_URL, ProviderConfig, ProviderDownError, configured, open_provider, usage_of
from ai_functions.tokens import input_tokens
from ai_functions.types import CallFailedError, Completion, ModelProvider, ModelRequest, Usage
from lakehouse.errors import UsageError
from mcp_server.settings import load_settings
from tests import openai_server as replies
from tests.openai_server import OpenAiServer, Reply

REQUEST = ModelRequest("gpt-4.1-mini", "You are brief.", "Say something.", 50)
USAGE = Usage(100, 20)
SAID = Reply(text="Something.")

Open = Callable[..., ModelProvider]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, server: OpenAiServer) -> Iterator[Open]:
    """Opens providers from the environment, as a program would; they are closed after the test."""
    opened: list[ModelProvider] = []
    server.usual = SAID

    def make(**environment: str) -> ModelProvider:
        for name, value in (environment or {"OPENAI_BASE_URL": server.url}).items():
            monkeypatch.setenv(name, value)
        config = configured(load_settings())
        assert config is not None
        opened.append(open_provider(config))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_a_server_of_ones_own_is_asked_without_a_key_and_told_the_limit_in_its_words(
    provider: Open, server: OpenAiServer
) -> None:
    assert provider().complete(REQUEST, 5) == Completion("stop", "Something.", USAGE)
    (call,) = server.calls
    assert call.path == "/v1/chat/completions"
    assert call.body == {
        "model": "gpt-4.1-mini",
        "messages": [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "Say something."},
        ],
        "max_tokens": 50,
    }


def test_azures_paths_name_the_deployment_where_a_version_is_set(provider: Open, server: OpenAiServer) -> None:
    azure = provider(AZURE_OPENAI_ENDPOINT=server.root, AZURE_OPENAI_KEY="azure-key", OPENAI_API_VERSION="2024-10-21")
    assert azure.complete(REQUEST, 5).text == "Something."
    (call,) = server.calls
    assert call.path == "/openai/deployments/gpt-4.1-mini/chat/completions?api-version=2024-10-21"
    assert call.headers["api-key"] == "azure-key"
    assert call.body["max_completion_tokens"] == 50


def test_azures_newer_path_needs_no_version(provider: Open, server: OpenAiServer) -> None:
    azure = provider(AZURE_OPENAI_ENDPOINT=f"{server.root}/", AZURE_OPENAI_KEY="azure-key")
    assert azure.complete(REQUEST, 5).text == "Something."
    (call,) = server.calls
    assert call.path == "/openai/v1/chat/completions"
    assert call.headers["authorization"] == "Bearer azure-key"


@pytest.mark.parametrize("version", [{}, {"OPENAI_API_VERSION": "2024-10-21"}])
def test_without_a_key_the_azure_identity_of_the_process_signs_in(
    provider: Open, server: OpenAiServer, monkeypatch: pytest.MonkeyPatch, version: dict[str, str]
) -> None:
    with identity("an-azure-token") as (endpoint, asked):
        monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint)
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        azure = provider(AZURE_OPENAI_ENDPOINT=server.root, **version)
        azure.complete(REQUEST, 5)
        azure.complete(REQUEST, 5)
    assert [call.headers["authorization"] for call in server.calls] == ["Bearer an-azure-token"] * 2
    assert len(asked) == 1
    assert "cognitiveservices.azure.com" in asked[0]


def test_an_identity_that_cannot_sign_in_is_a_failure_that_costs_nothing(
    provider: Open, server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with identity(None) as (endpoint, _):
        monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint)
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        monkeypatch.setenv("PATH", "")  # nor does a command-line tool
        azure = provider(AZURE_OPENAI_ENDPOINT=server.root)
        with pytest.raises(CallFailedError, match="AZURE_OPENAI_KEY") as failed:
            azure.complete(REQUEST, 5)
    assert (failed.value.billed, failed.value.retryable, server.calls) == (False, False, [])


@pytest.mark.parametrize(
    ("reply", "completion"),
    [
        (replies.FILTERED, Completion("refused", None, USAGE)),
        (replies.FILTERED_PROMPT, Completion("refused", None, None)),
        (replies.REFUSING, Completion("refused", None, USAGE)),
        (replies.EMPTY, Completion("empty", None, USAGE)),
        (replies.LONG, Completion("length", "A summary that was cut", USAGE)),
        (Reply(text="Free?", usage=None), Completion("stop", "Free?", None)),
        (Reply(text="Free?", usage={"prompt_tokens": -5, "completion_tokens": 1}), Completion("stop", "Free?", None)),
        (Reply(text="Free?", usage={"prompt_tokens": "9"}), Completion("stop", "Free?", None)),
        (Reply(text="Free?", usage={"prompt_tokens": True, "completion_tokens": 1}), Completion("stop", "Free?", None)),
        (Reply(text="A?", usage={"prompt_tokens": 10**20, "completion_tokens": 1}), Completion("stop", "A?", None)),
    ],
)
def test_an_answer_is_read_for_what_it_is(
    provider: Open, server: OpenAiServer, reply: Reply, completion: Completion
) -> None:
    server.will(reply)
    assert provider().complete(REQUEST, 5) == completion


@pytest.mark.parametrize(
    ("reply", "retryable", "billed", "down"),
    [
        (replies.TOO_MANY, True, False, False),
        (replies.NO_QUOTA, False, False, False),
        (replies.BROKEN, True, False, True),
        (Reply(504, error={"message": "gateway"}), False, True, True),
        (replies.BAD_KEY, False, False, False),
        (replies.BAD_REQUEST, False, True, False),
        (replies.CUT, False, True, True),
        (Reply(seconds=30), False, True, True),
        (replies.WRONG_JSON, False, True, False),
        (replies.NO_JSON, False, True, False),
        (replies.NO_COMPLETION, False, True, False),
        (Reply(raw=b'{"choices": [{"message": null}]}'), False, True, False),
        (Reply(raw=b" " * 2_000_000), False, True, False),
        (Reply(raw=b"[" * 200_000), False, True, False),
    ],
)
def test_a_failure_says_whether_it_may_be_repeated_and_whether_it_may_be_billed(
    provider: Open, server: OpenAiServer, reply: Reply, retryable: bool, billed: bool, down: bool
) -> None:
    server.will(reply)
    with pytest.raises(CallFailedError) as failed:
        provider().complete(REQUEST, 0.5 if reply.seconds else 20)
    found = failed.value
    assert (found.retryable, found.billed, isinstance(found, ProviderDownError)) == (retryable, billed, down)
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("azure", [False, True], ids=["openai", "azure"])
def test_a_redirect_is_refused_and_neither_key_nor_prompt_goes_there(
    provider: Open, server: OpenAiServer, status: int, azure: bool
) -> None:
    with replies.serving() as elsewhere:
        server.usual = Reply(status, raw=b"{}", headers={"location": f"{elsewhere.url}/chat/completions"})
        versioned = {"AZURE_OPENAI_ENDPOINT": server.root, "OPENAI_API_VERSION": "2024-10-21", "AZURE_OPENAI_KEY": "k"}
        plain = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-secret"}
        asked = provider(**(versioned if azure else plain))
        with pytest.raises(CallFailedError, match=f"answered {status}: .* not followed") as failed:
            asked.complete(REQUEST, 5)
        with pytest.raises(CallFailedError, match="not followed"):
            asked.stream({"model": "m", "messages": []}, 5, 5, lambda _: None)  # type: ignore[attr-defined]
        assert (failed.value.billed, failed.value.retryable) == (False, False)
        assert elsewhere.calls == []


BAD_ADDRESSES = [
    "ftp://mistyped.test/v1", "file:///etc/passwd", "mistyped.test/v1", "https://", "http://:80", "http://host:port",
    "http://[::1", "https://exa mple.org", "https://mistyped.test\n", "gopher://mistyped.test", "//mistyped.test",
]  # fmt: skip


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", "IMDB_AI_WEBHOOK", "IMDB_DOWNLOAD_URL",
                                  "COSMOS_ENDPOINT"])  # fmt: skip
def test_an_address_that_is_none_is_refused_where_it_comes_in_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for address in BAD_ADDRESSES:
        monkeypatch.setenv(name, address)
        with pytest.raises(UsageError, match=f"{name}: it has to be an address") as refused:
            load_settings()
        assert address.strip().removeprefix("https://") not in str(refused.value) or address == "https://"
    for address in (
        "https://example.org",
        "http://localhost:11434/v1",
        "http://user:pass@10.0.0.1:8000/v1/",
        "http://[::1]:80",
    ):
        monkeypatch.setenv(name, address)
        load_settings()


@pytest.mark.parametrize("usage", [
    {"prompt_tokens": 1.5, "completion_tokens": 2}, {"prompt_tokens": None, "completion_tokens": 2}, {},
    {"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": 10**30, "completion_tokens": 2},
    {"prompt_tokens": True, "completion_tokens": False}, {"prompt_tokens": "7", "completion_tokens": "7"},
    {"completion_tokens": 2},
    {"prompt_tokens": [7], "completion_tokens": {"a": 1}},
])  # fmt: skip
def test_a_usage_that_counts_nothing_is_none_however_the_answer_comes(
    provider: Open, server: OpenAiServer, usage: dict[str, Any]
) -> None:
    server.usual = Reply(text="Something.", usage=usage)
    asked = provider()
    assert asked.complete(REQUEST, 5).usage is None
    messages = [{"role": "user", "content": "Say something."}]
    found = asked.stream({"model": "m", "messages": messages}, 5, 5, lambda _: None)  # type: ignore[attr-defined]
    assert usage_of(found["usage"]) is None


def test_a_connection_that_never_came_about_costs_nothing_and_the_log_alone_has_the_address(
    provider: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{nobody.getsockname()[1]}"
        closed = provider(OPENAI_BASE_URL=f"http://somebody:hidden@{place}/v1")
        with pytest.raises(ProviderDownError, match="cannot be reached") as failed:
            closed.complete(REQUEST, 5)
    assert (failed.value.retryable, failed.value.billed) == (True, False)
    assert place not in str(failed.value)
    assert place in caplog.text
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("code", ["models.internal.example", "sk-secret"])
def test_a_code_that_is_no_word_is_not_passed_on(provider: Open, server: OpenAiServer, code: str) -> None:
    server.will(Reply(400, error={"message": "no", "code": code}))
    with pytest.raises(CallFailedError) as failed:
        provider().complete(REQUEST, 5)
    assert str(failed.value) == "The model's server answered 400."


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, 0.0),
        ({"retry-after": "Fri, 31 Dec 2025 23:59:59 +9999999999999999"}, None),
        ({}, None),
    ],
)
def test_the_pause_that_a_server_asks_for_is_read_in_all_its_forms(
    provider: Open, server: OpenAiServer, headers: dict[str, str], seconds: float | None
) -> None:
    server.will(Reply(429, error={"message": "slow down"}, headers=headers))
    with pytest.raises(CallFailedError) as failed:
        provider().complete(REQUEST, 5)
    assert failed.value.retry_after == seconds


def test_no_key_is_told_or_logged(
    provider: Open, server: OpenAiServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.will(replies.BAD_KEY)
    with pytest.raises(CallFailedError, match=r"answered 401 \(invalid_api_key\)") as failed:
        provider().complete(REQUEST, 5)
    config = configured(load_settings())
    assert server.calls[0].headers["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in f"{failed.value} {caplog.text} {config!r}"
    assert "Incorrect API key" in caplog.text


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"OPENAI_API_KEY": "k"}, ("OpenAI", OPENAI_URL, None, "max_completion_tokens")),
        (
            {"OPENAI_BASE_URL": "http://localhost:11434/v1/", "IMDB_AI_MODEL": "llama3"},
            ("The model's server", "http://localhost:11434/v1", "llama3", "max_tokens"),
        ),
        (
            {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://eu.api.openai.com/v1"},
            ("The model's server", "https://eu.api.openai.com/v1", None, "max_completion_tokens"),
        ),
        (
            {
                "OPENAI_API_KEY": "k",
                "AZURE_OPENAI_ENDPOINT": "https://x.azure.com",
                "AZURE_OPENAI_DEPLOYMENT": "mini",
                "IMDB_AI_MODEL": "other",
            },
            ("Azure OpenAI", "https://x.azure.com/openai/v1", "mini", "max_completion_tokens"),
        ),
    ],
)
def test_the_settings_name_the_provider(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[Any, ...] | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = configured(load_settings())
    shown = config and (config.shown, config.base_url, config.model, config.output_limit)
    assert shown == expected


def test_an_executor_gets_the_same_configuration() -> None:
    config = ProviderConfig("OpenAI", OPENAI_URL, "k", None)
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_known_model_is_counted_and_an_unknown_one_bounded_by_bytes() -> None:
    known = input_tokens(ModelRequest("gpt-4.1-mini", "hello " * 100, "静かな港の夜", 1))
    unknown = input_tokens(ModelRequest("our-deployment", "hello " * 100, "静かな港の夜", 1))
    assert 100 < known < 150
    assert unknown == 600 + 18 + 64


class identity:  # noqa: N801  (used like a function)
    """A managed identity's endpoint of this machine, as Azure's App Service has one; without a token it refuses."""

    def __init__(self, token: str | None) -> None:
        asked: list[str] = []
        self._asked = asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                said = {"access_token": token, "expires_on": "4102444800", "resource": "x", "token_type": "Bearer"}
                self.send_response(200 if token else 400)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(said if token else {"error": "no identity"}).encode())

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> tuple[str, list[str]]:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/msi/token", self._asked

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
