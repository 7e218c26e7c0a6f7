"""`imdb-chat`: questions to the lakehouse in plain language, or in SQL without a model."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from contextlib import closing
from importlib.metadata import version
from typing import NoReturn, get_args

from imdb_lakehouse.bridge.client import Lakehouse, resolve_server
from imdb_lakehouse.bridge.export import to_csv, to_json
from imdb_lakehouse.bridge.settings import Settings, load_settings
from imdb_lakehouse.bridge.show import format_turn_cost, print_event, print_table, print_text
from imdb_lakehouse.bridge.turn import Event, Turn, TurnContext, TurnLimits, run_turn
from lakehouse.errors import LakeError, UsageError
from lakehouse.escaping import repair_text
from lakehouse.foreign import describe_foreign
from lakehouse.program import leave, set_up_logging
from lakehouse.settings import EngineKind
from lakehouse.storage import Lake

DEFAULT_PORT = 8766
FORMATS = ("table", "csv", "json")
FAILED, REFUSED = 1, 3


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the program and exit: 0 answered, 1 failed, 2 wrong usage, 3 refused by the guard."""
    options = _build_parser().parse_args(arguments)
    leave("imdb-chat", lambda: _run_command(options))


def _run_command(options: argparse.Namespace) -> int:
    settings = load_settings(lake=options.lake, engine=options.engine, chat_server=options.server)
    set_up_logging(settings.log_level)
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # this program reports the failure itself, in one sentence
    code: int = options.run(options, settings)
    return code


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imdb-chat",
        description="Questions in plain language to a lakehouse, over MCP: a model plans, the server does the work. "
        "Without a command: question after question, with follow-ups.",
        epilog="The model and its price are set by IMDB_CHAT_ variables and the provider's own; README lists them.",
    )
    parser.add_argument("--version", action="version", version=f"imdb-chat {version('imdb-lakehouse-mcp')}")
    _add_server(parser, None)
    parser.set_defaults(run=_run_repl)
    commands = parser.add_subparsers(metavar="COMMAND")
    one = commands.add_parser("ask", help="ask one question and print the answer")
    what = one.add_mutually_exclusive_group(required=True)
    what.add_argument("question", nargs="?", metavar="QUESTION", help="in plain language; needs a model")
    what.add_argument("--sql", metavar="SQL", help="a statement instead; needs no model and no key")
    one.add_argument(
        "--format",
        choices=FORMATS,
        help="how rows of --sql are printed (default: a table on a terminal, CSV elsewhere)",
    )
    _add_server(one, argparse.SUPPRESS)
    one.set_defaults(run=lambda options, settings: asyncio.run(_ask_once(options, settings)))
    page = commands.add_parser("serve", help="serve the page and its REST API, on this machine alone")
    _add_server(page, argparse.SUPPRESS)
    page.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"0 chooses a free one (default: {DEFAULT_PORT})")
    page.set_defaults(run=_run_server)
    return parser


def _add_server(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add the options that choose the server.

    They may precede or follow a command, so those of a command have no default that would overwrite a given value.
    """
    server = parser.add_argument_group("the server")
    server.add_argument(
        "--lake", default=default, metavar="DIR", help="the lake, for a server that this program starts"
    )
    server.add_argument(
        "--engine", default=default, choices=get_args(EngineKind), help="what runs the SQL there (default: embedded)"
    )
    server.add_argument(
        "--server", default=default, metavar="URL", help="an MCP server that runs already: http://127.0.0.1:8765/mcp"
    )


def _run_repl(options: argparse.Namespace, settings: Settings) -> int:
    from imdb_lakehouse.bridge import repl  # imported late: a single question does not need it

    return repl.run_repl(resolve_server(settings, *_build_server_flags(options, settings)), settings)


def _run_server(options: argparse.Namespace, settings: Settings) -> int:
    try:
        from imdb_lakehouse.bridge.serve import serve_chat  # imported late: a web server, and an extra
    except ModuleNotFoundError as error:
        raise UsageError(
            f"imdb-chat serve needs the package {error.name}. Install the extra `chat`: "
            "pip install 'imdb-lakehouse-mcp[chat]'."
        ) from error
    serve_chat(settings, _build_server_flags(options, settings), options.port)
    return 0


async def _ask_once(options: argparse.Namespace, settings: Settings) -> int:
    lakehouse = Lakehouse(resolve_server(settings, *_build_server_flags(options, settings)))
    if options.sql is not None:
        async with lakehouse:
            return await _run_sql(lakehouse, repair_text(options.sql), options.format)
    from imdb_lakehouse.bridge.model import open_model  # imported late: a statement does not need it

    with closing(open_model(settings)) as model:
        async with lakehouse:
            return _print_turn(
                await run_turn(
                    repair_text(options.question),
                    model,
                    lakehouse,
                    TurnLimits.from_settings(settings),
                    context=TurnContext(on_event=_print_event),
                )
            )


def _build_server_flags(options: argparse.Namespace, settings: Settings) -> list[str]:
    """Build the flags of the server that this program starts. Raises UsageError if no lake is named."""
    if settings.chat_server is None and settings.lake is None:
        raise UsageError("Which lake? Give --lake DIR or --server URL, or set IMDB_LAKE or IMDB_CHAT_SERVER.")
    if settings.chat_server is None and settings.lake is not None:
        _require_lake(Lake.parse(settings.lake))
    flags = [("--lake", options.lake), ("--engine", options.engine)]
    return [part for name, value in flags if value for part in (name, value)]


def _require_lake(lake: Lake) -> None:
    """Raise LakeError where a folder is named that is not there: no answer could rest on it."""
    if lake.directory is not None and not lake.directory.is_dir():
        raise LakeError(describe_foreign(lake))


async def _run_sql(lakehouse: Lakehouse, sql: str, wanted: str | None) -> int:
    """Run a statement: its rows are all that stdout gets, whatever else there is to say goes to stderr."""
    result = await lakehouse.run_sql(sql)
    if result.failed:
        print_text(result.text, sys.stderr)
        return REFUSED if result.is_refused else FAILED
    if result.content is None or "columns" not in result.content:
        print_text(result.text, sys.stdout)
        return 0
    match wanted or ("table" if sys.stdout.isatty() else "csv"):
        case "table":
            print_table(result.content, sys.stdout)
            return 0
        case "csv":
            sys.stdout.write(to_csv(result.content))
        case _:
            print(to_json(result.content))
    for warning in result.content["warnings"]:
        print_text(warning, sys.stderr)
    return 0


def _print_event(event: Event) -> None:
    """Print a tool call to stderr: stdout has the answer only."""
    print_event(event, sys.stderr)


def _print_turn(turn: Turn) -> int:
    print_text(turn.answer, sys.stdout)
    print(format_turn_cost(turn), file=sys.stderr)
    return 0 if turn.outcome == "answered" else FAILED


if __name__ == "__main__":
    main()
