"""EXPLAIN as Spark SQL spells it."""

from __future__ import annotations

_MODES = {"simple": "", "extended": "EXTENDED ", "codegen": "CODEGEN ", "cost": "COST ", "formatted": "FORMATTED "}


def explain_statement(sql: str, mode: str) -> str:
    """Return the EXPLAIN statement of a query.

    >>> explain_statement("SELECT 1", "cost")
    'EXPLAIN COST SELECT 1'
    """
    return f"EXPLAIN {_MODES[mode]}{sql}"
