"""Whole numbers that outgrow their type: Spark fails, Sail goes on from the other end.

Where the range of the result says that this can happen, the step is done in a wider type and cast back, which fails
on both. Where the types are known and the bounds of the lake's columns fit, nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mcp_server.dialects.sail.ranges import Ranges, fits
from mcp_server.dialects.sail.writing import Writing, guarded
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, write_type
from mcp_server.sql.edits import Edit
from mcp_server.sql.expr import Expr
from mcp_server.sql.types import INTEGERS

_STEPS: Final = frozenset({"+", "-", "*"})
_WIDER: Final = {"tinyint": "INT", "smallint": "INT", "int": "BIGINT", "bigint": "DECIMAL(19,0)"}
"""A product of two of the type fits its wider one; two of 19 digits have 38, and those of a bigint fit these."""


def rewrite_overflow(case: Case, catalog: Catalog) -> Sequence[Edit]:
    """Sums and products that may outgrow their type, in a wider one and cast back."""
    if not may_grow(case):
        return ()

    def edits() -> Sequence[Edit]:
        ranges: list[Ranges] = []

        def rule(node: Expr, write: Writing) -> Sql | None:
            if not ranges:
                ranges.append(Ranges(case, catalog, write.types))
            return _written(node, write, ranges[0])

        return Writing(case, rule).edits()

    return guarded(edits)


def may_grow(case: Case) -> bool:
    """Whether there is anything in a statement that may outgrow its type."""
    return "sum" in case.functions or any(token.key in _STEPS for token in case.source.tokens)


def _written(node: Expr, write: Writing, ranges: Ranges) -> Sql | None:
    kind = write.types.of(node) if is_step(node) else None
    if kind not in INTEGERS or any(write.types.of(part) not in INTEGERS for part in node.parts):
        return None
    found = ranges.exactly(node)
    if found is not None and fits(found, kind):
        return None
    wider = _WIDER[str(kind)]

    def widened(part: Expr) -> Sql | None:
        if part not in node.parts or (part.kind == "number" and kind == "int" and part is not node.parts[0]):
            return None  # a number that is written out takes the type of the other
        return compose("CAST({} AS {})", write.text(part), write_type(wider))

    return compose("CAST({} AS {})", write.kept(node, widened), write_type(str(kind).upper()))


def is_step(node: Expr) -> bool:
    """Whether a node adds, subtracts, multiplies or sums up."""
    return (node.kind == "binary" and node.word in _STEPS) or (
        node.kind == "call" and node.word == "sum" and len(node.parts) == 1
    )
