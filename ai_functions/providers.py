"""Model providers: OpenAI, Azure OpenAI, and servers with OpenAI's protocol (Ollama, vLLM, llama.cpp).

The only module that imports their client. A provider makes one attempt; its errors say whether the same call may
succeed later, and whether it may have been billed.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from ai_functions.streaming import Hear, assemble_completion, hear_completion
from ai_functions.types import AiUnavailable, CallFailedError, Completion, ModelRequest, Usage
from lakehouse.escaping import repair_text
from lakehouse.outlet import sign_in_urls

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError, OpenAI

    from ai_functions.settings import AiSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

OPENAI_URL = "https://api.openai.com/v1"
OutputLimit = Literal["max_completion_tokens", "max_tokens"]

_OPENAIS = re.compile(r"(?:[\w-]+\.)*(?:api\.openai\.com|azure\.com)(?::443)?")
"""Hosts of OpenAI's regions, and Azure's where it is given as a base URL."""
_AZURE_SCOPE = "https://cognitiveservices.azure.com/.default"
_CONNECT_SECONDS = 10.0
_MOST_ANSWER_BYTES = 1_000_000
"""Larger answers are not read: output tokens are bounded, so it is no answer."""
_MOST_TOKENS = 10_000_000
"""Upper bound of the tokens of one call; no model takes so many."""

_NOT_BILLED = frozenset({401, 402, 403, 404, 405, 409, 413, 422, 429})
_NOT_REPEATED = frozenset({501, 504, 505})
"""504 is a gateway's time-out: the server behind it may have answered, and billed."""
_CODE = re.compile(r"[a-zA-Z_]{1,60}")
"""Codes that are passed on: words. A server of one's own may put an address or a key there."""
_OWN_SERVER = "The model's server"
"""What answers call a server by: who asks has no business with its address, which is in the log."""
_OVERFLOW = re.compile(r"context (?:length|size|window)", re.IGNORECASE)


class FilteredError(CallFailedError):
    """The provider's filter refused the prompt."""


class ContextExceededError(CallFailedError):
    """The prompt is longer than the model can read. Nothing was billed."""


class RedirectedError(CallFailedError):
    """The provider answered with a redirect. It is not followed: key and prompt were meant for this address."""


class ProviderDownError(CallFailedError):
    """The provider cannot be reached or failed: counted by the circuit breaker."""


@dataclass(frozen=True)
class ProviderConfig:
    """The configuration of a provider. May be pickled, for executors; `repr` leaves the key out.

    `shown` is its name in answers, which visitors of a page read: no address, model or key. `model` is the model or
    deployment of all functions, where one is set. `output_limit` is the server's name for the maximum of output tokens:
    newer OpenAI models refuse the older name, and other servers ignore the newer one.
    """

    shown: str
    base_url: str
    key: str | None = field(repr=False)
    model: str | None
    azure: bool = False
    api_version: str | None = None
    output_limit: OutputLimit = "max_completion_tokens"

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs that are called: the provider's, and those of the sign-in where there is no key."""
        return (self.base_url, *(sign_in_urls("azure") if self.azure and self.key is None else ()))


def configured(settings: AiSettings) -> ProviderConfig | None:
    """The provider that the settings name, or None. Azure takes precedence over OpenAI."""
    if settings.azure_openai_endpoint:
        return _configure_azure(settings, settings.azure_openai_endpoint.rstrip("/").removesuffix("/openai/v1"))
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else None
    url = (settings.openai_base_url or OPENAI_URL).rstrip("/")
    if url == OPENAI_URL:
        return ProviderConfig("OpenAI", url, key, settings.ai_model) if key else None
    limit: OutputLimit = "max_completion_tokens" if _OPENAIS.fullmatch(_read_host(url)) else "max_tokens"
    return ProviderConfig(_OWN_SERVER, url, key, settings.ai_model, output_limit=limit)


