"""Reads the entities and values of a lake that was published without an index of them, within bounds.

Every reading is a template of the server's own, which the guard reads like any statement. Entities are those that the
lake's context declares, and for tables without a declaration the labels in an obvious column of names; values are those
of text columns with few different ones.
"""

# ruff: noqa: S608  (names are markers that the guard fills in; an entity's text is the lake owner's, read by the guard)

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lakehouse.context import Entity
from lakehouse.errors import EngineLacks, LakeError, QueryCancelled, QueryError, Refused
from lakehouse.escaping import escape_controls
from lakehouse.find.things import Thing
from lakehouse.find.values import list_values
from lakehouse.find.words import fold_text
from lakehouse.manifest import Column
from mcp_server.models import Caps, TableInfo
from mcp_server.results import Answer, Json

MOST_SECONDS = 20.0
"""How long a lake is read for; what was not read by then is said."""
MOST_ENTITIES = 100_000
"""Entities of one kind: the most prominent ones where the lake says what is prominent."""
MOST_THINGS = 200_000
FEW_VALUES = 500
"""A column with more different texts than this has names rather than values."""
LOOK_ROWS = 50_000
COUNT_ROWS = 2_000_000
"""Stored rows in which a column's values are counted. Of a larger table a value may be missing."""
MOST_LOOKED_COLUMNS = 40
"""Text columns of one table that are looked at."""
MOST_VALUE_CHARS = 200
CAPS = Caps(payload_bytes=32 << 20, cell_chars=500)
ROW_KIND = "row"
"""The kind of what was found in a table that no entity is declared for."""

_FEW_ROWS = 20
"""A table of fewer rows is a list of words, such as countries or states."""
_LIST = "array<string>"
_NAMES = ("name", "title", "label", "fullname", "displayname")
_TEXTS = ("string", "varchar", "char")

LookUp = Callable[[str, Mapping[str, str], int, float], Answer]
"""Runs a template with names for its markers, for at most so many rows and seconds. Raises QueryError."""


@dataclass
class Gathered:
    """What was read: `things`, and what of the lake is not among them, as sentences of the index and by column."""

    things: list[Thing] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    partial_columns: set[tuple[str, str]] = field(default_factory=set)


def gather(
    tables: Sequence[TableInfo],
    entities: Sequence[Entity],
    look_up: LookUp,
    enter_stage: Callable[[str], None],
    *,
    metered: bool,
) -> Gathered:
    """Read what can be found in a lake. Where it is `metered`, nothing that is not declared is read.

    What fails is said and left out. Raises QueryCancelled, EngineUnavailable.
    """
    readable = [table for table in tables if not table.problem]
    rows = {table.name.lower(): table.rows for table in readable if table.rows is not None}
    work = _Gathering(look_up, enter_stage, time.monotonic() + MOST_SECONDS, rows)
    for entity in entities:
        work.attempt(entity.kind, lambda entity=entity: work.read_entity(entity))  # type: ignore[misc]
    if metered:
        work.found.partial.append(
            "Values, and names that the lake's context does not declare, are not in it: whatever runs here is paid for."
        )
        return work.found
    declared = {entity.table.lower() for entity in entities}
    # Views hold what tables hold. Small tables come first, so that what is left out is the largest.
    base = [table for table in readable if table.kind != "view"] or readable
    for table in sorted(base, key=lambda table: (table.rows or 0, table.name)):
        if not _list_texts(table):
            continue
        work.attempt(table.name, lambda table=table: work.read_table(table, labels=table.name.lower() not in declared))  # type: ignore[misc]
    return work.found


@dataclass(frozen=True)
class _TextCounts:
    """How many different texts the first rows of a column hold, and how many rows those are."""

    distinct: int
    rows: int

    @property
    def is_distinct(self) -> bool:
        """Whether the texts are names of the rows, rather than words that many rows share."""
        return 2 * self.distinct > max(self.rows, _FEW_ROWS)

    @property
    def has_few(self) -> bool:
        """Whether the texts are values: few, and not one for each row."""
        return 0 < self.distinct <= FEW_VALUES and self.distinct < max(self.rows, _FEW_ROWS)


