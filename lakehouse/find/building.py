"""Builds and updates indexes in folders. A folder is complete once it is returned, and is never changed then."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from lakehouse.find.finder import (
    INDEX_NAME,
    THINGS_FOLDER,
    VALUES_FOLDER,
    guard_index,
    guard_panic,
    read_index,
)
from lakehouse.find.shelf import ShelfWriter, open_shelf, read_groups
from lakehouse.find.things import IndexSummary, Thing, ThingBatch


def build_index(
    folder: Path,
    things: Iterable[Thing | ThingBatch],
    values: Iterable[Thing] = (),
    *,
    missing: Sequence[str] = (),
    floors: Mapping[str, float] | None = None,
) -> IndexSummary:
    """Build an index in an empty or new folder. `missing` says, in sentences, what is not in it.

    `values` are things of the kind "value"; they lie apart, so that an update can count them again. `floors` are the
    weights, by kind, below which things were left out; an update leaves them out as well. Raises LakeError, OSError.
    """

    writer = IndexWriter(folder)
    writer.add(things)
    return writer.finish(values, missing=missing, floors=floors)


class IndexWriter:
    """Writes a new index in an empty or new folder: its things as they come, its values at the end (`build_index`)."""

    def __init__(self, folder: Path) -> None:
        (folder / THINGS_FOLDER).mkdir(parents=True)
        self._folder = folder
        self._writer = guard_panic(lambda: ShelfWriter(folder / THINGS_FOLDER))

    def add(self, things: Iterable[Thing | ThingBatch]) -> None:
        """Add things."""
        guard_panic(lambda: self._writer.add(things))

    def flush(self) -> None:
        """Free the memory that things take which are not on disk yet."""
        guard_panic(self._writer.flush)

    def finish(
        self, values: Iterable[Thing], *, missing: Sequence[str] = (), floors: Mapping[str, float] | None = None
    ) -> IndexSummary:
        """Make the index complete, with these values."""

        def write() -> IndexSummary:
            self._writer.commit()
            counts = self._writer.counts | _write_values(self._folder, values)
            return _finish_index(self._folder, counts, missing, floors)

        return guard_panic(write)


class IndexUpdate:
    """An update of an index: a new folder, which shares the unchanged files of the one that it is based on.

    Both may be in use meanwhile: files of an index are never written again. As a context manager it removes the new
    folder where the update is given up. Raises IndexDamaged where the base cannot be used, OSError.
    """

    def __init__(self, base: Path, folder: Path) -> None:
        self._folder = folder
        stored = read_index(base)
        self._missing = [str(each) for each in stored["partial"]]
        self.floors = {str(kind): float(floor) for kind, floor in stored["floors"].items()}
        _link_files(base / THINGS_FOLDER, folder / THINGS_FOLDER)
        groups = read_groups(folder / THINGS_FOLDER)
        self._writer = guard_index(lambda: ShelfWriter(folder / THINGS_FOLDER, groups))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def replace(self, kind: str, ids: Iterable[str], things: Iterable[Thing | ThingBatch]) -> None:
        """Replace the things of a kind with these ids by others."""

        def write() -> None:
            self._writer.remove(kind, ids)
            self._writer.add(things)

        guard_panic(write)

    def finish(self, values: Iterable[Thing]) -> IndexSummary:
        """Make the new index complete, with these values."""

        def write() -> IndexSummary:
            counts = self._writer.commit().count_kinds()
            counts |= _write_values(self._folder, values)
            return _finish_index(self._folder, counts, self._missing, self.floors)

        return guard_panic(write)


def read_values(folder: Path) -> dict[str, list[Thing]]:
    """Read the values in an index, by table. Raises IndexDamaged."""
    found: dict[str, list[Thing]] = {}
    for each in guard_index(lambda: open_shelf(folder / VALUES_FOLDER).list_all()):
        found.setdefault(each.table, []).append(each)
    return found


def _write_values(folder: Path, values: Iterable[Thing]) -> dict[str, int]:
    (folder / VALUES_FOLDER).mkdir(parents=True)
    writer = ShelfWriter(folder / VALUES_FOLDER, small=True)
    writer.add(values)
    writer.commit()
    return writer.counts


def _finish_index(
    folder: Path, counts: dict[str, int], missing: Sequence[str], floors: Mapping[str, float] | None
) -> IndexSummary:
    """Write down what an index has beside its shelves, and measure it."""
    text = json.dumps({"partial": list(missing), "floors": dict(floors or {})}, ensure_ascii=False)
    (folder / INDEX_NAME).write_text(text, encoding="utf-8")
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        if path.name.endswith(".lock"):
            path.unlink()
        elif path.name.endswith(".json"):
            path.chmod(0o644)  # tantivy's own are for their writer alone; a server may be another user
    sizes = [path.stat().st_size for path in files if path.exists()]
    return IndexSummary(counts, len(sizes), sum(sizes), tuple(missing))


def _link_files(base: Path, folder: Path) -> None:
    """Link the files of a shelf into a new folder, or copy them where that is on another disk."""
    folder.mkdir(parents=True)
    for path in base.iterdir():
        if path.name.endswith(".lock"):
            continue
        try:
            if path.name.endswith(".json"):  # rewritten by each update
                raise OSError  # noqa: TRY301
            os.link(path, folder / path.name)
        except OSError:
            shutil.copyfile(path, folder / path.name)
