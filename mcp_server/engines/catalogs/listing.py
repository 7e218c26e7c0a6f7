"""What a catalogue tells of its tables, and how one is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from lakehouse.errors import LakeError
from lakehouse.escaping import replace_controls

MOST_LISTED: Final = 20_000
"""Tables that are read of a catalogue's list."""
_COMMENT_CHARS = 2_000


class CatalogError(LakeError):
    """The catalogue does not answer, refuses, or answers what is no list of tables."""


@dataclass(frozen=True)
class CatalogTable:
    """A table as its catalogue describes it.

    `problem` says why it is not read, empty where its format is Delta. `location` is what the catalogue says, not
    checked yet. `id` is the catalogue's own, to ask for access with. `column_comments` are by column.
    """

    schema: str
    name: str
    location: str
    problem: str = ""
    id: str = ""
    comment: str = ""
    column_comments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Access:
    """Temporary credentials for the files of one table, as `obstore` takes them; None in `expires_at` is for ever."""

    keys: Mapping[str, str] = field(repr=False)
    expires_at: datetime | None


class TableCatalog(Protocol):
    """A catalogue of tables. Every call raises CatalogError where it fails, and is bounded in time and size."""

    def list_tables(self) -> Iterator[CatalogTable]:
        """List the tables of the schema, or of all schemas; at most one more than `MOST_LISTED`."""

    def vend_access(self, table: CatalogTable) -> Access:
        """Ask for credentials that read the files of a table. Raises CatalogError where the catalogue has none."""


def tidy_comment(text: str | None) -> str:
    """Return a comment without control characters and of bounded length."""
    return replace_controls(text or "").strip()[:_COMMENT_CHARS]


def explain_format(name: str | None) -> str:
    """Return why a table of this format is not read, empty for Delta."""
    if (name or "").lower() == "delta":
        return ""
    shown = replace_controls(name or "")[:40]
    return f"its format is {shown}, and only Delta is read" if shown else "its catalogue does not say that it is Delta"
