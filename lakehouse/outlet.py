"""The hosts that a load or a batch of AI calls may connect to: those of the lake's store, and of the provider.

A store's hosts follow from the lake's URL and from the variables that configure the store's clients (`AWS_…`,
`AZURE_…`, `GOOGLE_…`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lakehouse.environment import proxy_to, storage_environment
from lakehouse.objects import VARIABLES, Store, store_of
from lakehouse.storage import Lake, LakeKind

_METADATA = ("169.254.169.254:80", "[fd00:ec2::254]:80", "169.254.170.2:80", "169.254.170.23:80",
             "metadata.google.internal:80")  # fmt: skip
"""The metadata services that give cloud machines their credentials."""

_SERVICES: Mapping[Store, tuple[str, ...]] = {
    "s3": ("sts.amazonaws.com", "sts.*.amazonaws.com", "portal.sso.*.amazonaws.com", "oidc.*.amazonaws.com"),
    "azure": ("login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"),
    "gcs": ("oauth2.googleapis.com", "www.googleapis.com", "iamcredentials.googleapis.com", "sts.googleapis.com"),
}
"""The sign-in services of a store."""

_STORES: Mapping[Store, tuple[str, ...]] = {
    "s3": ("s3.amazonaws.com", "s3.*.amazonaws.com", "s3.*.amazonaws.com.cn", "{bucket}.s3.amazonaws.com",
           "{bucket}.s3.*.amazonaws.com", "{bucket}.s3.*.amazonaws.com.cn"),
    "azure": ("{account}.blob.core.windows.net", "{account}.dfs.core.windows.net",
              "{account}.blob.fabric.microsoft.com", "{account}.dfs.fabric.microsoft.com"),
    "gcs": ("storage.googleapis.com",),
}  # fmt: skip

_OWN_KEYS: Mapping[Store, tuple[str, ...]] = {
    "s3": ("AWS_ACCESS_KEY_ID",),
    "azure": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY", "AZURE_CLIENT_SECRET",
              "AZURE_STORAGE_CLIENT_SECRET"),
    "gcs": ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY"),
}  # fmt: skip
"""Variables that hold credentials: where one is set, the metadata service is not needed."""

_NAMED_BY: Mapping[Store, tuple[str, ...]] = {
    "s3": ("AWS_",),
    "azure": ("AZURE_", "AZURITE_", "IDENTITY_", "MSI_"),
    "gcs": ("GOOGLE_",),
}
AUTHORITIES = ("/etc/ssl", "/etc/pki", "/etc/ca-certificates")
"""The folders of certificates, which every client of storage reads, even without TLS."""
_EMULATOR = "127.0.0.1:10000"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Outlet:
    """The hosts of a store, as `host:port` in lower case, each with at most one `*` as a wildcard.

    `proxy` is the proxy that the store's clients are configured with, None for the one of the environment, if any.
    `others` are further hosts, which use the proxy of the environment.
    """

    hosts: frozenset[str]
    proxy: str | None = None
    others: frozenset[str] = frozenset()

    def allows(self, host: str, port: int) -> bool:
        """Whether a connection to a port of a host is allowed."""
        address = _format_address(host, port)
        return any(_matches_pattern(pattern, address) for pattern in self.hosts | self.others)

    def proxy_to(self, host: str, port: int) -> str | None:
        """The URL of the proxy for a host, or None."""
        address = _format_address(host, port)
        if address in _METADATA:
            return None
        is_of_store = any(_matches_pattern(pattern, address) for pattern in self.hosts)
        return (self.proxy if is_of_store else None) or proxy_to(host)


def outlet_of(lake: Lake, others: Iterable[str] = ()) -> Outlet | None:
    """The outlet for a lake and the hosts of further URLs, or None where it would be empty."""
    beside = frozenset(address for url in others if (address := _address_of(url)) is not None)
    if lake.kind is not LakeKind.URL:
        return Outlet(frozenset(), others=beside) if beside else None
    store = store_of(lake.address)
    variables = storage_environment()
    proxy = variables.get(f"{VARIABLES[store]}_PROXY_URL")
    return Outlet(frozenset(_list_hosts(store, lake.address, variables)), proxy, beside)


def sign_in_urls(store: Store) -> tuple[str, ...]:
    """The URLs where programs get tokens of a cloud identity, the metadata services among them."""
    return (*(f"https://{each}" for each in _SERVICES[store]), *(f"http://{each}" for each in _METADATA))


def _list_hosts(store: Store, url: str, variables: Mapping[str, str]) -> list[str]:
    named = {name: value for name, value in variables.items() if name.startswith(_NAMED_BY[store])}
    endpoints = [_address_of(value) for name, value in named.items() if _names_address(name)]
    found = [each for each in endpoints if each is not None]
    if store == "azure" and variables.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in {"1", "true", "yes"}:
        found.append(_EMULATOR)
    if not found:
        place = urlsplit(url)
        account = (place.hostname or "").partition(".")[0] if "@" in place.netloc else ""
        account = account or variables.get("AZURE_STORAGE_ACCOUNT_NAME") or variables.get("AZURE_ACCOUNT_NAME", "")
        bucket = place.netloc.lower()
        found = [f"{each.format(bucket=bucket, account=account.lower())}:443" for each in _STORES[store]]
    found += [f"{each}:443" for each in _SERVICES[store]]
    return found if any(variables.get(key) for key in _OWN_KEYS[store]) else [*found, *_METADATA]


def _names_address(name: str) -> bool:
    return "ENDPOINT" in name or (name.endswith(("_URL", "_URI", "_HOST")) and not name.endswith("_PROXY_URL"))


def _address_of(url: str) -> str | None:
    """`host:port` of a URL, or None for an invalid one."""
    try:
        found = urlsplit(url)
        port = found.port or _PORTS.get(found.scheme)
    except ValueError:
        return None
    return _format_address(found.hostname, port) if found.hostname and port and found.scheme in _PORTS else None


def _format_address(host: str, port: int) -> str:
    return f"[{host}]:{port}".lower() if ":" in host else f"{host}:{port}".lower()


def _matches_pattern(pattern: str, address: str) -> bool:
    head, star, tail = pattern.partition("*")
    if not star:
        return pattern == address
    return len(address) > len(head) + len(tail) and address.startswith(head) and address.endswith(tail)
