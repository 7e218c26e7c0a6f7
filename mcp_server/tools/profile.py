"""What the values of a table look like: three sample rows, ranges of numbers, the frequent values of the rest.

Made with a handful of small statements, once for each published version of a table, and kept. Their cost
is bounded: ranges read single columns, which the file statistics mostly answer; frequent values are looked
for only in columns that have few different ones in the first `LOOK_ROWS` stored rows, and are counted in
the first `COUNT_ROWS`; all of it stops after `MOST_SECONDS`, and what is missing then is said.
"""

# ruff: noqa: S608  (names are markers that the guard fills in, numbers are constants of this module)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from lakehouse.errors import EngineLacks, EngineUnavailable, QueryError, Refused
from lakehouse.escaping import quote_briefly
from lakehouse.manifest import Column
from mcp_server.models import TableInfo
from mcp_server.results import Answer, Json
from mcp_server.runs import Call
from mcp_server.service import StatementService

SAMPLE_ROWS = 3
LOOK_ROWS = 50_000
COUNT_ROWS = 1_000_000
FEW_VALUES = 40
SHOWN_VALUES = 8
MOST_SECONDS = 20

_Key = tuple[str, tuple[Column, ...]]

_RANGED = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal", "date", "timestamp")
_COUNTED = ("string", "boolean", "array<string>")


@dataclass(frozen=True)
class Range:
    """The smallest and the largest value over all rows."""

    low: Json
    high: Json


@dataclass(frozen=True)
class Frequent:
    """The most frequent values and how often each was met in the rows that were counted."""

    values: tuple[tuple[Json, int], ...]


@dataclass
class Profile:
    """`values` by column name; a column without an entry has too many different values to list.

    `whole` is False where something was not read that could be another time.
    """

    sample: Answer | None = None
    values: dict[str, Range | Frequent] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    whole: bool = True


@dataclass
class _Flight:
    """A profile being made. `profile` stays None where the caller that made it left before the end."""

    landed: anyio.Event = field(default_factory=anyio.Event)
    profile: Profile | None = None


class Profiles:
    """Caches profiles by table version. Callers of a profile that is being made wait for it and share it."""

    def __init__(self, service: StatementService) -> None:
        self._service = service
        self._kept: dict[_Key, tuple[object, Profile]] = {}
        self._flights: dict[tuple[_Key, object], _Flight] = {}

    async def get_profile(self, call: Call, table: TableInfo, columns: tuple[Column, ...]) -> Profile:
        """Return the profile of some columns of a table. What could not be found in time is a note, not an error."""
        key, published = (table.name, columns), (table.version, table.rows)
        while True:
            kept, profile = self._kept.get(key, (None, None))
            if profile is not None and kept == published:
                return profile
            under_way = self._flights.get((key, published))
            if under_way is None:
                return await self._make_for_all(call, table, columns, key, published)
            await under_way.landed.wait()
            if under_way.profile is not None:
                return under_way.profile

    async def _make_for_all(
        self, call: Call, table: TableInfo, columns: tuple[Column, ...], key: _Key, published: object
    ) -> Profile:
        """Make a profile for all callers that want it meanwhile."""
        flight = self._flights[key, published] = _Flight()
        try:
            profile = flight.profile = await self._make_profile(call, table, columns)
            if profile.whole:  # another one is tried again by the next caller
                self._kept[key] = (published, profile)
            return profile
        finally:
            del self._flights[key, published]
            flight.landed.set()

    async def _make_profile(self, call: Call, table: TableInfo, columns: tuple[Column, ...]) -> Profile:
        profile = Profile()
        work = _Work(self._service, call, table.name, profile)
        with anyio.move_on_after(MOST_SECONDS) as time_box:
            try:
                readable = await work.read_sample(columns)
                if self._service.main_engine.capabilities.metered:
                    return profile
                await work.read_ranges([column.name for column in readable if column.type.startswith(_RANGED)])
                await work.count_frequent_values([column for column in readable if column.type in _COUNTED])
            except (QueryError, EngineUnavailable) as error:
                profile.whole = False
                profile.notes.append(f"Ranges and frequent values are incomplete: {str(error).splitlines()[0]}")
        if time_box.cancelled_caught:
            profile.whole = False
            profile.notes.append(f"Ranges and frequent values are incomplete: they took over {MOST_SECONDS} s.")
        return profile


