"""The SELECT that a row of pipes has come to."""

from __future__ import annotations

from dataclasses import dataclass, field

from mcp_server.dialects.sail.relation import Columns, Relation
from mcp_server.sql.compose import Operand, Sql, as_kept, compose, join


@dataclass
class Stage:
    """The SELECT at hand. Each part is None or empty while no step has asked for it."""

    relations: list[Relation]
    source: Sql
    columns: Columns | None
    where: list[Operand] = field(default_factory=list)
    listed: Sql | None = None
    behind: Sql | None = None
    order: Sql | None = None
    order_names: frozenset[str] = frozenset()
    limit: Sql | None = None

    @property
    def bare(self) -> bool:
        """Whether it is a FROM and nothing more."""
        return not self.where and self.listed is None and self.order is None and self.limit is None

    @property
    def text(self) -> Sql:
        one = as_kept(self.where[0]) if len(self.where) == 1 else None
        where = one or join(" AND ", self.where)
        parts = [
            self.listed or compose("SELECT *"),
            compose("FROM {}", self.source),
            compose("WHERE {}", where) if where else None,
            self.behind,
            self.order,
            self.limit,
        ]
        return join(" ", (part for part in parts if part))
