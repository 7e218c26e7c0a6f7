"""IMDb's page beside a loaded lake: put there by the load, replaced by newer ones, never over an edit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import prompts
from etl.context_files import read_load_declarations, store_context_files
from lakehouse.context import CONTEXT_NAMES, parse_context, read_context
from lakehouse.storage import Lake
from tests.etl.conftest import run_etl

PACKAGED = prompts.read_lake_context()
IMDB = parse_context({"lake.toml": PACKAGED["lake.toml"]}).declarations


def record_of(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / "packaged.json").read_text())
    return found


def test_a_load_puts_the_packaged_files_beside_the_lake(embedded_sample_lake: Path) -> None:
    folder = embedded_sample_lake / "_context"
    assert {name: (folder / name).read_bytes() for name in CONTEXT_NAMES} == PACKAGED
    assert record_of(folder) == {name: hashlib.sha256(data).hexdigest() for name, data in PACKAGED.items()}
    assert len(read_context(Lake.parse(str(embedded_sample_lake))).queries) >= 25


def test_what_a_person_has_edited_is_never_overwritten(tmp_path: Path) -> None:
    lake, folder = Lake.parse(str(tmp_path)), tmp_path / "_context"
    assert store_context_files(lake) == []
    (folder / "lake.toml").write_text('years = ["our.own"]')
    (folder / "context.md").unlink()
    assert read_load_declarations(lake).declarations.years == ("our.own",)
    assert store_context_files(lake) == []
    assert (folder / "lake.toml").read_text() == 'years = ["our.own"]'
    assert (folder / "context.md").read_bytes() == PACKAGED["context.md"]


def test_an_earlier_packaged_file_is_replaced_by_a_newer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, folder = Lake.parse(str(tmp_path)), tmp_path / "_context"
    with monkeypatch.context() as earlier:
        earlier.setattr(prompts, "read_lake_context", lambda: PACKAGED | {"lake.toml": b"# An earlier file."})
        store_context_files(lake)
    assert (folder / "lake.toml").read_bytes() == b"# An earlier file."
    assert read_load_declarations(lake).declarations == IMDB
    store_context_files(lake)
    assert {name: (folder / name).read_bytes() for name in CONTEXT_NAMES} == PACKAGED


@pytest.mark.parametrize("damage", [b"{not json", b"[1]", b""])
def test_without_a_readable_record_every_file_is_taken_for_edited(tmp_path: Path, damage: bytes) -> None:
    lake, folder = Lake.parse(str(tmp_path)), tmp_path / "_context"
    store_context_files(lake)
    (folder / "context.md").write_text("Older, or edited: nobody knows.")
    (folder / "packaged.json").write_bytes(damage)
    store_context_files(lake)
    assert (folder / "context.md").read_text() == "Older, or edited: nobody knows."


def test_a_load_that_cannot_put_them_there_says_so_and_loads(sample: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "_context").write_text("a file where a folder should be")
    done = run_etl("load", "--source", sample, "--lake", lake)
    assert done.returncode == 0, done.stderr
    assert "context was not put beside it" in done.stdout + done.stderr
    assert (lake / "_manifest.json").is_file()


def test_a_catalogue_has_no_folder_for_them() -> None:
    assert store_context_files(Lake.parse("main.imdb")) == []
    assert read_load_declarations(Lake.parse("main.imdb")).declarations == IMDB
