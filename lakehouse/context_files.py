"""The files of a lake's context as they stand: where they lie, how large they may be, and the page, a mere text.

Without the models of `lakehouse.context`, for which a handshake would wait.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lakehouse.errors import LakeError
from lakehouse.escaping import replace_controls
from lakehouse.storage import Lake, LakeKind

CONTEXT_FOLDER: Final = "_context"
PAGE_NAME: Final = "context.md"
QUERIES_NAME: Final = "queries.jsonl"
DECLARATIONS_NAME: Final = "lake.toml"
CONTEXT_NAMES: Final = (PAGE_NAME, QUERIES_NAME, DECLARATIONS_NAME)

MOST_PAGE_BYTES: Final = 4_096
"""Every conversation carries the page: reviewed context of this size is what published measurements used."""
MOST_FILE_BYTES: Final = 1 << 20


class ContextError(LakeError):
    """A file of the lake's context cannot be used; the text says which line, and why."""


def read_page(lake: Lake, folder: Path | None = None) -> str:
    """Read the page alone, which a server needs before anything else. Raises ContextError, LakeError."""
    return parse_page(read_context_file(lake, folder, PAGE_NAME) or b"")


def read_context_file(lake: Lake, folder: Path | None, name: str) -> bytes | None:
    """Read a file of the context as it stands, None where there is none. Raises ContextError, LakeError."""
    if folder is not None and not folder.is_dir():
        raise ContextError(f"{folder}, the folder of the lake's context (IMDB_CONTEXT_DIR), does not exist.")
    if folder is None and lake.kind is LakeKind.URL:
        return lake.read_file(f"{CONTEXT_FOLDER}/{name}")
    inside = lake.directory if folder is None else None
    folder = inside / CONTEXT_FOLDER if inside is not None else folder
    return None if folder is None else _read_local(folder / name, inside)


def _read_local(path: Path, inside: Path | None) -> bytes | None:
    """Read a file, but no more of it than is allowed, and no link that leads out of the folder `inside`."""
    try:
        if not path.is_file():  # a pipe would never end
            return None
        if inside is not None and not path.resolve().is_relative_to(inside.resolve()):
            raise ContextError(
                f"{path.name} of the lake's context is a link that leads out of the lake. Copy the file."
            )
        with path.open("rb") as file:
            return file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise ContextError(f"{path.name} could not be read from {path.parent}: {error.strerror}.") from error


def parse_page(data: bytes) -> str:
    """Parse `context.md`. Raises ContextError."""
    return decode_file(PAGE_NAME, data, MOST_PAGE_BYTES).strip()


def decode_file(name: str, data: bytes, most: int) -> str:
    """Decode a file of at most `most` bytes. Raises ContextError."""
    if len(data) > most:
        size = f"{len(data):,} bytes" if len(data) <= MOST_FILE_BYTES else f"more than {MOST_FILE_BYTES:,} bytes"
        raise ContextError(f"{name} of the lake's context has {size}; at most {most:,} are read. Cut it.")
    try:
        return replace_controls(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ContextError(f"{name} of the lake's context is not UTF-8 text (byte {error.start}).") from error
