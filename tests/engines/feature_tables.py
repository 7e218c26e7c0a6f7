"""Makes a table for each feature of Delta, by Spark, and Spark's answers to questions about them.

python -m tests.engines.feature_tables

It writes `tests/data/delta/features.tar.xz` and `features.jsonl`, which `test_features.py` asks the embedded engine.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from lakehouse.session import EngineSession, open_session, run_query
from lakehouse.session.variants import HiddenVariantError
from tests.engines.spark_tables import pack_tables

DATA = Path(__file__).parents[1] / "data" / "delta"
ARCHIVE, ANSWERS = DATA / "features.tar.xz", DATA / "features.jsonl"
PLACE = "/place-of-the-lake"
"""Stands for the path of the lake in the log of the shallow clone, which names the files of its source by it."""
_MOST_ROWS, _MOST_BYTES = 400, 1 << 24

_DEEP = "struct<b:struct<c:struct<d:struct<e:int,f:string>>>>"
_WIDE = 300
TABLES: dict[str, str] = {
    "variants": "id int, v variant",
    "padded": "id int, c char(5), v varchar(5), l array<char(3)>",
    "maps": "id int, m map<string,int>, n map<string,struct<x:int>>, k map<int,string>",
    "nested": f"id int, a {_DEEP}, l array<struct<x:int,y:array<string>>>",
    "decimals": "id int, a decimal(10,2), b decimal(38,10), c decimal(5,0)",
    "odd_columns": "`my id` int, `a.b` int, `Grüße, Öl` string, `UPPER` int, `tab(1)` double, `with;semi` string, "
    "`eq=ual` string",
    "quoted_column": "id int, `back``tick` int, `dollar$` string, x string",
    "by_id": "id int, x string",
    "renamed": "id int, x string, gone int, s struct<p:int,q:int>",
    "clustered": "id int, x string",
    "tracked": "id int, x string",
    "counted": "id bigint GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY 5), x string",
    "generated": "id int, y int GENERATED ALWAYS AS (id * 2), z int DEFAULT 5, "
    "d date GENERATED ALWAYS AS (CAST(t AS DATE)), t timestamp",
    "checked": "id int NOT NULL, x string",
    "changed": "id int, x string",
    "appended": "id int, x string",
    "wide": ", ".join(f"c{number} int" for number in range(_WIDE)),
    "empty": "id int, x string, d decimal(10,2)",
    "emptied": "id int, x string",
    "voids": "id int, n void",
    "zoneless": "id int, t timestamp_ntz, u timestamp",
    "source": "id int, x string",
    "widened": "id tinyint, a smallint, s struct<i:int>, l array<int>, m map<string,int>, d date, f float, "
    "e decimal(5,2)",
    "parted": "id int, `Stadt` string, day date, num decimal(5,2)",
}
LAYOUTS: dict[str, str] = {
    "clustered": "CLUSTER BY (id)",
    "generated": "PARTITIONED BY (d)",
    "parted": "PARTITIONED BY (`Stadt`, day, num)",
}
PROPERTIES: dict[str, str] = {
    "odd_columns": "'delta.columnMapping.mode'='name'",
    "quoted_column": "'delta.columnMapping.mode'='name'",
    "by_id": "'delta.columnMapping.mode'='id'",
    "renamed": "'delta.columnMapping.mode'='name'",
    "tracked": "'delta.enableRowTracking'='true'",
    "generated": "'delta.feature.allowColumnDefaults'='supported'",
    "changed": "'delta.enableChangeDataFeed'='true'",
    "appended": "'delta.appendOnly'='true'",
    "emptied": "'delta.enableDeletionVectors'='true'",
    "source": "'delta.enableDeletionVectors'='true'",
    "widened": "'delta.enableTypeWidening'='true', 'delta.feature.timestampNtz'='supported'",
}
STATEMENTS = (
    """INSERT INTO variants SELECT 1, parse_json('{"a": 1, "b": [1.5, "x", null, true], "c": {"d": "2020-01-01"}}')""",
    """INSERT INTO variants SELECT 2, parse_json('"text"')""",
    "INSERT INTO variants SELECT 3, NULL",
    "INSERT INTO variants SELECT 4, parse_json('null')",
    "INSERT INTO padded VALUES (1, 'ab', 'ab', array('x')), (2, 'abcde', 'abcde', array('xyz')), (3, null, null, null)",
    ("INSERT INTO maps VALUES (1, map('key', 1, 'a b', 2), map('p', named_struct('x', 7)), map(1, 'one')), "
    "(2, map(), map(), map()), (3, null, null, null)"),
    ("INSERT INTO nested VALUES (1, named_struct('b', named_struct('c', named_struct('d', named_struct('e', 5, 'f', "
    "'f')))), array(named_struct('x', 1, 'y', array('p', 'q')), named_struct('x', 2, 'y', null))), "
    "(2, null, array()), (3, named_struct('b', named_struct('c', null)), null)"),
    ("INSERT INTO decimals VALUES (1, 12345678.91, 1234567890123456789012345678.0123456789, 99999), (2, -0.01, 0, -1), "
    "(3, null, null, null)"),
    "INSERT INTO odd_columns VALUES (1, 2, 'ä', 4, 5.5, 's', 'q'), (11, 12, 'ö', 14, 15.5, 't', 'r')",
    "INSERT INTO quoted_column VALUES (1, 7, 'd', 'x'), (2, 17, 'e', 'x')",
    "INSERT INTO by_id VALUES (1, 'a'), (2, 'b')",
    "ALTER TABLE by_id RENAME COLUMN x TO y",
    "INSERT INTO by_id VALUES (3, 'c')",
    "INSERT INTO renamed VALUES (1, 'a', 9, named_struct('p', 1, 'q', 2)), (2, 'b', 8, named_struct('p', 3, 'q', 4))",
    "ALTER TABLE renamed RENAME COLUMN x TO y",
    "ALTER TABLE renamed DROP COLUMN gone",
    "ALTER TABLE renamed RENAME COLUMN s.p TO r",
    "ALTER TABLE renamed ADD COLUMN gone string",
    "ALTER TABLE renamed ADD COLUMN x int",
    "INSERT INTO renamed VALUES (3, 'c', named_struct('r', 5, 'q', 6), 'back', 1)",
    "INSERT INTO clustered SELECT id, repeat('x', 2) FROM range(20)",
    "OPTIMIZE clustered",
    "INSERT INTO tracked VALUES (1, 'a'), (2, 'b')",
    "UPDATE tracked SET x = 'c' WHERE id = 2",
    "INSERT INTO counted (x) VALUES ('a'), ('b')",
    "INSERT INTO generated (id, t) VALUES (1, TIMESTAMP'2024-02-29 23:30:00'), (2, null)",
    "ALTER TABLE checked ADD CONSTRAINT positive CHECK (id > 0)",
    "INSERT INTO checked VALUES (1, 'a')",
    "INSERT INTO changed VALUES (1, 'a'), (2, 'b')",
    "UPDATE changed SET x = 'c' WHERE id = 2",
    "DELETE FROM changed WHERE id = 1",
    "INSERT INTO appended VALUES (1, 'a')",
    f"INSERT INTO wide SELECT {', '.join(f'CAST(id * {number} AS INT)' for number in range(_WIDE))} FROM range(3)",
    "INSERT INTO emptied VALUES (1, 'a')",
    "DELETE FROM emptied",
    "INSERT INTO voids VALUES (1, NULL)",
    ("INSERT INTO zoneless VALUES (1, TIMESTAMP_NTZ'2024-02-29 12:00:00.123456', "
    "TIMESTAMP'2024-02-29 12:00:00.123456')"),
    "INSERT INTO source SELECT /*+ REPARTITION(1) */ id, repeat('x', 3) FROM range(10)",
    "DELETE FROM source WHERE id = 3",
    "CREATE TABLE cloned SHALLOW CLONE source LOCATION '{lake}/cloned'",
    "INSERT INTO cloned VALUES (100, 'own')",
    ("INSERT INTO widened VALUES (1, 1, named_struct('i', 1), array(1, 2), map('a', 1), DATE'2020-01-01', 1.5, 1.25)"),
    *(
        f"ALTER TABLE widened ALTER COLUMN {column} TYPE {kind}"
        for column, kind in (
            ("id", "bigint"), ("a", "int"), ("s.i", "bigint"), ("l.element", "bigint"), ("m.value", "bigint"),
            ("d", "timestamp_ntz"), ("f", "double"), ("e", "decimal(12,4)"),
        )
    ),
    ("INSERT INTO widened VALUES (9999999999, 99999, named_struct('i', 9999999999), array(9999999999), "
    "map('b', 9999999999), TIMESTAMP_NTZ'2021-01-01 12:00:00', 2.2, 12345.6789)"),
    ("INSERT INTO parted VALUES (1, 'Köln am Rhein', DATE'2024-02-29', 1.50), (2, null, null, null), "
    "(3, 'x=y/z', DATE'1999-12-31', -2.25)"),
)  # fmt: skip

_WHOLE = (
    "maps", "nested", "decimals", "by_id", "renamed", "clustered", "tracked", "counted", "generated", "checked",
    "changed", "appended", "empty", "emptied", "voids", "zoneless", "source", "cloned", "widened", "parted", "padded",
    "variants", "quoted_column",
)  # fmt: skip
QUERIES = (
    *(f"SELECT * FROM {name} ORDER BY id" for name in _WHOLE),
    *(f"SELECT count(*) AS n FROM {name}" for name in ("padded", "variants", "cloned", "emptied", "wide")),
    "SELECT * FROM odd_columns ORDER BY `my id`",
    "SELECT `a.b`, odd_columns.`my id`, upper FROM odd_columns WHERE `Grüße, Öl` = 'ö' AND `tab(1)` > 1",
    "SELECT * FROM wide ORDER BY c1",
    "SELECT sum(c299) AS s FROM wide WHERE c298 > 298",
    # Variants
    "SELECT id, v:a, v:b[0], v:c.d FROM variants ORDER BY id",
    "SELECT id, to_json(v) AS j, variant_get(v, '$.a', 'int') AS a FROM variants ORDER BY id",
    "SELECT id, CAST(v AS STRING) AS s FROM variants ORDER BY id",
    "SELECT id FROM variants WHERE v IS NOT NULL ORDER BY id",
    "SELECT array(v) AS a FROM variants ORDER BY id",
    # CHAR and VARCHAR
    "SELECT id, v FROM padded WHERE v = 'ab'",
    "SELECT id, c, length(c) AS n FROM padded ORDER BY id",
    "SELECT id FROM padded WHERE c = 'ab'",
    # Maps
    "SELECT id, m.key FROM maps ORDER BY id",
    "SELECT maps.m.key, n.p.x, n.p FROM maps ORDER BY id",
    "SELECT m['key'], m['a b'], k[1], n['p'].x FROM maps ORDER BY id",
    "SELECT id FROM maps WHERE m.key = 1",
    "SELECT m.key + 1, max(m.key) OVER () FROM maps ORDER BY id",
    "SELECT m.key, count(*) FROM maps GROUP BY m.key ORDER BY m.key",
    # Names of nested fields
    "SELECT a.b, a.b.c, a.b.c.d, a.b.c.d.e, nested.a.b.c.d.f FROM nested ORDER BY id",
    "SELECT l.x, l.y, l[0].x, l[0].y[1], l[0] FROM nested WHERE id = 1",
    "SELECT a.b.c.d.e + 1, upper(a.b.c.d.f), size(l), l.x[0] FROM nested WHERE id = 1",
    "SELECT a.b.c.d.* FROM nested ORDER BY id",
    "SELECT max(a.b.c.d.e), count(l.x), first(l[0].x) FROM nested WHERE id = 1",
    "SELECT struct(id, a.b.c.d.e), named_struct('n', l[0].x), array(a.b.c.d.e) FROM nested WHERE id = 1",
    "SELECT a.b.c.d.e, count(*) FROM nested GROUP BY a.b.c.d.e ORDER BY 2 DESC, 1",
    "SELECT id FROM nested WHERE a.b.c.d.e = 5 AND get(l, 1).x = 2",
    "SELECT x.x, x.y FROM nested LATERAL VIEW explode(l) e AS x ORDER BY 1",
    "SELECT x.* FROM nested LATERAL VIEW explode(l) e AS x ORDER BY 1",
    "SELECT inline(l) FROM nested WHERE id = 1",
    "SELECT q.s FROM (SELECT s FROM renamed ORDER BY id) q",
    "SELECT s.r, s.q FROM renamed ORDER BY id",
    "SELECT renamed.s.r FROM renamed ORDER BY id",
    "SELECT d.a.b.c.d.e FROM nested d ORDER BY d.id",
    "SELECT transform(l, e -> e.x) AS t, filter(l, e -> e.x > 1)[0].x FROM nested WHERE id = 1",
    # Decimals
    *(f"SELECT {each} FROM decimals ORDER BY id" for each in (
        "a * 2", "a / 3", "a * 1.5", "a * 100, c * 100", "a + 1, a - 1, 1 - a", "a * a", "a * c, a / c", "b * 2",
        "b / 7", "b * 1.0", "a * 2.0D", "a % 7, c % 7", "a DIV 7", "round(a, 1), round(a), round(a, -2)",
        "ceil(a), floor(a), ceil(a, 1)", "a * CAST(2 AS BIGINT), a * CAST(2 AS SMALLINT), a * id", "a * 1000000",
        "a / 100, a / 1000.0", "a * 1e2, a * 1e2BD", "-a, abs(a), +a", "a * 12345678901234567890", "c / 3, c * c * c",
        "(a + c) * 100 / 7", "a > 1, a = 12345678.91, a BETWEEN 0 AND 1e8", "CAST(a AS DECIMAL(12,4)) * 3",
        "if(id = 1, a, 0), coalesce(a, 0), greatest(a, 1), nvl(c, 0.5)", "a || '', CAST(b AS STRING)",
        "sqrt(a), power(a, 2)",
        "bround(a, 1)", "a / 0.5, b / 0.5BD",
    )),
    "SELECT sum(a), avg(a), min(a), max(a), sum(c), avg(c) FROM decimals",
    "SELECT sum(a * 100) / 100, sum(a) * 2, avg(a) * 3, sum(b) FROM decimals WHERE id > 1",
    "SELECT a * 0.19 AS tax, sum(a * 1.19) OVER (ORDER BY id) AS running FROM decimals ORDER BY id",
    # Features as conditions
    "SELECT id FROM widened WHERE s.i > 2 AND l[0] > 2 AND d > TIMESTAMP_NTZ'2020-06-01 00:00:00' AND e > 2",
    "SELECT sum(id), sum(a), sum(s.i), max(m['b']), sum(f), sum(e) FROM widened",
    "SELECT id, Stadt FROM parted WHERE stadt = 'Köln am Rhein' AND num = 1.5 AND day = DATE'2024-02-29'",
    "SELECT id FROM parted WHERE Stadt IS NULL OR num < 0 ORDER BY id",
    "SELECT id FROM generated WHERE d = DATE'2024-02-29'",
    "SELECT y, x, gone FROM renamed WHERE gone IS NULL ORDER BY id",
    "SELECT c.id, s.x FROM cloned c LEFT JOIN source s ON c.id = s.id WHERE c.id > 7 ORDER BY 1",
    "SELECT t, u, date_trunc('HOUR', t), t > TIMESTAMP_NTZ'2024-02-29 00:00:00' FROM zoneless",
    "SELECT id, x FROM changed VERSION AS OF 1 ORDER BY id",
    "SELECT * FROM renamed VERSION AS OF 1 ORDER BY id",
    "SELECT id, a FROM widened VERSION AS OF 1 ORDER BY id",
    "SELECT sum(n) FROM voids",
    "SELECT max(d), count(x), avg(d) FROM empty",
    "SELECT `back``tick`, id FROM quoted_column ORDER BY id",
    "SELECT id, x FROM quoted_column ORDER BY id",
)  # fmt: skip


def write_tables(engine: EngineSession, folder: Path) -> None:
    """Write all tables below a folder."""
    for name, columns in TABLES.items():
        more = f"TBLPROPERTIES ({PROPERTIES[name]})" if name in PROPERTIES else ""
        layout = LAYOUTS.get(name, "")
        engine.spark.sql(f"CREATE TABLE {name} ({columns}) USING delta {layout} LOCATION '{folder / name}' {more}")
    for statement in STATEMENTS:
        engine.spark.sql(statement.replace("{lake}", str(folder)))


def ask_spark(engine: EngineSession) -> list[dict[str, object]]:
    """Ask Spark all questions; an answer has names, types and rows, or the condition that it is refused with."""
    from pyspark.errors import PySparkException

    answers: list[dict[str, object]] = []
    for sql in QUERIES:
        try:
            found = run_query(engine.spark, sql, _MOST_ROWS, _MOST_BYTES)
        except (PySparkException, HiddenVariantError) as error:
            answers.append({"sql": sql, "refused": str(error).splitlines()[0][:200]})
            continue
        rows = [repr(list(row)) for row in zip(*(column.to_pylist() for column in found.table.columns), strict=True)]
        answers.append({"sql": sql, "names": found.table.column_names, "types": found.types, "rows": rows})
    return answers


def hide_place(folder: Path) -> None:
    """Replace the path of the lake in the log of the clone, which names the files of its source by it.

    Its commits are text; the checkpoint that Spark writes with a clone is not, and is taken away.
    """
    log = folder / "cloned" / "_delta_log"
    for checkpoint in (*log.glob("*.checkpoint*"), *log.glob("_last_checkpoint")):
        checkpoint.unlink()
    for commit in log.glob("*.json"):
        commit.write_text(commit.read_text("utf-8").replace(str(folder), PLACE), "utf-8")


def main() -> int:
    """Make the archive and the answers again."""
    with (
        tempfile.TemporaryDirectory() as made,
        tempfile.TemporaryDirectory() as work_dir,
        open_session("spark", work_dir=work_dir) as engine,
    ):
        folder = Path(made).resolve()
        write_tables(engine, folder)
        answers = ask_spark(engine)
        hide_place(folder)
        pack_tables(folder, ARCHIVE, [*TABLES, "cloned"])
    ANSWERS.write_text("".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers), "utf-8")
    print(f"{ARCHIVE}: {ARCHIVE.stat().st_size:,} bytes, {len(answers)} answers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
