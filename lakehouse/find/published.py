"""The indexes of a lake's generations: `_find/<generation>`, a folder that never changes once a manifest names it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from lakehouse.errors import LakeError
from lakehouse.find.finder import INDEX_NAME, THINGS_FOLDER, VALUES_FOLDER
from lakehouse.find.things import IndexDamaged
from lakehouse.manifest import FindIndex
from lakehouse.storage import Lake

FIND_FOLDER: Final = "_find"
MOST_BYTES: Final = 8 << 30
"""An index in object storage that is larger is not brought here."""
_FOLDERS: Final = ("", THINGS_FOLDER, VALUES_FOLDER)
_KEPT_COPIES: Final = 2


def fetch_index(lake: Lake, index: FindIndex, state: Path) -> Path:
    """Return the folder of a published index: that in the lake, or a copy of one in object storage, in `state`.

    It is copied once, by generation; a copy that was not finished is not taken for one.
    Raises IndexDamaged where files are missing, LakeError where the storage does not answer, OSError for a full disk.
    """
    if lake.directory is not None:
        folder = lake.directory / index.path
        if not (folder / INDEX_NAME).is_file():
            raise IndexDamaged(f"{lake} lacks the index of names that its manifest names. Load the lake again.")
        return folder
    copies = state / "find" / hashlib.sha256(lake.address.encode()).hexdigest()[:16]
    target = copies / index.path.replace("/", "-")
    if target.is_dir():
        return target
    copies.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=copies, ignore_cleanup_errors=True) as work:
        draft = Path(work) / "index"
        _copy_here(lake, index, draft)
        try:
            os.replace(draft, target)
        except OSError:  # another process has been faster
            if not target.is_dir():
                raise
    _remove_old_copies(copies)
    return target


def store_index(lake: Lake, folder: Path, path: str) -> None:
    """Write the files of a built index into object storage, below `path`. Raises LakeError."""
    remove_index(lake, path)
    objects = lake.objects_of_any_size
    for within in _FOLDERS:
        for file in sorted((folder / within).iterdir()):
            if file.is_file():
                objects.write(_join(path, within, file.name), file.read_bytes())


def has_index(lake: Lake, index: FindIndex) -> bool:
    """Whether a lake still has the files of an index."""
    try:
        return INDEX_NAME in lake.list_files(index.path)
    except LakeError:
        return False


def list_indexes(lake: Lake) -> list[str]:
    """List the paths of all indexes in a lake, whether a manifest names them or not."""
    if lake.directory is not None:
        names = [path.name for path in (lake.directory / FIND_FOLDER).glob("*") if path.is_dir()]
    else:
        names = lake.objects.list_folders(FIND_FOLDER)
    return [f"{FIND_FOLDER}/{name}" for name in sorted(names)]


def remove_index(lake: Lake, path: str) -> tuple[int, int]:
    """Remove an index; who has it open goes on reading it. Returns the number of files, and their bytes."""
    if lake.directory is not None:
        sizes = [file.stat().st_size for file in (lake.directory / path).rglob("*") if file.is_file()]
        shutil.rmtree(lake.directory / path, ignore_errors=True)
        return len(sizes), sum(sizes)
    found = list(_list_objects(lake, path))
    for name, _ in found:
        lake.remove_file(_join(path, name))
    return len(found), sum(size for _, size in found)


def _copy_here(lake: Lake, index: FindIndex, folder: Path) -> None:
    found = list(_list_objects(lake, index.path))
    size = sum(each for _, each in found)
    if size != index.bytes:
        raise IndexDamaged(f"The index of names of {lake} has {size:,} bytes, not {index.bytes:,}. Load it again.")
    if size > MOST_BYTES:
        raise IndexDamaged(f"The index of names of {lake} has {size:,} bytes; at most {MOST_BYTES:,} are brought here.")
    for within in _FOLDERS:
        (folder / within).mkdir(parents=True, exist_ok=True)
    objects = lake.objects_of_any_size
    for name, _ in found:
        stored = objects.read(_join(index.path, name))
        if stored is None:
            raise IndexDamaged(f"The index of names of {lake} was removed while it was read. Try again.")
        (folder / name).write_bytes(stored.data)


def _list_objects(lake: Lake, path: str) -> Iterator[tuple[str, int]]:
    """Yield the names of an index's files, relative to it, and their bytes."""
    for within in _FOLDERS:
        for name, info in lake.objects_of_any_size.list_files(_join(path, within)).items():
            yield _join(within, name), info.size


def _remove_old_copies(copies: Path) -> None:
    """Remove all copies but the newest; a process that has one open goes on reading it."""
    made: list[tuple[float, Path]] = []
    for path in copies.iterdir():
        # Those that others are still making, which are newer than what was just made, are no copies yet.
        if path.is_dir() and not path.name.startswith("."):
            with suppress(FileNotFoundError):  # somebody else removes it too
                made.append((path.stat().st_mtime, path))
    for _, path in sorted(made)[:-_KEPT_COPIES]:
        shutil.rmtree(path, ignore_errors=True)


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)
