"""`imdb-mcp`: serve a lake over MCP, or check statements against its guard."""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn, get_args

from lakehouse.errors import UsageError
from lakehouse.program import leave, set_up_logging
from lakehouse.settings import EngineKind
from lakehouse.storage import Lake
from mcp_server.settings import Settings, load_settings

DEFAULT_PORT = 8765


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the program and leave with its exit code: 0 done, 1 failed, 2 wrong usage, 3 refused."""
    options = _parser().parse_args(arguments)
    leave("imdb-mcp", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    settings = load_settings(lake=options.lake, engine=options.engine, export_dir=getattr(options, "export_dir", None))
    set_up_logging(settings.log_level)
    code: int = options.run(options, settings)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imdb-mcp",
        description="Serves a Delta lakehouse to AI assistants over MCP: read-only Spark SQL behind a guard.",
        epilog="More settings: IMDB_ variables, or a TOML file that IMDB_CONFIG names; README lists them.",
    )
    parser.add_argument("--version", action="version", version=f"imdb-mcp {version('imdb-lakehouse-mcp')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--lake", metavar="DIR", help="directory or storage URL of the lake, or catalog.schema")
    common.add_argument("--engine", choices=get_args(EngineKind), help="what runs the SQL (default: embedded)")

    serve = commands.add_parser("serve", parents=[common], help="start the MCP server")
    serve.add_argument("--transport", choices=("stdio", "http", "sse"), default="stdio", help="default: stdio")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on, loopback only (default: 127.0.0.1)")
    serve.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help=f"port of http and sse; 0 chooses one (default: {DEFAULT_PORT})"
    )
    serve.add_argument("--export-dir", metavar="DIR", help="folder for files of results, over stdio")
    serve.set_defaults(run=_serve)

    check = commands.add_parser("check", parents=[common], help="say whether the guard allows a statement")
    what = check.add_mutually_exclusive_group(required=True)
    what.add_argument("sql", nargs="?", metavar="SQL", help="one statement; exit code 0: allowed, 3: refused")
    what.add_argument(
        "--file", type=Path, metavar="X.jsonl", help='lines {"id", "sql"}; prints a verdict for each as a JSON line'
    )
    check.add_argument("--explain", action="store_true", help="show what each layer of the guard says")
    check.set_defaults(run=_check)
    _add_context(commands, common)
    _add_set_up(commands, common)
    return parser


def _add_context(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    context = commands.add_parser("context", help="draft or check what a team writes down about its lake")
    what = context.add_subparsers(required=True, metavar="COMMAND")
    init = what.add_parser(
        "init", parents=[common], help="draft context.md, queries.jsonl and lake.toml from the schema and the rows"
    )
    init.add_argument("--out", type=Path, metavar="DIR", help="write them here (default: _context in the lake)")
    init.add_argument("--force", action="store_true", help="replace the files that are there")
    init.set_defaults(run=_init_context)
    check = what.add_parser(
        "check", parents=[common], help="run every verified query and compare all names with the schema"
    )
    check.set_defaults(run=_check_context)


def _add_set_up(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    from mcp_server.clients.table import CLIENTS

    config = commands.add_parser("config", parents=[common], help="print or write what an MCP client has to be told")
    config.add_argument("client", choices=tuple(CLIENTS), metavar="CLIENT", help=", ".join(CLIENTS))
    config.add_argument("--name", default="imdb", help="what the client calls the server (default: imdb)")
    config.add_argument("--write", action="store_true", help="merge it into the client's file, and keep a copy of that")
    config.add_argument("--file", type=Path, metavar="X.json", help="the file, in place of the client's usual one")
    config.add_argument("--export-dir", metavar="DIR", help="folder that the client's user may have results put into")
    config.set_defaults(run=_configure)

    doctor = commands.add_parser("doctor", parents=[common], help="check this installation, and say what to do")
    doctor.add_argument("--online", action="store_true", help="ask the model's provider and a metered engine too")
    doctor.add_argument("--strict", action="store_true", help="end with 1 where there is a warning")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.set_defaults(run=_examine)


def _serve(options: argparse.Namespace, settings: Settings) -> int:
    from mcp_server.app import build_server
    from mcp_server.serve import serve

    serve(build_server(settings, _lake(settings)), options.transport, options.host, options.port)


def _lake(settings: Settings) -> Lake:
    if settings.lake is None:
        raise UsageError(
            "Which lake? Give --lake DIR (catalog.schema on Databricks), or set IMDB_LAKE. `imdb-etl load` makes one."
        )
    return Lake.parse(settings.lake)


def _check(options: argparse.Namespace, settings: Settings) -> int:
    from mcp_server.check import check_file, check_one

    lake = _lake(settings)
    if options.file is None:
        return check_one(settings, lake, options.sql, explain=options.explain)
    return check_file(settings, lake, options.file, explain=options.explain)


def _init_context(options: argparse.Namespace, settings: Settings) -> int:
    from mcp_server.context.draft import init_context

    return init_context(settings, _lake(settings), options.out, force=options.force)


def _check_context(_options: argparse.Namespace, settings: Settings) -> int:
    from mcp_server.context.checks import check_context

    return check_context(settings, _lake(settings))


def _configure(options: argparse.Namespace, settings: Settings) -> int:
    from mcp_server.clients.configure import configure_client

    lake = _lake(settings)
    return configure_client(settings, lake, options.client, name=options.name, file=options.file, write=options.write)


def _examine(options: argparse.Namespace, settings: Settings) -> int:
    from mcp_server.doctor import examine_installation

    return examine_installation(settings, online=options.online, strict=options.strict, as_json=options.json)
