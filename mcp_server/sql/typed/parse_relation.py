"""Parses what FROM reads: names, sub-queries, VALUES, functions, joins, views, pivots, samples."""

from __future__ import annotations

from typing import Final, cast, overload

from mcp_server.sql.compose import copy_tokens
from mcp_server.sql.lexer import Kind
from mcp_server.sql.typed import nodes
from mcp_server.sql.typed.nodes import Call, Expression
from mcp_server.sql.typed.parse_expression import ExpressionParser
from mcp_server.sql.typed.relations import (
    Derived,
    FunctionTable,
    InlineTable,
    Item,
    Join,
    JoinKind,
    LateralView,
    Named,
    Pivot,
    Relation,
    Sample,
    Unpivot,
    UnpivotGroup,
)
from mcp_server.sql.words import NO_ALIAS, TRAVEL

_JOIN_WORDS: Final = frozenset({"INNER", "CROSS", "LEFT", "RIGHT", "FULL", "OUTER", "SEMI", "ANTI", "NATURAL", "JOIN"})
_NO_TABLE_ALIAS: Final = NO_ALIAS | _JOIN_WORDS | {"UNION", "EXCEPT", "INTERSECT", "MINUS", "WHERE"}


class RelationParser(ExpressionParser):
    """Parses relations."""

    def parse_from(self) -> Relation:
        """Parse FROM, the relations between commas, and views behind them."""
        self.expect("FROM")
        base = self.parse_relation()
        while self.key == ",":
            first = self.at
            self.at += 1
            right = self._parse_primary_relation()
            base = Join(base, right, "cross", comma=True, id=self.new_id(), at=first)
            base = self._extend_relation(base)  # a join behind a comma is one of all that stands before it
        viewed = self.parse_views(base)
        while self.key in {"PIVOT", "UNPIVOT"}:
            viewed = self.parse_turned(viewed)
        return viewed

    @overload
    def parse_views(self, base: Relation) -> Relation: ...

    @overload
    def parse_views(self, base: None) -> Relation | None: ...

    def parse_views(self, base: Relation | None) -> Relation | None:
        """Parse LATERAL VIEW, any number of times. Without a relation before it the view stands alone."""
        while self.sees("LATERAL", "VIEW"):
            first = self.at
            self.at += 2
            outer = self.take("OUTER")
            call = self._parse_function()
            alias = None
            if self.token_is_name() and self.key not in _NO_TABLE_ALIAS | {"AS"}:
                alias = self.take_name()
            names: tuple[str, ...] = ()
            if self.take("AS") or (alias is not None and self.token_is_name() and self.key not in _NO_TABLE_ALIAS):
                names = self.parse_between_commas(self.take_name)
            base = LateralView(base, call, outer, id=self.new_id(), alias=alias, names=names, at=first)
        return base

    def token_is_name(self) -> bool:
        """Whether a name follows."""
        return self.at < len(self.source.tokens) and self.token.is_name

    def _parse_function(self) -> Call:
        call = self.parse_primary()
        if not isinstance(call, Call):
            self.fail()
        return call

    def parse_relation(self) -> Relation:
        """Parse a relation with the joins and pivots behind it."""
        return self._extend_relation(self._parse_primary_relation())

    def _extend_relation(self, base: Relation) -> Relation:
        """Parse the joins and pivots behind a relation."""
        while True:
            if self.key in _JOIN_WORDS:
                base = self.parse_join(base)
            elif self.key in {"PIVOT", "UNPIVOT"}:
                base = self.parse_turned(base)
            else:
                return base

    def parse_join(self, left: Relation) -> Relation:
        """Parse one join behind a relation."""
        first = self.at
        natural = self.take("NATURAL")
        kind: JoinKind = "inner"
        if self.take("CROSS"):
            kind = "cross"
        elif self.key in {"LEFT", "RIGHT", "FULL", "SEMI", "ANTI"}:
            word = self.key
            self.at += 1
            if word == "LEFT" and self.key in {"SEMI", "ANTI"}:
                word = self.key
                self.at += 1
            self.take("OUTER")
            kind = cast("JoinKind", word.lower())
        else:
            self.take("INNER")
        self.expect("JOIN")
        right = self._parse_primary_relation()
        on: Expression | None = None
        shared: tuple[str, ...] = ()
        using = False
        if self.take("ON"):
            on = self.parse_expression()
        elif self.take("USING"):
            shared, using = self.parse_names(), True
        return Join(left, right, kind, on, shared, using, natural, id=self.new_id(), at=first)

    def _parse_primary_relation(self) -> Relation:
        first = self.at
        lateral = self.take("LATERAL")
        if self.key == "VALUES":
            self.at += 1
            rows = self.parse_many()
            alias, names = self.parse_alias()
            return self.make_inline_table(rows, alias, names, first)
        if self.key == "(":
            return self._parse_bracketed_relation(first, lateral)
        parts = [self.take_name()]
        while self.take("."):
            parts.append(self.take_name())
        if self.key == "(":
            self.at = self.at - 1
            call = self._parse_function()
            found: Relation = FunctionTable(call, lateral, id=self.new_id(), at=first)
            return self._finish_relation(found)
        if lateral:
            self.fail()
        self._skip_version()
        text = copy_tokens(self.source, first, self.at)
        return self._finish_relation(Named(tuple(parts), text, id=self.new_id(), at=first))

    def _skip_version(self) -> None:
        at = self.at + (1 if self.key == "FOR" else 0)
        if self.source.key(at) in TRAVEL and self.source.key(at + 1) == "AS" and self.source.key(at + 2) == "OF":
            self.at = at + 4

    def _parse_bracketed_relation(self, first: int, lateral: bool) -> Relation:
        if self.opens_query():
            derived = Derived(self.parse_bracketed_query(), lateral, id=self.new_id(), at=first)
            return self._finish_relation(derived)
        self.expect("(")
        inner = self.parse_relation()
        while self.key == ",":
            at = self.at
            self.at += 1
            inner = Join(inner, self.parse_relation(), "cross", comma=True, id=self.new_id(), at=at)
        self.expect(")")
        if isinstance(inner, Join):
            inner = inner.replace(bracketed=True)
        return self._finish_relation(inner, bracketed=True)

    def _finish_relation(self, found: Relation, *, bracketed: bool = False) -> Relation:
        """Parse TABLESAMPLE and an alias behind a relation."""
        found = self.parse_samples(found)
        alias, names = self.parse_alias()
        if alias is None and not names:
            return found
        if bracketed and found.alias is not None:
            return found.replace(alias=alias, names=names or found.names)
        return found.replace(alias=alias, names=names)

    def parse_samples(self, base: Relation) -> Relation:
        """Parse TABLESAMPLE behind a relation."""
        while self.key == "TABLESAMPLE":
            first = self.at
            self.at += 1
            self.expect("(")
            end = self.source.closing[self.at - 1]
            words = [token.text.upper() for token in self.source.tokens[self.at : end]]
            unit = "rows" if "ROWS" in words else "bucket" if "BUCKET" in words else "percent"
            amount = "".join(word for word in words if word not in {"ROWS", "PERCENT"})
            self.at = end + 1
            seed = None
            if self.take("REPEATABLE", "("):
                seed = int(self.token.text)
                self.at += 1
                self.expect(")")
            base = Sample(base, amount, cast("nodes.SampleUnit", unit), seed, id=self.new_id(), at=first)
        return base

    def make_inline_table(
        self, rows: tuple[Expression, ...], alias: str | None, names: tuple[str, ...], first: int
    ) -> InlineTable:
        """Return VALUES as a relation."""
        return InlineTable(rows, id=self.new_id(), alias=alias, names=names, at=first)

    def parse_alias(self) -> tuple[str | None, tuple[str, ...]]:
        """Parse `AS t (a, b)` behind a relation, with or without AS."""
        if self.take("AS"):
            alias = self.take_name() if self.key != "(" else None
        elif self.token_is_name() and (self.token.kind is Kind.QUOTED or self.key not in _NO_TABLE_ALIAS):
            alias = self.take_name()
        else:
            return None, ()
        return alias, self.parse_names() if self.key == "(" else ()

    def parse_names(self) -> tuple[str, ...]:
        """Parse names in brackets."""
        self.expect("(")
        names = self.parse_between_commas(self.take_name)
        self.expect(")")
        return names

    def parse_turned(self, base: Relation) -> Relation:
        """Parse PIVOT or UNPIVOT behind a relation."""
        return self._parse_pivot(base) if self.key == "PIVOT" else self._parse_unpivot(base)

    def _parse_pivot(self, base: Relation) -> Relation:
        first = self.at
        self.expect("PIVOT", "(")
        aggregates = self.parse_between_commas(self._parse_pivot_item)
        self.expect("FOR")
        if self.key == "(":
            columns = tuple(nodes.Column(name) for name in self.parse_names())
        else:
            self.folded = True
            columns = (nodes.Column(self.take_name()),)
        self.expect("IN", "(")
        values = self.parse_between_commas(self._parse_pivot_item)
        self.expect(")")
        self.expect(")")
        found = Pivot(base, aggregates, columns, values, id=self.new_id(), at=first)
        alias, names = self.parse_alias()
        return found.replace(alias=alias, names=names)

    def _parse_pivot_item(self) -> Item:
        first = self.at
        operand = self.parse_expression()
        aliases: tuple[str, ...] = ()
        if self.take("AS") or (self.token_is_name() and self.key not in {"FOR", "IN"}):
            aliases = (self.take_name(),)
        return Item(operand, aliases, at=first)

    def _parse_unpivot(self, base: Relation) -> Relation:
        first = self.at
        self.expect("UNPIVOT")
        nulls = self.take("INCLUDE", "NULLS")
        if not nulls:
            self.take("EXCLUDE", "NULLS")
        self.expect("(")
        values = self.parse_names() if self.key == "(" else (self.take_name(),)
        self.expect("FOR")
        label = self.take_name()
        self.expect("IN", "(")
        groups = self.parse_between_commas(self._parse_unpivot_group)
        self.expect(")")
        self.expect(")")
        found = Unpivot(base, values, label, groups, nulls, id=self.new_id(), at=first)
        alias, names = self.parse_alias()
        return found.replace(alias=alias, names=names)

    def _parse_unpivot_group(self) -> UnpivotGroup:
        first = self.at
        columns = []
        bracketed = self.take("(")
        while True:
            columns.append(self._parse_column())
            if not (bracketed and self.take(",")):
                break
        if bracketed:
            self.expect(")")
        alias = None
        if self.take("AS") or (self.token_is_name() and self.key != ")"):
            alias = self.take_name()
        return UnpivotGroup(tuple(columns), alias, at=first)

    def _parse_column(self) -> nodes.Column:
        first = self.at
        names = [self.take_name()]
        while self.take("."):
            names.append(self.take_name())
        return nodes.Column(names[-1], tuple(names[:-1]), at=first)
