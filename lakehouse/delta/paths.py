"""Resolves the paths of a table's files, which have to be below the table's folder or elsewhere in its lake.

A log may name any file: by an absolute path, a URL, `..` or a symbolic link. Engines follow all of these.
`DataPaths` finds files on this machine, `ObjectPaths` those in object storage.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from lakehouse.errors import LakeError
from lakehouse.objects import is_same_storage

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ENCODED_ID: Final = 20
"""Length of a deletion vector's id; the text before it is a folder (Delta protocol)."""


class _Paths:
    """What both kinds of paths share. `name` is the table's, for errors."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _read_vector(self, vector: Any) -> tuple[str, str] | None:
        """The kind and place of a deletion vector in a file, or None for one within the log, and for none."""
        kind, place = (vector.get(name) for name in ("storageType", "pathOrInlineDv")) if vector else (None, None)
        if kind in {None, "i"}:
            return None
        if not isinstance(place, str):
            raise self._as_refused("a deletion vector without a path")
        return kind, place

    def _as_refused(self, named: str) -> LakeError:
        shown = ascii(named)[1:81]
        return LakeError(
            f"The table {self._name} is not read: its Delta log names a file that is not in the lake ({shown}). "
            "Write the table again with its files below its own folder, or take it away."
        )


class DataPaths(_Paths):
    """Resolves the files that a table's log names. Raises LakeError for one outside of the table and its lake.

    `homes` are the real paths of the table's folder and the lake's. `folders` are the folders of files that were
    resolved, with the links in each: a link that is added later changes the folder's mtime.
    """

    def __init__(self, table: str | Path, lake: str | Path) -> None:
        self.table = Path(table)
        super().__init__(self.table.name)
        self.homes = (os.path.realpath(table), os.path.realpath(lake))
        self._root = self.homes[0]
        self.folders: dict[str, frozenset[str]] = {}
        self._real: dict[str, str] = {}

    def find(self, path: Any) -> str:
        """The real path of a data file, given its `add.path`."""
        if not isinstance(path, str) or not path:
            raise self._as_refused("a file without a path")
        return self._resolve_within(self._resolve_absolute(path), path)

    def find_vector(self, vector: Any) -> str | None:
        """The real path of a deletion vector's file, None where the log does not name one: it is below the table's."""
        found = self._read_vector(vector)
        if found is None:
            return None
        kind, place = found
        if kind == "p":
            return self._resolve_within(self._resolve_absolute(place), place)
        prefix = place[:-_ENCODED_ID]
        if kind != "u" or len(place) < _ENCODED_ID or ".." in prefix or "%" in prefix or prefix.startswith("/"):
            raise self._as_refused(place)
        folder = os.path.join(self._root, prefix) if prefix else self._root
        self._resolve_folder(folder, place)
        for name in self.folders[folder]:
            if name.startswith("deletion_vector_"):
                self._resolve_within(os.path.join(folder, name), place)
        return None

    def _resolve_absolute(self, path: str) -> str:
        """The path that an engine would open, before links are followed."""
        if _SCHEME.match(path):
            parts = urlsplit(path)
            if parts.scheme.lower() != "file" or parts.netloc or parts.query or parts.fragment:
                raise self._as_refused(path)
            path = parts.path
        decoded = unquote(path, errors="strict") if _is_text(path) else ""
        if not decoded or "\0" in decoded or ".." in decoded.split("/"):
            raise self._as_refused(path)
        return os.path.join(self._root, decoded)

    def _resolve_within(self, absolute: str, named: str) -> str:
        """The real path of a file. Raises LakeError where it is outside of `homes`."""
        folder, name = os.path.split(absolute)
        real = os.path.join(self._resolve_folder(folder, named), name)
        if name in self.folders[folder]:
            real = os.path.realpath(real)
            if not self._is_home(real):
                raise self._as_refused(named)
        return real

    def _resolve_folder(self, folder: str, named: str) -> str:
        """The real path of a folder. Raises LakeError where it is outside of `homes`."""
        if folder not in self._real:
            real = os.path.realpath(folder)
            if not self._is_home(real):
                raise self._as_refused(named)
            self._real[folder], self.folders[folder] = real, _list_links(folder)
        return self._real[folder]

    def _is_home(self, real: str) -> bool:
        return any(is_below(real, home) for home in self.homes)


class ObjectPaths(_Paths):
    """Resolves the files that the log of a table in object storage names, as paths below the lake's URL.

    `table` is the table's folder below the URL. Raises LakeError for a file outside of the lake. Object storage has no
    links, so a name determines the place of a file.
    """

    def __init__(self, table: str, lake: str) -> None:
        super().__init__(table.rpartition("/")[2])
        self.table = table
        self._lake = lake

    def find(self, path: Any) -> str:
        """The path of a data file below the lake's URL, given its `add.path`."""
        if not isinstance(path, str) or not path:
            raise self._as_refused("a file without a path")
        if not _SCHEME.match(path):
            return f"{self.table}/{self._decode_path(path, path)}"
        parts = urlsplit(path)
        if not is_same_storage(path, self._lake) or parts.query or parts.fragment:
            raise self._as_refused(path)
        found, home = self._decode_path(parts.path.lstrip("/"), path), urlsplit(self._lake).path.strip("/")
        if home and not found.startswith(f"{home}/"):
            raise self._as_refused(path)
        return found[len(home) :].lstrip("/")

    def find_vector(self, vector: Any) -> str | None:
        """The path of a deletion vector's file, None where the log does not name one: it is below the table's."""
        found = self._read_vector(vector)
        if found is None:
            return None
        kind, place = found
        if kind == "p":
            if not _SCHEME.match(place):
                raise self._as_refused(place)
            return self.find(place)
        prefix = place[:-_ENCODED_ID]
        if kind != "u" or len(place) < _ENCODED_ID or "%" in prefix or _leads_away(prefix):
            raise self._as_refused(place)
        return None

    def _decode_path(self, path: str, named: str) -> str:
        decoded = unquote(path, errors="strict") if _is_text(path) else ""
        if not decoded or "\0" in decoded or _leads_away(decoded):
            raise self._as_refused(named)
        return decoded


def _leads_away(path: str) -> bool:
    """Whether a decoded path leaves its folder; Azure reads a backslash as a slash."""
    parts = path.replace("\\", "/").split("/")
    return path[:1] in {"/", "\\"} or not {".", ".."}.isdisjoint(parts)


def is_below(real: str, home: str) -> bool:
    """Whether a path is in a folder, or is the folder."""
    return real == home or real.startswith(home.rstrip("/") + "/")


def _is_text(path: str) -> bool:
    """Whether a decoded path is valid UTF-8: engines change other bytes."""
    try:
        unquote(path, errors="strict").encode()
    except UnicodeError:
        return False
    return True


def _list_links(folder: str) -> frozenset[str]:
    """The names in a folder that are symbolic links."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_symlink())
    except OSError:  # files of old versions may be gone, with their folders
        return frozenset()
