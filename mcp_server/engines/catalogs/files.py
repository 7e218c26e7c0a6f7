"""The files of all tables of a catalogue as one store: each below a root of its own, with access of its own.

    1f3a9c0d2b/films/_delta_log/…0.json    → the log of the table `films`, wherever it lies

Only what a catalogue lists has a root, and no name leads from one to another. `client` is asked by the server of the
engine's process (`store_server.py`), `read` and `list_files` by the readers of logs here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lakehouse.delta import is_below
from lakehouse.errors import LakeError
from lakehouse.objects import ObjectInfo, RangeFile, Stored, StoredFiles

ROOT_PARTS = 2
"""How many parts of a name are its table's root."""


class CatalogFiles:
    """Reads the files of tables by the root of each. Thread-safe."""

    def __init__(self) -> None:
        self._stores: Mapping[str, StoredFiles] = {}

    def replace_stores(self, stores: Mapping[str, StoredFiles]) -> None:
        """Replace all tables, by root."""
        self._stores = dict(stores)

    @property
    def client(self) -> Any:
        return self

    def read(self, name: str) -> Stored | None:
        """Read a file, None where it does not exist."""
        try:
            store, inner, _ = self._resolve(name)
        except FileNotFoundError:
            return None
        return store.read(inner)

    def open_ranges(self, name: str, size: int) -> RangeFile:
        """Open a file of this size. Raises FileNotFoundError where no table has it."""
        store, inner, _ = self._resolve(name)
        return store.open_ranges(inner, size)

    def list_files(self, folder: str) -> dict[str, ObjectInfo]:
        """List the files directly below a folder, by name."""
        try:
            store, inner, _ = self._resolve(folder)
        except FileNotFoundError:
            return {}
        return store.list_files(inner)

    async def head_async(self, key: str) -> Any:
        """Return what is known of a file."""
        store, inner, _ = self._resolve(key)
        return await store.client.head_async(inner)

    async def get_async(self, key: str, *, options: Any) -> Any:
        """Open a file, or a range of it."""
        store, inner, _ = self._resolve(key)
        return await store.client.get_async(inner, options=options)

    async def list_with_delimiter_async(self, prefix: str) -> dict[str, Sequence[Any]]:
        """List the files and folders directly below a folder."""
        store, inner, root = self._resolve(prefix)
        found = await store.client.list_with_delimiter_async(inner)
        return {
            "objects": [{**each, "path": f"{root}/{each['path']}"} for each in found["objects"]],
            "common_prefixes": [f"{root}/{each}" for each in found["common_prefixes"]],
        }

    def _resolve(self, name: str) -> tuple[StoredFiles, str, str]:
        """Return the store of a name, the name in it, and the root. Raises FileNotFoundError where there is no such."""
        parts = name.strip("/").split("/")
        root, inner = "/".join(parts[:ROOT_PARTS]), parts[ROOT_PARTS:]
        store = self._stores.get(root)
        if store is None or not {"", ".", ".."}.isdisjoint(inner):
            raise FileNotFoundError(name)
        return store, "/".join(inner), root


class FolderFiles:
    """The files of one table on this machine. No link leads out of its folder."""

    def __init__(self, folder: str) -> None:
        from obstore.store import LocalStore

        self._home = os.path.realpath(folder)
        self._store = LocalStore(prefix=Path(self._home))

    @property
    def client(self) -> Any:
        return self

    def read(self, name: str) -> Stored | None:
        """Read a file, None where it does not exist. Raises LakeError where it cannot be read."""
        from obstore.exceptions import BaseError

        try:
            return Stored(bytes(self._store.get(self._check_inside(name)).bytes()), {})
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise LakeError(f"{os.path.basename(name)} in its folder cannot be read") from error

    def open_ranges(self, name: str, size: int) -> RangeFile:
        """Open a file of this size for reading here and there."""
        inner = self._check_inside(name)
        return RangeFile(size, lambda start, length: bytes(self._store.get_range(inner, start=start, length=length)))

    def list_files(self, folder: str) -> dict[str, ObjectInfo]:
        """List the files directly below a folder, by name. Raises LakeError where it cannot be listed."""
        from obstore.exceptions import BaseError

        try:
            found = self._store.list_with_delimiter(self._check_inside(folder))["objects"]
        except FileNotFoundError:
            return {}
        except (BaseError, OSError) as error:
            raise LakeError(f"its folder {os.path.basename(folder)} cannot be listed") from error
        return {
            each["path"].rpartition("/")[2]: ObjectInfo(each["last_modified"], each["size"], each["e_tag"] or "")
            for each in found
        }

    async def head_async(self, key: str) -> Any:
        """Return what is known of a file."""
        return await self._store.head_async(self._check_inside(key))

    async def get_async(self, key: str, *, options: Any) -> Any:
        """Open a file, or a range of it."""
        return await self._store.get_async(self._check_inside(key), options=options)

    async def list_with_delimiter_async(self, prefix: str) -> Any:
        """List the files and folders directly below a folder."""
        return await self._store.list_with_delimiter_async(self._check_inside(prefix))

    def _check_inside(self, name: str) -> str:
        """Return a name whose file is in the folder, and a file. Raises FileNotFoundError."""
        real = os.path.realpath(os.path.join(self._home, name))
        if not is_below(real, self._home) or not (os.path.isfile(real) or os.path.isdir(real)):
            raise FileNotFoundError(name)
        return name
