"""What a statement may do: rules on what `mcp_server.sql` reads, each a plain function that raises Refused or not.

It knows no engine's dialect. `rules` has the layers in order, `approval` the last ones and the only maker of a
CheckedQuery; `mcp_server.checking` composes them with a dialect, advice and AI functions.
"""
