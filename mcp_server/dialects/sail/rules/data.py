"""What the embedded engine has of Spark's functions: data in `sail.toml` and `forms.toml`, read once."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple


class Lack(NamedTuple):
    """Why a call cannot run as in Spark, and what to write instead."""

    why: str
    instead: str


@dataclass(frozen=True)
class Sail:
    """The tables of the files. Calls are keyed by their name, and by `name/2` with two arguments."""

    status: Mapping[str, str]
    lacks: Mapping[str, Lack]
    forms: Mapping[str, str]
    lengths: Mapping[str, str]
    fields: Mapping[str, str]
    patterns: Mapping[str, int]
    ranges: Mapping[str, tuple[int, int]]
    counts: frozenset[str]
    caveats: Mapping[str, str]
    texts: frozenset[str]


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath(name).read_text("utf-8"))


@functools.cache
def sail() -> Sail:
    """The tables of `sail.toml` and `forms.toml`."""
    data, forms = _read("sail.toml"), _read("forms.toml")
    return Sail(
        status=_by_name(data["status"]),
        lacks={
            name: Lack(each["why"], each["instead"])
            for each in data["lacks"].values()
            for name in each["names"].split()
        },
        forms=forms["forms"],
        lengths=forms["lengths"],
        fields=forms["fields"],
        patterns=data["patterns"],
        ranges={name: (low, high) for low, high, names in data["ranges"] for name in names.split()},
        counts=frozenset(data["counts"].split()),
        caveats={name: each["says"] for each in data["caveats"].values() for name in each["names"].split()},
        texts=frozenset(data["texts"].split()),
    )


def _by_name(groups: Mapping[str, str]) -> dict[str, str]:
    return {name: group for group, names in groups.items() for name in names.split()}
