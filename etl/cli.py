"""imdb-etl: sample | load | update | maintain | rollback | download | enrich."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from etl.interrupts import raise_if_interrupted, raise_on_signals
from etl.progress import ProgressReporter, ProgressStage, TolerantStream
from etl.settings import Settings, load_settings
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.escaping import escape_lines
from lakehouse.program import set_up_logging, tell
from lakehouse.storage import Lake

if TYPE_CHECKING:
    from etl.built_tables import LoadSummary, UpdateSummary

log = logging.getLogger(__name__)

DEFAULT_TITLES = 5_000
DEFAULT_ROWS = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    options = _build_parser().parse_args(arguments)
    try:
        with raise_on_signals():
            options.run(options)
    except LakehouseError as error:
        tell(f"imdb-etl: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        tell("imdb-etl: interrupted. What was there before is unchanged; run the same command again.")
        return 130
    except Exception as error:
        log.debug("the failure in full", exc_info=error)
        reason = str(error).strip().split("\n", 1)[0]
        tell(
            f"imdb-etl: an unforeseen {type(error).__name__}: {reason} Nothing was published. "
            "Set IMDB_LOG_LEVEL=DEBUG and run it again to see where."
        )
        raise SystemExit(1) from error
    return 0


def _run_sample(options: argparse.Namespace) -> None:
    from etl.sample import write_sample

    report, rows = ProgressReporter(), Counter[str]()
    with report.draw_bars(), report.open_stage(f"write {options.titles:,} invented titles") as stage:

        def count_rows(file: str, so_far: int) -> None:
            raise_if_interrupted()
            rows[file] = so_far
            stage.advance(0, rows.total())

        written = write_sample(options.out, titles=options.titles, seed=options.seed, progress=count_rows)
        stage.advance(0, sum(written.values()))
    _print_line(f"{sum(written.values()):,} rows in {len(written)} files in {options.out}")


def _run_download(options: argparse.Namespace) -> None:
    from etl.download import TERMS, download_files

    settings = load_settings()
    print(TERMS, file=sys.stderr)
    report = ProgressReporter()
    with report.draw_bars(), ExitStack() as stages:
        under_way: dict[str, ProgressStage] = {}

        def show_progress(file: str, done: int, total: int | None) -> None:
            raise_if_interrupted()
            if file not in under_way:
                stages.close()
                under_way[file] = stages.enter_context(report.open_stage(f"download {file}", total_bytes=total))
            under_way[file].advance(done, 0)

        files = download_files(options.out, url=settings.download_url, progress=show_progress)
    _print_line(f"{len(files)} files in {options.out}")


def _run_load(options: argparse.Namespace) -> None:
    from etl.loaded import find_loaded
    from etl.pipeline import load_lake
    from etl.safeguards import isolate_engine

    settings, lake = _open_lake(options)
    isolate_engine(lake, settings)
    report = ProgressReporter()
    with report.draw_bars():
        generation = None if options.again else find_loaded(options.source, lake, settings)
        if generation is None:
            summary = load_lake(options.source, lake, settings.load_engine, settings, report, again=options.again)
    if generation is None:
        print_summary(summary, lake)
    else:
        _print_line(
            f"Nothing to load: the files are those of generation {generation} of {lake}. Nothing was written; "
            "--again loads them all the same."
        )


def _run_update(options: argparse.Namespace) -> None:
    from etl.safeguards import isolate_engine
    from etl.update import update_lake

    settings, lake = _open_lake(options)
    isolate_engine(lake, settings)
    report = ProgressReporter()
    with report.draw_bars():
        summary = update_lake(options.source, lake, settings.load_engine, settings, report)
    print_update(summary, lake)


def _run_maintain(options: argparse.Namespace) -> None:
    from etl.maintain import maintain_lake
    from etl.safeguards import isolate_engine

    settings, lake = _open_lake(options)
    isolate_engine(lake, settings)
    report = ProgressReporter()
    with report.draw_bars():
        summary = maintain_lake(lake, settings.load_engine, settings, report)
    for each in summary.compacted:
        _print_line(
            f"{each.table}: {each.files_before:,} files with {each.bytes_before:,} bytes became {each.files:,} with "
            f"{each.bytes:,}, in {each.seconds:.1f} s"
        )
    removed = summary.removed
    gone = ", ".join(map(str, removed.generations)) or "none"
    _print_line(
        f"Generation {summary.generation} of {lake}. Generations removed: {gone}; files: {removed.files:,}, with "
        f"{removed.bytes:,} bytes."
    )


def _run_rollback(options: argparse.Namespace) -> None:
    from etl.rollback import roll_back

    settings, lake = _open_lake(options)
    chosen, published = roll_back(lake, settings, options.generation)
    _print_line(
        f"Generation {published.generation} of {lake} has the tables of generation {chosen.generation}, which was "
        f"published at {chosen.created_at:%Y-%m-%d %H:%M:%S} UTC."
    )


def _open_lake(options: argparse.Namespace) -> tuple[Settings, Lake]:
    """Read the settings of a command that works on a lake. Raises UsageError where none was given."""
    settings = load_settings(engine=getattr(options, "engine", None), lake=options.lake)
    set_up_logging(settings.log_level)
    if settings.lake is None:
        raise UsageError("No lake was given. Add --lake DIR, or set IMDB_LAKE.")
    return settings, Lake.parse(settings.lake)


def _run_enrich(options: argparse.Namespace) -> None:
    from ai_functions.service import urls_of
    from ai_functions.types import dollars
    from etl.enrich import EnrichOrder, enrich_lake, estimate_cost, find_function
    from etl.safeguards import isolate_engine

    settings, lake = _open_lake(options)
    if options.dollars is None and not options.dry_run:
        raise UsageError("No spend cap was given. Add --dollars N, or --dry-run to see what it would cost at most.")
    order = EnrichOrder(find_function(options.function), options.rows, options.dollars or 0.0, options.select)
    isolate_engine(lake, settings, urls_of(settings))
    report = ProgressReporter()
    with report.draw_bars():
        if not options.dry_run:
            enrich_lake(order, lake, settings.load_engine, settings, report)
            return
        found = estimate_cost(order, lake, settings.load_engine, settings)
    _print_line(
        f"{found.items:,} asked for, {found.hits:,} of them in the cache. {found.calls:,} calls would cost at most "
        f"{dollars(found.nanos)} ({found.input_tokens:,} tokens in, at most {found.output_tokens:,} out). "
        "Nothing was called."
    )


def _print_line(line: str) -> None:
    """Print a line to stdout. A closed pipe is not an error."""
    ProgressReporter(sys.stdout).print_line(line)


def print_summary(summary: LoadSummary, lake: Lake) -> None:
    """Print the table of a load and its notes."""
    rows = [
        (
            row.table,
            row.source or "pre-computed",
            f"{row.read:,}" if row.source else "",
            f"{row.written:,}",
            f"{row.rejected:,}" if row.source else "",
            f"{row.files:,}",
            f"{row.bytes:,}",
            f"{row.seconds:.1f}",
        )
        for row in summary.tables
    ]
    names = ("read", "written", "rejected", "files", "bytes", "seconds")
    _print_table(f"Generation {summary.generation} of {lake}", ("table", "from", *names), rows, summary.notes)


def _print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str]) -> None:
    """Print a table, whose first two columns are text and the others numbers, and notes below it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < 2 else "right")
    for row in rows:
        table.add_row(*row)
    # A pipe has no width; a fixed one keeps the table from being folded.
    console = Console(file=cast("TextIO", TolerantStream(sys.stdout)), width=None if sys.stdout.isatty() else 140)
    console.print(table)
    for note in notes:
        console.print(escape_lines(note), highlight=False, markup=False)


