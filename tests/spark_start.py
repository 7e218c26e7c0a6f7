"""Makes every Spark of the tests do with less of the processor. `pytest --spark=live` leaves it as users have it.

Its classes are read from an archive that is made once, and a Delta commit writes no checksum of the table: nothing
that is asked of a lake is read from it.

A Spark of the tests lives for minutes, and most of its CPU goes into loading classes and compiling them twice. With an
archive of classes (JEP 350) and the first compiler alone a start and two queries need 4 s of CPU, and 8.5 s with that
compiler alone. The JVM ignores an archive that is not of its own version and jars: a stale one costs time alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import platformdirs
from filelock import FileLock

from lakehouse.session.spark import delta_jars

ROOT = Path(__file__).resolve().parent.parent
_PLAIN = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
"""The first compiler alone. Its usual room for code is full after minutes, and is then filled again and again."""

_LESS_WORK = "-Dspark.databricks.delta.writeChecksumFile.enabled=false"
"""The checksum of a commit costs a query over the table's log: a fifth of the CPU of a load."""

_QUERIES = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.remote("{}").getOrCreate()
spark.sql("SELECT id % 3 AS k, count(*) AS n, max(array(id)) FROM range(99) GROUP BY 1 ORDER BY 1").toPandas()
spark.sql("SELECT a, sum(b) OVER (ORDER BY b) FROM VALUES (1, 2.5D) t(a, b) JOIN range(9) ON id = a").toPandas()
"""


def prepare(java_version: str, *, as_users: bool) -> None:
    """Fetch Delta's jars and make the archive where they are missing, and have every Spark from now on use it.

    `as_users` leaves Spark as users have it, but for the archive.

    One process at a time: two Sparks that fetch jars at once damage each other's files.
    """
    folder = Path(platformdirs.user_cache_dir("imdb-lakehouse-tests"))
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"spark-{_key(java_version)}.jsa"
    with FileLock(folder / "lock"):
        if not delta_jars():
            start = "from lakehouse.session import open_session\nwith open_session('spark'): pass"
            subprocess.run([sys.executable, "-c", start], cwd=ROOT, check=True)
        if not archive.exists():
            for old in folder.glob("*.jsa"):
                old.unlink()
            _make(archive)
    options = "" if as_users else f"{_PLAIN} {_LESS_WORK} "
    os.environ["SPARK_SUBMIT_OPTS"] = f"{options}-XX:SharedArchiveFile={archive}"


def _key(java_version: str) -> str:
    """Of the Java and the Spark that an archive is for."""
    package = find_spec("pyspark")
    assert package is not None
    jars = Path(package.origin or "").parent / "jars"
    java = (java_version, shutil.which("java"), os.environ.get("JAVA_HOME"))
    return hashlib.sha256(repr((*java, version("pyspark"), jars, jars.stat().st_mtime_ns)).encode()).hexdigest()[:16]


def _make(archive: Path) -> None:
    """Have a Spark Connect server write the archive when it ends, after it has answered two queries."""
    from tests.connect_server import ConnectServer

    new = archive.with_suffix(".new")
    os.environ["SPARK_SUBMIT_OPTS"] = f"{_PLAIN} -XX:ArchiveClassesAtExit={new}"
    with tempfile.TemporaryDirectory() as work:
        server = ConnectServer(Path(work))
        server.start()
        subprocess.run([sys.executable, "-W", "ignore", "-c", _QUERIES.format(server.url)], check=True)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(120)
        server.kill()
    if new.exists():  # else the JVM would not: every start is then a plain one
        new.rename(archive)
