"""What a draft of a lake's context takes its tables for: keys, joins, and the columns that things are named by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from mcp_server.context.rows import ColumnRows, TableRows

_NO_LETTERS = re.compile(r"[^a-z]+")

_NAMING: Final = ("name", "title", "label")
_KEY_ENDINGS: Final = ("id", "key", "code", "no", "const")
_LEAST_DIFFERENT: Final = 0.5
"""The least share of different values in a column that names things."""
_ENDING_IN_IE: Final = {"cookies", "movies", "series", "ties"}
_MANY_NULLS: Final = 0.2
_NUMBERS: Final = ("int", "bigint", "double", "float", "decimal")


@dataclass(frozen=True)
class GuessedJoin:
    """Rows of `table.column` find a partner in `to_table.to_column`, which is its key."""

    table: str
    column: str
    to_table: str
    to_column: str


@dataclass(frozen=True)
class GuessedEntity:
    """A table whose rows are things that people name. `detail` tells things of one name apart."""

    kind: str
    table: str
    column: str
    key: str
    detail: str | None


def guess_key(found: TableRows) -> tuple[str, ...]:
    """Return the key that is declared, or a column of ids that has another value in every row; empty without one."""
    if found.table.key or not found.rows:
        return found.table.key
    unique = [c for c in found.columns if c.known == found.rows == c.different]
    named = [c for c in unique if c.column.name.lower().endswith(_KEY_ENDINGS)]
    return (named[0].column.name,) if named else ()


def guess_joins(tables: Sequence[TableRows]) -> list[GuessedJoin]:
    """Return columns with the name and type of another table's key, or with `<table>_id` for its key `id`.

    Views repeat what their tables say: they are left out where there are tables. Of tables with the same key, the one
    whose rows have names is what the others join, or else the one with most columns.
    """
    stored = [found for found in tables if found.table.kind != "view"] or list(tables)
    hubs: dict[tuple[str, str], TableRows] = {}
    for found in stored:
        key = guess_key(found)
        if len(key) == 1:
            # Keys called `id` are each table's own.
            own = (found.table.name if key[0].lower() == "id" else "", key[0].lower())
            hubs[own] = max(hubs.get(own, found), found, key=_weigh_hub)
    joins = []
    for hub, child in product(hubs.values(), stored):
        (name,) = guess_key(hub)
        for column in child.table.columns if child is not hub else ():
            same = column.name.lower() == name.lower() != "id"
            if column.type == _find_type(hub, name) and (same or _refers_to(column.name, hub.table.name, name)):
                joins.append(GuessedJoin(child.table.name, column.name, hub.table.name, name))
    return joins


def guess_entities(tables: Sequence[TableRows]) -> list[GuessedEntity]:
    """Return the tables that have a key of one column and a text column that names their rows."""
    entities: dict[str, GuessedEntity] = {}
    for found in tables:
        key = guess_key(found)
        naming = _find_naming(found) if found.table.kind != "view" and len(key) == 1 else None
        if naming is None or naming.column.name == key[0]:
            continue
        kind = guess_kind(found.table.name)
        numbers = [c.column for c in found.columns if c.column.type.startswith(_NUMBERS) and c.column.name != key[0]]
        detail = next((c.name for c in numbers if "year" in c.name.lower()), None)
        entities.setdefault(kind, GuessedEntity(kind, found.table.name, naming.column.name, key[0], detail))
    return list(entities.values())


def list_sparse(found: TableRows) -> list[tuple[str, int]]:
    """List the columns that are often null, with the share of nulls in percent."""
    shares = [(c.column.name, 1 - c.known / found.rows) for c in found.columns if found.rows]
    return [(name, round(100 * share)) for name, share in shares if share >= _MANY_NULLS]


def guess_kind(table: str) -> str:
    """Guess what one row of a table is called.

    >>> guess_kind("dim_Customers_delta")
    'customer'
    """
    words = [word for word in _NO_LETTERS.split(table.lower()) if word]
    plain = [word for word in words if word not in {"dim", "fact", "delta", "table", "tbl", "silver", "gold", "raw"}]
    word = (plain or words or ["thing"])[-1]
    if word.endswith("ies") and word not in _ENDING_IN_IE:
        return f"{word[:-3]}y"
    return word if word.endswith("ss") or word == "series" else word.removesuffix("s") or word


def _find_naming(found: TableRows) -> ColumnRows | None:
    """Return the first text column that is named as a name, and has many different values."""
    texts = [c for c in found.columns if c.column.type == "string" and c.known and c.different is not None]
    varied = [c for c in texts if (c.different or 0) >= _LEAST_DIFFERENT * c.known]
    return next((c for ending in _NAMING for c in varied if c.column.name.lower().endswith(ending)), None)


def _find_type(found: TableRows, name: str) -> str | None:
    return next((column.type for column in found.table.columns if column.name == name), None)


def _refers_to(column: str, table: str, key: str) -> bool:
    name = column.lower()
    return key.lower() == "id" and name in {f"{guess_kind(table)}_id", f"{guess_kind(table)}id"}


def _weigh_hub(found: TableRows) -> tuple[bool, int]:
    return _find_naming(found) is not None, len(found.table.columns)
