"""docs/guard.md names every code that a refusal can have, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def _raised() -> set[str]:
    folders = (ROOT / "mcp_server" / "sql", ROOT / "mcp_server" / "guard")
    code = "\n".join(path.read_text("utf-8") for folder in folders for path in folder.glob("*.py"))
    direct = re.findall(r'(?:make_refusal|refusal_at|_at)\(\s*(?:tree, node, )?"([a-z_0-9]+)"', code)
    chosen = re.findall(r'"([a-z_]+)" if kind in REFUSED_KINDS else "([a-z_]+)"', code)
    by_character = re.findall(r'"?.": \("([a-z_]+)",', code)
    return {*direct, *by_character, *(each for pair in chosen for each in pair)}


def test_the_docs_list_every_code_of_a_refusal() -> None:
    section = (ROOT / "docs" / "guard.md").read_text("utf-8").split("## Codes")[1].split("##")[0]

    assert set(re.findall(r"`([a-z_0-9]+)`", section)) == _raised()


def test_the_docs_say_in_which_order_to_audit_every_module_of_the_guard() -> None:
    text = (ROOT / "docs" / "guard.md").read_text("utf-8")
    section = text.split("## How to audit the guard in an afternoon")[1].split("Then the readers")[0]
    folder = ROOT / "mcp_server" / "guard"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    said = {name.removesuffix(".py"): int(lines) for name, lines in re.findall(r"`([a-z_.]+)` \((\d+)\)", section)}

    data = {path.name for path in folder.glob("*.toml")}
    assert said.keys() == modules | data | {"checking"}
    for name, lines in said.items():
        place = ROOT / "mcp_server" / "checking.py" if name == "checking" else folder / name
        file = place if place.suffix else place.with_suffix(".py")
        assert abs(len(file.read_text("utf-8").splitlines()) - lines) <= 20, f"{name} has another length by now"


def test_the_guard_is_small_enough_to_be_audited() -> None:
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in (ROOT / "mcp_server" / "guard").glob("*.py"))

    assert lines <= 3_000
