"""A relation of a FROM and its columns, as rewrites see them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mcp_server.sql.blocks import Clause, Query


@dataclass(frozen=True)
class Column:
    """A column of a relation, in the spelling that `*` shows. `owner` is the relation that holds it."""

    name: str
    kind: str | None = None
    owner: Relation | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        return self.name.lower()


Columns = tuple[Column, ...]


@dataclass(eq=False)
class Relation:
    """One relation of a FROM: tokens `first` to `end`, its name or brackets up to `core`.

    `join` are the words of its join, upper case: empty for the first, `,` for a comma. `on` is the clause of its
    condition, `using` the tokens of the names in its USING. `named` is the token of its alias. `columns` are None
    where they are not known. `parts` are the relations within its brackets, where it stands for several.
    """

    first: int
    core: int
    end: int
    join: tuple[str, ...] = ()
    words: int = 0
    lateral: bool = False
    named: int | None = None
    listed: tuple[int, ...] = ()
    sampled: Clause | None = None
    pivot: Clause | None = None
    before: Columns | None = None
    on: Clause | None = None
    using: tuple[int, ...] = ()
    query: Query | None = None
    call: str = ""
    parts: tuple[Relation, ...] = ()
    alias: str = ""
    path: tuple[str, ...] = ()
    columns: Columns | None = None


Relations = Sequence[Relation]


def names(relation: Relation, path: tuple[str, ...]) -> bool:
    """Whether columns written with `path` before them are the relation's."""
    if relation.alias:
        return path == (relation.alias,)
    return bool(relation.path) and all(a == b for a, b in zip(reversed(path), reversed(relation.path), strict=False))


def flat(relations: Iterable[Relation]) -> Iterator[Relation]:
    """The relations, and in the place of brackets those within, which keep their names where the brackets have none."""
    for relation in relations:
        if relation.parts and not relation.alias:
            yield from flat(relation.parts)
        else:
            yield relation
