"""Translates the connector's exceptions: who is to blame, and whether a retry is safe.

The connector's own retries are off (`session.Session`): it would send a statement twice where a connection breaks,
and its sleep cannot be interrupted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lakehouse.errors import LakehouseError, QueryFailed, ResourceLimit
from mcp_server.engines.failures import explain_failure
from mcp_server.engines.hiding import hide_addresses

_GONE = re.compile(
    r"Invalid (?:Session|Operation)Handle|INVALID_HANDLE|RESOURCE_DOES_NOT_EXIST|unexpectedly closed", re.IGNORECASE
)
# Java's class names and the thrift server's own words before Spark's sentence.
_PREAMBLE = re.compile(r"\A(?:[\w.$]++: |Error running query: )++(?=\[[A-Z])")


class ConnectionLostError(Exception):
    """The warehouse did not answer. `sent` says whether the request may have arrived nevertheless."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class BusyError(Exception):
    """The warehouse is overloaded (HTTP 429) or starting (503). `seconds` is the wait that it requests."""

    def __init__(self, code: int, seconds: float) -> None:
        super().__init__(f"HTTP {code}")
        self.code = code
        self.seconds = seconds


class SignInRefusedError(Exception):
    """The warehouse rejected the credentials (HTTP 401 or 403)."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"HTTP {code}{': ' if said else ''}{said}")


class GoneError(Exception):
    """The warehouse no longer knows the session or the operation, so it did nothing for the request."""


@contextmanager
def translate_errors(names: Mapping[str, str]) -> Iterator[None]:
    """Translate the connector's exceptions into those of this module, or into a LakehouseError.

    `names` replaces the host and the path of the warehouse in texts.
    """
    from databricks.sql import exc
    from urllib3.exceptions import HTTPError

    try:
        yield
    except HTTPError as error:
        raise _to_connection_error(error) from error
    except exc.RequestError as error:
        raise _to_request_error(error, names) from error
    except exc.Error as error:
        raise _to_query_error(error, names) from error


def _to_connection_error(error: Exception) -> ConnectionLostError:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    cause: Any = getattr(error, "reason", None) or error  # of MaxRetryError, which wraps the last failure
    return ConnectionLostError(
        _describe_cause(cause), sent=not isinstance(cause, NewConnectionError | ConnectTimeoutError)
    )


def _describe_cause(cause: BaseException) -> str:
    """Describe a network failure without the address."""
    words = {
        "NewConnectionError": "nothing accepts connections at its address",
        "NameResolutionError": "its host name is not known",
        "ConnectTimeoutError": "it did not accept a connection in time",
        "ReadTimeoutError": "it did not answer in time",
        "ProtocolError": "the connection broke",
        "SSLError": "its TLS certificate was not accepted",
        "ProxyError": "the proxy did not let the connection through",
    }
    name = type(cause).__name__
    return words.get(name, name)


def _to_request_error(error: Any, names: Mapping[str, str]) -> Exception:
    """Translate an answer that is no Thrift message, or a missing answer."""
    context: Mapping[str, Any] = error.context
    origin = next((arg for arg in error.args[1:] if isinstance(arg, BaseException)), None)
    if isinstance(origin, LakehouseError):  # of our own sign-in, on its way through the connector
        return origin
    said = _clean_text(str(context.get("error-message") or "").strip(" :"), names)
    match context.get("http-code") if origin is not None else None:  # without a cause the code is the last request's
        case 401 | 403 as code:
            return SignInRefusedError(code, said)
        case 429 | 503 as code:
            return BusyError(code, float(context.get("bounded-retry-delay") or 0))
        case 404:
            return GoneError(said or "HTTP 404")
        case int() as code if code >= 400:
            return ConnectionLostError(f"it answered HTTP {code}{': ' if said else ''}{said}", sent=True)
    return ConnectionLostError(f"the connection broke ({type(origin or error).__name__})", sent=True)


def _to_query_error(error: Any, names: Mapping[str, str]) -> Exception:
    """Translate an error of the statement, in Spark's words."""
    raw = str(error.message or type(error).__name__).strip()
    if _GONE.search(raw):
        return GoneError(_clean_text(raw.splitlines()[0], names))
    failure = explain_failure(RuntimeError(_PREAMBLE.sub("", raw)), names)
    text = hide_addresses(failure.text)
    if failure.kind in {"memory", "starved", "large"}:
        return ResourceLimit(f"The warehouse could not hold what the query needs: {text} Read less: filter, aggregate.")
    return QueryFailed(text, condition=failure.condition, sqlstate=failure.sqlstate)


def _clean_text(text: str, names: Mapping[str, str]) -> str:
    for place in sorted(names, key=len, reverse=True):
        text = text.replace(place, names[place])
    return hide_addresses(text)[:300]
