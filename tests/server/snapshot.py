"""The tool surface, committed as `tools_snapshot.json`. After a wanted change: `python -m tests.server.snapshot`."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from mcp.client import Client

from lakehouse.storage import Lake
from mcp_server.app import build_server
from mcp_server.settings import load_settings
from tests.server.lakes import make_lake

FILE = Path(__file__).with_name("tools_snapshot.json")


async def surface(client: Client) -> dict[str, Any]:
    """What a client reads before it calls anything."""
    tools = (await client.list_tools()).tools
    listed = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
    return {"instructions": client.instructions, "tools": listed}


async def _write() -> None:
    with TemporaryDirectory() as folder:
        lake = make_lake(Path(folder))
        async with Client(
            build_server(load_settings(lake=str(lake), export_dir=Path(folder)), Lake.parse(str(lake)))
        ) as client:
            text = json.dumps(await surface(client), indent=1, ensure_ascii=False)
    FILE.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    anyio.run(_write)
