"""Kept rows as files: what is in one, and the folder of the user's that it is put into.

A name is made of the query's id and the format; nothing of it comes from a model or a statement.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from lakehouse.errors import LakehouseError
from lakehouse.result_files import FileFormat, write_result
from mcp_server.kept_results import KeptRows
from mcp_server.results import Caps
from mcp_server.results.cells import Json, to_json
from mcp_server.results.fitting import read_rows

MOST_CELL_CHARS: Final = 1_000_000
MOST_FILE_CHARS: Final = 64 << 20
"""Of a file's rows as JSON, with the names of columns and fields, which rows in memory have once: 10,000 rows of 4 MiB
with a name of 20,000 characters made a file of 200 MB, in 800 MB of memory."""

_DRAFT: Final = ".imdb-export-"
_DRAFT_SECONDS: Final = 3_600
"""Age at which a draft is one that a killed process left: writing takes a second."""


class ExportFailedError(LakehouseError):
    """A file cannot be put where files go."""

    mendable = True  # mostly by the user, whom the model can tell


@dataclass(frozen=True)
class ExportFile:
    """A result as a file. It has `rows` of `total`, which is None where nobody counted them."""

    query_id: str
    format: FileFormat
    data: bytes
    rows: int
    total: int | None
    has_cut_cells: bool

    @property
    def name(self) -> str:
        return f"result-{self.query_id}.{self.format}"

    @property
    def is_complete(self) -> bool:
        return self.rows == self.total and not self.has_cut_cells


@dataclass(frozen=True)
class ExportLocation:
    """Where a file is: a path, or a URL and when it expires."""

    location: str
    expires: datetime | None = None


class Exports(Protocol):
    """Puts files where the user gets at them. `writes_files` says that this changes something on the machine."""

    writes_files: bool

    def place_file(self, file: ExportFile, caller: str) -> ExportLocation:
        """Put a file there. Blocks. Raises ExportFailedError."""


def write_export(query_id: str, kept: KeptRows, kind: FileFormat, tick: Callable[[], None]) -> ExportFile:
    """Write kept rows as a file, the first ones where all are too large for one.

    `tick` is called for each row, and raises where nobody waits any more.
    """
    caps = Caps(payload_bytes=MOST_CELL_CHARS, cell_chars=MOST_CELL_CHARS)
    is_cut = bool(kept.result.missing)
    rows: list[list[Json]] = []
    left, named = MOST_FILE_CHARS, sum(map(len, kept.names)) if kind == "json" else 0
    for cells in read_rows(kept.result, kept.table.num_rows, caps, tick):
        row = list(cells)
        values = [cell.value for cell in row]
        left -= named + len(to_json(values))
        if left < 0:
            break
        is_cut = is_cut or any(cell.is_cut for cell in row)
        rows.append(values)
    columns = [{"name": name, "type": type_} for name, type_ in zip(kept.names, kept.types, strict=True)]
    return ExportFile(query_id, kind, write_result(columns, rows, kind), len(rows), kept.total, is_cut)


class ExportFolder:
    """A folder that the user has named. A file in it is new and whole, or not there; only its owner reads it."""

    writes_files = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place_file(self, file: ExportFile, caller: str) -> ExportLocation:  # noqa: ARG002  (all callers on stdio are one user)
        """Put a file into the folder, over no other file. Raises ExportFailedError."""
        target = self._folder / file.name
        try:
            self._remove_drafts()
            descriptor, draft = tempfile.mkstemp(prefix=_DRAFT, dir=self._folder)  # readable by its owner alone
            try:
                with os.fdopen(descriptor, "wb") as written:
                    written.write(file.data)
                    written.flush()
                    os.fsync(written.fileno())
                self._link_draft(draft, target, file.data)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(draft)
        except OSError as error:
            raise ExportFailedError(
                "The file cannot be written to the folder that --export-dir or IMDB_EXPORT_DIR names: "
                f"{error.strerror}. The user can mend that: the folder must be there, writable, and have room, on a "
                "file system with hard links: FAT and exFAT have none."
            ) from error
        return ExportLocation(str(target))

    def _link_draft(self, draft: str, target: Path, data: bytes) -> None:
        """Give a draft its name, which no other file may have: a link, unlike a rename, never replaces one."""
        try:
            os.link(draft, target)
        except FileExistsError as error:
            if target.is_symlink() or not target.is_file() or target.read_bytes() != data:
                raise ExportFailedError(
                    f"{target.name} is in the folder already and is something else, so it stays as it is. Move it "
                    "away, and export again."
                ) from error

    def _remove_drafts(self) -> None:
        """Remove what killed processes have left, as far as it may be removed: it may be another user's."""
        for draft in self._folder.glob(f"{_DRAFT}*"):
            with suppress(OSError):
                if draft.lstat().st_mtime < time.time() - _DRAFT_SECONDS:
                    draft.unlink()
