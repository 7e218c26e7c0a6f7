"""Builds the bundle for desktop clients that install `.mcpb` files.

    python mcpb/build.py [--out dist]

The bundle holds a wheel of this checkout, and its client installs what that needs with uv. Needs uv for the wheel and
npx for the packer, which validates the manifest.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKER = "@anthropic-ai/mcpb@2.1.2"

PROJECT = """\
[project]
name = "imdb-lakehouse-bundle"
version = "{version}"
requires-python = ">=3.11,<3.15"
dependencies = ["imdb-lakehouse-mcp[embedded]"]

[tool.uv.sources]
imdb-lakehouse-mcp = {{ path = "{wheel}" }}
"""


def main() -> None:
    """Write `imdb-lakehouse-mcp-<version>.mcpb` into the folder `--out`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="folder for it (default: dist)")
    out: Path = parser.parse_args().out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder, "bundle")
        collect_files(bundle, version)
        _run("npx", "--yes", PACKER, "validate", str(bundle / "manifest.json"))
        _run("npx", "--yes", PACKER, "pack", str(bundle), str(out / f"imdb-lakehouse-mcp-{version}.mcpb"))


def collect_files(bundle: Path, version: str) -> None:
    """Make the folder that becomes the bundle."""
    bundle.mkdir()
    # By way of the source archive: else a folder `build` stays behind, whose files the next wheel takes.
    built = bundle.with_name("built")
    _run("uv", "build", "--quiet", "--out-dir", str(built), str(ROOT))
    (wheel,) = built.glob("*.whl")
    shutil.copy2(wheel, bundle)
    for name in ("manifest.json", "main.py"):
        shutil.copy2(ROOT / "mcpb" / name, bundle / name)
    shutil.copy2(ROOT / "LICENSE", bundle / "LICENSE")
    (bundle / "pyproject.toml").write_text(PROJECT.format(version=version, wheel=wheel.name), "utf-8")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
