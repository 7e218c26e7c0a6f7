"""The meaning of the names of relations in a tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from mcp_server.models import TableInfo, Version
from mcp_server.sql.clauses import TableRef


@dataclass(frozen=True)
class TableNames:
    """Maps the id of a table node to a table of the lake (`tables`) or to a WITH name (`ctes`).

    `refs` are the tables of the lake in the order of the tree. `versions` maps the first token of a table's name to the
    version that the statement asks for. `unnamed` has the first token of each table's name without an alias.
    """

    tables: Mapping[int, TableInfo]
    ctes: Mapping[int, exp.CTE]
    refs: tuple[tuple[TableRef, TableInfo], ...]
    versions: Mapping[int, Version]
    unnamed: frozenset[int] = frozenset()
