"""Parses a query from the tokens of a statement. Names and types are resolved later (`resolve`)."""

from __future__ import annotations

from typing import Final, cast

from mcp_server.sql.lexer import Kind
from mcp_server.sql.source import Source
from mcp_server.sql.typed import nodes
from mcp_server.sql.typed.nodes import Call, Expression, SortKey
from mcp_server.sql.typed.parse_tokens import NotRead
from mcp_server.sql.typed.pipes import PipeParser
from mcp_server.sql.typed.relations import (
    Cte,
    Grouping,
    GroupingSets,
    Item,
    Keys,
    NamedWindow,
    Query,
    Relation,
    Select,
    SetOperation,
    Values,
)
from mcp_server.sql.words import CLAUSES

__all__ = ["NotRead", "parse_query"]

_NO_ITEM_ALIAS: Final = CLAUSES | {"FROM", "LATERAL"}
_ORGANIZING: Final = frozenset({"ORDER", "SORT", "CLUSTER", "DISTRIBUTE", "WINDOW", "LIMIT", "OFFSET"})
_SET_KINDS: Final = {"UNION": "union", "INTERSECT": "intersect", "EXCEPT": "except", "MINUS": "except"}


def parse_query(source: Source) -> Query:
    """Parse the query that a statement is. Errors: NotRead, where Spark's grammar has no such query."""
    parser = QueryParser(source)
    query = parser.parse_query()
    if parser.at != len(source.tokens):
        parser.fail()
    return query.replace(folded=True) if parser.folded else query


