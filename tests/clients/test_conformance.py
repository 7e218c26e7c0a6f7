"""The conformance suite of the protocol, in both of its eras: what it reports is named in `conformance.toml`."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.clients.conftest import Served

UNMET = Path(__file__).with_name("conformance.toml")
SUITE = "node_modules/@modelcontextprotocol/conformance"
REVISIONS = ("2025-11-25", "2026-07-28")
_RESULT = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")
"""The folder of a scenario's results."""


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_the_conformance_suite_reports_is_named_with_its_reason(
    revision: str, node: Path, packages: Path, web_server: Served, tmp_path: Path
) -> None:
    suite = packages / SUITE
    command = [node, suite / "dist/index.js", "server", "--url", web_server.entry["url"], "--requirements", revision]
    done = subprocess.run([*command, "-o", tmp_path], capture_output=True, text=True, check=False, timeout=200)
    results = read_results(tmp_path)
    assert results.keys() == read_scenarios(suite, revision), done.stdout + done.stderr
    reported = {check: why for checks in results.values() for check, why in checks.items()}
    named = read_unmet(revision)
    new = [f"not met: {check}: {why}" for check, why in reported.items() if check not in named]
    met = [f"met now, so remove it from {UNMET.name}: {check}" for check in named if check not in reported]
    assert not new + met, "\n".join([revision, *new, *met])


def test_every_entry_has_one_reason() -> None:
    for revision in REVISIONS:
        entries = read_unmet(revision)
        assert len(entries) == len(set(entries))
    assert all(group["reason"] and group.keys() <= {"reason", "both", *REVISIONS} for group in read_groups())


def read_results(folder: Path) -> Mapping[str, Mapping[str, str]]:
    """What each scenario reports as not met, by "scenario:check"."""
    results = {}
    for file in folder.glob("*/checks.json"):
        found = _RESULT.fullmatch(file.parent.name)
        assert found is not None, file
        checks = json.loads(file.read_text(encoding="utf-8"))
        assert checks, file
        results[found["scenario"]] = {
            f"{found['scenario']}:{check['id']}": check.get("errorMessage", "")
            for check in checks
            if check["status"] in ("FAILURE", "WARNING")
        }
    return results


def read_scenarios(suite: Path, revision: str) -> set[str]:
    """The scenarios that the suite has for servers of a revision, those among them that it does not score."""
    requirements = yaml.safe_load((suite / f"requirements/{revision}.yaml").read_text(encoding="utf-8"))
    unscored = [entry["scenario"] for entry in requirements["not_scored"] if entry["leg"] == "server"]
    return {*requirements["server"], *unscored}


def read_unmet(revision: str) -> list[str]:
    return [check for group in read_groups() for name in ("both", revision) for check in group.get(name, ())]


def read_groups() -> list[Mapping[str, list[str]]]:
    groups: list[Mapping[str, list[str]]] = tomllib.loads(UNMET.read_text(encoding="utf-8"))["unmet"]
    return groups
