"""MCP clients: what each has to be told, and how that gets into its file (`imdb-mcp config`)."""