@dataclass
class _Gathering:
    look_up: LookUp
    enter_stage: Callable[[str], None]
    deadline: float
    rows: Mapping[str, int]
    found: Gathered = field(default_factory=Gathered)

    def attempt(self, name: str, read: Callable[[], None]) -> None:
        """Read a part; where that fails, or time or room is over, say so."""
        if time.monotonic() >= self.deadline:
            self._lack(name, f"reading all takes over {MOST_SECONDS:g} s")
            return
        if len(self.found.things) >= MOST_THINGS:
            self._lack(name, f"it has {MOST_THINGS:,} names without them")
            return
        self.enter_stage(f"reading names and values: {escape_controls(name)}")
        try:
            read()
        except QueryCancelled:
            raise
        except (QueryError, LakeError) as error:  # a table whose files are gone is no reason to find nothing
            self._lack(name, str(error).splitlines()[0].rstrip("."))

    def read_entity(self, entity: Entity) -> None:
        names = self._run(f"SELECT * FROM ({entity.sql}) AS things LIMIT 0", {}, 1).names
        missing = [name for name in ("id", "label") if name not in names]
        if missing:
            self._lack(entity.kind, f"the sql of it gives no {' and no '.join(missing)}")
            return
        chosen = [name for name in ("id", "label", "others", "detail", "weight") if name in names]
        order = "ORDER BY weight DESC NULLS LAST" if "weight" in chosen else ""
        found = self._run(f"SELECT {', '.join(chosen)} FROM ({entity.sql}) AS things {order}", {}, MOST_ENTITIES)
        things = [_make_entity(entity, record) for record in found.records() if record["id"] and record["label"]]
        self._keep(things, entity.table, entity.column, entity.kind, whole=not found.truncated)
        if len(things) < self.rows.get(entity.table.lower(), len(things) + 1):  # its sql may leave out some
            self.found.partial_columns.add((entity.table, entity.column))

    def read_table(self, table: TableInfo, *, labels: bool) -> None:
        columns = _list_texts(table)
        if len(columns) > MOST_LOOKED_COLUMNS:
            self._lack(table.name, f"only {MOST_LOOKED_COLUMNS} of its text columns are read")
            columns = columns[:MOST_LOOKED_COLUMNS]
        named = _find_label(table) if labels else None
        looks = self._look_at_readable(table, [column for column in columns if _is_text(column)])
        for column in columns:
            look = looks.get(column)
            if look is not None and column == named and look.is_distinct:
                self._read_labels(table, column)
            elif (look is None and not _is_text(column)) or (look is not None and look.has_few):
                self._read_values(table, column)

    def _look_at_readable(self, table: TableInfo, columns: Sequence[Column]) -> dict[Column, _TextCounts]:
        """Look at columns; those that no statement may read are said and left out."""
        try:
            return self._look_at(table, columns)
        except (Refused, EngineLacks) as error:
            if len(columns) == 1:
                self._lack(f"{table.name}, {columns[0].name}", str(error).splitlines()[0].rstrip("."))
                return {}
        middle = len(columns) // 2
        return self._look_at_readable(table, columns[:middle]) | self._look_at_readable(table, columns[middle:])

    def _look_at(self, table: TableInfo, columns: Sequence[Column]) -> dict[Column, _TextCounts]:
        """Count the different texts of columns in the first rows."""
        if not columns:
            return {}
        names = {f"c{i}": column.name for i, column in enumerate(columns)}
        inner = ", ".join(f":{marker} AS {marker}" for marker in names)
        outer = ", ".join(f"count(DISTINCT {marker})" for marker in names)
        (row,) = self._run(
            f"SELECT {outer}, count(*) FROM (SELECT {inner} FROM :t LIMIT {LOOK_ROWS}) AS part",
            names | {"t": table.name},
            1,
        ).rows
        *counts, rows = (int(str(count)) for count in row)
        return {column: _TextCounts(count, rows) for column, count in zip(columns, counts, strict=True)}

    def _read_values(self, table: TableInfo, column: Column) -> None:
        part = f"(SELECT :c AS v FROM :t LIMIT {COUNT_ROWS}) AS part"
        is_list = column.type == _LIST
        items = f"(SELECT explode(v) AS v FROM {part}) AS items" if is_list else part
        found = self._run(
            f"SELECT v, count(*) AS n FROM {items} GROUP BY v ORDER BY n DESC, v",
            {"c": column.name, "t": table.name},
            FEW_VALUES + 1,
        )
        if found.truncated or len(found.rows) > FEW_VALUES:
            return
        rows = sum(int(str(count)) for _, count in found.rows)
        texts = {value: int(str(count)) for value, count in found.rows if isinstance(value, str) and value}
        short = {value: count for value, count in texts.items() if len(value) <= MOST_VALUE_CHARS}
        things = list_values(table.name, column.name, short, is_list=is_list)
        read_all = (table.rows or COUNT_ROWS) <= COUNT_ROWS if is_list else rows < COUNT_ROWS
        self._keep(things, table.name, column.name, "", whole=read_all and len(short) == len(texts))

    def _read_labels(self, table: TableInfo, label: Column) -> None:
        key = _find_key(table) or label
        found = self._run(
            "SELECT CAST(:k AS STRING) AS id, :c AS label FROM :t WHERE :c IS NOT NULL",
            {"k": key.name, "c": label.name, "t": table.name},
            MOST_ENTITIES,
        )
        rows = dict.fromkeys((str(identity), str(name)) for identity, name in found.rows if identity and name)
        things = [
            Thing(ROW_KIND, table.name, label.name, identity, name, key.name)
            for identity, name in rows
            if len(name) <= MOST_VALUE_CHARS
        ]
        self._keep(things, table.name, label.name, f"{table.name}.{label.name}", whole=not found.truncated)

    def _keep(self, things: Sequence[Thing], table: str, column: str, name: str, *, whole: bool) -> None:
        room = MOST_THINGS - len(self.found.things)
        whole = whole and len(things) <= room
        self.found.things += things[:room]
        if not whole:
            self.found.partial_columns.add((table, column))
            if name:
                self._lack(name, f"only {len(things):,} are read")

    def _lack(self, name: str, why: str) -> None:
        self.found.partial.append(f"It lacks names of {name}: {why}.")

    def _run(self, template: str, names: Mapping[str, str], rows: int) -> Answer:
        return self.look_up(template, names, rows, max(self.deadline - time.monotonic(), 1.0))


