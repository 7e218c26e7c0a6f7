"""The same questions to this server, its engine without a server, DuckDB's MCP server and a local Spark, side by side.

    python -m bench.side_by_side --questions FILE --lake 1m=DIR [--lake 3m=DIR …] [--contender NAME …] [--runs 5]
                                 [--limit-seconds 120] [--minutes 30] [--out DIR]

FILE has a question a line: JSON with `id` and `sql` (Spark SQL). Contenders are asked in turn within one run, so that
noise of the machine falls on all alike; the first answer of each is reported beside its median, and processor time
beside the clock. Each lake has its share of `--minutes`; when that is over, nothing is repeated. DuckDB's server reads
the same Parquet files through views, and gets the text rewritten by sqlglot. It is installed from PyPI into an
environment of its own. Writes `side_by_side.json` and `side_by_side.md` to DIR, and pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from anyio.from_thread import BlockingPortal, start_blocking_portal

from bench import duckdb_server
from bench.contenders import AskError, Contender, RawContender, make_server, stopping
from bench.measuring import LakeResult, Question, measure_questions
from bench.plots import draw
from bench.summary import write_report
from lakehouse.manifest import Manifest, read_manifest
from lakehouse.quoting import quote_literal
from lakehouse.storage import Lake
from mcp_server import checking
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.models import CheckedQuery, Principal
from mcp_server.settings import load_settings
from mcp_server.terms import catalog_of, limits_of

CONTENDERS = ("server", "raw", "duckdb", "spark")
_MOST_TITLES_ON_SPARK = 3_500_000
"""Above this a run on Spark takes longer than all others together."""
_TITLES_TRIED = 50
_CONNECTORS = {"raw": "embedded", "spark": "spark"}


def read_questions(path: Path) -> dict[str, str]:
    """The Spark SQL of each question by its id."""
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return {line["id"]: line["sql"] for line in lines}


def choose_lookups(contender: Contender) -> dict[str, str]:
    """Look-ups of a title with many votes and of the person credited first in it. None where the lake has no such."""
    sql = (
        "SELECT r.tconst, p.nconst, n.primaryName FROM "
        f"(SELECT tconst, numVotes FROM movies_with_ratings ORDER BY numVotes DESC, tconst LIMIT {_TITLES_TRIED}) r "
        "JOIN principals_delta p ON p.tconst = r.tconst JOIN persons_delta n ON n.nconst = p.nconst "
        "ORDER BY r.numVotes DESC, r.tconst, p.ordering LIMIT 1"
    )
    try:
        row = contender.ask(duckdb_server.to_duckdb(sql) if contender.name == "duckdb" else sql).first
    except AskError as error:
        print(f"no look-ups: {error}")
        return {}
    if row is None:
        print("no look-ups: no title with votes has a credit of a known person")
        return {}
    title, person, name = map(quote_literal, row)
    return {
        "title": f"SELECT * FROM movies_delta WHERE tconst = {title}",
        "person": "SELECT primaryTitle, startYear, category FROM movie_cast "
        f"WHERE primaryName = {name} AND nconst = {person} ORDER BY startYear, primaryTitle, category",
        "cast": "SELECT p.category, n.primaryName, p.characters FROM principals_delta p JOIN persons_delta n "
        f"ON n.nconst = p.nconst WHERE p.tconst = {title} ORDER BY p.ordering",
    }


def rewrite_as_server(lake: Path, texts: dict[str, str], state: Path) -> dict[str, str]:
    """What the server would send to its engine; the caller's own text where it would refuse one."""
    settings = load_settings(state_dir=state)
    engine = EmbeddedEngine(Lake.parse(str(lake)), settings)
    catalog, limits = catalog_of(engine, engine.tables()), limits_of(settings)
    found = dict(texts)
    for name, sql in texts.items():
        try:
            checked = checking.check(sql, catalog=catalog, limits=limits, principal=Principal("bench"))
        except Exception as error:  # noqa: BLE001  (the server's refusal is a row of the table)
            print(f"{name}: the server does not run it: {error}")
            continue
        assert isinstance(checked, CheckedQuery)
        found[name] = checked.sql
    return found


@contextmanager
def open_contenders(
    names: Sequence[str], lake: Path, manifest: Manifest, limit_seconds: float
) -> Iterator[tuple[list[Contender], Path]]:
    """The contenders of a lake, not started yet, and the folder that they work in."""
    with tempfile.TemporaryDirectory(prefix="side-by-side-") as folder, start_blocking_portal() as portal:
        work = Path(folder)
        made = [_make_contender(name, lake, manifest, work, limit_seconds, portal) for name in names]
        with stopping(made):
            yield made, work


