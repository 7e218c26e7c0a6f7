"""Values of columns as things. Codes of countries and languages get their names: "german" finds `DE` and `de`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Final

from lakehouse.find.things import VALUE, Thing

_CODE: Final = re.compile(r"[A-Z]{2}|[a-z]{2,3}")
_LEAST_SHARE: Final = 0.6
"""A column in which fewer of the values are codes holds something else."""
_LEAST_CODES: Final = 2


def list_values(
    table: str,
    column: str,
    counts: Mapping[str, int],
    names: Mapping[str, tuple[str, ...]] | None = None,
    *,
    is_list: bool,
) -> list[Thing]:
    """List the values of a column as things, with their names; None: those of codes of countries and languages."""
    names = name_codes(counts) if names is None else names
    return [
        Thing(VALUE, table, column, value, value, column, names.get(value, ()), _say_rows(rows), rows, is_list)
        for value, rows in counts.items()
        if value.strip()
    ]


def _say_rows(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def name_codes(values: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Name the values of a column that are codes of countries (ISO 3166) or languages (ISO 639), by value.

    Names are English and native; a country has that of its language too. Nothing where the values are mostly no codes.
    """
    if sum(1 for value in values if _CODE.fullmatch(value)) < max(_LEAST_CODES, _LEAST_SHARE * len(values)):
        return {}
    are_countries = sum(1 for value in values if value.isupper()) * 2 > len(values)
    find_names = _name_country if are_countries else _name_language
    found = {value: tuple(dict.fromkeys(find_names(value))) for value in values if _CODE.fullmatch(value)}
    named = {value: names for value, names in found.items() if names}
    return named if len(named) >= _LEAST_SHARE * len(values) else {}


def _name_country(code: str) -> Iterator[str]:
    from babel.core import get_global

    if code not in _names_of("en", "territories"):
        return
    yield _names_of("en", "territories")[code]
    for language in _languages_of(code):
        native = _names_of(language, "territories").get(code)
        if native is not None:
            yield native
        # "German films" means those of Germany, and not of all countries where German is spoken.
        if get_global("likely_subtags").get(language, "").rpartition("_")[2] == code:
            yield from filter(None, [_names_of("en", "languages").get(language)])


def _name_language(code: str) -> Iterator[str]:
    for language in ("en", code):
        name = _names_of(language, "languages").get(code)
        if name is not None:
            yield name


def _languages_of(country: str) -> list[str]:
    from babel.languages import get_official_languages

    return [language for language in get_official_languages(country) if len(language) <= 3][:3]


@lru_cache(maxsize=256)
def _names_of(language: str, what: str) -> dict[str, str]:
    """The names of `languages` or `territories` in a language; none in one that CLDR does not know."""
    from babel import Locale, UnknownLocaleError

    try:
        locale = Locale(language)
    except (UnknownLocaleError, ValueError):
        return {}
    return {key: str(name) for key, name in getattr(locale, what).items()}
