"""Example queries for a draft: the values of a column, what a join finds, how many rows there are."""

# ruff: noqa: S608  (names are quoted, and what is written runs behind the guard)

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from lakehouse.errors import LakehouseError
from lakehouse.program import tell
from mcp_server.context.checks import DRAFT_MARK
from mcp_server.context.guesses import GuessedJoin
from mcp_server.context.rows import TableRows
from mcp_server.context.statements import Statements
from mcp_server.sql.compose import quote_name

_MOST_EXAMPLES: Final = 8


def draft_queries(statements: Statements, tables: Sequence[TableRows], joins: Sequence[GuessedJoin]) -> Iterator[str]:
    """Yield a line of `queries.jsonl` for each example that runs, with a line end."""
    drafted = 0
    for identifier, question, sql in (*_count_values(tables), *_count_joined(joins), *_count_rows(tables)):
        if drafted == _MOST_EXAMPLES:
            return
        try:
            statements.run_sql(sql, 1)
        except LakehouseError as error:
            tell(f"{identifier} is left out: {str(error).splitlines()[0]}")
            continue
        drafted += 1
        entry = {"id": identifier, "question": question, "sql": sql, "note": f"{DRAFT_MARK}: made of the schema."}
        yield json.dumps(entry, ensure_ascii=False) + "\n"


def _count_values(tables: Sequence[TableRows]) -> Iterator[tuple[str, str, str]]:
    for found in tables:
        column = next((c for c in found.columns if c.values), None)
        if column is not None:
            table, name = found.table.name, column.column.name
            value = quote_name(name)
            yield (
                f"{table}-by-{name}",
                f"How many rows of {table} has each {name}?",
                f"SELECT {value}, count(*) AS n FROM {quote_name(table)} GROUP BY {value} ORDER BY n DESC, {value}",
            )


def _count_joined(joins: Sequence[GuessedJoin]) -> Iterator[tuple[str, str, str]]:
    for join in joins[:3]:
        child, parent, column, key = map(quote_name, (join.table, join.to_table, join.column, join.to_column))
        sql = (
            f"SELECT count(*) AS n, count(b.{key}) AS found FROM {child} a LEFT JOIN {parent} b ON b.{key} = a.{column}"
        )
        question = f"How many rows of {join.table} find their {join.to_table}?"
        yield f"{join.table}-of-{join.to_table}-by-{join.column}", question, sql


def _count_rows(tables: Sequence[TableRows]) -> Iterator[tuple[str, str, str]]:
    for found in tables[:2]:
        table = found.table.name
        yield f"{table}-rows", f"How many rows has {table}?", f"SELECT count(*) AS n FROM {quote_name(table)}"