class QueryParser(PipeParser):
    """Parses whole queries."""

    def parse_bracketed_query(self) -> Query:
        self.expect("(")
        query = self.parse_query()
        self.expect(")")
        return query

    def parse_query(self) -> Query:
        """Parse WITH, the body, what orders and limits it, and pipes behind it."""
        first = self.at
        ctes, recursive = self._parse_ctes() if self.key == "WITH" else ((), False)
        query = self.parse_organized(self._parse_set_operation(), first)
        while self.take("|>"):
            self.folded = True
            query = self.parse_pipe(query)
        if ctes:
            inner = query.ctes or query.recursive
            query = Query(query, at=first) if inner else query
            query = query.replace(ctes=ctes, recursive=recursive)
        return query

    def _parse_ctes(self) -> tuple[tuple[Cte, ...], bool]:
        self.expect("WITH")
        recursive = self.take("RECURSIVE")
        found = []
        while True:
            first = self.at
            name = self.take_name()
            names = self.parse_names() if self.key == "(" and not self.opens_query() else ()
            level = None
            if self.take("MAX", "RECURSION", "LEVEL"):
                level = int(self.token.text)
                self.at += 1
            self.take("AS")
            query = self.parse_bracketed_query()
            found.append(Cte(self.new_id(), name, query, names, None, level, at=first))
            if not self.take(","):
                return tuple(found), recursive

    def _parse_set_operation(self, floor: int = 0) -> Query:
        """Parse operands between UNION and EXCEPT, and INTERSECT, which binds tighter."""
        left = self.parse_operand()
        while self.key in _SET_KINDS:
            kind = _SET_KINDS[self.key]
            level = 1 if kind == "intersect" else 0
            if level < floor:
                return left
            first = self.at
            self.at += 1
            all_rows = self.take("ALL")
            if not all_rows:
                self.take("DISTINCT")
            by_name = self.take("BY", "NAME")
            right = self._parse_set_operation(level + 1)
            body = SetOperation(cast("nodes.SetKind", kind), left, right, all_rows, by_name, at=first)
            left = Query(body, at=first)
        return left

    def parse_operand(self) -> Query:
        """Parse what UNION and the like stand between."""
        first = self.at
        if self.key == "(":
            inner = self.parse_bracketed_query()
            return Query(inner, at=first) if self._is_organized(inner) else inner
        if self.key == "VALUES":
            self.at += 1
            rows = self.parse_many()
            alias, names = self.parse_alias()
            if alias is not None:
                return self.select_all(self.make_inline_table(rows, alias, names, first), first)
            return Query(Values(rows, names, at=first), at=first)
        if self.key == "FROM":
            return self._parse_from_first(first)
        self.expect("SELECT")
        return Query(self._parse_select(first, None), at=first)

    def _is_organized(self, query: Query) -> bool:
        """Whether what stands behind the brackets of a query would be another clause of its own."""
        return bool(query.order or query.order_all or query.sort or query.distribute or query.ctes) or (
            query.limit is not None or query.offset is not None
        )

    def _parse_from_first(self, first: int) -> Query:
        """`FROM t`, alone or before `SELECT …` (Hive's order)."""
        self.folded = True
        base = self.parse_from()
        if self.take("SELECT"):
            return Query(self._parse_select(first, base), at=first)
        return self.select_all(base, first)

    def select_all(self, base: Relation, first: int) -> Query:
        """Return SELECT * FROM a relation."""
        return Query(Select((Item(nodes.Star(at=first), at=first),), base, at=first), at=first)

    def _parse_select(self, first: int, base: Relation | None) -> Select:
        distinct = self.take("DISTINCT")
        if not distinct and self.key == "ALL" and self.source.key(self.at + 1) not in {",", "FROM", ")", "."}:
            self.at += 1
        items = self.parse_items()
        if base is None and self.key == "FROM":
            base = self.parse_from()
        elif base is not None or self.key == "LATERAL":
            base = self.parse_views(base)
        where = self.parse_expression() if self.take("WHERE") else None
        group = self.parse_grouping() if self.take("GROUP", "BY") else None
        having = self.parse_expression() if self.take("HAVING") else None
        windows = self.parse_windows()
        qualify = self.parse_expression() if self.take("QUALIFY") else None
        windows = windows or self.parse_windows()
        return Select(items, base, distinct, where, group, having, qualify, windows, at=first)

    def parse_windows(self) -> tuple[NamedWindow, ...]:
        """Parse the WINDOW clause, if it follows."""
        if self.key != "WINDOW" or not self.token.is_name or self.source.key(self.at + 2) != "AS":
            return ()
        self.at += 1
        found = []
        while True:
            first = self.at
            name = self.take_name()
            self.expect("AS")
            found.append(NamedWindow(name, self.parse_window(), at=first))
            if not self.take(","):
                return tuple(found)

    def parse_items(self) -> tuple[Item, ...]:
        """Parse the list of a SELECT."""
        return self.parse_between_commas(self.parse_item)

    def parse_item(self) -> Item:
        """Parse one item of a SELECT list with its aliases."""
        first = self.at
        operand = self.parse_expression()
        aliases: tuple[str, ...] = ()
        if self.take("AS"):
            aliases = self.parse_names() if self.key == "(" else (self.take_name(),)
        elif self.at < len(self.source.tokens) and self._begins_alias():
            aliases = (self.take_name(),)
        elif self.key == "(" and isinstance(operand, Call):
            aliases = self.parse_names()
        return Item(operand, aliases, at=first)

    def _begins_alias(self) -> bool:
        return self.token.is_name and (self.token.kind is Kind.QUOTED or self.key not in _NO_ITEM_ALIAS)

    def parse_grouping(self) -> Grouping:
        """Parse what follows GROUP BY."""
        first = self.at
        if self.key == "ALL" and self.source.key(self.at + 1) not in {"(", ".", ","}:
            self.at += 1
            return Grouping((), all=True, at=first)
        keys = self.parse_between_commas(self._parse_group_key)
        if self.key == "WITH" and self.source.key(self.at + 1) in {"ROLLUP", "CUBE"}:
            self.at += 2
            kind: nodes.Sets = "rollup" if self.source.key(self.at - 1) == "ROLLUP" else "cube"
            sets = tuple(Keys((cast("Expression", key),), at=key.at) for key in keys)
            return Grouping((GroupingSets(kind, sets, at=first),), at=first)
        if self.sees("GROUPING", "SETS", "("):
            # `GROUP BY a, b GROUPING SETS (…)`: the keys before are those that the sets are made of
            return Grouping((self._parse_sets(),), given=cast("tuple[Expression, ...]", keys), at=first)
        return Grouping(keys, at=first)

    def _parse_group_key(self) -> Expression | GroupingSets:
        if self.sees("GROUPING", "SETS", "(") or (
            self.key in {"ROLLUP", "CUBE"} and self.source.key(self.at + 1) == "("
        ):
            return self._parse_sets()
        return self.parse_expression()

    def _parse_sets(self) -> GroupingSets:
        first = self.at
        kind: nodes.Sets = "sets" if self.key == "GROUPING" else "rollup" if self.key == "ROLLUP" else "cube"
        self.at += 2 if kind == "sets" else 1
        end = self.source.closing[self.at]
        self.at += 1
        found: list[Keys | GroupingSets] = []
        while self.at < end:
            found.append(self._parse_keys())
            self.take(",")
        self.at = end + 1
        return GroupingSets(kind, tuple(found), at=first)

    def _parse_keys(self) -> Keys | GroupingSets:
        first = self.at
        if self.sees("GROUPING", "SETS") or (self.key in {"ROLLUP", "CUBE"} and self.source.key(self.at + 1) == "("):
            return self._parse_sets()
        if self.key == "(" and self.source.key(self.source.closing[self.at] + 1) in {",", ")"}:
            end = self.source.closing[self.at]
            self.at += 1
            operands: tuple[Expression, ...] = self.parse_many() if self.at < end else ()
            self.expect(")")
            return Keys(operands, at=first)
        return Keys((self.parse_expression(),), at=first)

    def parse_organized(self, query: Query, first: int) -> Query:
        """Parse ORDER BY, SORT BY, CLUSTER BY, DISTRIBUTE BY, LIMIT and OFFSET behind a body."""
        changes: dict[str, object] = {}
        while self.key in _ORGANIZING:
            if self.key == "WINDOW":
                if not isinstance(query.body, Select) or query.body.windows:
                    break
                query = query.replace(body=query.body.replace(windows=self.parse_windows()))
            elif self.key in {"LIMIT", "OFFSET"}:
                changes |= self._parse_limit()
            else:
                changes |= self._parse_order()
        if not changes:
            return query
        return Query(query, at=first).replace(**changes) if self._is_organized(query) else query.replace(**changes)

    def _parse_limit(self) -> dict[str, object]:
        name = self.key.lower()
        self.at += 1
        return {} if self.take("ALL") else {name: self.parse_expression()}

    def _parse_order(self) -> dict[str, object]:
        """Parse what orders or spreads the rows, as changes of a Query."""
        if self.sees("ORDER", "BY", "ALL") and self._keys[self.at + 3] not in {"(", ".", ","}:
            self.at += 3
            return {"order_all": self._parse_direction()}
        if self.key in {"ORDER", "SORT"}:
            return {self.key.lower(): self.parse_sort_keys(self.key)}
        cluster = self.key == "CLUSTER"
        self.at += 1
        self.expect("BY")
        keys = self.parse_many()
        return {"distribute": keys, **({"sort": tuple(map(SortKey, keys))} if cluster else {})}

    def _parse_direction(self) -> SortKey:
        first = self.at
        descending = self.take("DESC")
        if not descending:
            self.take("ASC")
        nulls_first = None
        if self.take("NULLS"):
            nulls_first = self.key == "FIRST"
            self.at += 1
        return SortKey(nodes.Star(at=first), descending, nulls_first, at=first)
