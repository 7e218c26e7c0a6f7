"""Writes a typed tree as Spark SQL.

Leaves are the sender's own tokens or quoted by `sql.compose`; brackets stand where a neighbour could take a part away.
What the printer does not know it refuses to write (TypeError).
"""

from __future__ import annotations

from mcp_server.sql.compose import Sql
from mcp_server.sql.typed import print_expressions, print_queries
from mcp_server.sql.typed.nodes import Expression
from mcp_server.sql.typed.relations import Query, Relation
from mcp_server.sql.typed.writer import print_type, write_text

__all__ = ["print_expression", "print_query", "print_relation", "print_type"]

WRITERS = (print_expressions, print_queries)
"""The modules that register how each class is written."""


def print_expression(e: Expression) -> Sql:
    """Write an expression.

    Errors: TypeError for a node of a class that the printer does not know.
    """
    return write_text(e)


def print_query(query: Query) -> Sql:
    """Write a whole query. Errors: see `print_expression`."""
    return write_text(query)


def print_relation(relation: Relation) -> Sql:
    """Write what stands behind FROM. Errors: see `print_expression`."""
    return write_text(relation)
