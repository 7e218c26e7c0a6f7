"""Spark SQL as a tree whose names and types are known: what a dialect compiles.

`nodes` are expressions and `relations` what holds them; `read_query` makes them of sqlglot's tree, with names resolved
in `scopes` and types told by `typing`; `printer` writes them. Nothing here knows a policy or an engine.
"""
