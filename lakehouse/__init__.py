"""What lies beneath both programs: settings, errors, the lake's manifest, storage, engine sessions.

Knows nothing of MCP, of SQL text or of IMDb's columns.
"""
