"""The modules that know nothing of a browser, in Node.js: their tests are in modules/."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = 18
TESTS = sorted((Path(__file__).parent / "modules").glob("*.test.mjs"))


@pytest.fixture(scope="module")
def node() -> str:
    """Where Node.js is. Skips the test where there is none of NODE or newer."""
    binary = shutil.which("node")
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout if binary else ""
    version = re.match(r"v(\d+)", said)
    if binary is None or version is None or int(version[1]) < NODE:
        pytest.skip(f"needs Node.js {NODE}+")
    return binary


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_module(node: str, file: Path) -> None:
    done = subprocess.run([node, "--test", str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE) or "ℹ pass " in done.stdout
