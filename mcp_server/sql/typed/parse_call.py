"""Parses calls, with what stands behind them, and windows."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mcp_server.sql.compose import Sql, quote_text
from mcp_server.sql.lexer import Kind
from mcp_server.sql.typed import nodes
from mcp_server.sql.typed.literals import value_of
from mcp_server.sql.typed.nodes import Expression, Frame, SortKey, Window
from mcp_server.sql.typed.parse_operand import OperandParser
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.types import STRING

_BEHIND_TRIM: Final = {"BOTH": "both", "LEADING": "leading", "TRAILING": "trailing"}
_BEHIND_CALL: Final = frozenset({"WITHIN", "FILTER", "IGNORE", "RESPECT", "OVER"})
_WORDED: Final = frozenset({"overlay", "position", "substr", "substring"})
_UNIT_CALLS: Final = frozenset(
    {"date_add", "date_diff", "dateadd", "datediff", "timediff", "timestampadd", "timestampdiff"}
)
"""Functions whose first of three arguments is the word for a unit, as in timestampadd(MONTH, 1, t)."""


class CallParser(OperandParser):
    """Parses calls and windows."""

    @abstractmethod
    def parse_operation(self) -> Expression:
        """Parse an expression without NOT, AND, OR and predicates."""

    @abstractmethod
    def parse_type(self) -> Sql:
        """Parse the name of a type."""

    def parse_call(self, first: int, names: list[str]) -> Expression:
        """Parse a call behind its name."""
        name = names[-1].lower()
        end = self.source.closing[self.at]
        if name in {"cast", "try_cast"} and len(names) == 1:
            self.at += 1
            operand = self.parse_expression()
            self.expect("AS")
            text = self.parse_type()
            call: Expression = nodes.Cast(operand, text, name == "try_cast", at=first)
        elif name == "exists" and self.opens_query():
            return nodes.Exists(self.parse_bracketed_query(), at=first)
        else:
            self.at += 1
            distinct = self.take("DISTINCT")
            if not distinct:
                self.sees("ALL") and self.source.key(self.at + 1) not in {")", ","} and self.take("ALL")
            how, arguments = self._parse_arguments(name, end)
            call = nodes.Call(name, arguments, distinct, how=how, at=first)
            if name == "div" and len(arguments) == 2 and not distinct:  # the operator under its other name
                self.folded = True
                call = nodes.Binary("div", *arguments, at=first)
        if self.at != end:
            self.fail()
        self.at = end + 1
        return self._parse_call_tail(call) if isinstance(call, nodes.Call) else call

    def _parse_arguments(self, name: str, end: int) -> tuple[str, tuple[Expression, ...]]:
        """Parse arguments between commas, or between words as in `substring(s FROM 1 FOR 2)`."""
        how, arguments = "", list[Expression]()
        if name == "trim" and self.key in _BEHIND_TRIM:
            how = _BEHIND_TRIM[self.key]
            self.at += 1
            if self.take("FROM"):
                return how, (self.parse_expression(),)
        if name == "extract" and self.source.key(self.at + 1) == "FROM":
            field = self.token
            word = quote_text(value_of(field.text) if field.kind is Kind.STRING else field.bare)
            arguments.append(nodes.Constant(word, field.bare.strip("'\""), type=STRING, at=self.at))
            self.at += 2
        while self.at < end:
            # `position(a IN b)`: IN stands between arguments, and is no predicate there.
            if name == "position" and not arguments:
                arguments.append(self.parse_operation())
            else:
                arguments.append(self.parse_aliased())
            if self.at < end and self.key in {",", "FROM", "FOR", "IN", "PLACING"}:
                how = how or _read_way(name, self.key)
                self.at += 1
            elif self.at < end:
                self.fail()
        if name in _UNIT_CALLS and len(arguments) == 3:
            arguments[0] = _read_unit(arguments[0])
        return how, tuple(arguments)

    def _parse_call_tail(self, call: nodes.Call) -> nodes.Call:
        """Parse WITHIN GROUP, FILTER, IGNORE NULLS and OVER behind a call."""
        while self.key in _BEHIND_CALL:
            if self.take("WITHIN", "GROUP", "("):
                call = call.replace(within=self.parse_sort_keys("ORDER"))
                self.expect(")")
            elif self.take("FILTER", "(", "WHERE"):
                call = call.replace(filter=self.parse_expression())
                self.expect(")")
            elif self.key in {"IGNORE", "RESPECT"} and self.source.key(self.at + 1) == "NULLS":
                call = call.replace(nulls=self.key.lower())
                self.at += 2
            elif self.take("OVER"):
                call = call.replace(window=self.parse_window())
            else:
                break
        return call

    def parse_window(self) -> Window:
        """Parse the name of a window, or its definition in brackets."""
        first = self.at
        if self.key != "(":
            return Window(base=self.take_name(), at=first)
        end = self.source.closing[self.at]
        self.at += 1
        partition: tuple[Expression, ...] = ()
        order: tuple[SortKey, ...] = ()
        base = None
        if self.at < end and self.token.is_name and self.at + 1 == end:
            base = self.take_name()
        self.folded |= self.key in {"DISTRIBUTE", "CLUSTER"}
        if any(self.take(word, "BY") for word in ("PARTITION", "DISTRIBUTE", "CLUSTER")):
            partition = self.parse_many()
        if self.key in {"ORDER", "SORT"}:
            self.folded |= self.key == "SORT"
            order = self.parse_sort_keys(self.key)
        frame = self._parse_frame() if self.key in {"ROWS", "RANGE"} else None
        if self.at != end:
            self.fail()
        self.at = end + 1
        return Window(partition, order, frame, base, at=first)

    def _parse_frame(self) -> Frame:
        first = self.at
        unit: nodes.FrameUnit = "rows" if self.key == "ROWS" else "range"
        self.at += 1
        between = self.take("BETWEEN")
        start, low = self._parse_edge()
        end: nodes.FrameEdge = "current row"
        high = None
        if between:
            self.expect("AND")
            end, high = self._parse_edge()
        return Frame(unit, start, end, low, high, at=first)

    def _parse_edge(self) -> tuple[nodes.FrameEdge, Expression | None]:
        if self.take("CURRENT", "ROW"):
            return "current row", None
        if self.take("UNBOUNDED"):
            preceding = self.take("PRECEDING")
            if not preceding:
                self.expect("FOLLOWING")
            return "unbounded preceding" if preceding else "unbounded following", None
        distance = self.parse_expression()
        preceding = self.take("PRECEDING")
        if not preceding:
            self.expect("FOLLOWING")
        return "preceding" if preceding else "following", distance

    def parse_many(self) -> tuple[Expression, ...]:
        """Parse expressions between commas."""
        return self.parse_between_commas(self.parse_expression)

    def parse_sort_keys(self, word: str) -> tuple[SortKey, ...]:
        """Parse ORDER BY or SORT BY."""
        self.expect(word, "BY")
        return self.parse_between_commas(self.parse_sort_key)

    def parse_sort_key(self) -> SortKey:
        """Parse one key of an order."""
        first = self.at
        operand = self.parse_expression()
        descending = self.take("DESC")
        if not descending:
            self.take("ASC")
        nulls_first = None
        if self.take("NULLS"):
            nulls_first = self.key == "FIRST"
            self.at += 1
        return SortKey(operand, descending, nulls_first, at=first)


def _read_unit(node: Expression) -> Expression:
    """Return the word for a unit as a text. Errors: SparkRefuses, where it is a text already."""
    if isinstance(node, nodes.Constant) and node.type == STRING:
        text = f"The unit is a word, not a text: write {node.value} without quotes."
        raise SparkRefuses("INVALID_PARAMETER_VALUE.DATETIME_UNIT", text, node.at)
    if isinstance(node, nodes.Column) and not node.parts:
        return nodes.Constant(quote_text(node.name), node.name, type=STRING, at=node.at)
    return node


def _read_way(name: str, between: str) -> str:
    """Return how a call is written, by what stands between its arguments."""
    if name == "trim":
        return "both" if between == "FROM" else ""
    return "words" if between != "," and name in _WORDED else ""
