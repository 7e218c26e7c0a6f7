"""Parses pipes (`FROM t |> WHERE c |> AGGREGATE …`) into the queries that they stand for.

`AstBuilder.visitOperatorPipeRightSide` of Spark 4.2. A step reads what came before it as a sub-query without a name
whose columns keep the qualifiers that they had.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Final, cast

from mcp_server.sql.typed import nodes
from mcp_server.sql.typed.nodes import Expression
from mcp_server.sql.typed.parse_relation import RelationParser
from mcp_server.sql.typed.relations import (
    Derived,
    Grouping,
    Item,
    NamedWindow,
    Query,
    Relation,
    Select,
    SetOperation,
)

_SET_WORDS: Final = {"UNION": "union", "INTERSECT": "intersect", "EXCEPT": "except", "MINUS": "except"}
_ORGANIZING: Final = frozenset({"ORDER", "SORT", "CLUSTER", "DISTRIBUTE", "LIMIT", "OFFSET"})
_TURNING: Final = frozenset(
    {
        *("JOIN", "INNER", "CROSS", "LEFT", "RIGHT", "FULL", "SEMI", "ANTI", "NATURAL"),
        *("LATERAL", "PIVOT", "UNPIVOT", "TABLESAMPLE"),
    }
)


class PipeParser(RelationParser):
    """Parses one step behind `|>`."""

    @abstractmethod
    def parse_items(self) -> tuple[Item, ...]: ...

    @abstractmethod
    def parse_item(self) -> Item: ...

    @abstractmethod
    def parse_grouping(self) -> Grouping: ...

    @abstractmethod
    def select_all(self, base: Relation, first: int) -> Query: ...

    @abstractmethod
    def parse_windows(self) -> tuple[NamedWindow, ...]: ...

    @abstractmethod
    def parse_operand(self) -> Query: ...

    @abstractmethod
    def parse_organized(self, query: Query, first: int) -> Query: ...

    def parse_pipe(self, query: Query) -> Query:
        """Parse the step behind `|>`, and return the query that it makes of the one before it."""
        first, word = self.at, self.key
        if word in _ORGANIZING:
            return self.parse_organized(query, first)
        if word in _SET_WORDS:
            return self._parse_set_step(query, first)
        base = self._as_base(query, first)
        if word in _TURNING:
            return self.select_all(self._parse_turning(base, word), first)
        parse = self._STEPS.get(word)
        if parse is None:
            self.fail()
        self.at += 1
        return parse(self, query, base, first)

    def _parse_turning(self, base: Relation, word: str) -> Relation:
        """Parse a step that makes another relation of the one before it."""
        if word == "LATERAL":
            return self.parse_views(base)
        if word in {"PIVOT", "UNPIVOT"}:
            return self.parse_turned(base)
        return self.parse_samples(base) if word == "TABLESAMPLE" else self.parse_join(base)

    def _parse_where(self, _: Query, base: Relation, first: int) -> Query:
        star = Item(nodes.Star(at=first), at=first)
        return Query(Select((star,), base, where=self.parse_expression(), at=first), at=first)

    def _parse_select_step(self, _: Query, base: Relation, first: int) -> Query:
        distinct = self.take("DISTINCT")
        items = self.parse_items()
        return self._select(items, base, first, distinct=distinct, windows=self.parse_windows())

    def _parse_extend(self, _: Query, base: Relation, first: int) -> Query:
        star = Item(nodes.Star(at=first), at=first)
        return self._select((star, *self.parse_items()), base, first, windows=self.parse_windows())

    def _parse_distinct(self, _: Query, base: Relation, first: int) -> Query:
        return self._select((Item(nodes.Star(at=first), at=first),), base, first, distinct=True)

    def _parse_drop(self, _: Query, base: Relation, first: int) -> Query:
        names = tuple((name,) for name in self.parse_between_commas(self.take_name))
        return self._select((Item(nodes.Star((), names, at=first), at=first),), base, first)

    def _parse_as(self, query: Query, _: Relation, first: int) -> Query:
        return self.select_all(Derived(query, id=self.new_id(), alias=self.take_name(), at=first), first)

    def _as_base(self, query: Query, first: int) -> Relation:
        """Return the relation that a step reads: what a bare SELECT * reads, or the query itself."""
        base = self._bare(query)
        return base if base is not None else Derived(query, piped=True, id=self.new_id(), at=first)

    def _bare(self, query: Query) -> Relation | None:
        """Return what is read by a SELECT * that does nothing else."""
        body = query.body
        plain = isinstance(body, Select) and query.children == (body,) and len(body.children) == 2 and not body.distinct
        if not plain or not isinstance(body, Select):
            return None
        star = body.items[0].operand
        bare = isinstance(star, nodes.Star) and not (star.parts or star.excluded or star.base or star.renewed)
        return body.base if bare else None

    def _select(
        self,
        items: tuple[Item, ...],
        base: Relation,
        first: int,
        *,
        distinct: bool = False,
        windows: tuple[NamedWindow, ...] = (),
    ) -> Query:
        return Query(Select(items, base, distinct, windows=windows, at=first), at=first)

    def _parse_set(self, _: Query, base: Relation, first: int) -> Query:
        """`SET a = x, b = y`: the columns in their places, with other values."""
        names, values = list[str](), list[Expression]()
        while True:
            names.append(self.take_name())
            self.expect("=")
            values.append(self.parse_expression())
            if not self.take(","):
                break
        star = nodes.Star((), renewed=tuple(names), renewals=tuple(values), at=first)
        return self._select((Item(star, at=first),), base, first)

    def _parse_aggregate(self, _: Query, base: Relation, first: int) -> Query:
        """`AGGREGATE a GROUP BY b AS c`: the groups, then the aggregates."""
        aggregates: tuple[Item, ...] = () if self.key == "GROUP" else self.parse_items()
        if not self.take("GROUP", "BY"):
            return Query(Select(aggregates, base, group=None, at=first), at=first)
        if self.key in {"ROLLUP", "CUBE", "GROUPING", "ALL"}:
            self.fail()
        groups = []
        while True:
            item = self.parse_item()
            if self.key in {"ASC", "DESC"}:
                self.fail()
            groups.append(item)
            if not self.take(","):
                break
        grouping = Grouping(tuple(item.operand for item in groups), at=first)
        return Query(Select((*groups, *aggregates), base, group=grouping, at=first), at=first)

    def _parse_set_step(self, query: Query, first: int) -> Query:
        kind = _SET_WORDS[self.key]
        self.at += 1
        all_rows = self.take("ALL")
        if not all_rows:
            self.take("DISTINCT")
        by_name = self.take("BY", "NAME")
        body = SetOperation(cast("nodes.SetKind", kind), query, self.parse_operand(), all_rows, by_name, at=first)
        return Query(body, at=first)

    _STEPS: Final[Mapping[str, Callable[[PipeParser, Query, Relation, int], Query]]] = {
        "WHERE": _parse_where,
        "SELECT": _parse_select_step,
        "EXTEND": _parse_extend,
        "DISTINCT": _parse_distinct,
        "DROP": _parse_drop,
        "SET": _parse_set,
        "AS": _parse_as,
        "AGGREGATE": _parse_aggregate,
    }
    """Steps by the word that they begin with."""
