"""What an answer rests on: which result it is about, and which of its numbers stand in no result of its turn.

A model that states a number from memory, or misreads one, looks exactly like one that read it. Numbers are compared
after rounding, as a percentage, and in thousands and millions. Years, small counts and numbers of the question are left
alone, so that a mark is rare and right.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

_NUMBER = re.compile(
    r"(?<![\w.,:/#-])"
    r"(?P<sign>[-\u2212])?(?P<digits>\d{1,3}(?:[,.\u00a0\u202f'\u2019 ]\d{3})+(?![\d])|\d+)(?P<decimals>[.,]\d+)?"
    r"(?![\w:/-]|[.,]\d)"
    r"(?:\s?(?P<unit>%|percent|per cent|prozent|k|m|bn|thousand|million|billion|mio\.?|mrd\.?|millions?)(?!\w))?",
    re.IGNORECASE,
)
_LIST_NUMBER = re.compile(r"^[ \t]{0,20}\d{1,3}[.)]\s", re.MULTILINE)
_LITERAL = re.compile(r"[-\u2212]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_GROUPS = str.maketrans("", "", ",.\u00a0\u202f'\u2019 ")
_UNITS = {"%": 0.01, "p": 0.01, "k": 1e3, "t": 1e3, "m": 1e6, "b": 1e9, "mrd": 1e9}

_SMALL = 31
"""Whole numbers up to this are counts of a list, places, days; models say many of them and mean no datum."""
_FIRST_YEAR, _LAST_YEAR = 1800, 2100
_MOST_PAIRED = 40
"""From results of so few numbers, a difference or sum of two is no invention."""
_MOST_CHARS = 200_000


@dataclass(frozen=True)
class _Stated:
    """A number of a text: `value` is right to within `within`."""

    text: str
    value: float
    within: float


def find_unfounded_numbers(answer: str, sources: Sequence[str]) -> list[str]:
    """Find the numbers of an answer, as written, that none of the texts it may rest on has."""
    stated = list(_read_stated(answer[:_MOST_CHARS]))
    if not stated:
        return []
    known = sorted({value for text in sources for value in _read_values(text[:_MOST_CHARS])})
    pairs = sorted(_pair(known)) if len(known) <= _MOST_PAIRED else []
    unfounded = [one.text for one in stated if not (_is_near(one, known) or _is_near(one, pairs))]
    return list(dict.fromkeys(unfounded))


def choose_result(answer: str, tables: Sequence[Sequence[Sequence[object]]]) -> int | None:
    """Choose the table that an answer is about: the one of which it repeats the most cells, of several the last."""
    best, chosen = -1, None
    for number, rows in enumerate(tables):
        cells = {str(cell) for row in rows[:50] for cell in row if cell is not None and len(str(cell)) > 2}
        found = sum(cell in answer for cell in cells)
        if found >= best:
            best, chosen = found, number
    return chosen


def _read_stated(text: str) -> Iterator[_Stated]:
    for match in _NUMBER.finditer(_LIST_NUMBER.sub(lambda found: " " * len(found[0]), text)):
        digits, decimals, unit = match["digits"], match["decimals"] or "", (match["unit"] or "").lower()
        whole = digits.translate(_GROUPS)
        value = float(whole + decimals.replace(",", "."))
        if not unit and not decimals and (value <= _SMALL or (len(digits) == 4 and _is_year(value))):
            continue
        scale = _UNITS.get(unit[:3], _UNITS.get(unit[:1], 1.0))
        within = 0.5 * 10.0 ** -len(decimals[1:]) if decimals else 0.5 * _find_step(whole, rounded=bool(unit))
        yield _Stated(match[0].strip(), value * scale, within * scale)


def _find_step(whole: str, *, rounded: bool) -> float:
    """The step that a whole number is rounded to: ten for 1,240 and so on, from three zeros at its end."""
    zeros = len(whole) - len(whole.rstrip("0"))
    return 1.0 if rounded or zeros < 3 else 10.0**zeros


def _is_year(value: float) -> bool:
    return _FIRST_YEAR <= value <= _LAST_YEAR


def _read_values(text: str) -> Iterable[float]:
    """All numbers of a text, read in every way that its separators allow."""
    for match in _LITERAL.finditer(text):
        yield abs(float(match[0].replace("\u2212", "-")))
    for match in _NUMBER.finditer(text):
        yield float(match["digits"].translate(_GROUPS) + (match["decimals"] or "").replace(",", "."))


def _pair(known: Sequence[float]) -> set[float]:
    return {value for one, other in combinations(known, 2) for value in (one + other, abs(one - other))}


def _is_near(stated: _Stated, known: Sequence[float]) -> bool:
    """Whether a known number rounds to the stated one; a share may be known as such or in percent."""
    within = stated.within * 1.000001
    for factor in (1.0, 100.0):
        value, reach = stated.value * factor, within * factor
        at = bisect_left(known, value - reach)
        if at < len(known) and known[at] <= value + reach:
            return True
    return False
