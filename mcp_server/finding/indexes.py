"""The index of a lake's entities and values: published with the lake, kept in the state folder, or built.

An index belongs to an edition of the lake: its tables at their versions, and what its context declares. A published one
is opened where it lies; one from object storage, or built here, lies in the state folder under the edition's name, in a
folder that has it whole or not at all. A catalogue that tells no versions has its index in memory, for an hour.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lakehouse.context import Context, ContextError, read_context
from lakehouse.errors import LakeError
from lakehouse.find.building import build_index
from lakehouse.find.finder import Finder, open_in_memory, open_index
from lakehouse.find.published import fetch_index
from lakehouse.find.things import VALUE
from lakehouse.manifest import read_manifest
from lakehouse.storage import Lake, LakeKind
from lakehouse.work_folders import work_folder
from mcp_server.finding.gathering import Gathered, LookUp, gather
from mcp_server.finding.names import Names
from mcp_server.models import TableInfo

log = logging.getLogger(__name__)

_MEMORY_SECONDS = 3_600.0
_CONTEXT_SECONDS = 30.0
"""How long the files of the context are taken for unchanged."""
_WORK_PREFIX = "find-"
_GAPS_NAME = "gaps.json"
"""What an index that was built here does not have, beside it."""


@dataclass(frozen=True)
class IndexGaps:
    """What an index does not have: sentences, and the columns, as (table, column), of which it has only a part."""

    sentences: tuple[str, ...] = ()
    columns: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def from_gathered(cls, found: Gathered) -> IndexGaps:
        return cls(tuple(found.partial), frozenset(found.partial_columns))

    @classmethod
    def read(cls, folder: Path) -> IndexGaps:
        """Read what `write` wrote; no gaps where it wrote nothing, as beside a published index."""
        try:
            sentences, columns = json.loads((folder / _GAPS_NAME).read_bytes())
            return cls(tuple(sentences), frozenset((table, column) for table, column in columns))
        except (OSError, ValueError, TypeError):
            return cls()

    def write(self, folder: Path) -> None:
        (folder / _GAPS_NAME).write_text(json.dumps([self.sentences, sorted(self.columns)]))


@dataclass(frozen=True)
class OpenIndex:
    """What can be searched of one edition of a lake: entities and values by `finder`, everything else by `names`.

    `until` is when it is no longer taken for the lake's, on the monotonic clock.
    """

    edition: str
    finder: Finder
    gaps: IndexGaps
    tables: tuple[TableInfo, ...]
    context: Context
    until: float = float("inf")

    @cached_property
    def names(self) -> Names:
        return Names(self.tables, self.context.queries)

    @cached_property
    def readable(self) -> dict[str, TableInfo]:
        """The tables that may be read, by their names in lower case."""
        return {table.name.lower(): table for table in self.tables if not table.problem}

    @property
    def missing(self) -> tuple[str, ...]:
        """Sentences about what is not in it."""
        return (*self.finder.partial, *self.gaps.sentences)

    def list_unindexed(self) -> list[str]:
        """List the readable columns of names, as `table.column`, that are declared not to be in an index."""
        pairs = (name.partition(".") for name in self.context.declarations.unindexed)
        tables = {name: {column.name for column in table.columns} for name, table in self.readable.items()}
        return [f"{table}.{column}" for table, _, column in pairs if column in tables.get(table.lower(), ())]

    def has_label(self, table: str, column: str, value: str) -> bool | None:
        """Whether a column has exactly this text; None where the index cannot tell."""
        if any((table.lower(), column.lower()) == (t.lower(), c.lower()) for t, c in self.gaps.columns):
            return None
        return self.finder.has_label(table, column, value)


class Indexes:
    """Opens and builds the index of one lake. Thread-safe.

    `lake` is None where the server was given engines alone: then nothing is published and there is no context.
    """

    def __init__(self, lake: Lake | None, state: Path, context_folder: Path | None, *, metered: bool) -> None:
        self._lake = lake
        self._state = state
        self._context_folder = context_folder
        self._metered = metered
        self._lock = threading.RLock()
        self._open: OpenIndex | None = None
        self._context: tuple[float, Context] | None = None

    def open_at_once(self, tables: tuple[TableInfo, ...]) -> OpenIndex | None:
        """Return the index of these tables if it is open, or lies on this machine; None where it has to be built."""
        with self._lock:
            context = self._read_context()
            edition = _name_edition(tables, context)
            found = self._open
            if found is not None and found.edition == edition and time.monotonic() < found.until:
                return found
            opened = self._open_local(edition)
            if opened is None:
                return None
            finder, gaps = opened
            return self._set_open(OpenIndex(edition, finder, gaps, tables, context))

    def open_without_rows(self, tables: tuple[TableInfo, ...]) -> OpenIndex:
        """Return an index of tables, columns and verified queries alone. It is not kept."""
        context = self._read_context()
        return OpenIndex(_name_edition(tables, context), open_in_memory([]), IndexGaps(), tables, context)

    def build(self, tables: tuple[TableInfo, ...], look_up: LookUp, enter_stage: Callable[[str], None]) -> OpenIndex:
        """Fetch the published index, or read the lake and build one; for one caller at a time.

        Raises QueryCancelled, EngineUnavailable, and LakeError where the state folder cannot be written.
        """
        context = self._read_context()
        edition = _name_edition(tables, context)
        enter_stage("fetching the index of names")
        finder = self._open_published()
        if finder is not None:
            return self._set_open(OpenIndex(edition, finder, IndexGaps(), tables, context))
        found = gather(tables, context.declarations.entity, look_up, enter_stage, metered=self._metered)
        gaps = IndexGaps.from_gathered(found)
        enter_stage("building the index of names")
        if not _has_versions(tables):
            until = time.monotonic() + _MEMORY_SECONDS
            return self._set_open(OpenIndex(edition, open_in_memory(found.things), gaps, tables, context, until))
        folder = self._keep(edition, lambda folder: _write_gathered(folder, found))
        return self._set_open(OpenIndex(edition, open_index(folder), gaps, tables, context))

    def _set_open(self, index: OpenIndex) -> OpenIndex:
        with self._lock:
            self._open = index
        return index

    def _open_local(self, edition: str) -> tuple[Finder, IndexGaps] | None:
        """Open what lies on this machine: beside the lake, or from an earlier build."""
        if self._lake is not None and self._lake.directory is not None:
            finder = self._open_published()
            if finder is not None:
                return finder, IndexGaps()
        folder = self._kept_folder(edition)
        if folder.is_dir():
            try:
                return open_index(folder), IndexGaps.read(folder)
            except LakeError as error:
                log.warning("An index of names is not used, and the server builds another. %s", error)
        return None

    def _open_published(self) -> Finder | None:
        """Open the index that the lake's manifest names, a copy of one in object storage; None where none can be."""
        if self._lake is None or self._lake.kind is LakeKind.CATALOG:
            return None
        try:
            manifest = read_manifest(self._lake)
            if manifest is None or manifest.find is None:
                return None
            return open_index(fetch_index(self._lake, manifest.find, self._state))
        except (LakeError, OSError) as error:
            log.warning("The lake's index of names is not used, and the server builds another. %s", error)
            return None

    def _read_context(self) -> Context:
        """Read the lake's context; nothing where it cannot be used, which its own commands explain."""
        if self._lake is None:
            return Context()
        with self._lock:
            now = time.monotonic()
            if self._context is None or now - self._context[0] > _CONTEXT_SECONDS:
                self._context = (now, _read_context(self._lake, self._context_folder))
            return self._context[1]

    # The state folder

    @property
    def _lake_folder(self) -> Path:
        name = str(self._lake) if self._lake is not None else ""
        return self._state / "find-built" / hashlib.sha256(os.fsencode(name)).hexdigest()[:16]

    def _kept_folder(self, edition: str) -> Path:
        return self._lake_folder / edition

    def _keep(self, edition: str, write: Callable[[Path], None]) -> Path:
        """Put an index into the state folder, whole or not at all, in the place of those of other editions.

        Raises LakeError where it cannot be written.
        """
        target = self._kept_folder(edition)
        try:
            self._lake_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with work_folder(self._lake_folder, _WORK_PREFIX, for_engine=False) as (work, _):
                write(work / "index")
                shutil.rmtree(target, ignore_errors=True)  # one that could not be opened
                with suppress(FileExistsError):  # another process was first, with the same index
                    os.rename(work / "index", target)
        except OSError as error:
            raise LakeError(f"The index of names cannot be written to the state folder: {error.strerror}.") from error
        for other in self._lake_folder.iterdir():
            if other != target and not other.name.startswith(_WORK_PREFIX):
                shutil.rmtree(other, ignore_errors=True)
        return target


def _write_gathered(folder: Path, found: Gathered) -> None:
    values = [thing for thing in found.things if thing.kind == VALUE]
    build_index(folder, [thing for thing in found.things if thing.kind != VALUE], values)
    IndexGaps.from_gathered(found).write(folder)


def _read_context(lake: Lake, folder: Path | None) -> Context:
    try:
        return read_context(lake, folder)
    except ContextError as error:
        log.warning("%s find works without the lake's context.", error)
    except (LakeError, OSError) as error:
        log.warning("The lake's context cannot be read, and find works without it. %s", error)
    return Context()


def _name_edition(tables: Sequence[TableInfo], context: Context) -> str:
    """Name what an index is made of: the tables at their versions, and the declared entities."""
    parts = [[t.name, t.version, str(t.published), t.problem, [c.name for c in t.columns]] for t in tables]
    declared = [entity.model_dump() for entity in context.declarations.entity]
    return hashlib.sha256(json.dumps([parts, declared]).encode()).hexdigest()[:24]


def _has_versions(tables: Sequence[TableInfo]) -> bool:
    return all(table.version is not None for table in tables if not table.problem)
