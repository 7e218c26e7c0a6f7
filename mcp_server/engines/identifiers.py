"""Names as SQL text."""

from __future__ import annotations


def quote_identifier(*parts: str) -> str:
    """Quote each part of a name with back-quotes.

    >>> quote_identifier("main", "imdb", "a`b")
    '`main`.`imdb`.`a``b`'
    """
    return ".".join(f"`{part.replace('`', '``')}`" for part in parts)
