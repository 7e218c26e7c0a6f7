"""Puts the files of IMDb's context beside a lake (`_context/`), never over one that somebody has edited.

`_context/packaged.json` remembers the SHA-256 of each file as it was put there: a file that still has it is replaced by
a newer one. A file without a record is somebody's own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import prompts
from lakehouse.context import CONTEXT_FOLDER, CONTEXT_NAMES, DECLARATIONS_NAME, Context, parse_context
from lakehouse.context_files import read_context_file
from lakehouse.errors import LakehouseError
from lakehouse.storage import Lake, LakeKind

RECORD_NAME: Final = "packaged.json"


def read_load_declarations(lake: Lake, context_dir: Path | None = None) -> Context:
    """Read what will be declared of a lake once this load has put its files there; in `context_dir`, what is there.

    Where nothing is declared, what is declared of IMDb's files. Raises ContextError, LakeError.
    """
    packaged = prompts.read_lake_context()[DECLARATIONS_NAME]
    if context_dir is not None:
        own = read_context_file(lake, context_dir, DECLARATIONS_NAME)
        return parse_context({DECLARATIONS_NAME: packaged if own is None else own})
    stored = _read_stored(lake)
    is_ours = DECLARATIONS_NAME in _list_replaceable(stored, _read_record(lake))
    return parse_context({DECLARATIONS_NAME: packaged if is_ours else stored[DECLARATIONS_NAME]})


def store_context_files(lake: Lake) -> list[str]:
    """Put the packaged files beside a lake: those that are absent, and newer ones of those that nobody edited.

    Returns notes on what could not be done: a load never fails for it. A catalogue's lake has no folder for them.
    """
    if lake.kind is LakeKind.CATALOG:
        return []
    packaged = prompts.read_lake_context()
    try:
        stored, record = _read_stored(lake), _read_record(lake)
        replaceable = _list_replaceable(stored, record)
        written = {name: data for name, data in packaged.items() if name in replaceable and stored.get(name) != data}
        if not written:
            return []
        for name, data in written.items():
            lake.replace_file(f"{CONTEXT_FOLDER}/{name}", data)
        kept = {name: digest for name, digest in record.items() if name in stored and name not in replaceable}
        now = {name: _digest(data) for name, data in packaged.items() if name in replaceable}
        lake.replace_file(f"{CONTEXT_FOLDER}/{RECORD_NAME}", json.dumps(kept | now, indent=1, sort_keys=True).encode())
    except (LakehouseError, OSError) as error:
        reason = str(error).rstrip(".")
        return [f"The lake's context was not put beside it: {reason}. The lake is loaded all the same."]
    return []


def _read_stored(lake: Lake) -> dict[str, bytes]:
    if lake.kind is LakeKind.CATALOG:
        return {}
    found = {name: lake.read_file(f"{CONTEXT_FOLDER}/{name}") for name in CONTEXT_NAMES}
    return {name: data for name, data in found.items() if data is not None}


def _list_replaceable(stored: Mapping[str, bytes], record: Mapping[str, str]) -> frozenset[str]:
    """List the files that are absent, or as a load put them there."""
    return frozenset(name for name in CONTEXT_NAMES if name not in stored or record.get(name) == _digest(stored[name]))


def _read_record(lake: Lake) -> dict[str, str]:
    """Read which files a load has put there; none where the record is missing or damaged, so that none is replaced."""
    data = None if lake.kind is LakeKind.CATALOG else lake.read_file(f"{CONTEXT_FOLDER}/{RECORD_NAME}")
    try:
        found = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return {str(name): str(digest) for name, digest in found.items()} if isinstance(found, dict) else {}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
