"""The SQLSTATEs of Spark's error conditions: `sqlstates.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Final


def _read_states() -> Mapping[str, str]:
    data: dict[str, str] = tomllib.loads(resources.files(__package__).joinpath("sqlstates.toml").read_text("utf-8"))
    return {condition: state for state, conditions in data.items() for condition in conditions.split()}


_STATES: Final = _read_states()
"""Read with the module: a worker may read no file once it has opened its engine."""


def sqlstate_of(condition: str | None) -> str | None:
    """Return the SQLSTATE of a condition of Spark's, which its part before the first full stop decides.

    >>> sqlstate_of("UNRESOLVED_COLUMN.WITH_SUGGESTION")
    '42703'
    """
    return None if condition is None else _STATES.get(condition.partition(".")[0])
