"""Makes `tests/data/delta/spark_tables.tar.xz`: tables at the ends of their types, and logs of every kind, by Spark.

python -m tests.engines.spark_tables
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lakehouse.session import open_session

ARCHIVE = Path(__file__).parents[1] / "data" / "delta" / "spark_tables.tar.xz"
INSERTS = 23

TABLES: dict[str, str] = {
    "decs": "a decimal(20,4), b decimal(18,2), c decimal(20,0), d decimal(38,0), e decimal(38,18), f decimal(15,2), "
    "g decimal(5,1)",
    "kinds": "t tinyint, s smallint, i int, l bigint, f float, d double, b boolean, x string, r binary, y date, "
    "m timestamp, n timestamp_ntz",
    "wide": "id int, f float, i int, j smallint, k int, dd date, g decimal(5,2)",
    "chars": "id int, c char(5), v varchar(5)",
    "part2": "id int, p decimal(20,4)",
    "part5": "id int, p timestamp",
    "part10": "id int, p string",
    "dv": "id int, x string",
    "mapped": "id int, x string",
    "v2": "id int, x string",
    "multi": "id int, x string",
    "ict": "id int",
    "gen": "id int, y int GENERATED ALWAYS AS (id * 2), z int DEFAULT 5",
    "structs": "id int, s struct<a:int,b:decimal(20,4)>, l array<decimal(20,4)>",
}
PROPERTIES: dict[str, str] = {
    "wide": "'delta.enableTypeWidening'='true'",
    "dv": "'delta.enableDeletionVectors'='true'",
    "mapped": "'delta.columnMapping.mode'='name'",
    "v2": "'delta.checkpointPolicy'='v2','delta.checkpointInterval'='5'",
    "multi": "'delta.checkpointInterval'='5'",
    "ict": "'delta.enableInCommitTimestamps'='true'",
    "gen": "'delta.feature.allowColumnDefaults'='supported'",
}
STATEMENTS = (
    ("INSERT INTO decs VALUES (2234567890123456.4321, 1234567890123456.78, 12345678901234567890, "
    "12345678901234567890123456789012345678, 12345678901234567890.123456789012345678, 9999999999999.99, 9999.9)"),
    ("INSERT INTO decs VALUES (-9999999999999999.9999, -9999999999999999.99, -99999999999999999999, "
    "-99999999999999999999999999999999999999, -99999999999999999999.999999999999999999, -9999999999999.99, -9999.9), "
    "(null, null, null, null, null, null, null)"),
    ("INSERT INTO kinds VALUES (127, 32767, 2147483647, 9223372036854775807, float('NaN'), double('NaN'), true, 'zzz', "
    "X'ff', DATE'9999-12-31', TIMESTAMP'9999-12-31 23:59:59.999999', TIMESTAMP_NTZ'9999-12-31 23:59:59.999999')"),
    ("INSERT INTO kinds VALUES (-128, -32768, -2147483648, -9223372036854775808, float('-Infinity'), "
    "double('-Infinity'), false, '', X'00', DATE'0001-01-01', TIMESTAMP'0001-01-01 00:00:00.000001', "
    "TIMESTAMP_NTZ'0001-01-01 00:00:00.000001')"),
    ("INSERT INTO kinds VALUES (0, 0, 0, 0, float(1.1), double(1e308), null, 'é日本🎬', X'', DATE'1582-10-15', "
    "TIMESTAMP'1970-01-01 00:00:00.001999', TIMESTAMP_NTZ'1969-12-31 23:59:59.999999'), "
    "(null, null, null, null, null, null, null, repeat('x', 100), null, null, null, null)"),
    ("INSERT INTO kinds VALUES (5, 5, 5, 9007199254740993, float(16777217), double(0.1), true, "
    "concat(repeat('a', 31), '\U0010ffff', 'b'), X'61', DATE'1582-10-04', TIMESTAMP'2024-02-29 12:00:00.123456', "
    "TIMESTAMP_NTZ'2024-02-29 12:00:00.123456')"),
    ("INSERT INTO kinds VALUES (6, 6, 6, 9007199254740995, float('Infinity'), double(-0.0), true, 'tail  ', X'62', "
    "DATE'1500-02-28', TIMESTAMP'1500-01-01 00:00:00', TIMESTAMP_NTZ'1500-01-01 00:00:00')"),
    ("INSERT INTO wide VALUES (1, float(1.1), 123456789, 12, 7, DATE'2020-01-02', 1.25), "
    "(2, float('NaN'), -5, -5, -5, null, -999.99)"),
    *(
        f"ALTER TABLE wide ALTER COLUMN {column} TYPE {kind}"
        for column, kind in (
            ("f", "double"), ("i", "decimal(12,2)"), ("j", "bigint"), ("k", "double"), ("g", "decimal(20,4)"),
        )
    ),
    ("INSERT INTO wide VALUES (3, 2.2, 9999999999.99, 9223372036854775807, 1e300, DATE'2021-01-01', "
    "1234567890123456.7891)"),
    "INSERT INTO chars VALUES (1, 'ab', 'ab'), (2, 'abcde', 'abcde'), (3, null, null)",
    "INSERT INTO part2 VALUES (1, 2234567890123456.4321), (2, null)",
    "INSERT INTO part5 VALUES (1, TIMESTAMP'2024-02-29 12:00:00.123456'), (2, null)",
    "INSERT INTO part10 VALUES (1, 'a b/%é=:#?&+'), (2, null)",
    "INSERT INTO part10 VALUES (3, ''), (4, '__HIVE_DEFAULT_PARTITION__'), (5, 'x y'), (6, 'quo\\'te\"')",
    "INSERT INTO part10 VALUES (7, '日本'), (8, 'a\\\\b'), (9, '[x]{y}')",
    "INSERT INTO dv SELECT /*+ REPARTITION(1) */ id, repeat('x', 3) FROM range(100)",
    "DELETE FROM dv WHERE id % 7 = 3",
    "UPDATE dv SET x = 'u' WHERE id = 50",
    "INSERT INTO mapped VALUES (1, 'a'), (2, 'b')",
    "ALTER TABLE mapped RENAME COLUMN x TO y",
    "ALTER TABLE mapped ADD COLUMN x int",
    "INSERT INTO mapped VALUES (3, 'c', 9)",
    *(f"INSERT INTO v2 VALUES ({number}, 'v{number}')" for number in range(INSERTS)),
    "SET spark.databricks.delta.checkpoint.partSize = 3",
    *(f"INSERT INTO multi VALUES ({number}, 'v{number}')" for number in range(INSERTS)),
    *(f"INSERT INTO ict VALUES ({number})" for number in range(4)),
    "INSERT INTO gen (id) VALUES (1)",
    "INSERT INTO structs VALUES (1, named_struct('a', 1, 'b', 2234567890123456.4321), array(2234567890123456.4321))",
)  # fmt: skip


def write_tables(folder: Path) -> None:
    """Write all tables below a folder."""
    with tempfile.TemporaryDirectory() as work_dir, open_session("spark", work_dir=work_dir) as engine:
        for name, columns in TABLES.items():
            by = "PARTITIONED BY (p)" if name.startswith("part") else ""
            more = f"TBLPROPERTIES ({PROPERTIES[name]})" if name in PROPERTIES else ""
            engine.spark.sql(f"CREATE TABLE {name} ({columns}) USING delta {by} LOCATION '{folder / name}' {more}")
        for statement in STATEMENTS:
            engine.spark.sql(statement)


def pack_tables(folder: Path, archive: Path, tables: Iterable[str]) -> None:
    """Pack tables without checksums, which nothing needs, and without the names of users."""

    def cleaned(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return None if member.name.endswith((".crc", "_commits", "_staged_commits")) else member

    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:xz") as file:
        for name in sorted(tables):
            file.add(folder / name, name, filter=cleaned)


def main() -> int:
    """Make the archive again."""
    with tempfile.TemporaryDirectory() as folder:
        write_tables(Path(folder))
        pack_tables(Path(folder), ARCHIVE, TABLES)
    print(f"{ARCHIVE}: {ARCHIVE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
