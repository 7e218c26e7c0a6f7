"""Authenticates the server to a Databricks workspace.

Four ways, with the names of Databricks' unified authentication. A token is passed to the connector unchanged;
for the others `databricks-sdk` gets and renews tokens. Nothing connects before the first query.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from lakehouse.addresses import check_address
from lakehouse.errors import EngineUnavailable, UsageError
from lakehouse.settings import variable_name
from mcp_server.settings import Settings

log = logging.getLogger(__name__)

Headers = Callable[[], dict[str, str]]
"""Returns the authentication headers, renewed before they expire."""

_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "pat": ("databricks_token",),
    "oauth-m2m": ("databricks_client_id", "databricks_client_secret"),
    "azure-client-secret": ("arm_tenant_id", "arm_client_id", "arm_client_secret"),
    "azure-msi": ("arm_use_msi",),
}
"""The settings that each way needs."""

_SHOWS: Final[Mapping[str, tuple[str, ...]]] = {**_NEEDS, "azure-client-secret": ("arm_client_secret",)}
"""The settings that select each way: a managed identity has a client ID and a tenant too."""

# Azure Databricks' application in every tenant (databricks.sdk.environments.ARM_DATABRICKS_RESOURCE_ID).
_AZURE_DATABRICKS = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"
IDENTITY_SERVICE = "http://169.254.169.254/metadata/identity/oauth2/token"
"""Azure's instance metadata service, which issues tokens of a machine's managed identity."""

_SIGN_IN_SECONDS = 20


class SignIn:
    """One way to sign in, chosen from the settings.

    Raises UsageError where none is set, several are, or one is incomplete; its text names the variables.
    """

    def __init__(self, settings: Settings, *, identity_service: str = IDENTITY_SERVICE) -> None:
        self.way = _choose_way(settings)
        self._settings = settings
        self._identity_service = identity_service
        self._lock = threading.Lock()
        self._headers: Headers | None = None

    @property
    def variables(self) -> str:
        """The environment variables of the way, for messages."""
        return ", ".join(variable_name(field) for field in _NEEDS[self.way])

    def to_arguments(self) -> dict[str, Any]:
        """Return the arguments for `databricks.sql.connect`."""
        if self.way == "pat":
            return {"access_token": _get_secret(self._settings, "databricks_token")}
        return {"credentials_provider": lambda: self._get_headers}

    def renew(self) -> bool:
        """Sign in again with the next request. Returns False where that has no effect: a token is fixed."""
        with self._lock:
            self._headers = None
        return self.way != "pat"

    def _get_headers(self) -> dict[str, str]:
        """Return the headers of one request.

        The name of the first is deliberately in lower case. The connector wraps every provider in one for token
        federation that acts on `Authorization` alone: it would keep a token for an hour whatever the SDK renews, drop
        the second header that Azure needs, and send foreign tokens away for an exchange. Headers have no case.
        """
        try:
            with self._lock:
                if self._headers is None:
                    self._headers = self._create_headers()
                headers = self._headers()
        except (ValueError, OSError, NotImplementedError, KeyError) as error:  # what the SDK and `requests` raise
            log.warning("Signing in to Databricks failed: %s", type(error).__name__)
            raise EngineUnavailable(
                f"Signing in to Databricks with {self.variables} failed: {self._describe_error(error)} Check these "
                "settings, and that the identity may use the workspace."
            ) from error
        return {"authorization" if name == "Authorization" else name: value for name, value in headers.items()}

    def _describe_error(self, error: Exception) -> str:
        """Return the service's own code and sentence, else the kind of the error, without any secret."""
        text = str(error).splitlines()[0][:300] if str(error) else ""
        for field in ("databricks_client_secret", "arm_client_secret"):
            if getattr(self._settings, field):
                text = text.replace(_get_secret(self._settings, field), "***")
        code = text.partition(":")[0]
        return f"{text}." if "_" in code and code.replace("_", "").isalpha() else f"{type(error).__name__}."

    def _create_headers(self) -> Headers:
        if self.way == "azure-msi":
            return _use_managed_identity(self._identity_service, self._settings.arm_client_id)
        from databricks.sdk.config import Config

        settings = self._settings
        host = workspace_url(settings.databricks_host)
        of_way: Mapping[str, Any]
        if self.way == "oauth-m2m":
            of_way = {
                "client_id": settings.databricks_client_id,
                "client_secret": _get_secret(settings, "databricks_client_secret"),
                # By default the SDK queries the host for this address, which older hosts do not report.
                "discovery_url": f"{host}/oidc/.well-known/oauth-authorization-server",
            }
        else:
            of_way = {
                "azure_tenant_id": settings.arm_tenant_id,
                "azure_client_id": settings.arm_client_id,
                "azure_client_secret": _get_secret(settings, "arm_client_secret"),
            }
        config = Config(
            host=host,
            auth_type=self.way,
            http_timeout_seconds=_SIGN_IN_SECONDS,
            retry_timeout_seconds=_SIGN_IN_SECONDS,
            disable_async_token_refresh=True,  # its threads would outlive the engine
            **of_way,
        )
        return config.authenticate


