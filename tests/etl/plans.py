"""Runs statements on Spark over a lake, and tells how it ran each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse.manifest import read_manifest
from lakehouse.session import open_session
from lakehouse.storage import Lake
from tests.warm import call_on_spark

_TABLE = re.compile(r"FileScan parquet \w+\.\w+\.(\w+)\[")
_PUSHED = re.compile(r"PushedFilters: \[(.*?)\], ReadSchema: struct<(.*)>")
_COLUMN = re.compile(r"(\w+):")


@dataclass(frozen=True)
class Scan:
    """What was read of a table: files, rows that came out, conditions for Parquet's reader, and columns."""

    table: str
    files: int
    rows: int
    pushed: str
    columns: list[str]


@dataclass(frozen=True)
class Plan:
    """What Spark ran: the names of its operators, those above before those below, with their depth; and its scans."""

    operators: list[tuple[int, str]]
    scans: list[Scan]

    def has(self, name: str) -> bool:
        """Whether an operator of that name ran."""
        return any(operator == name for _, operator in self.operators)

    def scan_of(self, table: str) -> Scan:
        """The only scan of a table."""
        (found,) = (scan for scan in self.scans if scan.table == table)
        return found

    def runs_below(self, lower: str, upper: str) -> bool:
        """Whether an operator runs below another one: its rows go into it."""
        for place, (depth, name) in enumerate(self.operators):
            if name == upper:
                for below, other in self.operators[place + 1 :]:
                    if below <= depth:
                        break
                    if other == lower:
                        return True
        return False


def run_statements(lake: Path, statements: Sequence[str]) -> list[Plan]:
    """Run statements in another process, because a process has one Spark."""
    found: list[Plan] = call_on_spark(_explain, lake, statements)
    return found


def _walk(plan: Any, depth: int = 0) -> Iterator[tuple[int, str, Any]]:
    name = plan.getClass().getSimpleName()
    if name == "AdaptiveSparkPlanExec":
        yield from _walk(plan.executedPlan(), depth)
    elif name.endswith("QueryStageExec"):
        yield from _walk(plan.plan(), depth)
    else:
        yield depth, name, plan
        children = plan.children()
        for index in range(children.size()):
            yield from _walk(children.apply(index), depth + 1)


def _describe_scan(node: Any) -> Scan:
    text, metrics = node.toString(), node.metrics()
    pushed = _PUSHED.search(text)
    table = _TABLE.search(text)
    assert pushed is not None
    assert table is not None
    return Scan(
        table[1],
        metrics.apply("numFiles").value(),
        metrics.apply("numOutputRows").value(),
        pushed[1],
        _COLUMN.findall(pushed[2]),
    )


def _explain(lake: Path, statements: Sequence[str]) -> list[Plan]:
    return list(_explain_each(Lake.parse(str(lake)), statements))


def _explain_each(lake: Lake, statements: Sequence[str]) -> Iterator[Plan]:
    manifest = read_manifest(lake)
    assert manifest is not None
    with open_session("spark", config={"spark.sql.maxMetadataStringLength": "10000"}) as session:
        for name, entry in manifest.tables.items():
            session.spark.sql(f"CREATE TABLE {name} USING delta LOCATION '{lake.table_location(entry.path)}'")
        for statement in statements:
            rows = session.spark.sql(statement)
            rows.collect()
            nodes = list(_walk(rows._jdf.queryExecution().executedPlan()))
            scans = [_describe_scan(node) for _, name, node in nodes if name == "FileSourceScanExec"]
            yield Plan([(depth, name) for depth, name, _ in nodes], scans)
