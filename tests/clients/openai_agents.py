"""Asks a server the questions of test_clients.py through the OpenAI Agents SDK, and prints the answers.

Runs in an environment of its own (`requirements.txt`): `openai_agents.py {"server": …, "questions": …}`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from agents.mcp import MCPServer, MCPServerStdio, MCPServerStreamableHttp
from questions import print_answers


def open_server(entry: dict[str, Any]) -> MCPServer:
    """Return the client's object for a server, which waits long enough for an engine to start."""
    kind = MCPServerStreamableHttp if "url" in entry else MCPServerStdio
    return kind(params=entry, client_session_timeout_seconds=60)


async def main() -> None:
    asked = json.loads(sys.argv[1])
    async with open_server(asked["server"]) as server:

        async def ask(question: str) -> tuple[Any, str | None]:
            result = await server.call_tool("execute_spark_sql", asked["questions"][question])
            return result.structuredContent, result.content[0].text if result.isError else None

        await print_answers([tool.name for tool in await server.list_tools()], ask)


asyncio.run(main())
