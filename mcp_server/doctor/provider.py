"""Check of the model's provider. It is asked for its list of models, which costs nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from importlib.util import find_spec

from ai_functions.providers import ProviderConfig, configured
from mcp_server.doctor.findings import Finding
from mcp_server.settings import Settings

_SECONDS = 10.0
_MOST_CLOCK_SECONDS = 120.0
"""How far the clocks may be apart; signed requests are refused from five minutes on."""


def check_provider(settings: Settings, *, online: bool) -> Iterator[Finding]:
    """Check that a provider is configured, and with `online` that it takes the key."""
    config = configured(settings)
    if config is None:
        yield Finding("provider", "ok", "none is configured: AI functions and plain language are off")
        return
    if find_spec("openai") is None:
        yield Finding(
            "provider", "failure", f"{config.shown} is configured and its client is missing",
            "Run: pip install 'imdb-lakehouse-mcp[ai]'",
        )  # fmt: skip
        return
    key = "a key" if config.key else "the Azure identity of this process" if config.azure else "no key"
    shown = f"{config.shown}, with {key}"
    if not online:
        yield Finding("provider", "ok", f"{shown}; it was not asked (--online asks it)")
    elif config.azure and config.key is None:
        yield Finding("provider", "warning", f"{shown}, which is not tried here", "Ask with `imdb-chat ask`.")
    else:
        yield from _ask_provider(config, shown)


def _ask_provider(config: ProviderConfig, shown: str) -> Iterator[Finding]:
    import httpx2

    headers = {"api-key": config.key or ""} if config.azure else {"authorization": f"Bearer {config.key or 'none'}"}
    try:
        answer = httpx2.get(f"{config.base_url}/models", headers=headers, timeout=_SECONDS, follow_redirects=False)
    except httpx2.HTTPError as error:
        yield Finding(
            "provider", "failure", f"{shown}, cannot be reached ({type(error).__name__})",
            "Check its address, the network and HTTPS_PROXY.",
        )  # fmt: skip
        return
    if answer.status_code in (401, 403):
        yield Finding("provider", "failure", f"{shown}, which it refuses ({answer.status_code})", "Set the right key.")
    elif answer.status_code >= 400 and answer.status_code != 404:  # not every server lists its models
        yield Finding(
            "provider", "failure", f"{shown}, answers {answer.status_code}", "Try again, or ask its operator."
        )
    else:
        yield Finding("provider", "ok", f"{shown}, answers")
    yield from _compare_clocks(answer.headers.get("date"))


def _compare_clocks(date: str | None) -> Iterator[Finding]:
    try:
        apart = time.time() - parsedate_to_datetime(date or "").timestamp()
    except ValueError:  # none, or not in HTTP's form
        return
    if abs(apart) > _MOST_CLOCK_SECONDS:
        yield Finding(
            "clock", "warning", f"{abs(apart):,.0f} s {'ahead of' if apart > 0 else 'behind'} the provider's",
            "Set the clock, best by NTP.",
        )  # fmt: skip
