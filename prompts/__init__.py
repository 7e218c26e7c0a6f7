"""Every instruction that a model reads, as Markdown with front matter, and the context of IMDb's lakes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

LAKE_CONTEXT_NAMES = ("context.md", "queries.jsonl", "lake.toml")


@dataclass(frozen=True)
class Prompt:
    """One file: `meta` is its front matter (`name: value` lines), `text` the body below."""

    meta: dict[str, str]
    text: str


@cache
def read(name: str) -> Prompt:
    """Read the prompt `name`. Raises FileNotFoundError where there is none."""
    raw = files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8")
    head, _, body = raw.removeprefix("---\n").partition("\n---\n")
    pairs = (line.partition(":") for line in head.splitlines() if line.strip())
    return Prompt({key.strip(): value.strip() for key, _, value in pairs}, body.strip())


def names() -> list[str]:
    """Return the names of all prompts, in alphabetical order."""
    return sorted(file.name.removesuffix(".md") for file in files(__name__).iterdir() if file.name.endswith(".md"))


def read_lake_context() -> dict[str, bytes]:
    """Read the files of IMDb's context, by name: what a load puts beside its lake."""
    folder = files(__name__).joinpath("imdb")
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name in LAKE_CONTEXT_NAMES}
