"""Addresses of services, as settings give them: made valid where they come in."""

from __future__ import annotations

from urllib.parse import urlsplit


def check_address(text: str) -> str:
    """The same address, without a slash at its end. Raises ValueError where it is no http or https address of a host.

    http is for the operator's own servers: only the operator can know that the network to them is safe.

    >>> check_address("http://localhost:11434/v1/")
    'http://localhost:11434/v1'
    >>> check_address("ftp://example.org")
    Traceback (most recent call last):
    ...
    ValueError: it has to be an address such as https://example.org or http://localhost:8000
    """
    try:
        parts = urlsplit(text)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half an IPv6 address
        valid = False
    if not valid or not text.isprintable() or " " in text:
        raise ValueError("it has to be an address such as https://example.org or http://localhost:8000")
    return text.rstrip("/")
