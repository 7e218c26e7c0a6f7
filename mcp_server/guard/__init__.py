"""The policy: which statements may run, and what a `CheckedQuery` promises.

`rules` runs the layers in order. `approval` runs the last ones and is the only module that makes a `CheckedQuery`.
The guard rules on what `mcp_server.sql` reads and knows no dialect; `mcp_server.checking` composes it with the dialect
of the engine, advice and AI functions. docs/guard.md says how to audit it.
"""
