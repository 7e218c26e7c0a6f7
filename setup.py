"""What pyproject.toml cannot say: README as PyPI shows it, where links to files of the repository lead nowhere.

They lead into the repository that `[project.urls]` names as `Repository`. While it names none they become plain text,
and pictures are left out.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
_LINK = re.compile(r"(!?)\[([^\[\]]*+)\]\((?![a-z]++:|#)([^()\s]++)\)")
"""A link or a picture whose target is no URL and no place in the page itself."""


def write_description(readme: str, repository: str) -> str:
    """Return README with its relative links made absolute, or as text where there is no `repository`."""

    def replace(found: re.Match[str]) -> str:
        mark, text, target = found.groups()
        if repository:
            return f"{mark}[{text}]({repository.rstrip('/')}/{'raw' if mark else 'blob'}/HEAD/{target})"
        return "" if mark else text

    return _LINK.sub(replace, readme)


project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
setup(
    long_description=write_description(
        (ROOT / "README.md").read_text(encoding="utf-8"), project.get("urls", {}).get("Repository", "")
    ),
    long_description_content_type="text/markdown",
)
