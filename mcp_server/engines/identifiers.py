"""Names as SQL text."""

from __future__ import annotations


def quote_identifier(*parts: str) -> str:
    """A name in back-quotes, part by part, whatever is in it.

    >>> quote_identifier("main", "imdb", "a`b")
    '`main`.`imdb`.`a``b`'
    """
    return ".".join(f"`{part.replace('`', '``')}`" for part in parts)
