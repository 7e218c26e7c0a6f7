"""Which functions may be called: `functions.toml`, read once."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from lakehouse.nearest import nearest
from mcp_server.sql.functions import functions as known_functions

AI_PREFIX = "ai_"


@dataclass(frozen=True)
class FunctionPolicy:
    """The decision about every function, by lower-case name.

    `allowed` maps a function to its class, `refused` to the reason for the message. `bare` are refused functions that
    Spark also calls without brackets. `operators` are listed by SHOW FUNCTIONS and are no calls.
    `elsewhere` maps functions of other databases to what does the same here.
    """

    allowed: Mapping[str, str]
    refused: Mapping[str, str]
    bare: frozenset[str]
    operators: frozenset[str]
    elsewhere: Mapping[str, str]

    def is_ai(self, name: str) -> bool:
        return name.startswith(AI_PREFIX)

    def find_nearest(self, name: str) -> str | None:
        """Return the allowed function whose name is most like `name`."""
        return next(iter(nearest(name, self.allowed, most=1, cutoff=0.7)), None)


@functools.cache
def function_policy() -> FunctionPolicy:
    """Return the lists of `functions.toml`, with the functions of `sql/functions.toml` for each allowed class."""
    data = tomllib.loads(resources.files(__package__).joinpath("functions.toml").read_text("utf-8"))
    classes = frozenset(data["allowed"]["classes"].split())
    allowed = {name: kind for name, kind in known_functions().classes.items() if kind in classes}
    refused = {name: group["why"] for group in data["refused"].values() for name in group["names"].split()}
    bare, operators = (frozenset(data[key]["names"].split()) for key in ("bare", "operators"))
    return FunctionPolicy(allowed, refused, bare, operators, data["elsewhere"])
