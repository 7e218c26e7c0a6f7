"""Which functions may be called: data in `functions.toml`, read once."""

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
    """The decided functions, by lower-case name. `allowed` maps one to its class, `refused` to the reason.

    `bare` are the refused ones that are also called without brackets, `operators` those that SHOW FUNCTIONS lists
    and no one calls.
    """

    allowed: Mapping[str, str]
    refused: Mapping[str, str]
    bare: frozenset[str]
    operators: frozenset[str]

    def is_ai(self, name: str) -> bool:
        return name.startswith(AI_PREFIX)

    def nearest(self, name: str) -> str | None:
        """The allowed function whose name is most like `name`."""
        return next(iter(nearest(name, self.allowed, most=1, cutoff=0.7)), None)


@functools.cache
def function_policy() -> FunctionPolicy:
    """The lists of `functions.toml`, the allowed classes filled with the functions of `sql/functions.toml`."""
    data = tomllib.loads(resources.files(__package__).joinpath("functions.toml").read_text("utf-8"))
    classes = frozenset(data["allowed"]["classes"].split())
    allowed = {name: kind for name, kind in known_functions().classes.items() if kind in classes}
    refused = {name: group["why"] for group in data["refused"].values() for name in group["names"].split()}
    bare, operators = (frozenset(data[key]["names"].split()) for key in ("bare", "operators"))
    return FunctionPolicy(allowed, refused, bare, operators)