def print_update(summary: UpdateSummary, lake: Lake) -> None:
    """Print what an update changed, and its notes."""
    if not summary.changed:
        _print_line(
            f"Nothing to update: the files are those of generation {summary.generation} of {lake}. Nothing was written."
        )
        return
    rows = [
        (
            each.table,
            each.done,
            f"{each.added:,}" if each.done == "updated" else "",
            f"{each.deleted:,}" if each.done == "updated" else "",
            f"{each.rows:,}",
            f"{each.written_bytes:,}",
            f"{each.seconds:.1f}",
        )
        for each in summary.updated
    ]
    names = ("rows added", "rows deleted", "rows", "bytes written", "seconds")
    _print_table(f"Generation {summary.generation} of {lake}", ("table", "done", *names), rows, summary.notes)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imdb-etl", description="IMDb's files become Delta tables and pre-computed views."
    )
    parser.add_argument("--version", action="version", version=f"imdb-etl {version('imdb-lakehouse-mcp')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    sample = commands.add_parser("sample", help="write an invented data set in IMDb's format")
    sample.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    sample.add_argument("--titles", type=int, default=DEFAULT_TITLES, metavar="N", help="how many titles (%(default)s)")
    sample.add_argument("--seed", type=int, default=1, metavar="S", help="same seed, same bytes (%(default)s)")
    sample.set_defaults(run=_run_sample)

    load = commands.add_parser("load", help="load IMDb's files into a lake")
    load.add_argument("--source", type=Path, required=True, metavar="DIR", help="folder with the .tsv.gz or .tsv files")
    load.add_argument("--lake", metavar="DIR", help="directory or storage URL (default: IMDB_LAKE)")
    load.add_argument("--engine", choices=("embedded", "spark"), help="default: embedded, or IMDB_ENGINE")
    load.add_argument("--again", action="store_true", help="load all files again, whatever is there")
    load.set_defaults(run=_run_load)

    update = commands.add_parser("update", help="bring a loaded lake to newer files, changing only what differs")
    update.add_argument("--source", type=Path, required=True, metavar="DIR", help="folder with the newer files")
    update.add_argument("--lake", metavar="DIR", help="directory or storage URL (default: IMDB_LAKE)")
    update.add_argument("--engine", choices=("embedded", "spark"), help="default: embedded, or IMDB_ENGINE")
    update.set_defaults(run=_run_update)

    maintain = commands.add_parser("maintain", help="remove old generations, compact what updates have scattered")
    maintain.add_argument("--lake", metavar="DIR", help="directory or storage URL (default: IMDB_LAKE)")
    maintain.add_argument("--engine", choices=("embedded", "spark"), help="default: embedded, or IMDB_ENGINE")
    maintain.set_defaults(run=_run_maintain)

    rollback = commands.add_parser("rollback", help="serve an earlier generation again")
    rollback.add_argument("--lake", metavar="DIR", help="directory or storage URL (default: IMDB_LAKE)")
    rollback.add_argument(
        "--generation", type=_parse_count, metavar="N", help="which one (default: the one before the served one)"
    )
    rollback.set_defaults(run=_run_rollback)

    enrich = commands.add_parser("enrich", help="apply an AI function to many titles, within a spend cap")
    enrich.add_argument("function", metavar="FUNCTION", help="such as ai_movie_summary: a file of prompts/")
    enrich.add_argument("--lake", metavar="DIR", help="directory or storage URL (default: IMDB_LAKE)")
    enrich.add_argument("--engine", choices=("embedded", "spark"), help="default: embedded, or IMDB_ENGINE")
    enrich.add_argument("--select", metavar="SQL", help="what to apply it to: the first column is the key")
    enrich.add_argument(
        "--rows", type=_parse_count, default=DEFAULT_ROWS, metavar="N", help="at most so many (%(default)s)"
    )
    enrich.add_argument("--dollars", type=_parse_dollars, metavar="N", help="spend at most so much, in US dollars")
    enrich.add_argument("--dry-run", action="store_true", help="say what it would cost at most, and call nothing")
    enrich.set_defaults(run=_run_enrich)

    download = commands.add_parser("download", help="fetch IMDb's published files")
    download.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the files")
    download.set_defaults(run=_run_download)
    return parser


def _parse_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def _parse_dollars(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < 1e9:  # NaN is neither
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount in dollars")
    return amount


if __name__ == "__main__":
    sys.exit(main())
