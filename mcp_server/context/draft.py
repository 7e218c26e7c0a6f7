"""`imdb-mcp context init`: drafts the context of any lake from its schema, comments, keys and first rows.

What comes of it is a draft: it says so in its first line, and `context check` finds a fault until that is gone.
"""

# ruff: noqa: S608  (names are quoted, and what is written runs behind the guard)

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lakehouse.context import (
    CONTEXT_FOLDER,
    CONTEXT_NAMES,
    DECLARATIONS_NAME,
    MOST_PAGE_BYTES,
    PAGE_NAME,
    QUERIES_NAME,
)
from lakehouse.errors import LakeError, UsageError
from lakehouse.escaping import cut_text, escape_controls, replace_controls
from lakehouse.program import tell
from lakehouse.storage import Lake
from mcp_server.context.checks import DRAFT_MARK
from mcp_server.context.examples import draft_queries
from mcp_server.context.guesses import (
    GuessedEntity,
    GuessedJoin,
    guess_entities,
    guess_joins,
    guess_key,
    list_sparse,
)
from mcp_server.context.rows import TableRows, look_at_rows
from mcp_server.context.statements import Statements, open_statements
from mcp_server.settings import Settings
from mcp_server.sql.compose import quote_name

MOST_TABLES: Final = 200
_MOST_COMMENT_CHARS: Final = 140
_SHOWN_VALUES: Final = 8
_ROOM_FOR_END: Final = 300
"""Bytes of the page that are kept for its last lines."""


def init_context(settings: Settings, lake: Lake, out: Path | None, *, force: bool) -> int:
    """Write the drafts. The exit code is 0.

    Raises UsageError where files are there already and not `force`, or the lake is none of this machine and `out` is
    not given, and LakeError where the lake cannot be read or the folder not be written.
    """
    folder = out or (lake.directory / CONTEXT_FOLDER if lake.directory is not None else None)
    if folder is None:
        raise UsageError(f"{lake} is not a folder of this machine. Give --out DIR, and set IMDB_CONTEXT_DIR to it.")
    there = [name for name in CONTEXT_NAMES if (folder / name).exists()]
    if there and not force:
        raise UsageError(
            f"{folder} has {', '.join(there)} already, and nothing was written. Give --out DIR for another folder, or "
            "--force to replace what is there."
        )
    with open_statements(settings, lake, "context init") as statements:
        files = _draft_files(statements)
    _write_files(folder, files)
    print(f"Drafted {', '.join(files)} in {folder}. Review them, delete the first line of {PAGE_NAME}, and run:")
    print(f"imdb-mcp context check --lake {lake}" + ("" if out is None else f"   (with IMDB_CONTEXT_DIR={folder})"))
    return 0


def _draft_files(statements: Statements) -> dict[str, str]:
    tables = [table for table in statements.list_tables() if not table.problem]
    if not tables:
        raise LakeError("The lake has no table that can be read, so there is nothing to draft.")
    if len(tables) > MOST_TABLES:
        tell(f"Of its {len(tables):,} tables the first {MOST_TABLES} are drafted.")
    found = look_at_rows(statements, tables[:MOST_TABLES])
    joins, entities = guess_joins(found), guess_entities(found)
    return {
        PAGE_NAME: _draft_page(found, joins),
        QUERIES_NAME: "".join(draft_queries(statements, found, joins)),
        DECLARATIONS_NAME: _draft_declarations(joins, entities),
    }


