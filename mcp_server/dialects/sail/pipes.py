"""Pipes (`FROM t |> WHERE c |> SELECT a`) as SELECTs, and a FROM that stands before its SELECT behind it.

Steps join the SELECT at hand as long as its clauses then work in the order of the steps; the next step wraps it.
The guard's copy for sqlglot folds pipes too (analysis_copy.py), each into a sub-query: enough to see what is read and
called, and not to answer alike, because names of relations end at a sub-query and go on behind a pipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from sqlglot import exp

from mcp_server.dialects.sail.fresh import FreshNames
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.relation import Column, Columns, Relation, flat
from mcp_server.dialects.sail.sources import Sources
from mcp_server.dialects.sail.stage import Stage
from mcp_server.sql.blocks import Block, Query, Rows, skip_brackets, split_at_commas
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, as_operand, compose, copy_replaced, copy_tokens, join, quote_name
from mcp_server.sql.edits import Edit, delete_tokens
from mcp_server.sql.functions import functions
from mcp_server.sql.words import SET_OPERATORS

_JOINS = frozenset({"JOIN", "INNER", "CROSS", "LEFT", "RIGHT", "FULL", "SEMI", "ANTI", "NATURAL"})
_AROUND = frozenset({"PIVOT", "UNPIVOT", "TABLESAMPLE"})
_TAILS = {
    "ORDER": "order",
    "LIMIT": "limit",
    "OFFSET": "limit",
    "SORT": "sort",
    "CLUSTER": "sort",
    "DISTRIBUTE": "sort",
}
_HOW = frozenset({"ASC", "DESC", "NULLS"})
_OF_ROWS = frozenset({"aggregate", "collecting", "window", "generator"})


def unpipe(case: Case, _: Catalog) -> Sequence[Edit]:
    """Innermost pipes first; with none left, SELECT before FROM."""
    keys = {token.key for token in case.source.tokens}
    if "|>" in keys:
        piped = [query for query in case.blocks.queries if query.pipes]
        inner = [q for q in piped if not any(q.first < other.first < q.end for other in piped)]
        return [Edit(query.head, query.end, _Fold(case, query).run()) for query in inner]
    return [
        edit for block in case.blocks.selects if case.source.key(block.first) == "FROM" for edit in _turned(case, block)
    ]


def _turned(case: Case, block: Block) -> Iterator[Edit]:
    listed = block.clauses.get("SELECT")
    if listed is None:
        yield Edit(block.first, block.first, compose("SELECT *"))
        return
    views = (at for at in range(listed.body, listed.end) if case.source.key(at) == "LATERAL")
    end = next(views, listed.end)
    yield Edit(block.first, block.first, copy_tokens(case.source, listed.first, end))
    yield delete_tokens(listed.first, end)


class _Fold:
    """Folds the pipes of one query, from its first step to its last."""

    def __init__(self, case: Case, query: Query) -> None:
        self.case = case
        self.source = case.source
        self.sources = Sources(case)
        self.query = query
        self.fresh_names = FreshNames(case)
        self.wrapped = 0
        self.lost: frozenset[str] = frozenset()
        self.stage = self.start()

    def run(self) -> Sql:
        pipes = (*self.query.pipes, self.query.end)
        for pipe, end in pairwise(pipes):
            self.step(pipe + 1, end)
        return self.stage.text

    def start(self) -> Stage:
        """What stands before the first pipe."""
        query, term = self.query, self.query.terms[0]
        if query.block and self.source.key(query.head) == "FROM" and set(query.block.clauses) == {"FROM"}:
            clause = query.block.clauses["FROM"]
            relations = list(self.sources.relations(query.block))
            columns = self.sources.visible(relations)
            return Stage(relations, copy_tokens(self.source, clause.body, clause.end), columns)
        if isinstance(term, Rows) and len(query.terms) == 1:
            relations = list(self.sources.joined(query.head, query.pipes[0]))
            return Stage(relations, copy_tokens(self.source, query.head, query.pipes[0]), relations[0].columns)
        text = copy_tokens(self.source, query.head, query.pipes[0])
        turned = isinstance(term, Block) and self.source.key(term.first) == "FROM"
        inner = (
            join(" ", (edit.text for edit in _turned(self.case, term))) if isinstance(term, Block) and turned else None
        )
        if inner and isinstance(term, Block) and "SELECT" in term.clauses:
            raise lacking("pipes", "a pipe behind FROM … SELECT", "Write SELECT … FROM before the first |>.")
        kept = self.kept(term) if isinstance(term, Block) and len(query.terms) == 1 else ""
        return self.around(
            compose("({} {})", inner, text) if inner else compose("({})", text), self.sources.term(term), kept
        )

    def kept(self, block: Block) -> str:
        """The one name under which the columns of a SELECT are known behind it, if there is one."""
        found = {relation.alias or (relation.path or ("",))[-1] for relation in flat(self.sources.relations(block))}
        return found.pop() if len(found) == 1 else ""

    def around(self, text: Sql, columns: Columns | None, name: str = "") -> Stage:
        """A SELECT around a query in brackets."""
        self.wrapped += 1
        alias = name or self.fresh_names.name(f"__pipe_{self.wrapped}")
        relation = Relation(0, 0, 0, alias=alias, columns=columns)
        return Stage([relation], compose("{} AS {}", text, quote_name(alias)), columns)

    def wrap(self, *, ordered: bool = True) -> Stage:
        """The stage as a sub-query of the next. `ordered` says that the next step keeps the order of rows."""
        stage, around = self.stage, ""
        relations = list(flat(tuple(stage.relations)))
        if len(relations) == 1:
            around = relations[0].alias or (relations[0].path or ("",))[-1]
        else:
            self.lost |= {relation.alias or (relation.path or ("",))[-1] for relation in relations}
        order: Sql | None = None
        if ordered and stage.order is not None:
            kept = {column.key for column in stage.columns or ()}
            if not stage.order_names or not stage.order_names <= kept:
                raise lacking("pipes", "steps behind an ORDER BY that must keep its order", "Put ORDER BY last.")
            order = stage.order
        found = self.around(compose("({})", stage.text), stage.columns, around)
        if order:
            found.order, found.order_names = order, stage.order_names
        return found

    def step(self, first: int, end: int) -> None:
        word = self.source.key(first)
        if word in _JOINS:
            self.join(first, end)
        elif word in SET_OPERATORS:
            self.operate(first, end)
        elif word in _AROUND:
            columns = self.stage.columns if word == "TABLESAMPLE" else None
            source = compose("({}) {}", self.stage.text, self.words(first, end))
            self.stage = Stage([Relation(0, 0, 0, alias="", columns=columns)], source, columns)
        elif word in _TAILS:
            self.tail(_TAILS[word], first, end)
        elif word in _STEPS:
            _STEPS[word](self, first + 1, end)
        else:
            raise lacking("pipes", f"{word} behind a pipe", "Write the step as a SELECT around the steps before it.")

    def words(self, first: int, end: int) -> Sql:
        """The sender's words, without the names of relations that a sub-query has put out of sight."""
        tree, gone = self.case.tree, self.lost - {r.alias for r in self.stage.relations}
        dropped: set[int] = set()
        for node in tree.find_all(exp.Column) if gone else ():
            at = self.case.tree.copy.origin.get(node.parts[0].meta.get("start", -1))
            if at is None or not first <= at < end or node.table.lower() not in gone or len(node.parts) != 2:
                continue
            same = [c for c in self.stage.columns or () if c.key == node.name.lower()]
            if len(same) != 1 or any(first < q.first <= at < q.end <= end for q in self.case.blocks.queries):
                raise lacking(
                    "pipes", f"{node.sql()} so far behind its JOIN", "SELECT the columns that go on, with AS."
                )
            dropped |= {at, at + 1}
        return copy_replaced(self.source, first, end, lambda at: compose("") if at in dropped else None)

    def join(self, first: int, end: int) -> None:
        stage = self.stage = self.stage if self.stage.bare else self.wrap(ordered=False)
        stage.source = join(" ", [stage.source, self.words(first, end)])
        stage.relations += self.sources.joined(first, end)
        stage.columns = self.sources.visible(stage.relations)

    def operate(self, first: int, end: int) -> None:
        at = first + 2 if self.source.key(first + 1) in {"ALL", "DISTINCT"} else first + 1
        operator, right = copy_tokens(self.source, first, at), copy_tokens(self.source, at, end)
        if self.source.key(at) == "FROM":
            right = compose("SELECT * {}", right)
        self.stage = self.around(compose("(({}) {} ({}))", self.stage.text, operator, right), self.stage.columns)

    def where(self, first: int, end: int) -> None:
        stage = self.stage
        if stage.listed is not None or stage.limit is not None:
            stage = self.stage = self.wrap()
        stage.where.append(as_operand(self.words(first, end)))

    def tail(self, kind: str, first: int, end: int) -> None:
        """ORDER BY and LIMIT. What only spreads rows changes no answer and is left out."""
        if kind == "sort":
            return
        if self.stage.limit is not None or (kind == "order" and self.stage.order is not None):
            self.stage = self.wrap(ordered=kind != "order")
        if kind == "limit":
            self.stage.limit = self.words(first, end)
            return
        self.stage.order = self.words(first, end)
        keys = list(split_at_commas(self.source, first + 2, end))
        plain = [a for a, b in keys if self.source.tokens[a].is_name and (b == a + 1 or self.source.key(a + 1) in _HOW)]
        named = frozenset(self.source.tokens[a].name for a in plain)
        self.stage.order_names = named if len(plain) == len(keys) else frozenset()

    def fresh(self, first: int, end: int) -> Stage:
        """A stage that takes a SELECT list: no other one yet, and no LIMIT where the list makes or sees other rows."""
        stage, known = self.stage, functions().classes
        calls = {known.get(name, "") for at, name in self.case.reading.calls.items() if first <= at < end}
        windows = any(self.source.key(at) in {"OVER", "DISTINCT"} for at in range(first, end))
        given = {self.source.tokens[token].name for item in self.case.blocks.items(first, end) for token in item.names}
        hides = stage.order is not None and (not stage.order_names or stage.order_names & given)
        if stage.listed is not None or hides or (stage.limit is not None and (windows or calls & _OF_ROWS)):
            self.stage = self.wrap()
        return self.stage

    def select(self, first: int, end: int) -> None:
        window = next((at for at in range(first, end) if self.source.key(at) == "WINDOW"), end)
        stage = self.fresh(first, end)
        text = self.words(first, window)
        distinct = self.source.key(first) in {"DISTINCT", "ALL"}
        stage.columns = self.sources.listed(stage.relations, tuple(self.case.blocks.items(first + distinct, window)))
        stage.listed, stage.behind = compose("SELECT {}", text), self.words(window, end)

    def extend(self, first: int, end: int) -> None:
        stage = self.fresh(first, end)
        stage.listed = compose("SELECT *, {}", self.words(first, end))
        added = [self.given(item.names) for item in self.case.blocks.items(first, end)]
        stage.columns = None if stage.columns is None else (*stage.columns, *(c for each in added for c in each))

    def given(self, tokens: tuple[int, ...]) -> Columns:
        return tuple(Column(self.source.tokens[token].bare) for token in tokens) or (Column(""),)

    def set(self, first: int, end: int) -> None:
        """Each assignment sees those before it."""
        for start, stop in split_at_commas(self.source, first, end):
            name = self.source.tokens[start]
            stage = self.fresh(start, stop)
            found = [column for column in stage.columns or () if column.key == name.name]
            if len(found) != 1:
                raise lacking("pipes", f"SET {name.text} here", "Name the columns in SELECT instead.")
            columns = stage.columns or ()
            items = [self.written(column, columns) for column in columns]
            items[columns.index(found[0])] = compose(
                "{} AS {}", self.words(start + 2, stop), copy_tokens(self.source, start, start + 1)
            )
            stage.listed = compose("SELECT {}", join(", ", items))
            spelled = name.bare
            stage.columns = tuple(Column(spelled) if column is found[0] else column for column in columns)

    def written(self, column: Column, columns: Columns) -> Sql:
        """A column by its name, with its relation where others have the same name."""
        same = sum(other.key == column.key for other in columns) > 1
        owner = column.owner.alias or (column.owner.path or ("",))[-1] if column.owner else ""
        if (same and (not owner or owner in self.lost)) or not column.name:
            raise lacking("pipes", f"SET beside two columns {column.name}", "Name the columns in SELECT instead.")
        return compose("{}.{}", quote_name(owner), quote_name(column.name)) if same else quote_name(column.name)

    def drop(self, first: int, end: int) -> None:
        stage = self.fresh(first, end)
        stage.listed = compose("SELECT * EXCEPT ({})", self.words(first, end))
        gone = {self.source.tokens[start].name for start, _ in split_at_commas(self.source, first, end)}
        stage.columns = None if stage.columns is None else tuple(c for c in stage.columns if c.key not in gone)

    def rename(self, first: int, end: int) -> None:
        self.stage = self.around(compose("({})", self.stage.text), self.stage.columns, self.source.tokens[first].name)
        del end

    def aggregate(self, first: int, end: int) -> None:
        """Groups come first. A number in GROUP BY counts the columns before the step."""
        stage = self.stage
        if stage.listed is not None or stage.limit is not None or stage.order is not None:
            stage = self.stage = self.wrap(ordered=False)
        group = next((at for at in self.steps(first, end) if self.source.key(at) == "GROUP"), end)
        groups = list(self.case.blocks.items(min(group + 2, end), end))
        keys = [self.ordinal(self.words(item.first, item.stop)) for item in groups]
        shown = [
            join(" ", [key, self.words(item.stop, item.end)]) if item.names else key
            for key, item in zip(keys, groups, strict=True)
        ]
        whole = self.words(first, group)
        stage.listed = compose("SELECT {}", join(", ", [*shown, whole]))
        stage.behind = compose("GROUP BY {}", join(", ", keys)) if keys else None
        columns = self.sources.listed(stage.relations, (*groups, *self.case.blocks.items(first, group)), unnamed=True)
        stage.columns = columns

    def steps(self, first: int, end: int) -> Iterator[int]:
        while first < end:
            yield first
            first = skip_brackets(self.source, first)

    def ordinal(self, key: Sql) -> Sql:
        columns = self.stage.columns or ()
        if not key.isdigit():
            return key
        if not 1 <= int(key) <= len(columns):
            raise lacking("pipes", f"GROUP BY {key} here", "Write the name of the column.")
        return self.written(columns[int(key) - 1], columns)


_STEPS: Final[Mapping[str, Callable[[_Fold, int, int], None]]] = {
    "WHERE": _Fold.where,
    "SELECT": _Fold.select,
    "EXTEND": _Fold.extend,
    "SET": _Fold.set,
    "DROP": _Fold.drop,
    "AS": _Fold.rename,
    "AGGREGATE": _Fold.aggregate,
}