def open_provider(config: ProviderConfig) -> OpenAiProvider:
    """Create a provider without connecting. Raises AiUnavailable where its packages are not installed."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # at INFO it writes whole URLs, and one may hold a password
    try:
        return OpenAiProvider(config)
    except ImportError as error:
        raise AiUnavailable(
            f"AI functions need the package {error.name}, which whoever runs this can install with the extra `ai`: "
            "pip install 'imdb-lakehouse-mcp[ai]'"
        ) from error


class OpenAiProvider:
    """A client of the chat completions API. Safe for several threads, which share its connections."""

    def __init__(self, config: ProviderConfig) -> None:
        self.name = config.shown
        self._config = config
        self._client = _open_client(config)

    def complete(self, request: ModelRequest, timeout_seconds: float) -> Completion:
        """One attempt, no repetition. Raises CallFailedError."""
        messages = [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}]
        fields = {"model": request.model, "messages": messages}
        try:
            return _read_completion(self.name, self.chat(fields, request.max_output_tokens, timeout_seconds))
        except FilteredError:
            return Completion("refused", None, None)

    def chat(self, fields: Mapping[str, Any], max_output_tokens: int, timeout_seconds: float) -> bytes:
        """Make one attempt of a chat completion with these fields of its wire format, and return the raw answer.

        Raises CallFailedError.
        """
        deadline = time.monotonic() + timeout_seconds
        given = self._build_fields(fields, max_output_tokens, timeout_seconds)
        with (
            self._translate_errors(),
            self._client.chat.completions.with_streaming_response.create(**given) as response,
        ):
            return self._read_answer(response.iter_bytes(), deadline)

    def stream(
        self, fields: Mapping[str, Any], max_output_tokens: int, timeout_seconds: float, hear: Hear
    ) -> dict[str, Any]:
        """Make one attempt as a stream: `hear` is called with each piece of text; an exception of it ends the answer.

        Raises CallFailedError.
        """
        deadline = time.monotonic() + timeout_seconds
        given = self._build_fields(fields, max_output_tokens, timeout_seconds)
        with (
            self._translate_errors(),
            self._client.chat.completions.with_streaming_response.create(
                stream=True, stream_options={"include_usage": True}, **given
            ) as response,
        ):
            if response.headers.get("content-type", "").startswith("application/json"):  # it does not stream
                found = json.loads(self._read_answer(response.iter_bytes(), deadline))
                hear_completion(found, hear)
            else:
                found = assemble_completion(self._in_time(response.parse(), deadline), hear)
        if not isinstance(found, dict):
            raise CallFailedError(f"{self.name} ended its answer before it was whole.", billed=True)
        return found

    def _build_fields(
        self, fields: Mapping[str, Any], max_output_tokens: int, timeout_seconds: float
    ) -> dict[str, Any]:
        import openai

        timeout = openai.Timeout(timeout_seconds, connect=min(timeout_seconds, _CONNECT_SECONDS))
        return {**fields, self._config.output_limit: max_output_tokens, "timeout": timeout}

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Translate the client's exceptions into CallFailedError."""
        import httpx2
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            self._raise_refusal(error)
        except openai.APIConnectionError as error:
            self._raise_not_connected(error)
        except openai.APIError as error:  # within a stream, whose status was well
            self._log_failure("failed while it answered", error.message)
            raise ProviderDownError(f"{self.name} failed while it answered.", billed=True) from error
        except httpx2.HTTPError as error:  # while the answer is read, when the client no longer translates
            self._log_failure(f"broke off: {type(error).__name__}")
            raise self._as_cut_connection(error) from error
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise CallFailedError(
                f"{self.name} answered with something that is no chat completion.", billed=True
            ) from error

    def _in_time(self, parts: Iterable[T], deadline: float) -> Iterator[T]:
        """Pass the parts on until the deadline."""
        for part in parts:
            if time.monotonic() > deadline:
                raise CallFailedError(f"{self.name} took too long to answer.", billed=True)
            yield part

    def close(self) -> None:
        """End all connections."""
        self._client.close()

    def _read_answer(self, parts: Iterable[bytes], deadline: float) -> bytes:
        """Read the whole answer, within the deadline and the maximum size."""
        answer = b""
        for part in self._in_time(parts, deadline):
            answer += part
            if len(answer) > _MOST_ANSWER_BYTES:
                raise CallFailedError(f"{self.name} answered with more than {_MOST_ANSWER_BYTES:,} bytes.", billed=True)
        return answer

    def _raise_refusal(self, error: APIStatusError) -> NoReturn:
        """Raise the error for an HTTP status. Azure's filter refuses a prompt with 400, and bills for it."""
        code = str(error.code) if _CODE.fullmatch(str(error.code or "")) else ""
        if code == "content_filter":
            raise FilteredError(f"{self.name} refused the prompt (content_filter).", billed=True) from error
        if _is_overflow(error):
            raise ContextExceededError("The prompt is longer than the model can read.") from error
        status = error.status_code
        self._log_failure(f"answered {status}", error.message)
        if 300 <= status < 400:
            raise RedirectedError(
                f"{self.name} answered {status}: it sends callers to another address, which is not followed. Whoever "
                "runs this server can set the address that it should be."
            ) from error
        text = f"{self.name} answered {status}{f' ({code})' if code else ''}."
        if status >= 500:
            repeated = status not in _NOT_REPEATED
            raise ProviderDownError(
                text, retryable=repeated, retry_after=_retry_after(error.response.headers), billed=status == 504
            ) from error
        # A quota that is used up does not come back within seconds.
        busy = status == 429 and code != "insufficient_quota"
        after = _retry_after(error.response.headers) if busy else None
        raise CallFailedError(text, retryable=busy, retry_after=after, billed=status not in _NOT_BILLED) from error

    def _raise_not_connected(self, error: APIConnectionError) -> NoReturn:
        import httpx2

        cause = error.__cause__
        self._log_failure(f"was not reached: {type(cause or error).__name__}")  # the text may have the key in it
        if isinstance(cause, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
            raise CallFailedError(f"{self.name} cannot be asked: its address or key is none.") from error
        # A proxy that does not connect has passed nothing on.
        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.ProxyError):
            raise ProviderDownError(
                f"{self.name} cannot be reached ({type(cause).__name__}).", retryable=True
            ) from error
        raise self._as_cut_connection(cause or error) from error

    def _as_cut_connection(self, cause: BaseException) -> CallFailedError:
        """The error for a request that was sent without a whole answer: it may have been billed."""
        import httpx2

        if isinstance(cause, httpx2.TimeoutException):
            return ProviderDownError(f"{self.name} took too long to answer.", billed=True)
        return ProviderDownError(
            f"{self.name} sent no whole answer: its connection was cut ({type(cause).__name__}).", billed=True
        )

    def _log_failure(self, what: str, said: str = "") -> None:
        """Log a failure with the provider's host, and without its key in what it said itself."""
        text = f": {_hide_secret(self._config.key, said)[:500]!r}" if said else ""
        log.warning("%s (%s) %s%s", self.name, _read_host(self._config.base_url), what, text)


