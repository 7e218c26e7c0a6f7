"""IMDb's own rows, read by an independent reader here and compared with what was loaded."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from etl.datasets import DATASETS, Dataset, FieldKind
from tests.etl.conftest import manifest_of, rejects_of, rows_of, run_etl

READ: dict[FieldKind, Callable[[str], Any]] = {
    FieldKind.TEXT: str,
    FieldKind.TITLE_ID: str,
    FieldKind.PERSON_ID: str,
    FieldKind.INTEGER: int,
    FieldKind.DECIMAL: float,
    FieldKind.FLAG: lambda text: text == "1",
    FieldKind.COMMA_LIST: lambda text: text.split(","),
    FieldKind.CONTROL_B_LIST: lambda text: text.split("\x02"),
    FieldKind.JSON_LIST: json.loads,
}


def read_naively(path: Path, dataset: Dataset) -> Iterator[dict[str, Any]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for line in content.decode().split("\n")[1:]:
        if line:
            cells = zip(dataset.fields, line.split("\t"), strict=True)
            yield {f.column_name: None if cell in {"\\N", ""} else READ[f.kind](cell) for f, cell in cells}


@pytest.mark.parametrize("part", ["", "odd"])
def test_every_real_row_is_loaded_as_it_stands_in_its_file(part: str, real_rows: Path, tmp_path: Path) -> None:
    done = run_etl("load", "--source", real_rows / part, "--lake", tmp_path / "lake")
    assert done.returncode == 0, done.stderr
    assert rejects_of(tmp_path / "lake") == []
    compared = 0
    for dataset in DATASETS:
        files = list((real_rows / part).glob(f"{dataset.file}.tsv*"))
        if not files:
            continue
        expected = sorted(read_naively(files[0], dataset), key=lambda row: json.dumps(row, default=str))
        assert rows_of(tmp_path / "lake", dataset.table) == expected, dataset.table
        assert manifest_of(tmp_path / "lake")["tables"][dataset.table]["rows"] == len(expected)
        compared += len(expected)
    assert compared > 0
