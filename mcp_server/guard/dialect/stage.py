"""The SELECT that a row of pipes has come to."""

from __future__ import annotations

from dataclasses import dataclass, field

from mcp_server.guard.dialect.relation import Columns, Relation


@dataclass
class Stage:
    """The SELECT at hand. Each part is None or empty while no step has asked for it."""

    relations: list[Relation]
    source: str
    columns: Columns | None
    where: list[str] = field(default_factory=list)
    listed: str | None = None
    behind: str = ""
    order: str | None = None
    order_names: frozenset[str] = frozenset()
    limit: str | None = None

    @property
    def bare(self) -> bool:
        """Whether it is a FROM and nothing more."""
        return not self.where and self.listed is None and self.order is None and self.limit is None

    @property
    def text(self) -> str:
        where = " AND ".join(self.where if len(self.where) == 1 else [f"({each})" for each in self.where])
        parts = [
            self.listed or "SELECT *",
            f"FROM {self.source}",
            f"WHERE {where}" if where else "",
            self.behind,
            self.order or "",
            self.limit or "",
        ]
        return " ".join(part for part in parts if part)
