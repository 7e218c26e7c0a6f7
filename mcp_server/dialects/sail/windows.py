"""How Spark names a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mcp_server.sql.expr import Expr
from mcp_server.sql.source import Source

_RANKS: Final = frozenset({"row_number", "rank", "dense_rank", "percent_rank", "ntile"})
_START: Final = "UNBOUNDED PRECEDING"


def over_name(source: Source, call: Expr, over: Expr, by: str, order: Sequence[str]) -> str | None:
    """` OVER (PARTITION BY … ORDER BY … ROWS BETWEEN …)`: the frame is always in the name.

    None where it is not known: windows with names, ranges of intervals.
    """
    frame = _frame(source, call, over, ordered=bool(order))
    if frame is None:
        return None
    pieces = [f"PARTITION BY {by}"] if by else []
    pieces += [f"ORDER BY {', '.join(order)}"] if order else []
    return f" OVER ({' '.join([*pieces, frame])})"


def _frame(source: Source, call: Expr, over: Expr, *, ordered: bool) -> str | None:
    if call.word in {"lag", "lead"}:
        steps = source.tokens[call.parts[1].end - 1].text if len(call.parts) > 1 else "1"
        sign = "-" if (call.word == "lag") != (len(call.parts) > 1 and call.parts[1].word == "-") else ""
        return f"ROWS BETWEEN {sign}{steps} FOLLOWING AND {sign}{steps} FOLLOWING" if steps.isdigit() else None
    frame = " ".join(over.word.upper().split())
    if frame.startswith("WINDOW ") or "INTERVAL" in frame:
        return None
    if call.word in _RANKS:
        return f"ROWS BETWEEN {_START} AND CURRENT ROW"
    if frame:
        kind, _, bounds = frame.partition(" ")
        return frame if bounds.startswith("BETWEEN") else f"{kind} BETWEEN {bounds} AND CURRENT ROW"
    if ordered:
        return f"RANGE BETWEEN {_START} AND CURRENT ROW"
    return f"ROWS BETWEEN {_START} AND UNBOUNDED FOLLOWING"
