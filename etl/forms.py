"""The form of a field's text by its kind, for the engine's columns and for Python alike.

Numbers, flags and lists are recognised by patterns, not by casts, because casts differ: one engine trims blanks,
another accepts `12.0` as a whole number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from etl.datasets import Dataset, Field, FieldKind

NULL = r"\N"
_NULLS = (NULL, "")
_SHOWN_LETTERS = 60

# JSON (RFC 8259). A lone surrogate is invalid: engines convert it, or the whole list, to null.
ESCAPE = re.compile(
    r'\\(?:["\\/bfnrt]|u(?:[0-9a-cefA-CEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}'
    r"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))"
)
STRING = re.compile(r'"[^"\\\x00-\x1f]*"')
BLANKS = " \t\r\n"
PLAIN_LIST = re.compile(rf"\\N|\[{STRING.pattern}\]")
"""Null, or a list of one string without escapes: what most credits have, recognised in a single step."""


@dataclass(frozen=True)
class Form:
    """What the text of a value looks like: a prefix, or a pattern for the whole of it (of Java, Rust and Python alike).

    `expected` is a noun phrase, `fault` the predicate of a sentence about a value of another form.
    """

    expected: str
    fault: str
    pattern: re.Pattern[str] | None = None
    prefix: str = ""


# A prefix detects a shifted line as well as a pattern, in a third of the time (7 million lines).
FORMS = {
    FieldKind.TITLE_ID: Form("an id that starts with tt", "does not start with tt", prefix="tt"),
    FieldKind.PERSON_ID: Form("an id that starts with nm", "does not start with nm", prefix="nm"),
    FieldKind.INTEGER: Form(
        "a whole number of at most nine digits",
        "is not a whole number of at most nine digits",
        pattern=re.compile(r"-?[0-9]{1,9}"),
    ),
    FieldKind.DECIMAL: Form("a number", "is not a number", pattern=re.compile(r"-?[0-9]{1,9}(?:[.][0-9]{1,9})?")),
    FieldKind.FLAG: Form("0 or 1", "is neither 0 nor 1", pattern=re.compile(r"[01]")),
    # What is left of a list whose strings are empty and whose blanks are removed.
    FieldKind.JSON_LIST: Form(
        "a JSON list of strings", "is not a JSON list of strings", pattern=re.compile(r'\[(?:""(?:,"")*)?\]')
    ),
}
"""Kinds that are not here take any text."""


def has_form(kind: FieldKind, value: str) -> bool:
    """Return whether a value has the form of its kind. Decides as the engine's columns do (`etl.transform`).

    >>> has_form(FieldKind.INTEGER, "1994"), has_form(FieldKind.INTEGER, "1994-10-14")
    (True, False)
    """
    form = FORMS.get(kind)
    if form is None:
        return True
    if kind is FieldKind.JSON_LIST:
        value = STRING.sub('""', ESCAPE.sub("e", value)).translate(dict.fromkeys(map(ord, BLANKS)))
    return value.startswith(form.prefix) and (form.pattern is None or form.pattern.fullmatch(value) is not None)


@dataclass(frozen=True)
class Misfits:
    """Values of a field that do not fit: `count` of `values`, and one of them as it stands in the file."""

    field: Field
    count: int
    values: int
    example: str

    def describe(self) -> str:
        """Describe what is expected and what was found, as a clause."""
        form = FORMS.get(self.field.kind)
        expected = form.expected if form is not None else "a value"
        shown = self.example if len(self.example) <= _SHOWN_LETTERS else self.example[:_SHOWN_LETTERS] + "…"
        return f"expected {expected}, found {shown!a}"


def find_misfits(lines: Iterable[str], header: Sequence[str], dataset: Dataset) -> list[Misfits]:
    """Return the fields that have values of another form, those with the most first.

    `lines` are in the order of `header`, without line ends; lines with another number of fields are skipped. Nulls
    count where a value is required.
    """
    rows = [values for line in lines if len(values := line.split("\t")) == len(header)]
    found = []
    for field in dataset.fields:
        if field.name not in header:
            continue
        position = header.index(field.name)
        values = [row[position] for row in rows if field.required or row[position] not in _NULLS]
        misfits = [value for value in values if value in _NULLS or not has_form(field.kind, value)]
        if misfits:
            found.append(Misfits(field, len(misfits), len(values), misfits[0]))
    return sorted(found, key=lambda each: -each.count)
