"""A process with many callers of a server: `python -m tests.server.spending LAKE CALLERS STATEMENTS SEED`.

Each caller sends statements of any kind that call AI functions, one after the other, some of which the guard refuses.
The process answers for each with a line, and ends when all are done. It is made to be killed.
"""

from __future__ import annotations

import json
import random
import sys
from functools import partial
from pathlib import Path

import anyio

from ai_functions.service import open_service
from lakehouse.errors import LakehouseError, QueryError, Refused
from lakehouse.storage import Lake
from mcp_server.audit import AuditEvent
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.models import Principal
from mcp_server.runs import Call
from mcp_server.service import StatementService
from mcp_server.settings import load_settings

DATA = Path(__file__).parent.parent / "data" / "guard"
CORPORA = [
    line["sql"]
    for name, kind in (("own-honest.jsonl", "ai-ok"), ("own-hostile.jsonl", "ai-cost"))
    for line in map(json.loads, (DATA / name).read_text("utf-8").splitlines())
    if line["class"] == kind
]
ITEMS = (
    "ai_movie_summary(primaryTitle)",
    "ai_movie_summary(tconst) AS a",
    "ai_movie_summary('The Twin Bridges')",
    "ai_person_summary(primaryName) AS p",
)
TAILS = ("", "WHERE startYear > 1990", "ORDER BY rand()", "ORDER BY tconst", "ORDER BY 1", "GROUP BY ALL")


def statement(chance: random.Random) -> str:
    """Any statement: of the corpora, or put together."""
    if chance.random() < 0.2:
        return chance.choice(CORPORA)
    items = ", ".join(chance.sample(ITEMS, chance.choice((1, 1, 1, 2, 3))))
    limit = "" if chance.random() < 0.1 else f"LIMIT {chance.randint(1, 9)} OFFSET {chance.randint(0, 800)}"
    return f"SELECT primaryTitle, {items} FROM movie_cast {chance.choice(TAILS)} {limit}"


async def caller(service: StatementService, name: str, count: int, chance: random.Random) -> None:
    for _ in range(count):
        event = AuditEvent("query", name, "embedded")
        try:
            answer = await service.run_sql(Call(Principal(name), event, _hear), statement(chance))
            end = "cached" if answer.ai is not None and not answer.ai.calls else "ok"
        except Refused:
            end = "refused"
        except QueryError as error:
            end = error.code
        except LakehouseError as error:
            end = type(error).__name__
        print(end, flush=True)


async def _hear(_: str) -> None: ...


async def callers(service: StatementService, count: int, statements: int, seed: str) -> None:
    async with anyio.create_task_group() as group:
        for number in range(count):
            chance = random.Random(f"{seed}-{number}")
            # Some of the same name as in other processes: their budgets are one.
            group.start_soon(caller, service, f"caller {number % 10}-{seed[:1]}", statements, chance)


def main(lake: str, count: str, statements: str, seed: str) -> None:
    settings = load_settings(lake=lake, max_concurrent_queries=20, max_queries_per_caller=20)
    engine = EmbeddedEngine(Lake.parse(lake), settings)
    ai = open_service(settings, Lake.parse(lake))
    service = StatementService([engine], settings, ai)
    anyio.run(partial(callers, service, int(count), int(statements), seed))
    service.close()
    ai.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
