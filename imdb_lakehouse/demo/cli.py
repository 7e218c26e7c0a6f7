"""imdb-demo: creates sample data, loads it, starts the server over stdio and asks it questions.

Each step is what a user would run: the programs `imdb-etl` and `imdb-mcp`, and an MCP client.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, TextContent
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from etl.sample import SAMPLE_STAR
from lakehouse.escaping import replace_controls

CALL_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class DemoQuestion:
    """A question, and the SQL that an assistant would send for it."""

    text: str
    sql: str
    refused: bool = False


QUESTIONS = (
    DemoQuestion(
        "Which are the five best rated films of 2020 with at least 1,000 votes?",
        "SELECT primaryTitle, averageRating, numVotes\nFROM movies_with_ratings\n"
        "WHERE titleType = 'movie' AND startYear = 2020 AND numVotes >= 1000\n"
        "ORDER BY averageRating DESC, numVotes DESC LIMIT 5",
    ),
    DemoQuestion(
        f"Which directors worked with {SAMPLE_STAR}, and on how many films?",
        "SELECT d.primaryName AS director, COUNT(DISTINCT d.tconst) AS films\nFROM movie_cast a\n"
        "JOIN movie_cast d ON d.tconst = a.tconst AND d.category = 'director'\n"
        f"WHERE a.primaryName = '{SAMPLE_STAR}' AND a.category IN ('actor', 'actress')\n"
        "GROUP BY d.primaryName ORDER BY films DESC, director LIMIT 5",
    ),
    DemoQuestion(
        "How have the most common genres of films fared over the decades?",
        "SELECT genre, (startYear DIV 10) * 10 AS decade, COUNT(*) AS films,\n"
        "       ROUND(AVG(averageRating), 2) AS mean_rating\n"
        "FROM (SELECT explode(genres) AS genre, startYear, averageRating FROM movies_with_ratings\n"
        "      WHERE titleType = 'movie' AND startYear >= 1990)\n"
        "WHERE genre IN ('Comedy', 'Drama')\n"
        "GROUP BY genre, (startYear DIV 10) * 10 ORDER BY genre, decade",
    ),
    DemoQuestion("Drop the table of films.", "DROP TABLE movies_delta", refused=True),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration. Exit codes: 0 success, 1 a step failed, 2 wrong usage."""
    options = _build_parser().parse_args(arguments)
    # A pipe has no width; a fixed one keeps tables from being folded.
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    source, lake = options.dir / "source", options.dir / "lake"
    steps = (
        (
            "Invented data in IMDb's format",
            ["etl.cli", "sample", "--out", source, "--titles", options.titles, "--seed", 1],
        ),
        ("Delta tables and pre-computed views", ["etl.cli", "load", "--source", source, "--lake", lake]),
    )
    for title, command in steps:
        console.rule(title, align="left")
        if not _run_program(console, [str(part) for part in command]):
            return 1
    console.rule("An MCP server on them, and a client that asks", align="left")
    if not asyncio.run(_ask_all(console, lake)):
        return 1
    _print_next_step(console, lake)
    return 0


def _run_program(console: Console, command: list[str]) -> bool:
    started = time.monotonic()
    console.print(f"$ {shlex.join(command).replace('etl.cli', 'imdb-etl')}", style="bold", markup=False)
    done = subprocess.run([sys.executable, "-m", *command], check=False)
    if done.returncode != 0:
        console.print(f"This step failed with exit code {done.returncode}; its message is above.", style="red")
        return False
    console.print(f"{time.monotonic() - started:.1f} s\n", style="dim")
    return True


async def _ask_all(console: Console, lake: Path) -> bool:
    command = ["-m", "mcp_server", "serve", "--lake", str(lake)]
    console.print(f"$ imdb-mcp serve --lake {lake}", style="bold", markup=False)
    server = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
    started = time.monotonic()
    as_expected = True
    async with Client(server, read_timeout_seconds=CALL_TIMEOUT_SECONDS) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        console.print(f"ready after {time.monotonic() - started:.1f} s; tools: {', '.join(tools)}\n", style="dim")
        for question in QUESTIONS:
            as_expected &= await _ask_question(console, client, question)
    return as_expected


async def _ask_question(console: Console, client: Client, question: DemoQuestion) -> bool:
    console.print(f"[bold cyan]{escape(question.text)}[/]")
    console.print(Syntax(question.sql, "sql", theme="ansi_dark", background_color="default", padding=(0, 2)))
    started = time.monotonic()
    result = await client.call_tool("execute_spark_sql", {"sql_query": question.sql, "reasoning": question.text})
    seconds = time.monotonic() - started
    if result.is_error:
        style = "yellow" if question.refused else "red"
        console.print(_read_text(result), style=style, markup=False)
    else:
        _print_rows(console, result.structured_content or {})
    console.print(f"{seconds:.2f} s\n", style="dim")
    return bool(result.is_error) == question.refused


def _print_rows(console: Console, content: dict[str, Any]) -> None:
    numeric = ("int", "bigint", "double", "float", "decimal", "smallint", "tinyint")
    table = Table()
    for column in content["columns"]:
        right = str(column["type"]).startswith(numeric)
        table.add_column(escape(replace_controls(column["name"])), justify="right" if right else "left")
    # Thousands separators suit counts, not years.
    large = [
        any(isinstance(cell, int) and cell >= 10_000 for cell in column)
        for column in zip(*content["rows"], strict=True)
    ]
    for row in content["rows"]:
        cells = (f"{cell:,}" if wide and isinstance(cell, int) else cell for cell, wide in zip(row, large, strict=True))
        table.add_row(*("" if cell is None else escape(replace_controls(str(cell))) for cell in cells))
    console.print(table)
    for warning in content["warnings"]:
        console.print(replace_controls(warning), style="yellow", markup=False)


def _read_text(result: CallToolResult) -> str:
    return replace_controls("\n".join(block.text for block in result.content if isinstance(block, TextContent)))


def _print_next_step(console: Console, lake: Path) -> None:
    program = Path(sys.executable).parent / "imdb-mcp"
    console.rule("Your own client", align="left")
    console.print("Tell Claude Desktop of it (or vscode, cursor, windsurf, openai-agents, langchain):")
    console.print(f"  {program} config claude --lake {lake} --write", style="bold", markup=False, soft_wrap=True)
    console.print("Any other MCP client takes the command of the server:")
    console.print(f"  {program} serve --lake {lake}", style="bold", markup=False, soft_wrap=True)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="imdb-demo", description="Sample data → lake → MCP server → answers.")
    parser.add_argument(
        "--dir", type=lambda text: Path(text).absolute(), default=Path("demo-lake").absolute(), metavar="DIR",
        help="folder for the data (default: demo-lake here)",
    )  # fmt: skip
    parser.add_argument("--titles", type=int, default=20_000, metavar="N", help="how many titles (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
