"""Asks a catalogue over HTTP: bounded in time and size, and answered with one sentence where that fails."""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any, Final

import httpx2
from pydantic import SecretStr

from lakehouse.escaping import quote_briefly
from mcp_server.engines.catalogs.listing import CatalogError

_ANSWER_SECONDS: Final = 15.0
_MOST_BYTES: Final = 32 << 20
"""Size of one page of a catalogue's list: fifty tables of a thousand columns have 15 MB."""


class Asker:
    """Asks the API of one catalogue. Thread-safe."""

    def __init__(self, url: str, shown: str, token: SecretStr | None) -> None:
        """`shown` is the address that errors name."""
        self._shown = shown
        self._token = token
        self._url = url
        self._lock = threading.Lock()
        self._opened: httpx2.Client | None = None

    def get(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Ask for a document. Raises CatalogError."""
        return self._ask("GET", path, params=parameters)

    def post(self, path: str, body: Mapping[str, str]) -> Any:
        """Send a document and return the answer. Raises CatalogError."""
        return self._ask("POST", path, json=body)

    def _ask(self, method: str, path: str, **about: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._token.get_secret_value()}"} if self._token is not None else {}
        try:
            with self._client.stream(method, f"{self._url}/{path}", headers=headers, **about) as answer:
                data = self._read_bounded(answer)
                self._check_status(answer, data)
                return json.loads(data)
        except httpx2.TimeoutException as error:
            raise CatalogError(
                f"The catalogue at {self._shown} did not answer within {_ANSWER_SECONDS:g} s. Ask again in a minute."
            ) from error
        except httpx2.RequestError as error:
            raise CatalogError(
                f"The catalogue at {self._shown} cannot be reached ({type(error).__name__}). Check its address, and "
                "whether it runs."
            ) from error
        except (ValueError, RecursionError) as error:
            raise CatalogError(
                f"The catalogue at {self._shown} answered what is no JSON. Check that its address is that of a Unity "
                "Catalog server."
            ) from error

    @property
    def _client(self) -> httpx2.Client:
        """The client with its connections; it follows no redirect, which could lead the token elsewhere."""
        with self._lock:
            if self._opened is None:
                # What is not encrypted stays on this machine: no proxy gets it.
                self._opened = httpx2.Client(
                    timeout=_ANSWER_SECONDS, follow_redirects=False, trust_env=self._url.startswith("https:")
                )
                weakref.finalize(self, self._opened.close)
            return self._opened

    def _read_bounded(self, answer: httpx2.Response) -> bytes:
        data, ends = bytearray(), time.monotonic() + _ANSWER_SECONDS
        for chunk in answer.iter_bytes():
            data += chunk
            if time.monotonic() > ends:  # the client's own timeout begins anew with every byte
                raise httpx2.ReadTimeout("the answer has not ended", request=answer.request)
            if len(data) > _MOST_BYTES:
                raise CatalogError(
                    f"The catalogue at {self._shown} gave more than {_MOST_BYTES >> 20} MiB in one answer."
                )
        return bytes(data)

    def _check_status(self, answer: httpx2.Response, data: bytes) -> None:
        """Raise CatalogError where the catalogue refuses."""
        if answer.is_success:
            return
        said = _read_message(data)
        match answer.status_code:
            case 401:
                advice = (
                    "Set IMDB_CATALOG_TOKEN to a token that is valid now."
                    if self._token is None
                    else ("The token in IMDB_CATALOG_TOKEN is not accepted, or has expired: set another one.")
                )
                raise CatalogError(f"The catalogue at {self._shown} wants a sign-in (401{said}). {advice}")
            case 403:
                raise CatalogError(
                    f"The catalogue at {self._shown} denies this (403{said}). Grant it to the user of "
                    "IMDB_CATALOG_TOKEN."
                )
            case 404:
                raise CatalogError(
                    f"The catalogue at {self._shown} does not have it (404{said}). Check the names in --lake."
                )
            case status:
                raise CatalogError(f"The catalogue at {self._shown} failed ({status}{said}). Ask again in a minute.")


def _read_message(data: bytes) -> str:
    """Return what a catalogue says of an error, to be put behind its number."""
    try:
        found = json.loads(data)
        message = found.get("message") if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        message = None
    return f": {quote_briefly(message)}" if isinstance(message, str) and message else ""
