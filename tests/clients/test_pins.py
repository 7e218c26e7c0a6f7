"""docs/clients.md names every client that the tests install, in the version that they install."""

from __future__ import annotations

import json
import re

from tests.clients.installs import HERE
from tests.conftest import ROOT

_ROW = re.compile(r"^\| `([^`]+)` \| ([\w.-]+) \|", re.MULTILINE)


def test_the_table_of_clients_has_the_versions_that_are_installed() -> None:
    manifest = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    lines = (HERE / "requirements.txt").read_text(encoding="utf-8").split()
    pinned = manifest["dependencies"] | manifest["devDependencies"] | dict(line.split("==") for line in lines)
    assert dict(_ROW.findall((ROOT / "docs" / "clients.md").read_text(encoding="utf-8"))) == pinned


def test_the_lock_has_the_versions_of_the_manifest_and_no_address() -> None:
    manifest = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    locked = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for name, version in (manifest["dependencies"] | manifest["devDependencies"]).items():
        assert locked[f"node_modules/{name}"]["version"] == version
    assert not [name for name, package in locked.items() if "resolved" in package]
