"""Runs Spark's own SQL tests against the embedded engine, and counts how it answers.

    python -m tests.golden [--only TEXT] [--spark] [--show N] [--out FILE]

The tests come from Spark's test jar (`spark-sql_2.13-<version>-tests.jar`, 53 MB, Maven Central; Apache-2.0), which is
fetched once into the user's cache; none of it is part of this project. Classes:

    equal · order (ties in another order) · both_refuse      as Spark
    lacks        the engine cannot, and says so              fails      it fails in words of its own
    refused      the guard does not allow it                 warned     other rows, with a caveat
    other        other rows, silently                        answers    Spark fails, and this does not
    defect       an error of ours that no text explains

Spark's authors ran them in another time zone and with other limits: with `--spark`, what is `other` or `answers` is
asked of Spark itself before it counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import platformdirs
from pyspark.version import __version__

from lakehouse.errors import EngineLacks, LakehouseError, Refused
from lakehouse.storage import Lake
from mcp_server.sql.lexer import tokenize
from mcp_server.sql.source import read_source, spell_out
from mcp_server.sql.typed.parse_query import NotRead, parse_query
from mcp_server.sql.typed.relations import Query
from mcp_server.sql.typed.types import parse_type
from tests.dialect.conftest import Asker
from tests.etl.conftest import run_etl
from tests.golden.cases import MAX_TOKENS, GoldenCase, read_cases
from tests.golden.compare import compare_rows

JAR: Final = f"spark-sql_2.13-{__version__}-tests.jar"
URL: Final = f"https://repo1.maven.org/maven2/org/apache/spark/spark-sql_2.13/{__version__}/{JAR}"
GOOD: Final = ("equal", "order", "both_refuse")
DOUBTFUL: Final = ("other", "answers")


def fetch_jar() -> Path:
    """Return the jar of Spark's tests, fetched at the first call."""
    path = Path(platformdirs.user_cache_dir("imdb-lakehouse-tests")) / JAR
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"fetch {URL}", flush=True)
        partial, _ = urllib.request.urlretrieve(URL, path.with_suffix(".part"))
        Path(partial).rename(path)
    return path


def is_ordered(sql: str) -> bool:
    """Whether the outermost query asks for an order."""
    try:
        query = parse_query(read_source(sql, spell_out(tokenize(sql, MAX_TOKENS))))
    except (NotRead, LakehouseError):
        return "order by" in sql.lower()
    while not query.order and not query.order_all and isinstance(query.body, Query):
        query = query.body
    return bool(query.order or query.order_all)


def ask(case: GoldenCase, engine: Asker) -> tuple[str, str]:
    """Return how an engine answers a case: the class, and the words of an error or caveat."""
    try:
        answer = engine.live(case.sql)
    except Refused as error:
        return ("both_refuse" if case.fails else "refused"), str(error)
    except EngineLacks as error:
        return ("both_refuse" if case.fails else "lacks"), str(error)
    except LakehouseError as error:
        return ("both_refuse" if case.fails else "fails"), str(error)
    except Exception as error:  # noqa: BLE001  (a defect of ours is counted, and does not end the run)
        return "defect", repr(error)
    said = " ".join(answer.caveats)
    if case.fails:
        return ("warned" if said else "answers"), said
    kind = compare_rows(case.rows, answer.rows, [parse_type(each) for each in answer.types])
    if kind == "order" and not is_ordered(case.sql):
        kind = "equal"
    return ("warned" if said and kind == "other" else kind), said


def agree(case: GoldenCase, embedded: Asker, spark: Asker) -> bool:
    """Whether Spark itself answers as the embedded engine does, here and now."""
    answers = []
    for engine in (embedded, spark):
        try:
            answers.append(engine.live(case.sql).sorted)
        except LakehouseError:
            answers.append(["fails"])
    return answers[0] == answers[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name or text has this")
    parser.add_argument("--spark", action="store_true", help="ask Spark itself about what differs (needs Java)")
    parser.add_argument("--show", type=int, default=20, help="how many cases of each kind of difference are named")
    parser.add_argument("--out", type=Path, help="a file for one line of JSON for each case")
    options = parser.parse_args()
    cases = [case for case in read_cases(fetch_jar()) if options.only in case.id or options.only in case.sql]
    began, totals, shown = time.monotonic(), Counter[str](), Counter[str]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lake = folder / "lake"
        files = folder / "files"
        for command in (("sample", "--titles", 200, "--out", files), ("load", "--source", files, "--lake", lake)):
            done = run_etl(*command)
            if done.returncode:
                sys.exit(done.stderr)
        engines = {
            kind: stack.enter_context(closing(Asker(kind, Lake.parse(str(lake)), folder / kind)))
            for kind in ("embedded", *(["spark"] if options.spark else []))
        }
        out = stack.enter_context(options.out.open("w")) if options.out else None
        for number, case in enumerate(cases, 1):
            kind, words = ask(case, engines["embedded"])
            if options.spark and kind in DOUBTFUL and agree(case, engines["embedded"], engines["spark"]):
                kind = "equal"
            totals[kind] += 1
            if out:
                out.write(json.dumps({"id": case.id, "class": kind, "words": words[:300]}) + "\n")
            if kind in DOUBTFUL and shown[kind] < options.show:
                shown[kind] += 1
                print(f"{kind} {case.id}: {' '.join(case.sql.split())[-160:]}")
            if number % 500 == 0:
                print(f"{number:,} of {len(cases):,}", flush=True)
    good = sum(totals[kind] for kind in GOOD)
    print(f"{len(cases):,} cases in {time.monotonic() - began:,.0f} s; as Spark: {good:,} ({good / len(cases):.1%})")
    for kind, count in totals.most_common():
        print(f"{count:6,} {kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
