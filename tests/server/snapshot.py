"""The tool surface, committed as `tools_snapshot.json`. After a wanted change: `python -m tests.server.snapshot`.

What it has written it shows as a difference to what was committed before.
"""

from __future__ import annotations

import difflib
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


def describe_change(surface: dict[str, Any]) -> str:
    """The lines in which a surface differs from the committed one; empty where it does not."""
    committed = json.loads(FILE.read_text(encoding="utf-8"))
    # Sorted, because a client of the older era has the same keys in another order.
    before, after = (json.dumps(seen, indent=1, ensure_ascii=False, sort_keys=True) for seen in (committed, surface))
    return "\n".join(difflib.unified_diff(before.split("\n"), after.split("\n"), "committed", "now", n=5, lineterm=""))


async def _write() -> None:
    with TemporaryDirectory() as folder:
        lake = make_lake(Path(folder))
        settings = load_settings(lake=str(lake), export_dir=Path(folder))
        async with Client(build_server(settings, Lake.parse(str(lake)))) as client:
            seen = await surface(client)
    print(describe_change(seen) or "The tool surface is the committed one.")
    FILE.write_text(json.dumps(seen, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    anyio.run(_write)
