"""What can be found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lakehouse.errors import LakeError

if TYPE_CHECKING:
    import pyarrow as pa

VALUE: Final = "value"
"""The kind of a thing that is a value of a column."""


class IndexDamaged(LakeError):  # noqa: N818  (names of the domain read better than a suffix)
    """A folder is no index that this version can read."""


@dataclass(frozen=True)
class Thing:
    """A named thing or a value of a column, with the filter that selects it: `id_column` of `table` is `id`.

    `label` is what people call it and stands in `column`. `others` are further names, `detail` tells things of one name
    apart, `weight` is prominence: votes, or rows of a value. `is_list` says that the column holds a list.
    """

    kind: str
    table: str
    column: str
    id: str
    label: str
    id_column: str
    others: tuple[str, ...] = ()
    detail: str = ""
    weight: float = 0
    is_list: bool = False


@dataclass(frozen=True)
class ThingBatch:
    """Many things, as an Arrow batch: id, label, others (list of texts), detail, and weight; all but id may be null.

    Millions of them take a third of the time that as many `Thing`s take.
    """

    kind: str
    table: str
    column: str
    id_column: str
    rows: pa.RecordBatch


@dataclass(frozen=True)
class Hit(Thing):
    """A thing that was found. `score` is from 0 to 1; 0.9 and more is a name with at most a slip or two in it.

    `matched` is the further name by which it was found, empty where that was the label.
    """

    score: float = 0
    matched: str = ""


@dataclass(frozen=True)
class IndexSummary:
    """What was built: things by kind, and the size of the folder."""

    counts: dict[str, int]
    files: int
    bytes: int
    partial: tuple[str, ...] = ()
