"""What both Python clients are asked alike. Imported in their environment, from this folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Ask = Callable[[str], Awaitable[tuple[Any, str | None]]]
"""Asks the question of a name; what the client read from the structured answer, and the text of an error."""


async def print_answers(tools: Sequence[str], ask: Ask) -> None:
    """Ask all questions and print the answers as JSON."""
    _, refusal = await ask("refused")
    answer, _ = await ask("answered")
    limited, _ = await ask("limited")
    gave_up = await time_out(ask("slow"))
    again, _ = await ask("answered")  # the connection outlives a call that was given up
    answers = {"answer": answer, "refusal": refusal, "limited": limited, "gave_up": gave_up, "again": again}
    print(json.dumps({"tools": tools, **answers}))


async def time_out(call: Awaitable[Any]) -> str | None:
    """Give a call a second; what the client raises then, and None where it was answered."""
    try:
        async with asyncio.timeout(1):
            await call
    except TimeoutError as error:
        return repr(error)
    return None
