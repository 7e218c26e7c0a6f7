"""Writes a lake that nobody's load has made: tables with odd names, and tables that are damaged in every way known."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

FIRST = "00000000000000000000.json"

PLAIN_NAMES = ("plain", "Orders", "ORDERLINES", "kinds")
ODD_NAMES = (
    "bestellungen_ä", "ÄRGER", "日本", "order-items", "(x)", "50%", "it's", 'say "hi"', "a.b", "with space",
    "star*", "select", "a#b", "q?x", "br[1]", "a=b", "a:b", "~t", "7up",
)  # fmt: skip
FOLDERS = ("sales/orders", "crm/orders", "sales/eu/orders", "Größen/my table", "crm/a.b.c", "parquet/kinds")
"""Tables in folders; each has the number of its place as its `id`."""
UNREADABLE_NAMES = ("100%25", "back\\slash", "new\nline", "tick`tock", "$dollar", "zero\u200bwidth")


def write_table(folder: Path, name: str, value: int, commits: int = 1) -> Path:
    """A table with the column `id` and one row for each commit. Returns its log."""
    made = folder / "being-made"  # the writer reads some names for URLs
    for _ in range(commits):
        write_deltalake(str(made), pa.table({"id": [value]}), mode="append")
    made.rename(folder / name)
    return folder / name / "_delta_log"


def write_named(folder: Path) -> dict[str, int]:
    """A table for each odd name, with a number of its own."""
    folder.mkdir(exist_ok=True)
    numbers = {name: number for number, name in enumerate((*PLAIN_NAMES, *ODD_NAMES, *UNREADABLE_NAMES))}
    for name, number in numbers.items():
        write_table(folder, name, number)
    for number, name in enumerate(FOLDERS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_table((folder / name).parent, (folder / name).name, number)
    write_table(folder / "sales", "grown", 7, commits=3)
    write_deltalake(str(folder / "odd_column"), pa.table({"id": [1, 5], "back`tick": [2, 3], "rank": [7, 9]}))
    place = {"city": "Graz", "geo": {"lat": 47.1}}
    write_deltalake(str(folder / "nested"), pa.table({"id": [1], "place": [place], "lines": [[{"sku": "x"}]]}))
    return numbers


def _empty(log: Path) -> None:
    for file in log.iterdir():
        file.unlink()


def _corrupt(log: Path) -> None:
    (log / FIRST).write_text("{not json")


def _without_first(log: Path) -> None:
    (log / FIRST).unlink()


def _as_file(log: Path) -> None:
    _empty(log)
    log.rmdir()
    log.write_text("x")


def _checkpoint(log: Path) -> None:
    DeltaTable(str(log.parent)).create_checkpoint()
    for file in log.glob("*.checkpoint.parquet"):
        file.write_bytes(b"PAR1 and no more")
    _without_first(log)


def _protocol(**changes: Any) -> Callable[[Path], None]:
    def change(log: Path) -> None:
        actions = [json.loads(line) for line in (log / FIRST).read_text().splitlines()]
        for action in actions:
            if "protocol" in action:
                action["protocol"] |= changes
        (log / FIRST).write_text("\n".join(json.dumps(action) for action in actions) + "\n")

    return change


def _features(*names: str) -> Callable[[Path], None]:
    return _protocol(minReaderVersion=3, minWriterVersion=7, readerFeatures=list(names), writerFeatures=list(names))


def _nested(log: Path) -> None:
    with (log / FIRST).open("a") as commit:
        commit.write('{"add":' + "[" * 100_000 + "]" * 100_000 + "}\n")


def _nested_statistics(log: Path) -> None:
    actions = [json.loads(line) for line in (log / FIRST).read_text().splitlines()]
    for action in actions:
        if "add" in action:
            action["add"]["stats"] = '{"minValues":' + "[" * 100_000 + "]" * 100_000 + "}"
    (log / FIRST).write_text("\n".join(json.dumps(action) for action in actions) + "\n")


def _piped_hint(log: Path) -> None:
    os.mkfifo(log / "_last_checkpoint")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty_log": _empty,  # a CREATE TABLE AS SELECT that Spark is at work on looks like that, too
    "corrupt_log": _corrupt,
    "no_first_commit": _without_first,
    "unknown_feature": _features("hologram"),
    "reader_version": _protocol(minReaderVersion=9, minWriterVersion=9),
    "catalog_managed": _features("catalogManaged"),
    "damaged_checkpoint": _checkpoint,
    "log_is_a_file": _as_file,
    "nested_deeply": _nested,
    "nested_in_statistics": _nested_statistics,
    "hint_is_a_pipe": _piped_hint,
}


def write_damaged(folder: Path) -> None:
    """A table for each damage, beside a sound one named `sound`."""
    folder.mkdir(exist_ok=True)
    write_table(folder, "sound", 1)
    for name, damage in DAMAGES.items():
        damage(write_table(folder, name, 0, commits=3))
