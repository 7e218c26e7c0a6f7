"""LATERAL VIEW and LATERAL with functions that give rows, such as explode.

Sail filters by WHERE before a LATERAL VIEW gives its columns, and its `LATERAL explode(x)` keeps the rows whose x is
empty. So a view that WHERE reads becomes a LATERAL, and a LATERAL that must lose rows gets a condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcp_server.dialects.sail.fresh import FreshNames
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.lists import columns_of
from mcp_server.dialects.sail.names import Names, names_of
from mcp_server.dialects.sail.relation import Relation
from mcp_server.sql.blocks import Block, split_at_commas
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, copy_operand, copy_tokens, join, quote_name, write_word
from mcp_server.sql.edits import Edit, delete_tokens
from mcp_server.sql.functions import functions

_KEEPS_ROWS = frozenset({"stack", "json_tuple"})
_BY_PLACE = frozenset({"explode", "posexplode"})


def generators(case: Case, _: Catalog) -> Sequence[Edit]:
    """The generators of every SELECT in the form of a LATERAL that answers as Spark's does."""
    if not any(token.key == "LATERAL" for token in case.source.tokens):
        return ()
    names = names_of(case)
    return [edit for block in case.blocks.selects for edit in _Generators(names, block).edits()]


class _Generators:
    """The generators of one SELECT; `conditions` go to its WHERE."""

    def __init__(self, names: Names, block: Block) -> None:
        self.names = names
        self.source = names.source
        self.block = block
        self.conditions: list[Sql] = []
        self.fresh = FreshNames(names.case)
        self.called: dict[int, Sql] = {}
        self.placed = False

    def edits(self) -> Sequence[Edit]:
        relations = self.names.sources.relations(self.block)
        called = [(before, r) for before, r in zip((None, *relations), relations, strict=False) if self.generates(r)]
        views = [r for _, r in called if "VIEW" in r.join]
        if not any(self.is_filtered(view) for view in views):
            called = [(before, r) for before, r in called if "VIEW" not in r.join]
        edits = [edit for before, relation in called for edit in self.lateral(relation, before)]
        return [*edits, *self.where(), *(self.stars() if self.placed else ())]

    def generates(self, relation: Relation) -> bool:
        known = functions().classes.get(relation.call) == "generator"
        return known and (relation.lateral or "VIEW" in relation.join)

    def is_filtered(self, view: Relation) -> bool:
        """Whether WHERE reads a column of a LATERAL VIEW."""
        where = self.block.clauses.get("WHERE")
        uses = self.names.uses(where.body, where.end, nested=True) if where is not None else ()
        columns = {column.key for column in view.columns or ()}
        return any(use.parts[0] == view.alias or use.parts[0] in columns for use in uses)

    def lateral(self, relation: Relation, before: Relation | None) -> Iterator[Edit]:
        """The edits that make one generator a LATERAL that gives Spark's rows."""
        outer = "OUTER" in relation.join if "VIEW" in relation.join else "LEFT" in relation.join
        if relation.using or "NATURAL" in relation.join or (outer and not self.is_true(relation)):
            raise lacking("LATERAL", "a generator joined by a condition", "Put the condition into WHERE.")
        before_this = len(self.conditions)
        written = self.written(relation, outer=outer)
        if written is None and not self.changes(relation):
            return
        followed = self.is_followed(relation)
        if followed and relation.join == (",",) and before is not None and before.join == (",",):
            raise lacking("LATERAL", "a generator between relations with commas", "Write JOIN in place of commas.")
        call = written or copy_tokens(self.source, relation.first, relation.end)
        yield Edit(relation.words, relation.end, compose("JOIN LATERAL {}" if followed else ", LATERAL {}", call))
        if relation.on is not None:
            if not self.is_true(relation):
                self.conditions.append(copy_operand(self.source, relation.on.body, relation.on.end))
            yield delete_tokens(relation.on.first, relation.on.end)
        if len(self.conditions) > before_this and self.is_filled(relation):
            raise lacking("LATERAL", "a generator before a RIGHT or FULL JOIN", "Put it into a sub-query.")

    def changes(self, relation: Relation) -> bool:
        """Whether the words around the call must change, where the call itself need not."""
        relations = list(self.names.sources.relations(self.block))
        apart = any(other.join == (",",) for other in relations[: relations.index(relation)])
        if relation.join == (",",):
            return self.is_followed(relation)
        return "VIEW" in relation.join or relation.on is not None or apart

    def is_true(self, relation: Relation) -> bool:
        return relation.on is None or copy_tokens(self.source, relation.on.body, relation.on.end).upper() == "TRUE"

    def is_followed(self, relation: Relation) -> bool:
        """Whether a JOIN comes behind."""
        relations = list(self.names.sources.relations(self.block))
        return any("JOIN" in other.join for other in relations[relations.index(relation) + 1 :])

    def is_filled(self, relation: Relation) -> bool:
        """Whether a join behind gives rows in which the columns of this relation are null."""
        relations = list(self.names.sources.relations(self.block))
        return any({"RIGHT", "FULL"} & {*other.join} for other in relations[relations.index(relation) + 1 :])

    def written(self, relation: Relation, *, outer: bool) -> Sql | None:
        """The call with its alias, or None where it may stay as it is; conditions are noted."""
        call, base = relation.call, relation.call.removesuffix("_outer")
        alias, listed = self.alias(relation), [column.name for column in relation.columns or ()]
        first = relation.first + 1
        argument = copy_tokens(self.source, first + 1, self.source.closing[first])
        view = "VIEW" in relation.join
        if base in _KEEPS_ROWS or (call != base and not view) or (call != base and view):
            return compose("{}({}) AS {}", write_word(call), argument, alias) if view else None
        if outer:
            return compose("{}({}) AS {}", write_word(f"{base}_outer"), argument, alias)
        parts = list(split_at_commas(self.source, first + 1, self.source.closing[first]))
        simple = len(parts) == 1 and self.names.sources.plain_name(*parts[0]) is not None
        if simple:
            self.conditions.append(compose("size({}) > 0", argument))
            return compose("{}({}) AS {}", write_word(f"{base}_outer"), argument, alias)
        if base not in _BY_PLACE or not listed or len(listed) > (2 if base == "posexplode" else 1):
            raise lacking("LATERAL", f"{call} of what is no column", "Name its argument in a sub-query first.")
        return self.by_place(relation, argument, listed)

    def by_place(self, relation: Relation, argument: Sql, listed: list[str]) -> Sql:
        """explode by its sister that tells the place too, which is null where there was nothing to give."""
        name, columns = self.name(relation), [quote_name(each) for each in listed]
        if len(columns) == 1:
            columns = [self.fresh.name(f"__place{relation.first}"), *columns]
            self.placed = True
        self.conditions.append(compose("{}.{} IS NOT NULL", name, columns[0]))
        return compose("posexplode_outer({}) AS {}({})", argument, name, join(", ", columns))

    def name(self, relation: Relation) -> Sql:
        if relation.named is not None:
            return copy_tokens(self.source, relation.named, relation.named + 1)
        if relation.first not in self.called:
            self.called[relation.first] = self.fresh.name(f"__view{relation.first}")
        return self.called[relation.first]

    def alias(self, relation: Relation) -> Sql:
        columns = join(", ", (copy_tokens(self.source, token, token + 1) for token in relation.listed))
        return compose("{}({})", self.name(relation), columns) if columns else self.name(relation)

    def where(self) -> Iterator[Edit]:
        """The conditions in the WHERE of the SELECT."""
        if not self.conditions:
            return
        condition, clause = join(" AND ", self.conditions), self.block.clauses.get("WHERE")
        if clause is None:
            end = self.block.clauses["FROM"].end
            yield Edit(end, end, compose("WHERE {}", condition))
        else:
            old = copy_tokens(self.source, clause.body, clause.end)
            yield Edit(clause.body, clause.end, compose("({}) AND {}", old, condition))

    def stars(self) -> Iterator[Edit]:
        """Stars written out, so that they do not show the place."""
        for item in self.block.items:
            if self.names.sources.is_star(item):
                yield Edit(item.first, item.stop, join(", ", columns_of(self.names, self.block, item)))
