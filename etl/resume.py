"""What a load that fails or is killed leaves for the next one: the tables and views that it had written whole.

`_loading.json` names them, with the identity of each source file, the definition and the Delta version. The next load
takes over what it would write again just so, and writes the rest. Everything else that is published gives an unfinished
load up: its generation is then no longer the next one, and its versions are no longer the newest ones.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from etl.datasets import Dataset
from etl.gold_views import GoldView
from etl.header import Source
from etl.source import hash_file
from etl.stored_rows import list_data_files
from etl.table_files import TableFiles
from lakehouse.delta import latest_version, read_snapshot
from lakehouse.errors import LakehouseError
from lakehouse.manifest import LOADING_NAME, TableEntry
from lakehouse.storage import Lake

log = logging.getLogger(__name__)

REJECTS_FOLDER: Final = "_loading"
"""Where the rejected lines of the tables are that were written."""
_MOST_REJECT_BYTES: Final = 16 << 20
"""A table with more bytes of rejected lines is not kept: the store's client for small files has to write them."""
_FORMAT: Final = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeptTable(_Frozen):
    """A table or view that was written whole, and what the end of a load needs to know of it.

    `made_from` is a hash of the definition that made it, `inputs` are the tables that a view joins. `read` and
    `rejected` count lines of the source file; `rejects` names the file of the rejected ones, if there are any.
    """

    entry: TableEntry
    made_from: str
    inputs: tuple[str, ...] = ()
    read: int = 0
    rejected: int = 0
    rejects: str | None = None
    notes: tuple[str, ...] = ()


class _LoadState(_Frozen):
    """The content of `_loading.json`: what an engine has written for a generation that is not published yet."""

    format_version: Literal[1] = _FORMAT
    generation: int
    engine: str
    tables: dict[str, KeptTable] = {}


