"""Characters that word processors and HTML write in the place of signs of SQL."""

from __future__ import annotations

import unicodedata

_SIGNS = {
    **dict.fromkeys("‘’‚‛“”„‟«»‹›′″´", "'"),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    "≥": ">=",
    "≤": "<=",
    "≠": "<>",
    "×": "*",
    "÷": "/",
}
"""What word processors write, and the sign of SQL that is meant."""

ENTITIES = {"gt": ">", "lt": "<", "amp": "&", "quot": '"', "apos": "'", "nbsp": "a space"}
"""HTML's names of signs."""


def meant_sign(character: str) -> str | None:
    """Return the sign of SQL that a character of a word processor stands for, or None."""
    if character.isspace():
        return "a space"
    plain = unicodedata.normalize("NFKC", character)
    return _SIGNS.get(character) or (plain if plain.isascii() and len(plain) == 1 and not plain.isalnum() else None)
