"""`python -m mcp_server` is `imdb-mcp`."""

from mcp_server.cli import main

if __name__ == "__main__":
    main()
