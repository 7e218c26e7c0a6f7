"""`python -m imdb_lakehouse.evals`: asks the configured model questions with gold SQL, and scores the results."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn, get_args
from urllib.parse import urlsplit

import prompts
from ai_functions.types import NANOS_PER_DOLLAR, dollars
from imdb_lakehouse.bridge.client import Lakehouse, Server, resolve_server
from imdb_lakehouse.bridge.model import PROMPT, ChatModel, open_model
from imdb_lakehouse.bridge.settings import Settings, load_settings
from imdb_lakehouse.bridge.turn import TurnLimits
from imdb_lakehouse.evals import report
from imdb_lakehouse.evals.questions import (
    QuestionFile,
    UnwrittenQuestion,
    read_lake_questions,
    read_questions,
    select_questions,
)
from imdb_lakehouse.evals.results import ResultFile
from imdb_lakehouse.evals.run import EvaluationEnd, EvaluationPlan, run_plan
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.manifest import read_manifest
from lakehouse.program import set_up_logging, tell
from lakehouse.settings import EngineKind
from lakehouse.storage import Lake

NOTHING_TO_SPEND = {"IMDB_AI_CALLER_HOUR_BUDGET": "0"}
"""Setting of the started server: AI functions are not part of the run's budget, so they may spend nothing."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the program and exit: 0 all questions were judged, whatever the score; 1 some were not; 2 wrong usage."""
    options = _build_parser().parse_args(arguments)
    try:
        settings = load_settings(lake=options.lake, engine=options.engine, chat_server=options.server)
        set_up_logging(settings.log_level)
        logging.getLogger("mcp").setLevel(logging.CRITICAL)  # this program reports the failure itself, in one sentence
        sys.exit(_run_evaluation(options, settings))
    except KeyboardInterrupt:
        _print_message("Interrupted. Run it again to go on; what is done is kept.")
        sys.exit(128 + signal.SIGINT)
    except LakehouseError as error:
        _print_message(str(error))
        sys.exit(error.exit_code)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m imdb_lakehouse.evals",
        description="Score the model that IMDB_CHAT_ variables name: its statements' results beside those of gold SQL.",
        epilog="An interrupted run is taken up again by the same command. docs/evals.md says what counts as a match.",
    )
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        metavar="QUESTIONS.jsonl",
        help="a line a question: id, question, sql (default: the lake's verified queries, _context/queries.jsonl)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the results, a line an attempt")
    parser.add_argument("--lake", metavar="DIR", help="the lake, for a server that this program starts")
    parser.add_argument("--engine", choices=get_args(EngineKind), help="what runs the SQL there (default: embedded)")
    parser.add_argument("--server", metavar="URL", help="an MCP server that runs already: http://127.0.0.1:8765/mcp")
    parser.add_argument("--questions", type=_parse_ids, default=(), metavar="ID,ID", help="only these (default: all)")
    parser.add_argument(
        "--repeat", type=_parse_count, default=1, metavar="N", help="ask each so many times (default: 1)"
    )
    parser.add_argument(
        "--budget", type=_parse_dollars, metavar="DOLLARS", help="spend at most so much on this --out in all"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of the table")
    return parser


def _run_evaluation(options: argparse.Namespace, settings: Settings) -> int:
    file = select_questions(_read_file(options.file, settings), options.questions)
    plan = EvaluationPlan(file.questions, options.repeat, TurnLimits.from_settings(settings), options.budget)
    server = _resolve_server(options, settings)
    with closing(open_model(settings)) as model, closing(_open_results(options, file, model, settings)) as results:
        _print_plan(plan, results)
        ended = EvaluationEnd({}, None)
        if not all(results.is_done(key) for key in plan.keys):
            ended = asyncio.run(_evaluate_plan(plan, model, server, results))
        return _write_report(plan, results, ended, file.unwritten, as_json=options.json)


def _read_file(path: Path | None, settings: Settings) -> QuestionFile:
    if path is not None:
        return read_questions(path)
    if settings.lake is None:
        raise UsageError("Which questions? Give a file, or --lake DIR for the lake's verified queries.")
    return read_lake_questions(Lake.parse(settings.lake), settings.context_dir)


async def _evaluate_plan(plan: EvaluationPlan, model: ChatModel, server: Server, results: ResultFile) -> EvaluationEnd:
    async with Lakehouse(server) as lakehouse:
        results.specify_run({"server": _fingerprint_server(lakehouse)})
        return await run_plan(plan, model, lakehouse, results, _print_message)


def _write_report(
    plan: EvaluationPlan,
    results: ResultFile,
    ended: EvaluationEnd,
    unwritten: Sequence[UnwrittenQuestion],
    *,
    as_json: bool,
) -> int:
    latest = results.latest
    records = [latest[key] for key in plan.keys if key in latest]
    to_write = {question.id: question.reason for question in unwritten}
    summary = report.summarize_records(records, ended.unknown, to_write, results.spent, results.run)
    text = json.dumps(summary, ensure_ascii=False, indent=2)
    results.path.with_name(f"{results.path.name}.summary.json").write_text(f"{text}\n", encoding="utf-8")
    if as_json:
        print(text)
    else:
        report.open_console(terminal=sys.stdout.isatty()).print(report.render_summary(summary))
    if ended.early:
        _print_message(ended.early)
    return 1 if ended.early or ended.unknown or summary["undecided"] else 0


def _resolve_server(options: argparse.Namespace, settings: Settings) -> Server:
    if settings.chat_server is None and settings.lake is None:
        raise UsageError("Which lake? Give --lake DIR or --server URL, or set IMDB_LAKE or IMDB_CHAT_SERVER.")
    flags = [("--lake", options.lake), ("--engine", options.engine)]
    server = resolve_server(settings, *(part for name, value in flags if value for part in (name, value)))
    if isinstance(server, str):
        return server
    return server.model_copy(update={"env": {**(server.env or {}), **NOTHING_TO_SPEND}})


def _open_results(options: argparse.Namespace, file: QuestionFile, model: ChatModel, settings: Settings) -> ResultFile:
    """Open the file of results, with the settings that all its results must share."""
    run = {
        "model": model.name,
        "provider": _describe_provider(settings),
        "prices": [settings.chat_input_price, settings.chat_output_price],
        "prompt": _digest_text(prompts.read(PROMPT).text),
        "questions": file.digest[:12],
        "lake": _describe_lake(settings),
        "engine": settings.engine,
        "limits": {**asdict(TurnLimits.from_settings(settings)), "answer_tokens": settings.chat_answer_tokens},
        "results": [settings.max_rows, settings.max_result_bytes, settings.max_cell_chars],
        "version": version("imdb-lakehouse-mcp"),
    }
    return ResultFile(options.out, run)


def _describe_lake(settings: Settings) -> str:
    if settings.chat_server is not None:
        url = urlsplit(settings.chat_server)
        return f"{url.scheme}://{url.hostname}:{url.port}{url.path}"
    lake = Lake.parse(settings.lake or "")
    manifest = read_manifest(lake)
    if manifest is None:
        return str(lake)
    return f"{lake}, load {manifest.generation} of {manifest.created_at:%Y-%m-%d %H:%M:%S}"


def _describe_provider(settings: Settings) -> str:
    url = settings.openai_base_url or settings.azure_openai_endpoint
    return (urlsplit(url).hostname or "?") if url else "api.openai.com"


def _fingerprint_server(lakehouse: Lakehouse) -> str:
    """Digest the instructions and tools that the server shows a model."""
    tools = [[tool.name, tool.description, tool.schema] for tool in lakehouse.tools]
    return _digest_text(json.dumps([lakehouse.instructions, tools], sort_keys=True))


def _digest_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _print_plan(plan: EvaluationPlan, results: ResultFile) -> None:
    if results.is_repaired:
        _print_message(f"The last line of {results.path} was torn and is taken away.")
    done = sum(results.is_done(key) for key in plan.keys)
    most = (len(plan.keys) - done) * plan.limits.nanos
    if plan.nanos is not None:
        most = min(most, max(plan.nanos - results.spent, 0))
    spent = f" and {dollars(results.spent)} spent" if results.spent else ""
    _print_message(f"{len(plan.keys)} to ask, {done} of them done{spent}; the rest may cost {dollars(most)} at most")


def _print_message(text: str) -> None:
    tell(text)


def _parse_ids(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _parse_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of times: 1 or more")
    return int(text)


def _parse_dollars(text: str) -> int:
    try:
        amount = float(text.removeprefix("$"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no amount of dollars") from error
    if not 0 <= amount <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no amount of dollars")
    return int(amount * NANOS_PER_DOLLAR)
