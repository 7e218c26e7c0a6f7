"""What the environment says to others than this project: clients of object storage, and proxies."""

from __future__ import annotations

import os


def storage_environment() -> dict[str, str]:
    """The variables that clients of object storage are set up with, by name in upper case; empty ones are left out."""
    return {name.upper(): value for name, value in os.environ.items() if value and is_of_storage(name)}


def is_of_storage(name: str) -> bool:
    return name.upper().startswith(("AWS_", "AZURE_", "AZURITE_", "GOOGLE_", "SSL_", "IDENTITY_", "MSI_"))


def is_proxy(name: str) -> bool:
    return name.lower().endswith("_proxy")


def proxy_to(host: str) -> str | None:
    """The HTTP proxy that this machine's programs reach a host through (HTTPS_PROXY, NO_PROXY), None for none."""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    return None if proxy_bypass(host) else proxies.get("https") or proxies.get("all") or None
