"""What a client has to be told to start this installation on a lake."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.environment import java_environment, storage_environment
from lakehouse.settings import shown_variables
from lakehouse.storage import Lake
from mcp_server.settings import Settings

_PROGRAM = "imdb-mcp"
_PASSING = frozenset({"archive-v0", "builds-v0", "environments-v2"})
"""Folders of uv's cache: what runs from there is gone when the cache is cleaned."""


@dataclass(frozen=True)
class ServerEntry:
    """How a client starts the server: `command` is absolute, `env` holds no secret.

    Variables of this environment that the server would read are not written down where they may be secret: `secrets`,
    settings that a TOML file may hold, and `storage`, whatever configures a client of object storage.
    `is_passing` says that the command is in a cache.
    """

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    secrets: tuple[str, ...]
    storage: tuple[str, ...]
    is_passing: bool

    def to_json(self) -> dict[str, Any]:
        """The entry as clients write it."""
        return {"command": self.command, "args": list(self.args), **({"env": dict(self.env)} if self.env else {})}


def describe_server(settings: Settings, lake: Lake) -> ServerEntry:
    """Describe how to start this installation on `lake`, with the settings that this process has from outside.

    A client that is started from a desktop has nothing of a shell's environment, so all that counts is written down.
    """
    shown, secret = shown_variables(settings, without=("lake", "engine", "export_dir"))
    if "spark" in settings.runtimes:
        shown |= java_environment()
    flags = ["serve", "--lake", str(lake)]
    if settings.export_dir is not None:
        flags += ["--export-dir", str(settings.export_dir)]
    if "engine" in settings.model_fields_set:
        flags += ["--engine", settings.engine]
    command, *prefix = _find_program()
    storage = (storage_environment() if lake.directory is None else {}).keys() - shown.keys() - set(secret)
    is_passing = not _PASSING.isdisjoint(Path(sys.prefix).parts)
    return ServerEntry(command, (*prefix, *flags), shown, tuple(sorted(secret)), tuple(sorted(storage)), is_passing)


def _find_program() -> list[str]:
    """The absolute command of this installation. Links stay: an environment's `python` is one, and resolved it is not
    of that environment any more.
    """
    ending = ".exe" if os.name == "nt" else ""
    program = Path(os.path.abspath(sys.executable)).parent / f"{_PROGRAM}{ending}"
    return [str(program)] if program.is_file() else [os.path.abspath(sys.executable), "-m", "mcp_server"]
