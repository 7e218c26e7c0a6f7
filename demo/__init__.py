"""The main job from end to end, as a stranger sees it first: files → lake → server → an MCP client's answers."""