def _make_contender(
    name: str, lake: Path, manifest: Manifest, work: Path, limit_seconds: float, portal: BlockingPortal
) -> Contender:
    if name == "server":
        return make_server(lake, work, limit_seconds, portal)
    if name == "duckdb":
        programs, database = duckdb_server.make_environment(), work / "lake.duckdb"
        duckdb_server.write_database(programs, database, duckdb_server.list_live_files(lake, manifest))
        return duckdb_server.make_duckdb_server(programs, database, limit_seconds, portal)
    return RawContender(name, limit_seconds, _CONNECTORS[name], lake, work)


def start_contenders(contenders: list[Contender]) -> dict[str, float]:
    """Start all of them; one that does not come up is said and left out. Milliseconds of each."""
    taken = {}
    for contender in list(contenders):
        started = time.perf_counter()
        try:
            contender.start()
        except AskError as error:
            print(f"{contender.name} did not start: {error}")
            contenders.remove(contender)
        else:
            taken[contender.name] = (time.perf_counter() - started) * 1_000
    return taken


def measure_lake(name: str, lake: Path, texts: dict[str, str], options: argparse.Namespace, until: float) -> LakeResult:
    """Measure all questions and look-ups on one lake. From `until` on, by `time.monotonic`, none is repeated."""
    manifest = read_manifest(Lake.parse(str(lake)))
    if manifest is None:
        raise SystemExit(f"{lake} has no manifest. Load it with imdb-etl first.")
    titles, roles = (manifest.tables[table].rows for table in ("movies_delta", "principals_delta"))
    names = [each for each in options.contender or CONTENDERS if each != "spark" or titles <= _MOST_TITLES_ON_SPARK]
    load = os.getloadavg()[0]
    with open_contenders(names, lake, manifest, options.limit_seconds) as (contenders, work):
        start_ms = start_contenders(contenders)
        if not contenders:
            raise SystemExit("No contender has started.")
        lookups = choose_lookups(contenders[0])
        all_texts = lookups | texts
        raw = rewrite_as_server(lake, all_texts, work / "state") if "raw" in names else {}
        questions = [
            Question(
                id=each,
                group="look-ups" if each in lookups else "questions",
                texts={"server": sql, "spark": sql, "raw": raw.get(each, sql), "duckdb": duckdb_server.to_duckdb(sql)},
            )
            for each, sql in all_texts.items()
        ]
        runs = {contender.name: options.runs for contender in contenders}
        if "spark" in runs:
            runs["spark"] = min(options.spark_runs, options.runs)
        found = measure_questions(questions, contenders, runs, options.enough_seconds, until)
    groups = {question.id: question.group for question in questions}
    return LakeResult(name, titles, roles, groups, start_ms, load, os.getloadavg()[0], found)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, required=True, metavar="FILE")
    parser.add_argument("--lake", action="append", required=True, metavar="NAME=DIR")
    parser.add_argument("--contender", action="append", choices=CONTENDERS, help="default: all")
    parser.add_argument("--runs", type=int, default=5, help="warm runs of each question")
    parser.add_argument("--spark-runs", type=int, default=1, help="the same for Spark, which takes longest")
    parser.add_argument(
        "--enough-seconds",
        type=float,
        default=8,
        help="a question whose warm runs took this long in all is not repeated",
    )
    parser.add_argument("--limit-seconds", type=float, default=120, help="what one statement may take")
    parser.add_argument("--minutes", type=float, default=30, help="after these nothing is repeated")
    parser.add_argument("--out", type=Path, default=Path("bench-results"), help="folder of results and pictures")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    texts = read_questions(options.questions)
    options.out.mkdir(parents=True, exist_ok=True)
    lakes: list[LakeResult] = []
    end = time.monotonic() + options.minutes * 60
    for left, given in zip(range(len(options.lake), 0, -1), options.lake, strict=True):
        name, _, folder = given.partition("=")
        now = time.monotonic()
        lakes.append(measure_lake(name, Path(folder).resolve(), texts, options, now + max(0.0, end - now) / left))
        report = {
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "duckdb": duckdb_server.PACKAGES,
            "runs": options.runs,
            "lakes": [lake.to_json() for lake in lakes],
        }
        (options.out / "side_by_side.json").write_text(json.dumps(report, indent=1, default=str))
    changes = {each: duckdb_server.list_changes(sql) for each, sql in texts.items()}
    text = write_report(lakes, changes if "duckdb" in lakes[0].start_ms else {})
    (options.out / "side_by_side.md").write_text(text)
    print(text)
    for path in draw(lakes, options.out):
        print(path)


if __name__ == "__main__":
    main()
