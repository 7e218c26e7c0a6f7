"""Environment variables of others: of clients of object storage and of proxies. `settings` reads the project's own."""

from __future__ import annotations

import os


def storage_environment() -> dict[str, str]:
    """The variables that configure clients of object storage, by upper-case name, without empty ones."""
    return {name.upper(): value for name, value in os.environ.items() if value and is_of_storage(name)}


def user_folders() -> dict[str, str]:
    """The folders where programs keep a user's configuration: by `~`, and by names of variables in `%…%`."""
    home = os.path.expanduser("~")
    return {
        "%CONFIG%": os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"),
        "%APPDATA%": os.environ.get("APPDATA") or os.path.join(home, "AppData", "Roaming"),
        "%LOCALAPPDATA%": os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local"),
        "~": home,
    }


def java_environment() -> dict[str, str]:
    """The variable that says where Java is, where it is set."""
    return {name: value for name in ("JAVA_HOME",) if (value := os.environ.get(name))}


def is_of_storage(name: str) -> bool:
    """Whether a variable configures clients of object storage."""
    return name.upper().startswith(("AWS_", "AZURE_", "AZURITE_", "GOOGLE_", "SSL_", "IDENTITY_", "MSI_"))


def is_proxy(name: str) -> bool:
    """Whether a variable names a proxy, or hosts without one."""
    return name.lower().endswith("_proxy")


def proxy_to(host: str) -> str | None:
    """The HTTP proxy for a host (HTTPS_PROXY, NO_PROXY), or None."""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    return None if proxy_bypass(host) else proxies.get("https") or proxies.get("all") or None
