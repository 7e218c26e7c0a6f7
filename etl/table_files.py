"""The files of one table, in a folder or in object storage: data files, deletion vectors and commits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.delta import LogFolder, LogObjects, TableLog
from lakehouse.delta.folder import LOG_NAME
from lakehouse.errors import LakeError
from lakehouse.storage import Lake

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class FileInfo:
    """A file: the time of its last change, and its size in bytes."""

    modified: datetime
    bytes: int


class TableFiles:
    """Reads, writes, lists and removes the files of a table. Names are relative to the table's folder.

    Every method raises OSError or LakeError where the place refuses.
    """

    def __init__(self, lake: Lake, table: str) -> None:
        self.table = table
        self._lake = lake
        self._folder = None if lake.directory is None else lake.directory / table

    def open_log(self) -> TableLog:
        """The table's log, listed again."""
        if self._folder is not None:
            return LogFolder(self._folder)
        return LogObjects(self._lake.objects_of_any_size, self.table)

    def open_data(self, name: str) -> pa.NativeFile:
        """Open a data file for reading. A file in object storage is read whole."""
        import pyarrow as pa

        if self._folder is not None:
            return pa.OSFile(str(self._folder / name))
        return pa.BufferReader(self.read(name))

    def read(self, name: str) -> bytes:
        """Read a file. Raises LakeError where it is not there."""
        if self._folder is not None:
            try:
                return (self._folder / name).read_bytes()
            except FileNotFoundError as error:
                raise self._as_gone(name) from error
        found = self._lake.objects_of_any_size.read(f"{self.table}/{name}")
        if found is None:
            raise self._as_gone(name)
        return found.data

    def write(self, name: str, data: bytes) -> None:
        """Write a new file, which nobody reads before a commit names it."""
        if self._folder is None:
            self._lake.objects_of_any_size.write(f"{self.table}/{name}", data)
            return
        with (self._folder / name).open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())

    def take(self, path: Path, name: str) -> None:
        """Move a complete file of this machine here. A local lake has it on its own disk already."""
        if self._folder is None:
            self.write(name, path.read_bytes())
            path.unlink()
        else:
            path.replace(self._folder / name)

    def commit(self, version: int, data: bytes) -> None:
        """Write a commit. Raises LakeError where another writer has written that version."""
        name = f"{LOG_NAME}/{version:020}.json"
        if self._folder is None:
            if self._lake.objects_of_any_size.write_over(f"{self.table}/{name}", data, None) is None:
                raise self._as_overtaken()
            return
        draft = self._folder / LOG_NAME / f".{version:020}.{os.getpid()}.tmp"
        try:
            with draft.open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            os.link(draft, self._folder / name)  # fails where the version exists, as a rename would not
        except FileExistsError as error:
            raise self._as_overtaken() from error
        finally:
            draft.unlink(missing_ok=True)

    def list(self, folder: str = "") -> dict[str, FileInfo]:
        """List the files directly below the table's folder, or one in it, by name."""
        if self._folder is None:
            found = self._lake.objects_of_any_size.list_files(f"{self.table}/{folder}".rstrip("/"))
            return {name: FileInfo(each.modified, each.size) for name, each in found.items()}
        with os.scandir(self._folder / folder) as entries:
            return {
                each.name: FileInfo(datetime.fromtimestamp(each.stat().st_mtime, UTC), each.stat().st_size)
                for each in entries
                if each.is_file(follow_symlinks=False)
            }

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        if self._folder is None:
            self._lake.objects.remove(f"{self.table}/{name}")
        else:
            Path(self._folder / name).unlink(missing_ok=True)

    def _as_gone(self, name: str) -> LakeError:
        return LakeError(f"The table {self.table} lacks its file {name}. Load the lake again: imdb-etl load --again.")

    def _as_overtaken(self) -> LakeError:
        return LakeError(f"Another program has written to the table {self.table} meanwhile. Nothing is served of this.")
