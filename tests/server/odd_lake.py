"""A lake with names that IMDb has not: blanks, full stops, words of SQL, other letters; many tables and columns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from lakehouse.manifest import Column, Manifest, TableEntry, publish_manifest
from lakehouse.storage import Lake

ODD_NAMES = ("my films.2024", "Größe", "order", "静か", "default.twin", "twin")
MANY = 500
WIDE_COLUMNS = 300
ODD_COLUMNS = ("Länge in m", "a.b", "select", "plain_1")


def make_odd_lake(folder: Path) -> Path:
    """Write the lake: ODD_NAMES, `wide` with WIDE_COLUMNS columns, `broken` without files, and others up to MANY."""
    tables = {name: _write(folder, name, ODD_COLUMNS) for name in ODD_NAMES}
    tables["wide"] = _write(folder, "wide", [f"column_{i:03d}" for i in range(WIDE_COLUMNS)])
    tables["broken"] = tables["wide"].model_copy(update={"path": "broken"})
    same = _write(folder, "many", ODD_COLUMNS)
    for i in range(MANY - len(tables)):
        tables[f"many_{i:03d}"] = same.model_copy(update={"comment": f"Number {i}. It is one of many."})
    manifest = Manifest(generation=1, created_at=datetime.now(UTC), engine="embedded", tables=tables)
    publish_manifest(Lake.parse(str(folder)), manifest)
    return folder


def _write(folder: Path, name: str, names: Sequence[str]) -> TableEntry:
    rows = pa.table({column: [f"{name} {i}" for i in range(9)] for column in names})
    write_deltalake(str(folder / name), rows)
    kept = tuple(Column(name=column, type="string", comment=f"The {column} of it.") for column in names)
    comment = f"Called {name}. It is a test."
    return TableEntry(path=name, version=0, rows=9, bytes=1, files=1, kind="table", comment=comment, columns=kept)
