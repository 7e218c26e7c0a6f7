"""`imdb-mcp config`: prints what an MCP client needs to start this installation, or writes it into the client's file.

A file is edited in place, member by member: what others wrote stays, and a file that cannot be read stays as it is.
"""

from __future__ import annotations

import glob
import json
import math
import os
import re
import string
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakehouse.environment import user_folders
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.foreign import explain_unserved
from lakehouse.program import tell
from lakehouse.storage import Lake
from mcp_server.clients.entry import ServerEntry, describe_server
from mcp_server.clients.json_text import JsonText, JsonTextError
from mcp_server.clients.table import CLIENTS, Client, ClientFile
from mcp_server.settings import Settings

_SPARE_SECONDS = 15
"""How much longer than the server a client waits for the answer to one call."""

_LINE_END = re.compile(r'(["\]}])\n')
"""The end of a line behind a value: Python's own style has a comma there."""


class ClientFileError(LakehouseError):
    """A client's file cannot be read, edited or written. It is as it was."""


def configure_client(settings: Settings, lake: Lake, client: str, *, name: str, file: Path | None, write: bool) -> int:
    """Print the configuration of a client for `lake`, or write it. The exit code is 0.

    `name` is what the client calls the server; `file` replaces the client's usual one.
    Raises UsageError, ClientFileError.
    """
    about, entry = CLIENTS[client], describe_server(settings, lake)
    if about.file is None:
        if write or file is not None:
            raise UsageError(f"{about.title} has no file: run the command without --write, and paste what it prints.")
        print(_write_program(about, name, entry, settings.wait_seconds))
    elif write:
        target = file or _locate_file(about, about.file)
        if entry.is_passing:
            raise UsageError(
                f"{entry.command} is in a cache and may be gone tomorrow. Install the program first (`uv tool install` "
                "or `pipx install`), and run it from there."
            )
        changed = _write_entry(about, about.file, target, name, entry, make_folder=file is not None)
        print(f"{target}: {'written' if changed else 'up to date'}. {about.then if changed else ''}".rstrip())
    else:
        print(json.dumps({about.file.section: {name: {**about.file.constants, **entry.to_json()}}}, indent=2))
        tell(_say_place(about, about.file, file))
    if problem := explain_unserved(lake):
        tell(f"The server has nothing to serve there yet. {problem}")
    if settings.export_dir is not None and not settings.export_dir.is_dir():
        tell(f"There is no folder {settings.export_dir} for results yet: make it, because the server does not.")
    if entry.secrets:
        tell(
            f"Not written, because it may be secret: {', '.join(entry.secrets)}. The server needs it: set it where "
            f"{about.title} starts, or in a TOML file of yours alone that IMDB_CONFIG names."
        )
    if entry.storage:
        tell(
            f"Not written, because it may be secret: {', '.join(entry.storage)}. The server reads the lake with these "
            f'variables, from its environment alone: set them where {about.title} starts, or in "env" of the entry.'
        )
    return 0


def _write_program(about: Client, name: str, entry: ServerEntry, wait_seconds: float) -> str:
    # What JSON writes of texts, lists and objects is Python's too; with a comma at each end formatters leave it alone.
    literal = _LINE_END.sub(r"\1,\n", json.dumps(entry.to_json(), indent=4, ensure_ascii=False))
    quoted = json.dumps(name, ensure_ascii=False)
    seconds = math.ceil(wait_seconds) + _SPARE_SECONDS
    return string.Template(about.program).substitute(name=quoted, entry=literal, seconds=seconds).rstrip()


def _say_place(about: Client, form: ClientFile, file: Path | None) -> str:
    try:
        return f"{about.title} reads it from {file or _locate_file(about, form)}; --write puts it there."
    except ClientFileError as error:
        return str(error)


