"""Sentences of shares: how much of what a table knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import takewhile

from lakehouse.coverage import JoinCoverage, MeasureCoverage, Share
from lakehouse.escaping import cut_text, escape_controls
from mcp_server.coverage.reading import KnownCoverage

NOTABLE_NULLS = 0.05
"""Share of nulls from which a column's description says so."""
_MOST_CHARS = 60
_MOST_ONE_CHARS = 100
_MOST_PARTS = 2
_WEIGHTY = 0.05
"""Share of the rows that a part must have to be named."""
_CLEARLY_WORSE = 0.1
_PART = "{part}"
_PREPOSITIONS = frozenset({"of", "in", "from", "since", "by", "for", "the"})


def format_share(share: float) -> str:
    """Format a share in whole per cent, never as all or nothing where it is neither.

    >>> [format_share(share) for share in (0, 0.003, 0.064, 0.997, 1)]
    ['0 %', 'under 1 %', '6 %', '99 %', '100 %']
    """
    if 0 < share < 0.01:
        return "under 1 %"
    return f"{99 if 0.99 < share < 1 else round(share * 100)} %"


def sum_shares(parts: Iterable[Share]) -> Share:
    """Return the share of several parts together."""
    parts = tuple(parts)
    return Share(rows=sum(part.rows for part in parts), known=sum(part.known for part in parts))


def describe_measure(measure: MeasureCoverage, parts: Sequence[Share]) -> str:
    """Describe a measure over some of its parts: `crew_delta knows directors for 6 % of films of the 2020s`."""
    whole = sum_shares(parts)
    what = f"{_clean(measure.table)} knows {_clean(measure.about)} for {format_share(whole.ratio)} of "
    named = [part for part in parts if part.part]
    if not named or len(parts) == len(measure.parts):
        return f"{what}{_drop_part(measure.of)}{_describe_worst(measure.of, parts, whole)}"
    first, last = (_label_part(measure.of, part.part) for part in (named[0], named[-1]))
    label = first if first == last else f"{first} to {last}"
    return what + _clean(" ".join(label if _PART in word else word for word in measure.of.split()))


def describe_one(table: str, share: Share, of_one: str) -> str:
    """Describe a measure of one thing: `movie_cast has 1 of 4 credits of this title`."""
    return f"{_clean(table)} has {share.known:,} of {share.rows:,} {escape_controls(cut_text(of_one, _MOST_ONE_CHARS))}"


def describe_open_year(day: date) -> str:
    """Describe the last year of a source: `The source is of 2026-12-01: 2026 is not over.`"""
    return f"The source is of {day}: {day.year} is not over."


def describe_join(join: JoinCoverage, share: Share) -> str:
    """Describe a join, or a part of it: `persons_delta has 50 % of the nconst of principals_delta`."""
    (left, column), right = join.left.split(".", 1), join.right.partition(".")[0]
    of = join.of.replace("{part}", share.part) if share.part else left
    return f"{_clean(right)} has {format_share(share.ratio)} of the {_clean(column)} of {_clean(of)}"


def describe_columns(table: str, shares: Mapping[str, Share]) -> str:
    """Describe columns with many nulls: `persons_delta has birthYear in 12 %, deathYear in 5 % of its rows`."""
    each = ", ".join(f"{_clean(name)} in {format_share(share.ratio)}" for name, share in shares.items())
    return f"{_clean(table)} has {each} of its rows"


def describe_nulls(known: KnownCoverage, table: str, shares: Mapping[str, float]) -> dict[str, str]:
    """Return the notable shares of nulls of a table's columns, by name: `12 % null`.

    `shares` are those of its files' statistics, for a lake of which nothing was counted.
    """
    if known.counted is not None:
        counted = [each for each in known.counted.columns if each.table.lower() == table.lower()]
        shares = {each.column: 1 - each.whole.ratio for each in counted}
    return {name: f"{format_share(share)} null" for name, share in shares.items() if share >= NOTABLE_NULLS}


def describe_table(known: KnownCoverage, table: str) -> list[str]:
    """Return a line for each join and measure of a table that is below 100 %."""
    if known.counted is None:
        return []
    of_table = table.lower()
    joins = [
        join
        for join in known.counted.joins
        if of_table == join.left.partition(".")[0].lower() and join.whole.known < join.whole.rows
    ]
    measures = [each for each in known.counted.measures if each.table.lower() == of_table]
    gaps = [each for each in measures if any(part.known < part.rows for part in each.parts)]
    lines = [describe_measure(each, each.parts) for each in gaps] + [describe_join(join, join.whole) for join in joins]
    return [f"{line}." for line in lines]


def _describe_worst(of: str, parts: Sequence[Share], whole: Share) -> str:
    """Name the parts that are clearly worse than the whole, worst first: ` (2020s 6 %, 2010s 20 %)`."""
    weighty = [part for part in parts if part.part and part.rows >= whole.rows * _WEIGHTY]
    worst = sorted((part for part in weighty if part.ratio < whole.ratio - _CLEARLY_WORSE), key=lambda part: part.ratio)
    named = [f"{_label_part(of, part.part)} {format_share(part.ratio)}" for part in worst[:_MOST_PARTS]]
    return f" ({', '.join(named)})" if named else ""


def _drop_part(of: str) -> str:
    """Return the name of the whole in that of a part: `films` of `films of the {part}s`."""
    words = list(takewhile(lambda word: _PART not in word, of.split()))
    while words and words[-1] in _PREPOSITIONS:
        words.pop()
    return _clean(" ".join(words) or of.replace(_PART, "all"))


def _label_part(of: str, part: str) -> str:
    """Return the short name of a part: `2020s` of `films of the {part}s`."""
    word = next((word for word in of.split() if _PART in word), _PART)
    return _clean(word.replace(_PART, part))


def _clean(text: str) -> str:
    return escape_controls(cut_text(text, _MOST_CHARS))
