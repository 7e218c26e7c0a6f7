"""USING and NATURAL where columns are written with their relation.

In Sail `a JOIN b USING (k)` leaves one column `k` that belongs to nobody: `a.k` fails, and `a.*` comes without it. Then
the join gets an ON, `k` alone is written as what Spark takes for it, and `*` is written out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.names import Names, Use, names_of
from mcp_server.dialects.sail.relation import Column, Relation, flat, names
from mcp_server.sql.blocks import Block, Item
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, copy_tokens, join, quote_name
from mcp_server.sql.edits import Edit, delete_tokens


def usings(case: Case, _: Catalog) -> Sequence[Edit]:
    """The joins of every SELECT that writes a shared column, or a star, with a relation."""
    if not any(token.key in {"USING", "NATURAL"} for token in case.source.tokens):
        return ()
    places = names_of(case)
    return [edit for block in case.blocks.selects for edit in _Using(places, block).edits()]


class _Using:
    """The shared columns of one SELECT. `meant` is what each stands for where it is written alone."""

    def __init__(self, places: Names, block: Block) -> None:
        self.places = places
        self.source = places.source
        self.block = block
        found = list(places.sources.relations(block))
        self.relations = [*flat(found[:1]), *found[1:]]  # brackets around the first join change nothing
        self.meant: dict[str, Sql] = {}
        self.holders: dict[str, list[Relation]] = {}
        self.leading: dict[int, list[str]] = {}
        self.conditions: list[Edit] = []

    def edits(self) -> Sequence[Edit]:
        joined = [r for r in flat(self.relations) if r.using or "NATURAL" in r.join]
        if not joined or not self.is_needed():
            return ()
        before: list[Relation] = []
        for relation in self.relations:
            if any(part.using or "NATURAL" in part.join for part in relation.parts):
                raise lacking(
                    "USING", "a join in brackets whose columns are written with their relation", "Join with ON."
                )
            if relation in joined:
                self.condition(relation, before)
            before.append(relation)
        return [*self.conditions, *self.columns(), *self.stars()]

    def is_needed(self) -> bool:
        """Whether a column or a star is written with a relation whose columns may be shared."""
        shared = {self.source.tokens[token].name for relation in flat(self.relations) for token in relation.using}
        if any(self.is_twice(key) for key in shared):
            return True
        shared |= {c.key for r in self.relations if "NATURAL" in r.join for c in r.columns or ()}
        qualified = (
            use for use in self.places.uses(self.block.first, self.block.end, nested=True) if len(use.parts) > 1
        )
        if any(use.parts[-1] in shared and self.owns(use.parts[:-1]) for use in qualified):
            return True
        starred = (at for at in range(self.block.first, self.block.end) if self.source.key(at) == "*")
        return any(self.source.key(at - 1) == "." and self.owns((self.source.tokens[at - 2].name,)) for at in starred)

    def is_twice(self, key: str) -> bool:
        """Whether relations before a join have its column more than once; Spark takes the first."""
        held = sum(any(column.key == key for column in relation.columns or ()) for relation in flat(self.relations))
        used = sum(
            self.source.tokens[token].name == key for relation in flat(self.relations) for token in relation.using
        )
        return held > used + 1

    def owns(self, path: tuple[str, ...]) -> bool:
        return any(names(relation, path) for relation in flat(self.relations))

    def condition(self, relation: Relation, before: Sequence[Relation]) -> None:
        """ON in the place of USING and NATURAL."""
        columns = self.places.sources.visible(before)
        if columns is None or relation.columns is None or not self.written(relation):
            raise lacking("USING", "the columns of this join with their relation", "Join with ON.")
        keys = self.places.sources.shared(relation, columns, relation.columns)
        pairs = []
        for key in keys:
            left = self.meant.get(key) or self.first(key, columns)
            right = compose("{}.{}", self.written(relation), quote_name(key))
            pairs.append(compose("{} = {}", left, right))
            self.meant[key] = left
            if "RIGHT" in relation.join:
                self.meant[key] = right
            elif "FULL" in relation.join:
                self.meant[key] = compose("coalesce({}, {})", left, right)
        self.lead(keys, [*columns, *(Column(c.name, c.kind, relation) for c in relation.columns)])
        natural = [at for at in range(relation.words, relation.first) if self.source.key(at) == "NATURAL"]
        self.conditions += [delete_tokens(at, at + 1) for at in natural]
        end = relation.end
        if relation.using:
            end = self.source.closing[relation.end + 1] + 1
        self.conditions.append(
            Edit(relation.end, end, compose("ON {}", join(" AND ", pairs)) if pairs else compose(""))
        )

    def lead(self, keys: Sequence[str], columns: Sequence[Column]) -> None:
        """Notes that `m.*` begins with these columns, for every relation that shares them: those of the last join."""
        for key in keys:
            held = self.holders.setdefault(key, [])
            held += [c.owner for c in columns if c.key == key and c.owner is not None and c.owner not in held]
        for relation in {relation for key in keys for relation in self.holders[key]}:
            own = [key for key in keys if relation in self.holders[key]]
            before = self.leading.get(relation.first, [])
            self.leading[relation.first] = [*own, *(key for key in before if key not in own)]

    def first(self, key: str, columns: Sequence[Column]) -> Sql:
        found = next((column for column in columns if column.key == key), None)
        owner = self.written(found.owner) if found is not None and found.owner is not None else compose("")
        if found is None or not owner:
            raise lacking("USING", f"the shared column {key} here", "Join with ON.")
        return compose("{}.{}", owner, quote_name(found.name))

    def written(self, relation: Relation) -> Sql:
        return self.places.written(relation)

    def columns(self) -> Iterator[Edit]:
        """The shared columns that are written alone. A name that AS gives comes first behind the list."""
        items = {item.first: item for item in self.block.items}
        stars = [item for item in self.block.items if self.places.sources.is_star(item)]
        given = {self.source.tokens[token].name for item in self.block.items for token in item.names}
        behind = min((self.block.clauses[name].first for name in ("ORDER", "HAVING") if name in self.block.clauses),
                     default=self.block.end)  # fmt: skip
        for use in self.places.uses(self.block.first, self.block.end):
            meant = self.meant.get(use.parts[0]) if len(use.parts) == 1 else None
            if any(star.first <= use.at < star.end for star in stars):
                continue
            if meant is None or (use.at >= behind and use.parts[0] in given) or self.is_using(use):
                continue
            item = items.get(use.at)
            alone = item is not None and item.stop == use.end and not item.names
            self.places.check_captured(meant)
            name = copy_tokens(self.source, use.at, use.end)
            yield Edit(use.at, use.end, compose("{} AS {}", meant, name) if alone else meant)

    def is_using(self, use: Use) -> bool:
        return any(use.at in relation.using for relation in self.relations)

    def stars(self) -> Iterator[Edit]:
        """`*` written out: the shared columns first, then those of each relation; `m.*` where its order changes."""
        for item in self.block.items:
            if not self.places.sources.is_star(item):
                continue
            if self.source.key(item.first) == "*" or self.is_led(item):
                yield Edit(item.first, item.stop, join(", ", self.listed(item)))

    def is_led(self, item: Item) -> bool:
        """Whether the shared columns of `m.*` are not its first ones."""
        columns = self.places.sources.starred(self.relations, item) or ()
        owner = columns[0].owner if columns else None
        led = self.leading.get(owner.first, []) if owner is not None else []
        return [column.key for column in columns[: len(led)]] != led

    def listed(self, item: Item) -> Iterator[Sql]:
        columns = self.places.sources.starred(self.relations, item)
        if columns is None:
            raise lacking("USING", "SELECT * over this join", "Write the columns out.")
        alone = self.source.key(item.first) == "*"
        if not alone and columns and columns[0].owner is not None:
            led = self.leading.get(columns[0].owner.first, [])
            columns = tuple(sorted(columns, key=lambda c: led.index(c.key) if c.key in led else len(led)))
        for column in columns:
            owner = self.written(column.owner) if column.owner is not None else compose("")
            meant = self.meant.get(column.key) if alone else None
            plain = compose("{}.{}", owner, quote_name(column.name)) if owner else quote_name(column.name)
            yield compose("{} AS {}", meant, quote_name(column.name)) if meant else plain
