"""What Sail has of Spark's functions: data in `sail.toml`, read once."""

from __future__ import annotations

import functools
import re
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

_CAST = re.compile(r"CAST\(\{(\d)\} AS (\w+)\)")


class Lack(NamedTuple):
    """Why a call cannot run as in Spark, and what to write instead."""

    why: str
    instead: str


class Form(NamedTuple):
    """Other words for a call. `casts` says which of its arguments these words cast, and to what."""

    text: str
    casts: Mapping[int, str]

    @property
    def fresh(self) -> frozenset[str]:
        """The names that it makes, such as those of parameters; in its text they are holes that end with `_`."""
        holes = (name for _, name, _, _ in string.Formatter().parse(self.text) if name)
        return frozenset(name for name in holes if name.endswith("_"))

    @property
    def keeps_call(self) -> bool:
        """Whether the call itself is part of the words for it."""
        return "{call}" in self.text


@dataclass(frozen=True)
class Sail:
    """The tables of `sail.toml`. Calls are keyed by their name, and by `name/2` with two arguments."""

    status: Mapping[str, str]
    lacks: Mapping[str, Lack]
    forms: Mapping[str, Form]
    lengths: Mapping[str, Form]
    fields: Mapping[str, Form]
    patterns: Mapping[str, int]
    types: Mapping[str, str]
    names: Mapping[str, str]
    ranges: Mapping[str, tuple[int, int]]
    counts: frozenset[str]
    caveats: Mapping[str, frozenset[str]]
    texts: frozenset[str]
    written: frozenset[str]


@functools.cache
def sail() -> Sail:
    """The lists of `sail.toml`."""
    data = tomllib.loads(resources.files(__package__).joinpath("sail.toml").read_text("utf-8"))
    return Sail(
        status=_by_name(data["status"]),
        lacks={
            name: Lack(each["why"], each["instead"])
            for each in data["lacks"].values()
            for name in each["names"].split()
        },
        forms=_forms(data["forms"]),
        lengths=_forms(data["lengths"]),
        fields=_forms(data["fields"]),
        patterns=data["patterns"],
        types=_by_name(data["types"]),
        names=_spelled(data["spelling"]) | data["names"],
        ranges={name: (low, high) for low, high, names in data["ranges"] for name in names.split()},
        counts=frozenset(data["counts"].split()),
        caveats={each["says"]: frozenset(each["names"].split()) for each in data["caveats"].values()},
        texts=frozenset(data["texts"].split()),
        written=frozenset(data["written"].split()),
    )


def _by_name(groups: Mapping[str, str]) -> dict[str, str]:
    return {name: group for group, names in groups.items() for name in names.split()}


def _forms(table: Mapping[str, str]) -> dict[str, Form]:
    return {name: Form(text, {int(which): kind for which, kind in _CAST.findall(text)}) for name, text in table.items()}


def _spelled(spelling: Mapping[str, str]) -> dict[str, str]:
    upper = {name: f"{name.upper()}({{all}})" for name in spelling["upper"].split()}
    return upper | {f"{name}/1": "{0}" for name in spelling["casting"].split()}
