"""The address of a lake, and the few file operations on it outside of engines.

A lake is a directory, a storage URL (`s3://`, `abfss://`, `gs://`, `file://`), a `catalog.schema` of an engine that has
a catalogue, or a catalogue that the server asks (`uc://`, `onelake://`, `glue://`). Table data are read and written by
engines; here are only the small files beside them.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from lakehouse.errors import LakeError, UsageError
from lakehouse.objects import ObjectStore, Stored, StoredFiles

# Engines read a path as a URL or a pattern: blanks, letters beyond ASCII, `#`, `[` and `{` change its meaning.
_PLAIN = re.compile(r"[A-Za-z0-9_./+=@,-]+")
_CATALOG_NAME = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*")
CATALOG_SCHEMES: Final = frozenset({"uc", "onelake", "glue"})
"""Addresses of catalogues that the server itself asks (docs/catalogs.md)."""
_DRAFT = re.compile(r"\.[0-9]+\.tmp$")
"""How the name of a file ends that is written by a process, to be put in the place of another."""


def is_plain(path: str) -> bool:
    """Whether every engine reads a path literally."""
    return _PLAIN.fullmatch(path) is not None


class LakeKind(Enum):
    DIRECTORY = "directory"
    URL = "url"
    CATALOG = "catalog"


@dataclass(frozen=True)
class Lake:
    """The address of a lake.

    `address` is an absolute path for a directory, the URL without a trailing slash for storage, and
    `catalog.schema` or a URL for a catalogue. `shown` is the address that the user gave, where that differs. `files` is
    what its files are read with, where that is not the storage that `address` names.
    """

    kind: LakeKind
    address: str
    shown: str = ""
    files: StoredFiles | None = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Lake:
        """Parse the value of `--lake`.

        `catalog.schema` is a catalogue only where no such file or folder exists.
        Raises UsageError where the text is empty.
        """
        if not text.strip():
            raise UsageError("--lake is empty. Give a directory, a storage URL, or catalog.schema.")
        if text.startswith("file://"):
            return cls(LakeKind.DIRECTORY, os.path.abspath(unquote(urlsplit(text).path)))
        if text.partition("://")[0] in CATALOG_SCHEMES and "://" in text:
            return cls(LakeKind.CATALOG, text.rstrip("/"))
        if "://" in text:
            return cls(LakeKind.URL, text.rstrip("/") if text.rpartition("://")[2].strip("/") else text)
        if _CATALOG_NAME.fullmatch(text) and not os.path.exists(text):
            return cls(LakeKind.CATALOG, text)
        return cls(LakeKind.DIRECTORY, os.path.abspath(os.path.expanduser(text)))

    def __str__(self) -> str:
        return self.shown or self.address

    def reachable(self, links: Path) -> Lake:
        """The same lake at an address that every engine reads literally.

        A folder whose path is not plain gets a symbolic link in the folder `links`.
        Raises UsageError where that cannot help.
        """
        if self.kind is not LakeKind.DIRECTORY or is_plain(self.address):
            return self
        if "%" in self.address or "\\" in self.address:
            raise UsageError(f"--lake {self}: no engine reads a path with % or \\ in it. Choose another folder.")
        link = links / hashlib.sha256(os.fsencode(self.address)).hexdigest()[:16]
        if not is_plain(str(link)):
            raise UsageError(
                f"--lake {self}: engines read only paths of plain letters and digits, and neither this one nor "
                f"{links} is. Set IMDB_STATE_DIR to a folder with a plain path."
            )
        _make_link(link, self.address)
        return Lake(self.kind, str(link), self.address)

    @property
    def is_asked(self) -> bool:
        """Whether this is a catalogue that the server itself asks; engines have another one of their own."""
        return self.kind is LakeKind.CATALOG and "://" in self.address

    @property
    def directory(self) -> Path | None:
        """The folder of a lake on this machine, None for any other."""
        return Path(self.address) if self.kind is LakeKind.DIRECTORY else None

    def table_location(self, path: str) -> str:
        """The absolute location of a table, given its path relative to the lake."""
        return f"{self.address}/{path}"

    def holds(self, location: str) -> bool:
        """Whether an absolute location is the lake or below it."""
        return location == self.address or location.startswith(f"{self.address}/")

    def table_path(self, location: str) -> str:
        """The path of a table relative to the lake, given its absolute location.

        Raises LakeError for a table elsewhere, whose path would be that of another one.
        """
        if not self.holds(location):
            raise LakeError(f"A table that is asked for does not lie in the lake {self}.")
        return location.removeprefix(self.address).strip("/")

    @property
    def objects(self) -> ObjectStore:
        """The small files of a lake in object storage. Raises UsageError where the storage is not configured."""
        return ObjectStore(self.address)

    @property
    def objects_of_any_size(self) -> ObjectStore:
        """The files of a lake in object storage, with long time-outs for logs and data files."""
        return ObjectStore(self.address, large=True)

    @property
    def stored_files(self) -> StoredFiles:
        """The logs and data files of a lake that is no folder of this machine, to be read."""
        return self.files or self.objects_of_any_size

    def read_stored(self, name: str) -> Stored | None:
        """Read a small file and its version, or None where it does not exist. Raises LakeError."""
        if self.kind is LakeKind.URL:
            return self.objects.read(name)
        data = _read_local(self.directory / name) if self.directory is not None else None
        return None if data is None else Stored(data, {})

    def read_file(self, name: str) -> bytes | None:
        """Read a small file of the lake, or None where it does not exist.

        Raises LakeError where it cannot be read.
        """
        found = self.read_stored(name)
        return None if found is None else found.data

    def has_file(self, name: str) -> bool:
        """Whether there is a small file of this name. Raises LakeError where that cannot be found out."""
        if self.directory is not None:
            return (self.directory / name).exists()
        return self.objects.read(name) is not None

    def replace_file(self, name: str, data: bytes) -> None:
        """Replace a small file atomically.

        Raises LakeError where it cannot be written.
        """
        if self.directory is not None:
            _replace_local(self.directory / name, data)
        else:
            self.objects.write(name, data)

    def replace_stored(self, name: str, data: bytes, seen: Stored | None) -> bool:
        """Replace a small file if it is unchanged since it was `seen` (None: did not exist). False where it changed.

        In a local folder it cannot have changed: a lock excludes other loads (`etl.safeguards.hold_load_lock`).
        """
        if self.directory is None:
            return self.objects.write_over(name, data, seen) is not None
        _replace_local(self.directory / name, data)
        return True

    def list_files(self, folder: str) -> list[str]:
        """The names of the files directly in a folder of the lake, none where there is no such folder.

        Raises LakeError where it cannot be listed.
        """
        if self.directory is None:
            return sorted(self.objects.list_files(folder))
        return sorted(path.name for path in (self.directory / folder).glob("*") if path.is_file())

    def remove_file(self, name: str) -> None:
        """Remove a small file of the lake, if it exists."""
        if self.directory is not None:
            (self.directory / name).unlink(missing_ok=True)
        else:
            self.objects.remove(name)

    def remove_drafts(self) -> None:
        """Remove what writers that were killed left of small files, in a directory.

        The caller holds the lock that excludes other writers. Object storage has no drafts: a write is whole or not.
        """
        for folder in () if self.directory is None else (self.directory, *self.directory.glob("_*/")):
            for draft in folder.glob("*.tmp"):
                if _DRAFT.search(draft.name):
                    draft.unlink(missing_ok=True)


def _make_link(link: Path, target: str) -> None:
    """Create a symbolic link. An existing one has the same target: its name is a hash of it."""
    link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        link.symlink_to(target)


def _read_local(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LakeError(f"{path.name} could not be read from {path.parent}: {error.strerror}.") from error


def _replace_local(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LakeError(f"{path.name} could not be written to {path.parent}: {error.strerror}.") from error
