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
