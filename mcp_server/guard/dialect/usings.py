"""USING and NATURAL where columns are written with their relation.

In Sail `a JOIN b USING (k)` leaves one column `k` that belongs to nobody: `a.k` fails, and `a.*` comes without it. Then
the join gets an ON, `k` alone is written as what Spark takes for it, and `*` is written out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcp_server.guard.blocks import Block, Item
from mcp_server.guard.case import Case
from mcp_server.guard.catalog import Catalog
from mcp_server.guard.dialect.edits import Edit, lacking
from mcp_server.guard.dialect.names import Names, Use
from mcp_server.guard.dialect.relation import Column, Relation, flat, names, quoted


def usings(case: Case, _: Catalog) -> Sequence[Edit]:
    """The joins of every SELECT that writes a shared column, or a star, with a relation."""
    if not any(token.key in {"USING", "NATURAL"} for token in case.source.tokens):
        return ()
    places = Names(case)
    return [edit for block in case.blocks.selects for edit in _Using(places, block).edits()]


class _Using:
    """The shared columns of one SELECT. `meant` is what each stands for where it is written alone."""

    def __init__(self, places: Names, block: Block) -> None:
        self.places = places
        self.source = places.source
        self.block = block
        self.relations = list(places.sources.relations(block))
        self.meant: dict[str, str] = {}
        self.conditions: list[Edit] = []

    def edits(self) -> Sequence[Edit]:
        joined = [r for r in self.relations if r.using or "NATURAL" in r.join]
        if not joined or not self.is_needed():
            return ()
        before: list[Relation] = []
        for relation in self.relations:
            if relation in joined:
                self.condition(relation, before)
            before.append(relation)
        return [*self.conditions, *self.columns(), *self.stars()]

    def is_needed(self) -> bool:
        """Whether a column or a star is written with a relation whose columns may be shared."""
        shared = {self.source.tokens[token].name for relation in self.relations for token in relation.using}
        shared |= {c.key for r in self.relations if "NATURAL" in r.join for c in r.columns or ()}
        qualified = (
            use for use in self.places.uses(self.block.first, self.block.end, nested=True) if len(use.parts) > 1
        )
        if any(use.parts[-1] in shared and self.owns(use.parts[:-1]) for use in qualified):
            return True
        starred = (at for at in range(self.block.first, self.block.end) if self.source.key(at) == "*")
        return any(self.source.key(at - 1) == "." and self.owns((self.source.tokens[at - 2].name,)) for at in starred)

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
            right = f"{self.written(relation)}.{quoted(key)}"
            pairs.append(f"{left} = {right}")
            self.meant[key] = left
            if "RIGHT" in relation.join:
                self.meant[key] = right
            elif "FULL" in relation.join:
                self.meant[key] = f"coalesce({left}, {right})"
        natural = [at for at in range(relation.words, relation.first) if self.source.key(at) == "NATURAL"]
        self.conditions += [Edit(at, at + 1, "") for at in natural]
        end = relation.end
        if relation.using:
            end = self.source.closing[relation.end + 1] + 1
        self.conditions.append(Edit(relation.end, end, "ON " + " AND ".join(pairs) if pairs else ""))

    def first(self, key: str, columns: Sequence[Column]) -> str:
        found = [column for column in columns if column.key == key]
        owner = self.written(found[0].owner) if len(found) == 1 and found[0].owner is not None else ""
        if not owner:
            raise lacking("USING", f"the shared column {key} here", "Join with ON.")
        return f"{owner}.{quoted(found[0].name)}"

    def written(self, relation: Relation) -> str:
        return self.places.written(relation)

    def columns(self) -> Iterator[Edit]:
        """The shared columns that are written alone. A name that AS gives comes first behind the list."""
        items = {item.first: item for item in self.block.items}
        given = {self.source.tokens[token].name for item in self.block.items for token in item.names}
        behind = min((self.block.clauses[name].first for name in ("ORDER", "HAVING") if name in self.block.clauses),
                     default=self.block.end)  # fmt: skip
        for use in self.places.uses(self.block.first, self.block.end):
            meant = self.meant.get(use.parts[0]) if len(use.parts) == 1 else None
            if meant is None or (use.at >= behind and use.parts[0] in given) or self.is_using(use):
                continue
            item = items.get(use.at)
            alone = item is not None and item.stop == use.end and not item.names
            yield Edit(use.at, use.end, meant + (f" AS {self.source.tokens[use.at].text}" if alone else ""))

    def is_using(self, use: Use) -> bool:
        return any(use.at in relation.using for relation in self.relations)

    def stars(self) -> Iterator[Edit]:
        """`*` written out: the shared columns first, then those of each relation."""
        for item in self.block.items:
            if self.places.sources.is_star(item) and self.source.key(item.first) == "*":
                yield Edit(item.first, item.stop, ", ".join(self.listed(item)))

    def listed(self, item: Item) -> Iterator[str]:
        columns = self.places.sources.starred(self.relations, item)
        if columns is None:
            raise lacking("USING", "SELECT * over this join", "Write the columns out.")
        for column in columns:
            owner = self.written(column.owner) if column.owner is not None else ""
            meant = self.meant.get(column.key)
            yield (
                f"{meant} AS {quoted(column.name)}"
                if meant
                else f"{owner}.{quoted(column.name)}"
                if owner
                else quoted(column.name)
            )
