"""What is published: the packages hold every file that the programs read and no other, and all that names them agrees.

That they install and run, by pip, pipx and uvx, is a job of `.github/workflows`; README's own commands are
`tests/test_readme.py`.
"""

from __future__ import annotations

import email
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]
PACKAGES = tuple(f"{name.rstrip('*')}/" for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"])
FOR_TESTS = {"imdb_lakehouse/web/package.json"}
"""What Node is told of the page's modules."""
SERVER = json.loads((ROOT / "server.json").read_text())
MANIFEST = json.loads((ROOT / "mcpb/manifest.json").read_text())
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


def tracked() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


def build(what: str, source: Path, target: Path) -> Path:
    subprocess.run(
        [sys.executable, "-c", BUILD, f"build_{what}", target], cwd=source, capture_output=True, check=True, timeout=120
    )
    (found,) = target.glob("*.whl" if what == "wheel" else "*.tar.gz")
    return found


RELATIVE = re.compile(r"\]\((?![a-z]+:|#)[^)]*\)|<(?:img|a)\b[^>]*(?:src|href)=\"(?![a-z]+:|#)", re.ASCII)
ABOUT = f"imdb_lakehouse_mcp-{VERSION}.dist-info/"
REPOSITORY = "https://git.example/lake"


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[set[str], zipfile.ZipFile]]:
    """The names in the source archive, and the wheel that was built from nothing else."""
    folder = tmp_path_factory.mktemp("packages")
    for name in tracked():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / "source" / name)
    with tarfile.open(build("sdist", folder / "source", folder / "dist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    with zipfile.ZipFile(build("wheel", unpacked, folder / "dist")) as wheel:
        yield names, wheel


@pytest.fixture(scope="module")
def built(wheel_file: tuple[set[str], zipfile.ZipFile]) -> tuple[set[str], set[str]]:
    """The names in the source archive and in the wheel."""
    names, wheel = wheel_file
    return names, set(wheel.namelist())


def test_the_wheel_has_every_file_of_the_packages_and_no_other(built: tuple[set[str], set[str]]) -> None:
    _, wheel = built
    assert {name for name in wheel if not name.startswith(ABOUT)} == {
        name for name in tracked() if name.startswith(PACKAGES)
    } - FOR_TESTS
    assert f"{ABOUT}licenses/LICENSE" in wheel


def test_the_source_archive_has_what_a_build_needs_and_no_tests(built: tuple[set[str], set[str]]) -> None:
    source, wheel = built
    ours = {name for name in wheel if name.startswith(PACKAGES)}
    assert source >= ours | {"pyproject.toml", "setup.py", "README.md", "LICENSE", "CHANGELOG.md"}
    assert [name for name in source if name.startswith(("tests", "bench"))] == []


def test_all_that_names_the_package_names_the_same_version() -> None:
    (package,) = SERVER["packages"]
    assert {SERVER["version"], package["version"], MANIFEST["version"]} == {VERSION}
    assert package["runtimeArguments"][0]["value"] == f"imdb-lakehouse-mcp[embedded]=={VERSION}"
    assert package["identifier"] in PROJECT["project"]["scripts"]  # what `uvx` runs
    assert package["identifier"] == MANIFEST["name"] == PROJECT["project"]["name"]


def describe(wheel: zipfile.ZipFile) -> str:
    """What PyPI shows of the package, in Markdown."""
    about = email.message_from_bytes(wheel.read(f"{ABOUT}METADATA"))
    assert about["Description-Content-Type"] == "text/markdown"
    return str(about.get_payload())


def test_no_link_and_no_picture_leads_nowhere_on_pypi(wheel_file: tuple[set[str], zipfile.ZipFile]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _, wheel = wheel_file
    assert RELATIVE.search(readme)
    assert not RELATIVE.search(describe(wheel))
    assert "`imdb-mcp" in describe(wheel)


def test_links_lead_into_the_repository_once_the_project_names_it(tmp_path: Path) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    urls = f'[project.urls]\nRepository = "{REPOSITORY}/"\n\n[project.optional-dependencies]'
    (tmp_path / "pyproject.toml").write_text(project.replace("[project.optional-dependencies]", urls), "utf-8")
    for name in ("setup.py", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / "made").mkdir()
    metadata = "import sys; from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", metadata, tmp_path / "made"], cwd=tmp_path, capture_output=True, check=True, timeout=120
    )
    (about,) = (tmp_path / "made").glob("*.dist-info/METADATA")
    shown = about.read_text(encoding="utf-8")
    assert f"[docs/load.md]({REPOSITORY}/blob/HEAD/docs/load.md)" in shown
    assert f"({REPOSITORY}/raw/HEAD/docs/images/chat.png)" in shown
    assert not RELATIVE.search(shown)


def test_the_registry_finds_its_name_in_what_pypi_shows(wheel_file: tuple[set[str], zipfile.ZipFile]) -> None:
    """The registry's schema (2025-12-11) and its rule for packages on PyPI; CI validates against the schema itself."""
    _, wheel = wheel_file
    assert f"mcp-name: {SERVER['name']}" in describe(wheel)
    assert len(SERVER["description"]) <= 100


def test_the_bundle_starts_the_server_on_the_lake_that_its_user_chose() -> None:
    config = MANIFEST["server"]["mcp_config"]
    assert config["args"][-3:] == ["serve", "--lake", "${user_config.lake}"]
    assert MANIFEST["user_config"]["lake"]["required"]
    assert (ROOT / "mcpb" / MANIFEST["server"]["entry_point"]).is_file()
