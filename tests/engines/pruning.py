"""Random queries over tables of many small files, once over all files and once over those that an estimate keeps.

    python -m tests.engines.pruning --queries 500 --engine spark

The two answers must be equal: a file that was left out held no row that mattered.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakehouse.errors import EngineLacks, QueryFailed, Refused
from lakehouse.storage import Lake
from mcp_server import checking
from mcp_server.engines import statistics
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.engines.local import LocalEngine
from mcp_server.engines.spark import SparkEngine
from mcp_server.models import CheckedQuery, Principal, Scan
from mcp_server.settings import Settings
from mcp_server.terms import catalog_of

ENGINES: Mapping[str, type[LocalEngine]] = {"embedded": EmbeddedEngine, "spark": SparkEngine}
FILES, ROWS = 14, 8
WORDS = ["", "a", "Zed", "ümlaut", "x" * 31, "x" * 32, "x" * 33, "y" * 40 + "1", "y" * 40 + "9", "日本", "\U0010ffff"]
SCHEMA = pa.schema(
    [
        ("i", pa.int32()), ("l", pa.int64()), ("d", pa.float64()), ("f", pa.float32()), ("s", pa.string()),
        ("m", pa.decimal128(20, 4)), ("day", pa.date32()), ("t", pa.timestamp("us", "UTC")), ("b", pa.bool_()),
        ("p", pa.int32()), ("q", pa.string()),
    ]
)  # fmt: skip
"""`p` and `q` are partition columns in one of the tables."""


def _row(random: Random, file: int) -> list[Any]:
    """A row whose values are near those of its file, so that there is something to leave out."""
    whole = file + random.randint(-1, 1)
    values = [
        whole,
        random.choice([whole, 2**53 + whole, 2**63 - 1 - file, -(2**63) + file]),
        random.choice([whole / 2, whole + 0.1, math.nan if random.random() < 0.2 else 1.0 * whole, -0.0]),
        random.choice([whole / 2, whole + 0.1]),
        random.choice([WORDS[file % len(WORDS)], f"k{whole:02d}"]),
        Decimal(whole) + Decimal("0.0001") * random.randint(0, 3),
        date(2020, 1, 1) + timedelta(days=whole),
        datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=whole, microseconds=random.randint(0, 2000)),
        random.random() < 0.5,
    ]
    blank = random.random() < 0.3 if file % 3 else random.random() < 0.9
    values = [None if blank and random.random() < 0.5 else value for value in values]
    return [*values, file % 3 or None, ["one", "two", None][file % 3]]


def write_tables(folder: Path, random: Random) -> None:
    """Tables `a`, `b` and `c`; some of their files tell little about themselves."""
    for name in "abc":
        place = str(folder / name)
        for file in range(FILES):
            columns = zip(*(_row(random, file) for _ in range(ROWS)), strict=True)
            arrays = [pa.array(column, of.type) for column, of in zip(columns, SCHEMA, strict=True)]
            rows = pa.table(arrays, schema=SCHEMA)
            write_deltalake(place, rows, mode="append", partition_by=["p", "q"] if name == "c" else None)
        for commit in sorted((folder / name / "_delta_log").glob("*.json"))[1::4]:
            commit.write_text("\n".join(_poorer(random, line) for line in commit.read_text().splitlines()))


def _poorer(random: Random, line: str) -> str:
    """An action with some of its statistics taken away."""
    action = json.loads(line)
    if "add" not in action:
        return line
    stats = json.loads(action["add"]["stats"])
    for kind in ("minValues", "maxValues", "nullCount"):
        stats[kind] = {name: value for name, value in stats[kind].items() if random.random() < 0.6}
    action["add"]["stats"] = json.dumps(stats) if random.random() < 0.8 else None
    return json.dumps(action)


LITERALS = {
    "i": [
        "{n}",
        "{n}.5",
        "{n}e0",
        "{n}L",
        "'{n}'",
        "CAST('{n}' AS INT)",
        "-{n}",
        "{n}.0",
        "CAST({n}.0 AS DECIMAL(5,1))",
    ],
    "l": ["{n}", "9007199254740992e0", "9007199254740993", "9223372036854775807", "-9223372036854775807", "{n}.5"],
    "d": ["{n}", "{n}.1", "{n}e-1", "0.0", "CAST({n} AS DOUBLE)"],
    "f": ["{n}.1", "{n}", "{n}.5e0", "CAST('{n}.1' AS DOUBLE)"],
    "s": ["'k{k}'", "'x'", "'" + "x" * 32 + "'", "'" + "y" * 40 + "5'", "'日本'", '"a"', "''", "'{n}'", "'' 'a'"],
    "m": ["{n}", "{n}.0001", "{n}.00015", "{n}e0", "CAST('{n}.0002' AS DECIMAL(20,4))"],
    "day": ["DATE '2020-01-{k}'", "'2020-01-{k}'", "CAST('2020-01-{k}' AS DATE)"],
    "t": ["TIMESTAMP '2020-01-{k} 00:00:00'", "TIMESTAMP '2020-01-{k} 00:00:00.001'", "'2020-01-{k} 00:00:00'"],
    "b": ["true", "false"],
    "p": ["{n}", "1", "2.0"],
    "q": ["'one'", "'two'", "'three'"],
}
PREDICATES = [
    "{c} {op} {v}", "{c} {op} {v}", "{v} {op} {c}", "{c} <=> {v}", "{c} BETWEEN {v} AND {w}", "{c} IN ({v}, {w})",
    "{c} IN ({v}, NULL)", "{c} IS NULL", "{c} IS NOT NULL", "NOT {c} IS NULL", "NOT ({c} {op} {v})",
    "{c} NOT IN ({v}, {w})", "({c} {op} {v} OR {c} {op} {w})", "coalesce({c} {op} {v}, true)",
    "{c} NOT BETWEEN {v} AND {w}",
]  # fmt: skip


def predicate(random: Random, alias: str) -> str:
    """A condition on one column of the relation `alias` (without its name, where that is empty)."""
    column = random.choice(list(LITERALS))
    numbers = sorted(random.sample(range(1, 13), 2))
    v, w = (random.choice(LITERALS[column]).format(n=n, k=f"{n:02d}") for n in numbers)
    name = f"{alias}.{column}" if alias else column
    return random.choice(PREDICATES).format(c=name, op=random.choice(["=", "<", "<=", ">", ">=", "!="]), v=v, w=w)


FORMS = [
    "SELECT x.* FROM {a} x WHERE {px}",
    "SELECT i, s FROM {c} WHERE {p} AND {p}",
    "SELECT count(*) AS n, max(s) AS s FROM {c} x WHERE {px} AND ({px})",
    "SELECT x.i, y.s FROM {a} x JOIN {b} y ON x.i = y.i AND {py} WHERE {px}",
    "SELECT x.i, y.s FROM {a} x LEFT JOIN {b} y ON x.i = y.i AND {py} WHERE {px}",
    "SELECT x.i, y.s FROM {a} x LEFT JOIN {b} y ON x.i = y.i AND {px} WHERE {py}",
    "SELECT x.i FROM {a} x LEFT JOIN {b} y ON x.i = y.i AND y.l > 0 WHERE y.i IS NULL AND {px}",
    "SELECT y.i FROM {a} x FULL JOIN {b} y ON x.i = y.i AND y.d < 3.1 WHERE x.i IS NULL AND {py}",
    "SELECT count(*) AS n FROM {c} x WHERE x.d > 9.1 AND {px}",
    "SELECT x.i, y.s FROM {a} x RIGHT JOIN {b} y ON x.i = y.i AND {px} WHERE {py}",
    "SELECT x.i, y.s FROM {a} x FULL JOIN {b} y ON x.i = y.i WHERE {px}",
    "SELECT x.i FROM {a} x LEFT SEMI JOIN {b} y ON x.i = y.i AND {py} WHERE {p}",
    "SELECT x.i FROM {a} x LEFT ANTI JOIN {b} y ON x.i = y.i AND {py} AND {px} WHERE {px}",
    "SELECT i, x.s AS one, y.s AS two FROM {a} x JOIN {b} y USING (i) WHERE i > 4 AND {px}",
    "SELECT i, x.s AS one, y.s AS two FROM {a} x LEFT JOIN {b} y USING (i) WHERE i <= 7 AND {px}",
    "SELECT x.i, y.s, z.q FROM {a} x JOIN {b} y ON x.i = y.i LEFT JOIN {c} z ON z.i = y.i AND {pz} WHERE {px} AND {py}",
    "SELECT x.i, y.s FROM {a} x LEFT JOIN ({b} y JOIN {c} z ON y.i = z.i AND {pz}) ON x.i = y.i WHERE {px}",
    "SELECT x.i, y.s FROM {a} x, {b} y WHERE x.i = y.i AND {px} AND {py}",
    "SELECT i, n FROM (SELECT i, count(*) AS n FROM {a} x WHERE {px} GROUP BY i) g WHERE n > 1 AND i > 3",
    "SELECT x.i FROM {a} x WHERE {px} AND EXISTS (SELECT 1 FROM {b} y WHERE y.i = x.i AND {py})",
    "SELECT x.i FROM {a} x WHERE {px} AND NOT EXISTS (SELECT 1 FROM {b} y WHERE y.i = x.i AND {py})",
    "SELECT x.i FROM {a} x WHERE x.i IN (SELECT i FROM {c} WHERE {p}) AND {px}",
    "SELECT i FROM {a} x WHERE x.i NOT IN (SELECT y.i FROM {b} y WHERE y.i IS NOT NULL AND {py})",
    "WITH w AS (SELECT * FROM {a} x WHERE {px}) SELECT m.i, n.s FROM w m JOIN w n ON m.i = n.i WHERE m.i > 5",
    "SELECT i FROM {a} x WHERE {px} UNION ALL SELECT i FROM {b} WHERE {p} UNION ALL SELECT i FROM {c} x WHERE {px}",
    "SELECT i FROM {a} x WHERE {px} EXCEPT SELECT i FROM {b} y WHERE {py}",
    "SELECT x.i, w FROM {a} x LATERAL VIEW explode(array(1, 2)) g AS w WHERE {px} AND w = 1",
    "SELECT i, count(*) AS n FROM {c} x WHERE {px} GROUP BY i HAVING max(l) > 0 AND i > 2",
    "SELECT i, row_number() OVER (PARTITION BY i ORDER BY l, s, t, d, f, m) AS r FROM {b} y WHERE {py}",
    "SELECT x.i, (SELECT max(y.s) FROM {b} y WHERE y.i = x.i AND {py}) AS s FROM {a} x WHERE {px}",
]  # fmt: skip


def statement(random: Random) -> str:
    """A query with `{a}`, `{b}`, `{c}` in the place of tables."""
    form = random.choice(FORMS)
    for marker, alias in (("{p}", ""), ("{px}", "x"), ("{py}", "y"), ("{pz}", "z")):
        while marker in form:
            form = form.replace(marker, predicate(random, alias), 1)
    return form


@dataclass
class Trial:
    """Queries on one engine. `seen` counts what became of them, `wrong` holds those with two answers."""

    engine: LocalEngine
    folder: Path
    random: Random
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def run(self, queries: int) -> None:
        for number in range(queries):
            form = statement(self.random)
            try:
                checked = self.check(form.format(a="a", b="b", c="c"))
                whole = self.answer(checked)
            except (Refused, EngineLacks, QueryFailed) as error:
                self.seen[type(error).__name__] += 1
                continue
            scans = {scan.table: scan for scan in checked.scans}  # a WITH name that is used twice is read twice
            left = {name: self.copy(scan, f"{name}_{number}") for name, scan in scans.items()}
            self.seen["pruned" if any(left.values()) else "whole"] += 1
            names = {name: f"{name}_{number}" if name in left else name for name in "abc"}
            if self.answer(self.check(form.format(**names))) != whole:
                self.wrong.append(checked.sent)
            for name in left:
                shutil.rmtree(self.folder / f"{name}_{number}")

    def check(self, sql: str) -> CheckedQuery:
        limits = checking.Limits(100_000, 32_768, 300.0)
        catalog = catalog_of(self.engine, self.engine.refresh())
        checked = checking.check(sql, catalog=catalog, limits=limits, principal=Principal("tester"))
        assert isinstance(checked, CheckedQuery)
        return checked

    def answer(self, query: CheckedQuery) -> list[str]:
        found = self.engine.execute(query, os.urandom(6).hex()).table
        return sorted(repr(row) for row in found.to_pylist())

    def copy(self, scan: Scan, name: str) -> bool:
        """The table with only those files that the estimate keeps. Whether any was left out."""
        source, target = self.folder / scan.table, self.folder / name
        kept = kept_files(source, scan)
        (target / "_delta_log").mkdir(parents=True)
        lines: list[str] = []
        for commit in sorted((source / "_delta_log").glob("*.json")):
            lines += [line for line in commit.read_text().splitlines() if line.strip()]
        actions = [json.loads(line) for line in lines]
        meta = [each for each in actions if "protocol" in each or "metaData" in each]
        adds = [each for each in actions if "add" in each and each["add"]["path"] in kept]
        for add in adds:
            place = target / add["add"]["path"]
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(source / add["add"]["path"], place)
        log = target / "_delta_log" / f"{0:020}.json"
        log.write_text("\n".join(json.dumps(each) for each in [*meta, *adds]))
        return len(kept) < FILES


def kept_files(table: Path, scan: Scan) -> frozenset[str]:
    """The paths of the files that an estimate keeps."""
    delta = DeltaTable(str(table))
    known = statistics.Statistics().read_version(scan.table, str(table), delta.version())
    files = known.files.append_column("path", pa.table(delta.get_add_actions(flatten=True))["path"])
    for each in scan.filters:
        mask = statistics._may_hold(files, each)
        files = files if mask is None else files.filter(mask)
    estimate = known.estimate(scan)
    assert estimate.files == files.num_rows
    return frozenset(files["path"].to_pylist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=list(ENGINES), default="embedded")
    options = parser.parse_args()
    random = Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        write_tables(lake, random)
        engine = ENGINES[options.engine](Lake.parse(str(lake)), Settings(state_dir=Path(folder)))
        trial = Trial(engine, lake, random)
        try:
            trial.run(options.queries)
        finally:
            engine.close()
    print(dict(trial.seen), *trial.wrong, sep="\n")


if __name__ == "__main__":
    main()
