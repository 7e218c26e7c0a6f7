"""The commands on the context of a lake: `imdb-mcp context check` and `imdb-mcp context init`."""
