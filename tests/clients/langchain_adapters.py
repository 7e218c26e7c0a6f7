"""Asks a server the questions of test_clients.py through langchain-mcp-adapters, and prints the answers.

Runs in an environment of its own (`requirements.txt`): `langchain_adapters.py {"server": …, "questions": …}`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from questions import print_answers


async def main() -> None:
    asked = json.loads(sys.argv[1])
    transport = "streamable_http" if "url" in asked["server"] else "stdio"
    client = MultiServerMCPClient({"lake": {"transport": transport, **asked["server"]}})
    async with client.session("lake") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}

        async def ask(question: str) -> tuple[Any, str | None]:
            arguments = asked["questions"][question]
            call = {"type": "tool_call", "id": question, "name": "execute_spark_sql", "args": arguments}
            message = await tools["execute_spark_sql"].ainvoke(call)
            structured = message.artifact["structured_content"] if message.artifact else None
            return structured, message.text if message.status == "error" else None

        await print_answers(list(tools), ask)


asyncio.run(main())
