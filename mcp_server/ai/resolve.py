"""Resolves the argument of an AI function to the key of one thing: from a key, or from a name of exactly one.

An ambiguous name is never guessed: the row's own key decides if it is among the candidates, else the answer is
null with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ai_functions.functions import AiFunction
from mcp_server.results import Answer

MOST_ROWS = 5_000
"""Maximal number of rows of one look-up: fifty names of a hundred things each."""

MOST_NAME_CHARS = 500
_SHOWN_CHARS = 80

LookUp = Callable[[str, Mapping[str, Any], int], Answer]
"""Runs a statement of a function's file, its markers filled in, for at most so many rows."""


@dataclass(frozen=True)
class RowCall:
    """A call for one row: a name or key, or None and the reason, and the key of the row, where there is one."""

    text: str | None
    reason: str | None
    key: str | None

    @classmethod
    def from_cell(cls, cell: object, key: object) -> RowCall:
        """Create a call from a JSON-safe cell; numbers are names too ("1917")."""
        own = key if isinstance(key, str) else None
        if cell is None:
            return cls(None, "The argument is null.", own)
        if isinstance(cell, bool) or not isinstance(cell, str | int | float):
            return cls(None, "The argument is neither a name nor a key.", own)
        text = str(cell).strip()
        if not 0 < len(text) <= MOST_NAME_CHARS:
            return cls(None, "The argument is too long for a name." if text else "The argument is empty.", own)
        return cls(text, None, own)


@dataclass(frozen=True)
class Meant:
    """The key of the resolved thing, or None and the reason."""

    key: str | None
    reason: str | None = None


def resolve(function: AiFunction, wanted: Iterable[RowCall], look_up: LookUp) -> dict[RowCall, Meant]:
    """Resolve calls with at most two statements, however many calls; neither costs money."""
    wanted = list(wanted)
    meant = {each: Meant(None, each.reason) for each in wanted if each.text is None}
    texts = {each: each.text for each in wanted if each.text is not None}
    names = _find_names(function, texts, look_up)
    for each, text in texts.items():
        if function.is_key(text):
            meant[each] = Meant(text) if text in names else Meant(None, f"There is no {function.key} {text}.")
        elif each.key is not None and text in names.get(each.key, ()):
            meant[each] = Meant(each.key)
    left = {each: text for each, text in texts.items() if each not in meant}
    return {**meant, **_resolve_by_name(function, left, look_up)}


def _find_names(function: AiFunction, texts: Mapping[RowCall, str], look_up: LookUp) -> dict[str, frozenset[str]]:
    """Look up the names of the keys in the arguments and the rows: all texts beside them."""
    keys = {key for each, text in texts.items() if (key := text if function.is_key(text) else each.key)}
    if not keys:
        return {}
    found = look_up(function.statements["by_key"], {"keys": sorted(keys)}, MOST_ROWS)
    return {str(row[0]): frozenset(cell for cell in row[1:] if isinstance(cell, str)) for row in found.rows}


def _resolve_by_name(function: AiFunction, texts: Mapping[RowCall, str], look_up: LookUp) -> dict[RowCall, Meant]:
    if not texts:
        return {}
    found = look_up(function.statements["by_name"], {"names": sorted(set(texts.values()))}, MOST_ROWS)
    keys: dict[str, list[str]] = {}
    for row in found.rows:
        keys.setdefault(str(row[1]), []).append(str(row[0]))
    return {
        each: _choose_one(function, each, text, keys.get(text, []), complete=not found.truncated)
        for each, text in texts.items()
    }


def _choose_one(function: AiFunction, each: RowCall, text: str, keys: list[str], *, complete: bool) -> Meant:
    """Choose the one of several things of a name that a row is about."""
    if each.key in keys:
        return Meant(each.key)
    if each.key is not None:
        said = f"This row is about {each.key}, which is not called {text[:_SHOWN_CHARS]!r}"
        return Meant(None, f"{said}: use its {function.key} as the argument.")
    if len(keys) == 1 and complete:
        return Meant(keys[0])
    called = f"called {text[:_SHOWN_CHARS]!r}"
    if not keys and complete:
        return Meant(None, f"Nothing is {called} exactly: use its {function.key}, or the name as the lake spells it.")
    many = f"{len(keys)} things are" if complete else "Too many things are"
    return Meant(None, f"{many} {called}: use the {function.key} of the one that is meant.")