@dataclass(frozen=True)
class _Work:
    """The statements of one profile."""

    service: StatementService
    call: Call
    table: str
    profile: Profile

    async def read_sample(self, columns: tuple[Column, ...]) -> list[Column]:
        """Read sample rows; return the columns that can be read. Of the others the sample has nulls, and a note why."""
        try:
            self.profile.sample = await self._select_sample(columns, columns)
        except (Refused, EngineLacks) as error:
            readable = await self._find_readable(columns, error)
            if not readable:
                self.profile.notes.clear()
                raise
            self.profile.sample = await self._select_sample(columns, readable)
            return readable
        return list(columns)

    async def _select_sample(self, columns: Sequence[Column], readable: Sequence[Column]) -> Answer:
        names = {f"c{i}": column.name for i, column in enumerate(columns) if column in readable}
        cells = [f":c{i}" if f"c{i}" in names else f"NULL AS `?{i}`" for i in range(len(columns))]
        return await self._run_template(f"SELECT {', '.join(cells)} FROM :t LIMIT {SAMPLE_ROWS}", names)

    async def _find_readable(self, columns: Sequence[Column], error: QueryError) -> list[Column]:
        """Return those of some columns that a statement may read, which together it may not. Asks for ever fewer."""
        if len(columns) == 1:
            name = quote_briefly(columns[0].name)
            self.profile.notes.append(f"Without values of {name}: {str(error).splitlines()[0]}")
            return []
        readable: list[Column] = []
        middle = len(columns) // 2
        for half in (columns[:middle], columns[middle:]):
            try:
                await self._select_sample(half, half)
                readable += half
            except (Refused, EngineLacks) as refused:
                readable += await self._find_readable(half, refused)
        return readable

    async def read_ranges(self, wanted: list[str]) -> None:
        if not wanted:
            return
        names = {f"c{i}": name for i, name in enumerate(wanted)}
        (row,) = (
            await self._run_template(f"SELECT {', '.join(f'min(:{c}), max(:{c})' for c in names)} FROM :t", names)
        ).rows
        for name, low, high in zip(wanted, row[0::2], row[1::2], strict=True):
            self.profile.values[name] = Range(low, high)

    async def count_frequent_values(self, columns: list[Column]) -> None:
        for column in columns:
            names = {"c": column.name}
            look = await self._run_template(f"SELECT count(DISTINCT v) FROM {_select_values(column, LOOK_ROWS)}", names)
            if look.rows[0][0] > FEW_VALUES:
                continue
            count = (
                f"SELECT v, count(*) AS n FROM {_select_values(column, COUNT_ROWS)} "
                f"WHERE v IS NOT NULL GROUP BY v ORDER BY n DESC, v LIMIT {SHOWN_VALUES}"
            )
            found = await self._run_template(count, names)
            self.profile.values[column.name] = Frequent(tuple((value, times) for value, times in found.rows))

    async def _run_template(self, template: str, names: dict[str, str]) -> Answer:
        from mcp_server.checking import Identifier

        arguments = {marker: Identifier(name) for marker, name in {**names, "t": self.table}.items()}
        return await self.service.run_template(self.call, template, arguments, SHOWN_VALUES)


def _select_values(column: Column, most_rows: int) -> str:
    """Return a sub-query with the single column `v`: the values, or the list elements, of the first rows."""
    part = f"(SELECT :c AS v FROM :t LIMIT {most_rows}) AS part"
    if column.type.startswith("array"):
        return f"(SELECT explode(v) AS v FROM {part}) AS items"
    return part
