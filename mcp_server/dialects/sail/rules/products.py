"""Products of decimals whose digits together are more than 38, which Sail computes in 128 bits, and fails.

Each factor is cut at its point: the four products of the parts have 38 digits at most. What is behind the last digit
that is wanted is rounded together, half up, so that the result is that of Spark, which computes with all digits.
"""

from __future__ import annotations

from typing import Final

from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.make import fill
from mcp_server.sql.typed.nodes import Expression
from mcp_server.sql.typed.types import MAX_PRECISION, Decimal

_SAFE: Final = 19
"""Digits of a factor of which two have a product in 128 bits."""


def multiply(
    left: Expression, right: Expression, one: Decimal, other: Decimal, kind: Decimal, context: Context
) -> Expression | None:
    """The product in a type; None where the plain one serves as well."""
    scale = one.scale + other.scale
    if not one.scale or not other.scale or scale >= MAX_PRECISION:
        return None
    middle = max(one.scale, other.scale)
    first, second = _parts("p_.a", one), _parts("p_.b", other)
    whole = f"CAST({first[0]} * {second[0]} AS DECIMAL(38,0))"
    outer, inner = f"{first[1]} * {second[0]}", f"{first[0]} * {second[1]}"
    mixed = f"CAST({outer} AS DECIMAL(38,{middle})) + CAST({inner} AS DECIMAL(38,{middle}))"
    rest = f"CAST({first[1]} * {second[1]} AS DECIMAL(38,{scale}))"
    if kind.scale < middle:
        unit = f"CAST('{_unit(kind.scale)}' AS DECIMAL({kind.scale + 1},{kind.scale}))"
        rest = f"CAST(({mixed}) % {unit} AS DECIMAL(38,{scale})) + {rest}"
        mixed = f"({mixed}) - ({mixed}) % {unit}"
    exact = f"CAST({whole} AS {{k}}) + CAST({mixed} AS {{k}}) + CAST(round({rest}, {kind.scale}) AS {{k}})"
    small = f"abs(p_.a) < {_bound(one)} AND abs(p_.b) < {_bound(other)}"
    return fill(
        context,
        "element_at(transform(array(named_struct('a', {0}, 'b', {1})), p_ -> CASE WHEN p_.a IS NULL OR p_.b IS NULL "
        f"THEN NULL WHEN {small} THEN CAST(p_.a * p_.b AS {{k}}) ELSE CAST({exact} AS {{k}}) END), 1)",
        left,
        right,
        k=kind,
        gives=kind,
    )


def _parts(name: str, kind: Decimal) -> tuple[str, str]:
    """What is before the point, and what is behind it."""
    return (
        f"CAST({name} - {name} % 1BD AS DECIMAL({max(kind.precision - kind.scale, 1)},0))",
        f"CAST({name} % 1BD AS DECIMAL({kind.scale},{kind.scale}))",
    )


def _unit(scale: int) -> str:
    return f"0.{'0' * (scale - 1)}1" if scale else "1"


def _bound(kind: Decimal) -> str:
    power = _SAFE - kind.scale
    return f"CAST('{_unit(-power) if power < 0 else 10**power}' AS DECIMAL(38,{max(-power, 0)}))"