def _locate_file(about: Client, form: ClientFile) -> Path:
    """The file of a client on this system: the first whose folder is there. Raises ClientFileError."""
    looked = []
    for place in next((places for system, places in form.places.items() if system == sys.platform), ()):
        folder, _, name = place.rpartition("/")
        for found in sorted(glob.glob(_expand_names(folder, glob.escape))):
            return Path(found) / name
        looked.append(_expand_names(folder, str))
    where = f"there is no {' and no '.join(looked)}" if looked else f"its place on {sys.platform} is not known"
    raise ClientFileError(f"{about.title} was not found: {where}. Start it once, or name its file with --file.")


def _expand_names(place: str, escape: Callable[[str], str]) -> str:
    """Replace the name that a place begins with by its folder."""
    name, slash, rest = place.partition("/")
    return escape(user_folders()[name]) + slash + rest


def _write_entry(
    about: Client, form: ClientFile, file: Path, name: str, entry: ServerEntry, *, make_folder: bool
) -> bool:
    """Merge the entry into a file. Returns whether anything changed. Raises ClientFileError."""
    target = Path(os.path.realpath(file))  # a link into a folder of settings stays one
    try:
        before = target.read_bytes() if target.exists() else None
        after = _merge_entry(about, form, before, name, entry)
        if after == before:
            return False
        if make_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        if before is not None:
            tell(f"What was there before is kept in {_keep_copy(target, before)}.")
        _replace_file(target, before, after)
    except JsonTextError as error:
        raise ClientFileError(
            f"{file} cannot be edited: {error}. It is unchanged: correct it, or paste what the command prints "
            "without --write."
        ) from error
    except OSError as error:
        raise ClientFileError(f"{error.filename or file} cannot be read or written: {error.strerror}.") from error
    return True


def _merge_entry(about: Client, form: ClientFile, before: bytes | None, name: str, entry: ServerEntry) -> bytes:
    """Return the bytes of a file with the entry in it. Raises JsonTextError."""
    wanted: dict[str, Any] = {**form.constants, **entry.to_json()}
    try:
        mark, text = _split_mark((before or b"").decode())
    except UnicodeDecodeError as error:
        raise JsonTextError(f"it is no UTF-8 ({error.reason} at byte {error.start:,})") from error
    document = JsonText(text if text.strip() else "{}\n")
    if document.first_extra is not None and not form.comments:
        raise JsonTextError(
            f"line {document.first_extra} has a comment or a trailing comma, which {about.title} does not read"
        )
    there = document.content.get(form.section, {})
    old = there.get(name) if isinstance(there, dict) else None
    if isinstance(old, dict) and not old.keys().isdisjoint({"url", "serverUrl"}):
        raise JsonTextError(f"{name!r} is another server there, with an address: choose another --name")
    if isinstance(old, dict):
        for path, value in _list_members(wanted):
            if _find_value(document.content, (form.section, name, *path)) != value:
                document = JsonText(document.set_member((form.section, name, *path), value))
    else:
        document = JsonText(document.set_member((form.section, name), wanted))
    return (mark + document.text).encode()


def _list_members(wanted: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    """The members to set one by one, so that what a user added to an entry or to its variables stays."""
    env = wanted.get("env", {})
    return [((key,), value) for key, value in wanted.items() if key != "env"] + [
        (("env", variable), value) for variable, value in env.items()
    ]


def _find_value(content: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _split_mark(text: str) -> tuple[str, str]:
    """Split off the byte order mark that editors on Windows write."""
    return ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)


def _keep_copy(target: Path, data: bytes) -> Path:
    """Keep the old content beside the file, over no earlier copy."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    copy = target.with_name(f"{target.name}.{stamp}.bak")
    descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, target.stat().st_mode & 0o777)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    return copy


def _replace_file(target: Path, before: bytes | None, after: bytes) -> None:
    """Replace a file at once, with the rights that it had. Raises OSError, and JsonTextError where it has changed."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            os.chmod(draft, target.stat().st_mode & 0o777)
        _require_unchanged(target, before)
        os.replace(draft, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise


def _require_unchanged(target: Path, before: bytes | None) -> None:
    if (target.read_bytes() if target.exists() else None) != before:
        raise JsonTextError("another program has just changed it")
