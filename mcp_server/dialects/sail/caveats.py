"""Where the embedded engine's answer may differ from Spark's: sentences that go to the caller with the result.

What differs on every engine from run to run (rows of equal rank, the last digits of sums of doubles) is no caveat.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lakehouse.session import Dialect
from mcp_server.dialects.sail.overflow import is_step, may_grow
from mcp_server.dialects.sail.sail import sail
from mcp_server.dialects.sail.writing import Writing
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.expr import Expr
from mcp_server.sql.lexer import Kind
from mcp_server.sql.refusal import clip
from mcp_server.sql.types import INTEGERS, MAX_PRECISION, Decimal, Type

ONLY: Final[Dialect] = "sail"


def caveats(case: Case, catalog: Catalog) -> tuple[str, ...]:
    """What to tell the caller of a translated statement; mostly nothing, and nothing for Spark's own dialect."""
    if catalog.dialect != ONLY:
        return ()
    called = ((says, sorted(case.functions & names)) for says, names in sail().caveats.items())
    found = list(_nans(case))
    found += [says.format(name=", ".join(names)) for says, names in called if names]
    if (
        may_grow(case)
        or case.functions & {*_WRITERS, *_TEXTS, *_WITHIN, "cast", "conv"}
        or any(t.key == "||" for t in case.source.tokens)
    ):
        write = Writing(case, lambda _, __: None)
        found += [said for root in write.roots for node in root.walk() for said in _of(node, write)]
    return tuple(dict.fromkeys(found))


def _nans(case: Case) -> Iterator[str]:
    """Sail knows no two NaNs as one."""
    keys = {token.key for token in case.source.tokens}
    written = any(token.kind is Kind.STRING and token.text[1:-1].lower() == "nan" for token in case.source.tokens)
    if written and keys & {"DISTINCT", "GROUP", "UNION", "INTERSECT", "EXCEPT"}:
        yield "NaNs are one value to Spark's DISTINCT, GROUP BY and set operations, and as many as there are here."
    if written and case.functions & _QUANTILES:
        yield "NaN is the largest of all to Spark's median and percentiles, and makes them NaN, or another one, here."


def _of(node: Expr, write: Writing) -> Iterator[str]:
    kinds = [write.types.of(part) for part in node.parts]
    what = clip(write.sent(node)) if node.end > node.first else ""
    if is_step(node) and None in kinds and {*kinds} <= {None, *INTEGERS}:
        yield f"{what}: a whole number that outgrows its type wraps around here, where Spark fails."
    elif is_step(node) and _is_full(write.types.of(node)) and not _is_checked(node, write):
        yield f"{what}: a decimal of more than 38 digits is kept here, where Spark fails."
    elif node.kind == "call" and node.word in _WRITERS and not all(_is_plain(part, write) for part in node.parts[:1]):
        yield f"{node.word} may write doubles, decimals and times otherwise than Spark: 100000000.0 for 1.0E8."
    elif _makes_text(node) and None in kinds:
        yield f"{what}: doubles from ten million on may be written otherwise than by Spark: 100000000.0 for 1.0E8."
    elif node.word in _WITHIN and any(part.kind != "number" for part in _places(node)):
        yield f"{what}: a place or a number outside of what there is gives NULL or less here, where Spark fails."
    elif (
        node.word == "conv"
        and node.parts
        and not {each.kind for each in node.parts[0].walk()} <= {"cast", "number", "string"}
    ):
        yield f"{what}: what is below zero, or is no number, is answered otherwise than by Spark."


def _places(node: Expr) -> tuple[Expr, ...]:
    first, end = _WITHIN[node.word]
    return node.parts[first:end]


_WITHIN: Final = {"elt": (0, 1), "slice": (1, 3)}
"""Functions that Spark lets fail for some numbers, and which of their arguments those are."""

_QUANTILES: Final = frozenset({"median", "percentile", "percentile_cont", "percentile_disc", "percentile_approx"})
_WRITERS: Final = frozenset({"to_json", "to_csv"})
_TEXTS: Final = frozenset({"concat", "concat_ws"})
_SAFE: Final = frozenset(
    {*INTEGERS, "string", "boolean", "date", "void", "array<string>", "array<int>", "array<bigint>"}
)


def _makes_text(node: Expr) -> bool:
    return (
        (node.kind == "cast" and node.word in {"STRING", "ARRAY<STRING>"})
        or node.word == "||"
        or (node.kind == "call" and node.word in _TEXTS)
    )


def _is_plain(node: Expr, write: Writing) -> bool:
    """Whether a value is written alike into JSON: a struct or an array of text, whole numbers, dates and the like."""
    if node.kind == "alias":
        return _is_plain(node.parts[0], write)
    if node.kind == "call" and node.word in {"struct", "named_struct", "array", "map", "collect_list", "collect_set"}:
        return all(_is_plain(part, write) for part in node.parts)
    return write.types.of(node) in _SAFE


def _is_checked(node: Expr, write: Writing) -> bool:
    """Whether it is what `overflow` has written."""
    parent = write.parent(node)
    return parent is not None and parent.kind == "cast" and parent.word == "BIGINT"


def _is_full(kind: Type | None) -> bool:
    """Whether a decimal's type was cut to 38 digits with none behind the point, so that a value may not fit."""
    return isinstance(kind, Decimal) and kind.precision == MAX_PRECISION and kind.scale == 0
