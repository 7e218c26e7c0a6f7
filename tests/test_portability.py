"""All that is installed can be imported where there is no POSIX; one module alone knows what systems do differently.

What Windows does then is not proved here: no machine with it was at hand.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse import system
from tests.conftest import ROOT

PACKAGES = [
    name.rstrip("*")
    for name in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"][
        "include"
    ]
]
POSIX = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
IMPORTS = re.compile(rf"^\s*(?:import|from) (?:{'|'.join(sorted(POSIX))})\b", re.MULTILINE)
SIGNALS = ["SIGHUP", "SIGKILL", "SIGALRM", "SIGUSR1", "SIGCHLD", "pthread_sigmask"]
OS = ["O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "fork", "geteuid", "getuid", "killpg", "register_at_fork", "sysconf"]
SYSTEM = "lakehouse/system.py"

IMPORT_ALL = """
import importlib, json, os, signal, socket, sys

names, posix, signals, missing = json.loads(sys.argv[1])
for name in names:  # with everything, so that what others import is there
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition('.')[0] in {name.partition('.')[0] for name in names}]:
    del sys.modules[name]
for name in posix:
    sys.modules[name] = None
for module, gone in ((signal, signals), (os, missing), (socket, ['AF_UNIX', 'send_fds', 'recv_fds'])):
    for name in gone:
        if hasattr(module, name):
            delattr(module, name)
failed = {}
for name in names:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed[name] = repr(error)
print(json.dumps(failed))
"""


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_everything_is_imported_without_posix() -> None:
    names = [module_name(path) for path in sources() if path.name != "__main__.py"]
    assert "mcp_server.engines.local.process" in names
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_ALL, json.dumps([names, sorted(POSIX), SIGNALS, OS])],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def test_one_module_alone_asks_what_the_system_can() -> None:
    """Beside it, what is Linux's alone: the fence and the network of an engine, in functions that say so elsewhere."""
    linux_alone = {"lakehouse/isolation.py", "mcp_server/engines/worker/sandbox.py"}
    found = {
        path.relative_to(ROOT).as_posix() for path in sources() if IMPORTS.search(path.read_text(encoding="utf-8"))
    }
    assert found == linux_alone | {SYSTEM, "imdb_lakehouse/bridge/lines.py"}


def test_a_lock_is_seen_by_another_process_and_ends_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    ask = """import os, sys
from lakehouse import system
file = os.open(sys.argv[1], os.O_RDWR)
print(system.lock_file(file, wait=False), system.lock_byte(file, 7), system.lock_byte(file, 8))
"""

    def other() -> str:
        return subprocess.run(
            [sys.executable, "-c", ask, path], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    assert system.lock_file(descriptor, wait=False)
    assert system.lock_byte(descriptor, 7)
    assert other() == "False False True"
    system.unlock_byte(descriptor, 7)
    assert other() == "False True True"
    os.close(descriptor)
    assert other() == "True True True"


@pytest.mark.skipif(os.name != "posix", reason="looks at processes as POSIX has them")
def test_a_group_is_killed_with_what_it_started() -> None:
    start = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **system.GROUP_OPTIONS
    )
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    system.kill_group(child.pid)
    assert child.wait(10) < 0
    assert child.stdout.read() == ""  # the last one that had it is gone
    system.kill_group(child.pid)  # once more is no error
    assert not Path(f"/proc/{grandchild}/fd/1").exists()
    child.communicate()
