"""Which functions may be called: data in `functions.toml`, read once."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from lakehouse.nearest import nearest

AI_PREFIX = "ai_"


@dataclass(frozen=True)
class Functions:
    """The decided functions. `allowed` maps a name to its class, `refused` to the reason.

    `bare` are the refused ones that are also called without brackets, `operators` those that SHOW FUNCTIONS lists
    and no one calls. `growth` maps a name to how it makes a value out of nothing, and which argument says how much.
    """

    allowed: Mapping[str, str]
    refused: Mapping[str, str]
    bare: frozenset[str]
    operators: frozenset[str]
    growth: Mapping[str, tuple[str, int]]

    def is_ai(self, name: str) -> bool:
        return name.startswith(AI_PREFIX)

    def find_nearest(self, name: str) -> str | None:
        """The allowed function whose name is most like `name`."""
        return next(iter(nearest(name, self.allowed, most=1, cutoff=0.7)), None)


@functools.cache
def functions() -> Functions:
    """The lists of `functions.toml`."""
    data = tomllib.loads(resources.files(__package__).joinpath("functions.toml").read_text("utf-8"))
    allowed = {name: kind for kind, names in data["allowed"].items() for name in names.split()}
    refused = {name: group["why"] for group in data["refused"].values() for name in group["names"].split()}
    growth = {name: (kind, index) for kind, names in data["growth"].items() for name, index in names.items()}
    bare, operators = (frozenset(data[key]["names"].split()) for key in ("bare", "operators"))
    return Functions(allowed, refused, bare, operators, growth)
