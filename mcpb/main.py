"""What a bundle starts: `imdb-mcp` of the wheel that is in it."""

from __future__ import annotations

from mcp_server.cli import main

main()