def _draft_page(tables: Sequence[TableRows], joins: Sequence[GuessedJoin]) -> str:
    """Write the page, within its bounds: tables that find no room are counted."""
    head = [
        f"{DRAFT_MARK}: made of the schema and the first rows. Correct it, then delete this line.",
        "# What this lake is about (say it in a line)",
        "",
        "Words",
        "- (What do people here call things? Which rows count by default, which thresholds and units hold?)",
        "",
        "Tables",
    ]
    end = ["", "Not here: (what people will ask for, and the lake does not have)", ""]
    end_of_joins = ["", "Joins", *(f"- {_name(j.table, j.column)} = {_name(j.to_table, j.to_column)}" for j in joins)]
    room = MOST_PAGE_BYTES - _ROOM_FOR_END - len("\n".join([*head, *end]).encode())
    lines, left = _take_fitting([_describe_table(found) for found in tables], room * 2 // 3)
    if left:
        lines.append(f"- and {left:,} more tables: describe_schema lists them.")
    room -= len("\n".join(lines).encode())
    tied, more = _take_fitting(end_of_joins if joins else [], room)
    return replace_controls("\n".join([*head, *lines, *tied, *([f"- and {more:,} more"] if more else []), *end]))


def _take_fitting(lines: Sequence[str], room: int) -> tuple[list[str], int]:
    """Take lines while they fit into `room` bytes. Returns them, and how many did not fit."""
    taken: list[str] = []
    for line in lines:
        room -= len(line.encode()) + 1
        if room < 0:
            break
        taken.append(line)
    return taken, len(lines) - len(taken)


def _describe_table(found: TableRows) -> str:
    table = found.table
    first = escape_controls(table.comment.strip().split("\n", 1)[0].partition(". ")[0].removesuffix("."))
    comment = cut_text(first, _MOST_COMMENT_CHARS) or "(what is a row of it?)"
    parts = [f"- {_name(table.name)}: {comment}"]
    if key := guess_key(found):
        parts.append(f"key {', '.join(map(_name, key))}{'' if table.key else ' (a guess)'}")
    parts += [f"{_name(c.column.name)} is {' | '.join(_list_values(c.values))}" for c in found.columns if c.values][:3]
    if sparse := [f"{_name(name)} {percent} %" for name, percent in list_sparse(found)][:4]:
        parts.append(f"often null: {', '.join(sparse)}")
    return "; ".join(parts)


def _list_values(values: Sequence[str]) -> list[str]:
    shown = [escape_controls(value) for value in values[:_SHOWN_VALUES]]
    return [*shown, "…"] if len(shown) < len(values) else shown


def _draft_declarations(joins: Sequence[GuessedJoin], entities: Sequence[GuessedEntity]) -> str:
    """Write `lake.toml`: what is declared by a guess, and how the rest is written."""
    lines = [
        f"# {DRAFT_MARK}: guesses from names, keys and the first rows. docs/context.md explains the file.",
        "# Columns of which a null is an answer and not a gap, as table.column:",
        "not_missing = []",
    ]
    for entity in entities:
        columns = [f"CAST({quote_name(entity.key)} AS STRING) AS id", f"{quote_name(entity.column)} AS label"]
        columns += [f"CAST({quote_name(entity.detail)} AS STRING) AS detail"] if entity.detail else []
        sql = (
            f"SELECT {', '.join(columns)} FROM {quote_name(entity.table)} WHERE {quote_name(entity.column)} IS NOT NULL"
        )
        fields = {"kind": entity.kind, "table": entity.table, "column": entity.column, "id": entity.key, "sql": sql}
        lines += ["", "[[entity]]", *(f"{name} = {_toml(value)}" for name, value in fields.items())]
    for join in joins:
        fields = {"from": f"{join.table}.{join.column}", "to": f"{join.to_table}.{join.to_column}"}
        lines += ["", "[[join]]", *(f"{name} = {_toml(value)}" for name, value in fields.items())]
    return "\n".join([*lines, ""])


def _write_files(folder: Path, files: dict[str, str]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            temporary = folder / f"{name}.tmp"
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(folder / name)
    except OSError as error:
        raise LakeError(f"The drafts cannot be written to {folder}: {error.strerror}. Give --out DIR.") from error


def _name(*parts: str) -> str:
    """Write a name as the page does: in back-quotes, which it has none of."""
    return "`" + ".".join(escape_controls(part).replace("`", "'") for part in parts) + "`"


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
