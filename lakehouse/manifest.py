"""The manifest of a lake: the versions of all tables that belong together.

A load writes each Delta table in turn and publishes all of them at once by replacing one small file,
`_manifest.json`. Readers pin the versions that it names, so they see the old lake or the new one and
never a mixture. The manifest before it is kept as `_manifest.previous.json`, and all earlier ones in `_manifests`, for
as long as their tables are kept (`etl.retention`).
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakehouse.errors import LakeError
from lakehouse.objects import Stored
from lakehouse.storage import Lake

MANIFEST_NAME = "_manifest.json"
PREVIOUS_NAME = "_manifest.previous.json"
GENERATIONS_FOLDER = "_manifests"
"""Where the manifests of earlier generations are, as `7.json`."""
LOADING_NAME = "_loading.json"
"""Marks a lake during its first load. Without a manifest beside it, that load never finished."""
FORMAT_VERSION: Final = 1


TableKind = Literal["table", "view"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Frozen):
    """One column: `type` is the Spark SQL name (`int`, `array<string>`), `comment` what it means."""

    name: str
    type: str
    comment: str = ""
    nullable: bool = True


class SourceFile(_Frozen):
    """The identity of an input file: its name and size in bytes, and the SHA-256 of its bytes."""

    name: str
    bytes: int
    sha256: str


class TableEntry(_Frozen):
    """One published table at one Delta version.

    `path` is relative to the lake. `kind` is `table` for what was loaded and `view` for what was
    pre-computed from it. `key` names the columns that identify a row; `clustered_by` those that the
    rows are ordered by in the files, so that look-ups by them read little. `bytes` and `files` are
    those of the live data files.
    """

    path: str
    version: int
    rows: int
    bytes: int
    files: int
    kind: TableKind
    key: tuple[str, ...] = ()
    clustered_by: tuple[str, ...] = ()
    comment: str = ""
    columns: tuple[Column, ...]
    source: SourceFile | None = None


class FindIndex(_Frozen):
    """The index of names and values (`lakehouse.find`): a folder, relative to the lake, and its size.

    `count` is the number of things in it.
    """

    path: str = Field(pattern=r"^_find/\d+$")
    bytes: int = Field(ge=0)
    files: int = Field(ge=0)
    count: int = Field(ge=0)


class Manifest(_Frozen):
    """All tables of a lake that belong together. `generation` rises by one with every load.

    `find` is None in a lake without an index of names.
    """

    format_version: Literal[1] = FORMAT_VERSION
    generation: int = Field(ge=1)
    created_at: datetime
    engine: str
    schema_name: str = "imdb"
    tables: dict[str, TableEntry]
    find: FindIndex | None = None


class DamagedManifestError(LakeError):
    """The manifest exists and cannot be parsed."""


def read_manifest(lake: Lake, name: str = MANIFEST_NAME) -> Manifest | None:
    """Read the published manifest (or the one before it, by its name), or None where the lake has none.

    Raises DamagedManifestError where the file cannot be parsed, LakeError where it cannot be read.
    """
    stored = lake.read_stored(name)
    return None if stored is None else _decode_manifest(stored, lake, name)


def publish_manifest(lake: Lake, manifest: Manifest) -> None:
    """Publish `manifest` atomically, and keep the one before it unless that is damaged.

    Raises LakeError where another load has published since this one began.
    """
    stored, current = lake.read_stored(MANIFEST_NAME), None
    if stored is not None:
        with suppress(DamagedManifestError):
            current = _decode_manifest(stored, lake, MANIFEST_NAME)
    if current is not None:
        if current.generation >= manifest.generation:
            raise _as_overtaken(lake)
        lake.replace_file(_name_generation(current.generation), _encode_manifest(current))
        lake.replace_file(PREVIOUS_NAME, _encode_manifest(current))
    if not lake.replace_stored(MANIFEST_NAME, _encode_manifest(manifest), stored):
        raise _as_overtaken(lake)


def list_generations(lake: Lake) -> list[Manifest]:
    """The manifests of all generations that are kept, the published one first, without those that cannot be parsed."""
    numbers = {
        int(stem) for name in lake.list_files(GENERATIONS_FOLDER) if (stem := name.removesuffix(".json")).isdecimal()
    }
    found: dict[int, Manifest] = {}
    for name in (MANIFEST_NAME, PREVIOUS_NAME, *map(_name_generation, numbers)):
        with suppress(DamagedManifestError):
            manifest = read_manifest(lake, name)
            if manifest is not None:
                found.setdefault(manifest.generation, manifest)
    return [found[generation] for generation in sorted(found, reverse=True)]


def forget_generation(lake: Lake, generation: int) -> None:
    """Remove the kept manifest of a generation, if there is one."""
    lake.remove_file(_name_generation(generation))


def last_generation(lake: Lake) -> int:
    """The generation of the last published load, 0 where none can be parsed."""
    for name in (MANIFEST_NAME, PREVIOUS_NAME):
        with suppress(DamagedManifestError):
            manifest = read_manifest(lake, name)
            if manifest is not None:
                return manifest.generation
    return 0


def _decode_manifest(stored: Stored, lake: Lake, name: str) -> Manifest:
    try:
        return Manifest.model_validate_json(stored.data)
    except ValidationError as error:
        raise DamagedManifestError(
            f"{name} in {lake} cannot be read ({error.error_count()} errors, the first: "
            f"{error.errors()[0]['msg']}). Load the lake again, or run `imdb-etl rollback`."
        ) from error


def _name_generation(generation: int) -> str:
    return f"{GENERATIONS_FOLDER}/{generation}.json"


def _as_overtaken(lake: Lake) -> LakeError:
    return LakeError(
        f"Another load into {lake} was published while this one ran. Nothing of this one is served; load again if it "
        "has newer files."
    )


def _encode_manifest(manifest: Manifest) -> bytes:
    return json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False).encode()
