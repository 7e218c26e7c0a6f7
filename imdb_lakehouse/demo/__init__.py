"""Demonstration of the whole path: files → lake → server → answers in an MCP client."""
