"""What the names of relations in a tree mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from mcp_server.models import TableInfo, Version
from mcp_server.sql.clauses import TableRef


@dataclass(frozen=True)
class Names:
    """What the tables of a tree are, by the node's id: a table of the lake, or a WITH name.

    `versions` are those that the sender asks for, by the index of the first token of the table's name.
    """

    tables: Mapping[int, TableInfo]
    ctes: Mapping[int, exp.CTE]
    refs: tuple[tuple[TableRef, TableInfo], ...]
    versions: Mapping[int, Version]
