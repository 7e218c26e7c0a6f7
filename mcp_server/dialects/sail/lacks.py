"""How a rewrite says what the embedded engine lacks."""

from __future__ import annotations

from lakehouse.errors import EngineLacks


def lacking(what: str, why: str, instead: str) -> EngineLacks:
    """The error to raise: what the engine lacks, and a form that works."""
    return EngineLacks(f"{what}: the embedded engine cannot run {why}. {instead} The spark engine runs it as it is.")
