"""The notebooks of the load: they are Databricks sources, call the package alone, and load a lake like the command."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.etl.conftest import MakeSource, manifest_of, rows_of, run_etl
from tests.etl.notebook_runner import FOLDER, split_cells
from tests.openai_server import serving, titles

NOTEBOOKS = ("config", "read", "save", "enrich")


def test_notebooks_are_sources_that_databricks_reads_and_import_the_package_alone() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(NOTEBOOKS)
    for name in NOTEBOOKS:
        text = (FOLDER / f"{name}.py").read_text("utf-8")
        assert split_cells(text)[0].startswith("# MAGIC %md\n# MAGIC # ")
        imported = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
        assert {module.split(".")[0] for module in imported if module} <= {"etl", "lakehouse", "pathlib"}


def test_the_notebooks_read_save_and_enrich_with_the_session_that_is_there(
    java: None, make_source: MakeSource, nothing_declared: dict[str, str], tmp_path: Path
) -> None:
    source, lake = make_source(), tmp_path / "lake"
    values = {"source": str(source), "lake": str(lake), "state": str(tmp_path / "state"), "rows": "2", "dollars": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.etl.notebook_runner", json.dumps(values)]
    with serving() as server:
        environment = os.environ | nothing_declared | {
            "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "", "AZURE_OPENAI_ENDPOINT": "",
            "IMDB_AI_INPUT_PRICE": "0.40", "IMDB_AI_OUTPUT_PRICE": "1.60",
        }  # fmt: skip
        done = subprocess.run(
            [*command, "read", "save", "enrich"], capture_output=True, text=True, env=environment, check=False
        )
        called = titles(server.calls)
    assert done.returncode == 0, done.stderr
    read, _, saved = done.stdout.partition("== save")
    assert "movies_delta" in read
    assert "Gilliam" in read
    assert f"Generation 1 of {lake}" in saved
    assert "AiEstimate(items=2, calls=2" in saved
    assert len(called) == 2
    assert run_etl("load", "--source", source, "--lake", tmp_path / "plain").returncode == 0
    tables = manifest_of(lake)["tables"]
    assert set(tables) == set(manifest_of(tmp_path / "plain")["tables"])
    for table, entry in tables.items():
        assert rows_of(lake, table) == rows_of(tmp_path / "plain", table), table
        assert all(column["comment"] for column in entry["columns"])
