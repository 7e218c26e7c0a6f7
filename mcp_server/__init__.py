"""The MCP server: tools, the governed path of a query, the guard and the engines. Knows no column of IMDb."""