class UnfinishedLoad:
    """The tables of a load that is not published yet: those that an earlier run has written, and this one's.

    The caller holds the lake's lock. Methods that write raise LakeError.
    """

    def __init__(self, lake: Lake, state: _LoadState) -> None:
        self._lake = lake
        self._state = state
        self.taken: list[str] = []
        """The tables and views that were taken over from an earlier run."""

    @classmethod
    def open(cls, lake: Lake, generation: int, engine: str, *, again: bool) -> UnfinishedLoad:
        """Find what an earlier run has written for this generation with this engine; nothing if `again`."""
        state = _read_state(lake)
        if again or state is None or (state.generation, state.engine) != (generation, engine):
            state = _LoadState(generation=generation, engine=engine)
        found = cls(lake, state)
        found._store_state()  # marks a first load, too
        return found

    def take_table(self, source: Source) -> KeptTable | None:
        """Return the table of a file if it was written from these very bytes, which are read only if it may be so."""
        kept = self._state.tables.get(source.dataset.table)
        if kept is None or kept.entry.source is None or kept.made_from != _hash_definition(source.dataset):
            return None
        if kept.entry.source.bytes != source.path.stat().st_size or not self._is_whole(kept):
            return None
        return self._take(kept) if hash_file(source.path) == kept.entry.source else None

    def take_view(self, view: GoldView) -> KeptTable | None:
        """Return a view if it was made of the tables that were taken over."""
        kept = self._state.tables.get(view.name)
        if kept is None or kept.made_from != _hash_definition(view) or not set(kept.inputs) <= set(self.taken):
            return None
        return self._take(kept) if self._is_whole(kept) else None

    def fetch_rejects(self, kept: KeptTable, work_dir: Path) -> list[str]:
        """Copy the rejected lines of a table into the work folder. Returns the paths of their files."""
        data = None if kept.rejects is None else self._lake.read_file(f"{REJECTS_FOLDER}/{kept.rejects}")
        if kept.rejects is None or data is None:
            return []
        path = work_dir / kept.rejects
        path.write_bytes(data)
        return [str(path)]

    def keep_table(
        self,
        entry: TableEntry,
        dataset: Dataset,
        *,
        read: int,
        rejected: int,
        notes: Sequence[str],
        reject_parts: Sequence[str],
    ) -> None:
        """Keep a table that was written, with the Parquet files of its rejected lines."""
        rejects = None
        if reject_parts:
            rejects = f"{_hash_definition(dataset)[:16]}-{entry.version}.parquet"
            data = _join_parts(reject_parts)
            if len(data) > _MOST_REJECT_BYTES:
                return
            self._lake.replace_file(f"{REJECTS_FOLDER}/{rejects}", data)
        self._keep(
            KeptTable(
                entry=entry,
                made_from=_hash_definition(dataset),
                read=read,
                rejected=rejected,
                rejects=rejects,
                notes=tuple(notes),
            )
        )

    def keep_view(self, entry: TableEntry, view: GoldView) -> None:
        """Keep a view that was written."""
        inputs = tuple(source.table for source in view.sources)
        self._keep(KeptTable(entry=entry, made_from=_hash_definition(view), inputs=inputs))

    def replace_entry(self, entry: TableEntry) -> None:
        """Note a later version of a table with the same rows."""
        kept = self._state.tables.get(entry.path)
        if kept is not None:
            self._store_tables(self._state.tables | {entry.path: kept.model_copy(update={"entry": entry})})

    def finish(self) -> None:
        """Forget everything: the load is published."""
        _remove_state(self._lake)

    def _take(self, kept: KeptTable) -> KeptTable:
        self.taken.append(kept.entry.path)
        return kept

    def _keep(self, kept: KeptTable) -> None:
        name = kept.entry.path
        others = {other: each for other, each in self._state.tables.items() if name not in each.inputs}
        self._store_tables(others | {name: kept})

    def _store_tables(self, tables: dict[str, KeptTable]) -> None:
        self._state = self._state.model_copy(update={"tables": tables})
        self._store_state()

    def _store_state(self) -> None:
        self._lake.replace_file(LOADING_NAME, self._state.model_dump_json(indent=1).encode())

    def _is_whole(self, kept: KeptTable) -> bool:
        """Whether the version is the table's newest one and all files are there, those of rejected lines too."""
        files = TableFiles(self._lake, kept.entry.path)
        try:
            if kept.rejects is not None and kept.rejects not in self._lake.list_files(REJECTS_FOLDER):
                return False
            table_log = files.open_log()
            if latest_version(table_log) != kept.entry.version:
                return False
            there = files.list()
            return all(name in there for name in list_data_files(read_snapshot(table_log, kept.entry.version)))
        except (LakehouseError, OSError) as error:
            log.debug("%s is not taken over", kept.entry.path, exc_info=error)
            return False


def list_resumable(lake: Lake, published: int) -> Collection[TableEntry]:
    """List what a load can go on from after the generation `published`. What none can go on from is removed."""
    state = _read_state(lake)
    if state is None or state.generation != published + 1:
        _remove_state(lake)
        return ()
    return [kept.entry for kept in state.tables.values()]


def _read_state(lake: Lake) -> _LoadState | None:
    data = lake.read_file(LOADING_NAME)
    try:
        return None if data is None else _LoadState.model_validate_json(data)
    except ValidationError as error:
        log.debug("%s is not gone on from", LOADING_NAME, exc_info=error)
        return None


def _remove_state(lake: Lake) -> None:
    lake.remove_file(LOADING_NAME)
    for name in lake.list_files(REJECTS_FOLDER):
        lake.remove_file(f"{REJECTS_FOLDER}/{name}")
    if lake.directory is not None and (lake.directory / REJECTS_FOLDER).is_dir():
        (lake.directory / REJECTS_FOLDER).rmdir()


def _hash_definition(made: Dataset | GoldView) -> str:
    """Hash what makes a table or view: its columns, comments and order, what its fields look like, its SQL."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        release = version("imdb-lakehouse-mcp")
    except PackageNotFoundError:
        release = ""
    return hashlib.sha256(repr((release, made)).encode()).hexdigest()


def _join_parts(parts: Sequence[str]) -> bytes:
    """Join Parquet files of rejected lines, of which an engine's are folders, into one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.concat_tables([pq.read_table(part) for part in parts], promote_options="permissive"), out)
    return out.getvalue()
