"""Runs Databricks notebooks as scripts, with a local Spark session as `spark` and a stand-in for `dbutils.widgets`.

python -m tests.etl.notebook_runner '{"source": "…", "lake": "…"}' read save
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from lakehouse.session import open_session
from tests.conftest import ROOT

FOLDER = ROOT / "notebooks"
_FIRST_LINE = "# Databricks notebook source"
_CELL_END = "\n# COMMAND ----------\n"
_RUN = re.compile(r"# MAGIC %run \./(\w+)")


class Widgets:
    """`dbutils.widgets`: values that a job gives, and the defaults of the notebook for the others."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def text(self, name: str, default: str) -> None:
        self._values.setdefault(name, default)

    def get(self, name: str) -> str:
        return self._values[name]


def split_cells(text: str) -> list[str]:
    """The cells of a notebook's source. Raises ValueError where it is none."""
    first, _, rest = text.partition("\n")
    if first != _FIRST_LINE:
        raise ValueError(f"a notebook begins with {_FIRST_LINE!r}, not with {first!r}")
    return [cell.strip() for cell in f"\n{rest}".split(_CELL_END)]


def run_notebook(name: str, names: dict[str, Any]) -> None:
    """Run the cells of a notebook in order, with those of others where it says `%run`."""
    for cell in split_cells((FOLDER / f"{name}.py").read_text("utf-8")):
        called = _RUN.match(cell)
        if called is not None:
            run_notebook(called[1], names)
        else:
            exec(compile(cell, f"notebooks/{name}.py", "exec"), names)


def main() -> None:
    values, *notebooks = sys.argv[1:]
    with open_session("spark") as session:
        for name in notebooks:
            print(f"== {name}", flush=True)
            run_notebook(
                name, {"spark": session.spark, "dbutils": SimpleNamespace(widgets=Widgets(json.loads(values)))}
            )


if __name__ == "__main__":
    main()
