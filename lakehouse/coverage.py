"""How much of a lake is known: what was counted once for a generation, `_coverage/<generation>.json`.

Reports only: a load never fails for it, and a reader without it warns of nothing.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakehouse.storage import Lake

COVERAGE_FOLDER: Final = "_coverage"
MOST_BYTES: Final = 1 << 20
MOST_PARTS: Final = 100


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(_Frozen):
    """Of `rows` rows, how many are `known`. `part` names the part of the whole that they are; empty for all of it."""

    rows: int = Field(ge=0)
    known: int = Field(ge=0)
    part: str = ""

    @property
    def ratio(self) -> float:
        """From 0 to 1; 1 where there are no rows."""
        return self.known / self.rows if self.rows else 1.0


class ColumnCoverage(_Frozen):
    """The rows of a table whose value in a column is not null. Columns without a null are left out."""

    table: str
    column: str
    whole: Share


class JoinCoverage(_Frozen):
    """The values of `left` (`table.column`), those in its lists one by one, that `right` has; null is no value.

    `parts` and `of`, which names one, are there where the lake's context (`lakehouse.context.Join`) declares them.
    """

    left: str
    right: str
    whole: Share
    parts: tuple[Share, ...] = ()
    of: str = ""


class MeasureCoverage(_Frozen):
    """A measure of the lake's context (`lakehouse.context.Measure`), counted; the largest parts of it.

    Rows that belong to no part are a part with an empty name.
    """

    table: str
    columns: tuple[str, ...]
    about: str
    of: str
    parts: tuple[Share, ...]


class Coverage(_Frozen):
    """What is known at one generation. `snapshot` is the day of the newest of the source's files.

    `not_counted` says in sentences what could not be counted. `declared` is a hash of what was to be counted, and
    `changed` the rows of tables that updates have changed since they were counted.
    """

    generation: int
    snapshot: date | None = None
    columns: tuple[ColumnCoverage, ...] = ()
    joins: tuple[JoinCoverage, ...] = ()
    measures: tuple[MeasureCoverage, ...] = ()
    not_counted: tuple[str, ...] = ()
    declared: str = ""
    changed: dict[str, int] = {}


def name_coverage(generation: int) -> str:
    """The file of a generation's coverage, relative to the lake."""
    return f"{COVERAGE_FOLDER}/{generation}.json"


def read_coverage(lake: Lake, generation: int) -> Coverage | None:
    """Read what was counted for a generation; None where nothing was, or where it cannot be used.

    Raises LakeError where the file cannot be read.
    """
    data = lake.read_file(name_coverage(generation))
    if data is None or len(data) > MOST_BYTES:
        return None
    try:
        return Coverage.model_validate_json(data)
    except ValidationError:
        return None


def store_coverage(lake: Lake, coverage: Coverage) -> None:
    """Store what was counted for a generation. Raises LakeError where it cannot be written."""
    lake.replace_file(name_coverage(coverage.generation), coverage.model_dump_json(indent=1).encode())
