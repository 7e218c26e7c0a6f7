"""What is known of each MCP client: where its configuration lies, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

System = Literal["linux", "darwin", "win32"]
"""The values of `sys.platform` for which places are known."""


@dataclass(frozen=True)
class ClientFile:
    """A JSON file that a client reads its servers from.

    `places` are patterns of its path by system, the preferred one first: `*` is any folder, and `~` and names in `%…%`
    are expanded (`lakehouse.environment.user_folders`). `section` is the object that holds the servers; `constants` is
    what each entry has beside its command. `comments` says that the client reads comments and trailing commas.
    """

    places: Mapping[System, tuple[str, ...]]
    section: str = "mcpServers"
    constants: Mapping[str, str] = field(default_factory=dict)
    comments: bool = False


@dataclass(frozen=True)
class Client:
    """An MCP client: one with a `file`, or a library whose `program` a developer pastes.

    `then` is what the user does after the change. In `program`, `$name` is the name of the server and `$entry` its
    entry, as Python literals, `$seconds` the time that one call may take.
    """

    title: str
    then: str
    file: ClientFile | None = None
    program: str = ""


_IN_HOME: Final[tuple[System, ...]] = ("linux", "darwin", "win32")

_OPENAI_AGENTS: Final = '''\
"""pip install openai-agents"""

import asyncio

from agents import Agent, Runner
from agents.mcp import MCPServerStdio


ENTRY = $entry


async def main() -> None:
    server = MCPServerStdio(
        name=$name,
        params=ENTRY,
        client_session_timeout_seconds=$seconds,  # by default 5: too short for a query
        cache_tools_list=True,
    )
    async with server:
        agent = Agent(name="Analyst", instructions="Answer from the lake, with SQL.", mcp_servers=[server])
        answer = await Runner.run(agent, "Which tables are there?")
        print(answer.final_output)


asyncio.run(main())
'''

_LANGCHAIN: Final = '''\
"""pip install langchain-mcp-adapters"""

import asyncio
from datetime import timedelta

from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools

ENTRY = $entry
TIMEOUT = {"read_timeout_seconds": timedelta(seconds=$seconds)}


async def main() -> None:
    client = MultiServerMCPClient({$name: {"transport": "stdio", "session_kwargs": TIMEOUT, **ENTRY}})
    async with client.session($name) as session:  # one server for all calls; `get_tools` starts one for each
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}
        print(await tools["list_views"].ainvoke({}))  # hand `tools.values()` to an agent


asyncio.run(main())
'''

CLIENTS: Final[Mapping[str, Client]] = {
    "claude": Client(
        "Claude Desktop",
        "Quit Claude Desktop and start it again.",
        ClientFile(
            {
                "linux": ("%CONFIG%/Claude/claude_desktop_config.json",),
                "darwin": ("~/Library/Application Support/Claude/claude_desktop_config.json",),
                # The packaged program sees a folder of its own in the place of %APPDATA% (docs/clients.md).
                "win32": (
                    "%LOCALAPPDATA%/Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json",
                    "%APPDATA%/Claude/claude_desktop_config.json",
                ),
            }
        ),
    ),
    "vscode": Client(
        "VS Code",
        "In VS Code run “MCP: List Servers”, choose the server, and start it.",
        ClientFile(
            {
                "linux": ("%CONFIG%/Code/User/mcp.json",),
                "darwin": ("~/Library/Application Support/Code/User/mcp.json",),
                "win32": ("%APPDATA%/Code/User/mcp.json",),
            },
            section="servers",
            constants={"type": "stdio"},
            comments=True,
        ),
    ),
    "cursor": Client(
        "Cursor",
        "In Cursor's settings, under MCP, switch the server on.",
        ClientFile(dict.fromkeys(_IN_HOME, ("~/.cursor/mcp.json",)), constants={"type": "stdio"}),
    ),
    "windsurf": Client(
        "Windsurf",
        "In Windsurf's Cascade panel, under MCPs, press refresh.",
        ClientFile(dict.fromkeys(_IN_HOME, ("~/.codeium/windsurf/mcp_config.json",))),
    ),
    "openai-agents": Client("OpenAI Agents SDK", "Paste it into your program.", program=_OPENAI_AGENTS),
    "langchain": Client("LangChain", "Paste it into your program.", program=_LANGCHAIN),
}