def _make_entity(entity: Entity, record: Mapping[str, Json]) -> Thing:
    others, weight = record.get("others"), record.get("weight")
    return Thing(
        kind=entity.kind,
        table=entity.table,
        column=entity.column,
        id=str(record["id"]),
        label=str(record["label"]),
        id_column=entity.id,
        others=tuple(str(other) for other in others if other) if isinstance(others, list) else (),
        detail=str(record.get("detail") or ""),
        weight=float(weight) if isinstance(weight, int | float) else 0.0,
    )


def _list_texts(table: TableInfo) -> list[Column]:
    return [column for column in table.columns if _is_text(column) or column.type == _LIST]


def _is_text(column: Column) -> bool:
    return column.type.startswith(_TEXTS)


def _find_label(table: TableInfo) -> Column | None:
    """Find the column that says what people call a row: `name`, or else the first that ends like `primaryTitle`."""
    texts = [column for column in table.columns if _is_text(column)]
    folded = {column: fold_text(column.name).replace("_", "") for column in texts}
    exact = sorted((column for column in texts if folded[column] in _NAMES), key=lambda c: _NAMES.index(folded[c]))
    ending = [column for column in texts if folded[column].endswith(("name", "title"))]
    return next(iter([*exact, *ending]), None)


def _find_key(table: TableInfo) -> Column | None:
    """Find the column that identifies a row: the declared key, or one that is called so."""
    by_name = {column.name.lower(): column for column in table.columns}
    stem = fold_text(table.name).removesuffix("s")
    wanted = [*(table.key if len(table.key) == 1 else ()), "id", f"{stem}_id", f"{stem}id", "key"]
    return next((by_name[name.lower()] for name in wanted if name.lower() in by_name), None)