def _configure_azure(settings: AiSettings, endpoint: str) -> ProviderConfig:
    """Azure's v1 API needs no version; a version asks for the older paths, which have the deployment in them."""
    version = settings.openai_api_version
    deployment = settings.azure_openai_deployment or settings.ai_model
    key = settings.azure_openai_key.get_secret_value() if settings.azure_openai_key else None
    path = "/openai" if version else "/openai/v1"
    return ProviderConfig("Azure OpenAI", endpoint + path, key, deployment, azure=True, api_version=version)


def _open_client(config: ProviderConfig) -> OpenAI:
    import openai

    # The client wants a key, servers of one's own do not.
    key = _get_azure_tokens() if config.azure and config.key is None else config.key or "none"
    asked: dict[str, Any] = {
        "base_url": config.base_url,
        "max_retries": 0,
        "http_client": openai.DefaultHttpxClient(follow_redirects=False),
    }
    if config.api_version is None:
        return openai.OpenAI(api_key=key, **asked)
    proof: dict[str, Any] = {"azure_ad_token_provider" if callable(key) else "api_key": key}
    return openai.AzureOpenAI(api_version=config.api_version, **asked, **proof)


def _get_azure_tokens() -> Callable[[], str]:
    """A function that returns tokens of the Azure identity of this process; they are cached until they expire."""
    from azure.core.exceptions import AzureError
    from azure.identity import DefaultAzureCredential, get_bearer_token_provider

    provider = get_bearer_token_provider(DefaultAzureCredential(), _AZURE_SCOPE)

    def token() -> str:
        try:
            return provider()
        except AzureError as error:
            log.warning("The Azure identity of this process gave no token: %s", error)
            raise CallFailedError(
                "The Azure identity of this server cannot sign in to Azure OpenAI. Whoever runs it can set "
                "AZURE_OPENAI_KEY, or an identity; its log has the reason."
            ) from error

    return token


def _read_completion(shown: str, answer: bytes) -> Completion:
    """Read an answer. Raises CallFailedError for anything else, which has been billed too."""
    try:
        found = json.loads(answer)
        choice = found["choices"][0]
        text, refusal = choice["message"].get("content"), choice["message"].get("refusal")
        finish = choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CallFailedError(f"{shown} answered with something that is no chat completion.", billed=True) from error
    usage = usage_of(found.get("usage"))
    if finish == "content_filter" or refusal:
        return Completion("refused", None, usage)
    if not isinstance(text, str) or not text.strip():
        return Completion("empty", None, usage)
    return Completion("length" if finish == "length" else "stop", repair_text(text), usage)


def usage_of(found: Any) -> Usage | None:
    """The tokens that an answer reports, or None."""
    if not isinstance(found, dict):
        return None
    match found.get("prompt_tokens"), found.get("completion_tokens"):
        case int(given), int(written) if _is_count(given) and _is_count(written):
            return Usage(given, written)
    return None


def _is_count(tokens: int) -> bool:
    """Whether this can be a number of tokens; otherwise the call is charged at its maximum."""
    return not isinstance(tokens, bool) and 0 <= tokens <= _MOST_TOKENS


def _retry_after(headers: Any) -> float | None:
    """Seconds, from `retry-after-ms` (Azure) or `retry-after`: a number or a date (RFC 9110, section 10.2.3)."""
    for name, unit in (("retry-after-ms", 1_000), ("retry-after", 1)):
        try:
            return max(0.0, float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError, OverflowError):  # a zone that is further away than a number can say
        return None


def _is_overflow(error: APIStatusError) -> bool:
    """Whether the prompt was too long. vLLM and llama.cpp give an integer for the code, and say it in words."""
    if error.code == "context_length_exceeded" or error.type == "exceed_context_size_error":
        return True
    return error.status_code in (400, 413) and _OVERFLOW.search(str(error.message)[:1_000]) is not None


def _read_host(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _hide_secret(secret: str | None, text: str) -> str:
    return text.replace(secret, "…") if secret else text