def workspace_url(host: str | None) -> str:
    """Return the URL of a workspace from its host or URL. Raises UsageError for a URL without TLS."""
    if not host:
        raise UsageError("The databricks engine needs DATABRICKS_HOST: the URL of the workspace.")
    try:
        parts = urlsplit(check_address(host if "://" in host else f"https://{host}"))
    except ValueError as error:
        raise UsageError(f"DATABRICKS_HOST: {error}.") from error
    if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "localhost"}:
        raise UsageError("DATABRICKS_HOST must begin with https://: a token is sent there.")
    return f"{parts.scheme}://{parts.netloc}"


def _choose_way(settings: Settings) -> str:
    """Return the way that the settings select. Raises UsageError unless it is exactly one, complete."""
    given = settings.databricks_auth_type
    if given is not None and given not in _NEEDS:
        raise UsageError(f"DATABRICKS_AUTH_TYPE is {given!r}; this server knows {', '.join(_NEEDS)}.")
    wanted = [given] if given else [way for way, shows in _SHOWS.items() if any(getattr(settings, f) for f in shows)]
    if not wanted:
        ways = "; ".join(f"{_join_variables(needs)} ({way})" for way, needs in _NEEDS.items())
        raise UsageError(f"The databricks engine needs a way to sign in. Set one of: {ways}.")
    if len(wanted) > 1:
        raise UsageError(
            f"Several ways to sign in to Databricks are set: {', '.join(wanted)}. Unset all but one, or say which "
            "counts with DATABRICKS_AUTH_TYPE."
        )
    missing = [field for field in _NEEDS[wanted[0]] if not getattr(settings, field)]
    if missing:
        raise UsageError(f"Signing in to Databricks with {wanted[0]} also needs {_join_variables(missing)}.")
    return wanted[0]


def _join_variables(fields: tuple[str, ...] | list[str]) -> str:
    return " and ".join(variable_name(field) for field in fields)


def _get_secret(settings: Settings, field: str) -> str:
    value = getattr(settings, field)
    assert value is not None, "checked when the way was chosen"  # noqa: S101  (for the type checker)
    return str(value.get_secret_value())


def _use_managed_identity(service: str, client_id: str | None) -> Headers:
    """Return the headers of the machine's managed identity, which the SDK for Python does not support (0.156)."""
    import requests
    from databricks.sdk.oauth import Refreshable, Token

    asked = {"api-version": "2018-02-01", "resource": _AZURE_DATABRICKS}
    if client_id:
        asked["client_id"] = client_id

    class _Identity(Refreshable):
        def refresh(self) -> Token:
            answer = requests.get(service, params=asked, headers={"Metadata": "true"}, timeout=_SIGN_IN_SECONDS)
            answer.raise_for_status()
            found = answer.json()
            # The service caches a token for most of its life, so renewing it a little early costs nothing.
            expiry = datetime.now() + timedelta(seconds=int(found["expires_in"]))  # noqa: DTZ005  (as the SDK counts)
            return Token(access_token=found["access_token"], token_type="Bearer", expiry=expiry)  # noqa: S106

    identity = _Identity()
    return lambda: {"Authorization": f"Bearer {identity.token().access_token}"}
