"""The functions of Spark SQL: `functions.toml`, read once."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Functions:
    """Functions by lower-case name. `classes` maps one to its class, such as aggregate or generator.

    `growth` maps one to the way in which it makes a large value, and to the index of the argument that says how much.
    """

    classes: Mapping[str, str]
    growth: Mapping[str, tuple[str, int]]


@functools.cache
def functions() -> Functions:
    """Return the lists of `functions.toml`."""
    data = tomllib.loads(resources.files(__package__).joinpath("functions.toml").read_text("utf-8"))
    classes = {name: kind for kind, names in data["classes"].items() for name in names.split()}
    growth = {name: (kind, index) for kind, names in data["growth"].items() for name, index in names.items()}
    return Functions(classes, growth)
