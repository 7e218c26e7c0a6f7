"""The rows of a lake as its manifest names them, deletion vectors and all, and the comparison of two lakes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from etl.rejects import read_rejects
from etl.row_sets import encode_rows
from etl.stored_rows import StoredTable
from etl.table_files import TableFiles
from lakehouse.find.finder import THINGS_FOLDER, VALUES_FOLDER
from lakehouse.find.published import fetch_index
from lakehouse.find.shelf import open_shelf
from lakehouse.manifest import Manifest, read_manifest
from lakehouse.storage import Lake


def published(lake: Path | str) -> Manifest:
    found = read_manifest(Lake.parse(str(lake)))
    assert found is not None
    return found


def live_rows(lake: Path | str, table: str) -> list[dict[str, Any]]:
    """The rows of a table, in no order."""
    entry = published(lake).tables[table]
    stored = StoredTable(TableFiles(Lake.parse(str(lake)), entry.path), entry.version, entry.columns)
    rows: list[dict[str, Any]] = stored.read_rows(stored.schema.names).to_pylist()
    return rows


def assert_same_lakes(lake: Path | str, other: Path | str) -> None:
    """Assert that two lakes have the same tables with the same rows, and counts that are right."""
    first, second = published(lake), published(other)
    assert first.tables.keys() == second.tables.keys()
    for name, entry in first.tables.items():
        rows = []
        for where, version in ((lake, entry.version), (other, second.tables[name].version)):
            stored = StoredTable(TableFiles(Lake.parse(str(where)), name), version, entry.columns)
            table = stored.read_rows(stored.schema.names)
            rows.append(Counter(encode_rows(table, table.column_names).to_pylist()))
        assert rows[0].total() == entry.rows, name
        assert rows[0] == rows[1], (name, list((rows[0] - rows[1]).items())[:3], list((rows[1] - rows[0]).items())[:3])
        described = [
            entry.model_copy(update={"version": 0, "bytes": 0, "files": 0}) for entry in (entry, second.tables[name])
        ]
        assert described[0] == described[1]
    assert list_indexed(lake) == list_indexed(other)
    rejects = [
        Counter(read_rejects(Lake.parse(str(where)), each.created_at))
        for where, each in ((lake, first), (other, second))
    ]
    assert rejects[0] == rejects[1]


def list_indexed(lake: Path | str) -> Counter[object]:
    """What the index of a lake holds. The prominence of persons is that of their last change (docs/find.md)."""
    index = published(lake).find
    assert index is not None
    found: Counter[object] = Counter()
    with TemporaryDirectory() as state:
        folder = fetch_index(Lake.parse(str(lake)), index, Path(state))
        for shelf in (THINGS_FOLDER, VALUES_FOLDER):
            for thing in open_shelf(folder / shelf).list_all():
                names = tuple(sorted(thing.others))
                found[replace(thing, others=names, weight=0 if thing.kind == "person" else thing.weight)] += 1
    assert found.total() == index.count
    return found
