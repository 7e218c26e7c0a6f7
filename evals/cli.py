"""`python -m evals`: put questions with known SQL to the configured model, and score what its statements gave."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging
import signal
import sys
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn, get_args
from urllib.parse import urlsplit

import prompts
from bridge.client import Lakehouse, Server, resolve_server
from bridge.model import PROMPT, ChatModel, open_model
from bridge.turn import TurnLimits
from evals import report
from evals.questions import QuestionFile, chosen, read_questions
from evals.results import ResultFile
from evals.run import Ended, Plan, evaluate
from lakehouse.ai.types import NANOS_PER_DOLLAR, dollars
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.manifest import read_manifest
from lakehouse.program import set_up_logging, tell
from lakehouse.settings import EngineKind, Settings, load_settings
from lakehouse.storage import Lake

NOTHING_TO_SPEND = {"IMDB_AI_CALLER_HOUR_BUDGET": "0"}
"""For the server of a run: what AI functions cost is no part of the run's budget, so that they may cost nothing."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Exit codes: 0 all questions were asked and judged, whatever the score; 1 some were not; 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings(lake=options.lake, engine=options.engine, chat_server=options.server)
        set_up_logging(settings.log_level)
        logging.getLogger("mcp").setLevel(logging.CRITICAL)  # the client says what failed, in one sentence
        sys.exit(_run(options, settings))
    except KeyboardInterrupt:
        _say("Interrupted. Run it again to go on; what is done is kept.")
        sys.exit(128 + signal.SIGINT)
    except LakehouseError as error:
        _say(str(error))
        sys.exit(error.exit_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evals",
        description="Score the model that IMDB_CHAT_ variables name: its statements' results beside those of gold SQL.",
        epilog="An interrupted run is taken up again by the same command. docs/evals.md says what counts as a match.",
    )
    parser.add_argument("file", type=Path, metavar="QUESTIONS.jsonl", help="a line a question: id, question, sql")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the results, a line an attempt")
    parser.add_argument("--lake", metavar="DIR", help="the lake, for a server that this program starts")
    parser.add_argument("--engine", choices=get_args(EngineKind), help="what runs the SQL there (default: embedded)")
    parser.add_argument("--server", metavar="URL", help="an MCP server that runs already: http://127.0.0.1:8765/mcp")
    parser.add_argument("--questions", type=_ids, default=(), metavar="ID,ID", help="only these (default: all)")
    parser.add_argument("--repeat", type=_positive, default=1, metavar="N", help="ask each so many times (default: 1)")
    parser.add_argument("--budget", type=_dollars, metavar="DOLLARS", help="spend at most so much on this --out in all")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of the table")
    return parser


def _run(options: argparse.Namespace, settings: Settings) -> int:
    file = read_questions(options.file)
    questions = chosen(file.questions, options.questions)
    plan = Plan(questions, options.repeat, TurnLimits.from_settings(settings), options.budget)
    server = _server(options, settings)
    with closing(open_model(settings)) as model, closing(_results(options, file, model, settings)) as results:
        _say_before(plan, results)
        ended = Ended({}, None)
        if not all(results.done(key) for key in plan.keys):
            ended = asyncio.run(_evaluate(plan, model, server, results))
        return _report(plan, results, ended, as_json=options.json)


async def _evaluate(plan: Plan, model: ChatModel, server: Server, results: ResultFile) -> Ended:
    async with Lakehouse(server) as lakehouse:
        results.specify({"server": _fingerprint(lakehouse)})
        return await evaluate(plan, model, lakehouse, results, _say)


def _report(plan: Plan, results: ResultFile, ended: Ended, *, as_json: bool) -> int:
    latest = results.latest
    records = [latest[key] for key in plan.keys if key in latest]
    summary = report.summarise(records, ended.unknown, results.spent, results.run)
    text = json.dumps(summary, ensure_ascii=False, indent=2)
    results.path.with_name(f"{results.path.name}.summary.json").write_text(f"{text}\n", encoding="utf-8")
    if as_json:
        print(text)
    else:
        report.console(terminal=sys.stdout.isatty()).print(report.shown(summary))
    if ended.early:
        _say(ended.early)
    return 1 if ended.early or ended.unknown or summary["undecided"] else 0


def _server(options: argparse.Namespace, settings: Settings) -> Server:
    if settings.chat_server is None and settings.lake is None:
        raise UsageError("Which lake? Give --lake DIR or --server URL, or set IMDB_LAKE or IMDB_CHAT_SERVER.")
    flags = [("--lake", options.lake), ("--engine", options.engine)]
    server = resolve_server(settings, *(part for name, value in flags if value for part in (name, value)))
    if isinstance(server, str):
        return server
    return server.model_copy(update={"env": {**(server.env or {}), **NOTHING_TO_SPEND}})


def _results(options: argparse.Namespace, file: QuestionFile, model: ChatModel, settings: Settings) -> ResultFile:
    """The file of results, with all that has to be the same for results to stand in one."""
    run = {
        "model": model.name,
        "provider": _provider(settings),
        "prices": [settings.chat_input_price, settings.chat_output_price],
        "prompt": _digest(prompts.read(PROMPT).text),
        "questions": file.digest[:12],
        "lake": _lake(settings),
        "engine": settings.engine,
        "limits": {**asdict(TurnLimits.from_settings(settings)), "answer_tokens": settings.chat_answer_tokens},
        "results": [settings.max_rows, settings.max_result_bytes, settings.max_cell_chars],
        "version": version("imdb-lakehouse-mcp"),
    }
    return ResultFile(options.out, run)


def _lake(settings: Settings) -> str:
    if settings.chat_server is not None:
        url = urlsplit(settings.chat_server)
        return f"{url.scheme}://{url.hostname}:{url.port}{url.path}"
    lake = Lake.parse(settings.lake or "")
    manifest = read_manifest(lake)
    if manifest is None:
        return str(lake)
    return f"{lake}, load {manifest.generation} of {manifest.created_at:%Y-%m-%d %H:%M:%S}"


def _provider(settings: Settings) -> str:
    url = settings.openai_base_url or settings.azure_openai_endpoint
    return (urlsplit(url).hostname or "?") if url else "api.openai.com"


def _fingerprint(lakehouse: Lakehouse) -> str:
    """Of all that the server tells a model before it is asked."""
    tools = [[tool.name, tool.description, tool.schema] for tool in lakehouse.tools]
    return _digest(json.dumps([lakehouse.instructions, tools], sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _say_before(plan: Plan, results: ResultFile) -> None:
    if results.mended:
        _say(f"The last line of {results.path} was torn and is taken away.")
    done = sum(results.done(key) for key in plan.keys)
    most = (len(plan.keys) - done) * plan.limits.nanos
    if plan.nanos is not None:
        most = min(most, max(plan.nanos - results.spent, 0))
    spent = f" and {dollars(results.spent)} spent" if results.spent else ""
    _say(f"{len(plan.keys)} to ask, {done} of them done{spent}; the rest may cost {dollars(most)} at most")


def _say(text: str) -> None:
    tell(text)


def _ids(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of times: 1 or more")
    return int(text)


def _dollars(text: str) -> int:
    try:
        amount = float(text.removeprefix("$"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no amount of dollars") from error
    if not 0 <= amount <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no amount of dollars")
    return int(amount * NANOS_PER_DOLLAR)
