"""What a team writes down about its lake, beside the lake: `_context/`.

    context.md      one page that every model reads when it connects: words, definitions, defaults, what is not there
    queries.jsonl   verified queries: questions with SQL that was run and reviewed, one JSON object a line
    lake.toml       what programs use: what things are found by, which columns join tables, what is measured

Each file may be missing. All of it is text from outside: bounded, made valid, and never more than text and templates
that the guard reads like any other statement.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakehouse.context_files import (
    CONTEXT_FOLDER,
    CONTEXT_NAMES,
    DECLARATIONS_NAME,
    MOST_FILE_BYTES,
    MOST_PAGE_BYTES,
    PAGE_NAME,
    QUERIES_NAME,
    ContextError,
    decode_file,
    parse_page,
    read_context_file,
    read_page,
)
from lakehouse.storage import Lake

__all__ = [
    "CONTEXT_FOLDER",
    "CONTEXT_NAMES",
    "DECLARATIONS_NAME",
    "MOST_FILE_BYTES",
    "MOST_PAGE_BYTES",
    "MOST_QUERIES",
    "PAGE_NAME",
    "QUERIES_NAME",
    "Context",
    "ContextError",
    "Declarations",
    "Entity",
    "Join",
    "Measure",
    "VerifiedQuery",
    "parse_context",
    "parse_declarations",
    "parse_page",
    "parse_queries",
    "read_context",
    "read_context_file",
    "read_page",
    "read_queries",
]

MOST_QUERIES: Final = 1_000


class _Declaration(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, defer_build=True)


class Entity(_Declaration):
    """A kind of thing that people name: a title, a person. `id` is the column to filter `table` and its views by.

    `sql` gives a row for each: `id` and `label` (texts), and if it has them `others` (array<string>: further names),
    `detail` (text: what tells things of one name apart) and `weight` (a number: the most prominent first).
    """

    kind: str = Field(pattern=r"^[a-z][a-z_]{0,30}$")
    table: str
    column: str
    id: str
    sql: str


class Join(_Declaration):
    """Two columns that join tables, each as `table.column`; values of `from`, or those in its lists, should be in `to`.

    Where that differs within `from`, `by` is an SQL expression over its columns, and `of` names a part: "credits as
    {part}".
    """

    left: str = Field(alias="from", pattern=r"^\w+\.\w+$")
    right: str = Field(alias="to", pattern=r"^\w+\.\w+$")
    by: str = ""
    of: str = ""


class Measure(_Declaration):
    """What is known of a whole, part by part.

    It concerns statements that read one of `columns` of `table`. `sql` gives `part` (text or number, null for rows in
    no part), `rows`, and `known`: how many of the rows have it. `about` completes "knows …": "directors"; `of` names a
    part: "films of the {part}s". `key` is a column by which all tables of `sql` are joined: parts of a large lake are
    then counted for a range of its values at a time, and added up.

    Which statements it does not concern:
    `within`    those that name other values of these columns: what is known of films says nothing of series
    `needs`     those that name none of these values
    `beside`    those that do not read this `table.column` as well
    `asked_by`  those that compare or order by one of these columns, or are about one thing: they ask for what has it
    `nulls`     those that choose no rows by `columns`: what is missing is a null, which is seen

    `one` counts `rows` and `known` of one thing, whose id stands in it as `:key`; `of_one` says what they are: "credits
    of this title". Without it, nothing is missing of a thing that is there.
    """

    table: str
    columns: tuple[str, ...]
    about: str
    of: str
    sql: str
    key: str = ""
    within: dict[str, tuple[str, ...]] = {}
    needs: dict[str, tuple[str, ...]] = {}
    beside: str = Field(default="", pattern=r"^(\w+\.\w+)?$")
    asked_by: tuple[str, ...] = ()
    nulls: bool = False
    one: str = ""
    of_one: str = ""


class Declarations(_Declaration):
    """`lake.toml`. `not_missing` lists columns, as `table.column`, of which a null is an answer and not a gap.

    `years` lists those that hold the year of a row: the last one of a source is seldom over. `unindexed` lists those
    that hold names which `find` does not know.
    """

    entity: tuple[Entity, ...] = ()
    join: tuple[Join, ...] = ()
    coverage: tuple[Measure, ...] = ()
    not_missing: tuple[str, ...] = ()
    years: tuple[str, ...] = ()
    unindexed: tuple[str, ...] = ()


class VerifiedQuery(BaseModel):
    """A question, the SQL that answers it, and what a reader should know. The format of `evals`, whose fields stay.

    `follows` is the id of the question that this one follows in a conversation, empty where it stands alone.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    id: str = Field(min_length=1)
    question: str = Field(min_length=1)
    sql: str = Field(min_length=1)
    note: str = ""
    follows: str = ""


@dataclass(frozen=True)
class Context:
    """What is known of a lake beyond its schema; all of it empty where nothing is written down."""

    page: str = ""
    queries: tuple[VerifiedQuery, ...] = ()
    declarations: Declarations = field(default_factory=Declarations)

    @cached_property
    def not_missing(self) -> frozenset[tuple[str, str]]:
        """The columns of which a null is an answer, as (table, column) in lower case."""
        pairs = (name.lower().partition(".") for name in self.declarations.not_missing)
        return frozenset((table, column) for table, _, column in pairs)


def read_context(lake: Lake, folder: Path | None = None) -> Context:
    """Read the context of a lake: from `folder`, or from `_context` in the lake. Raises ContextError, LakeError."""
    return parse_context({name: read_context_file(lake, folder, name) or b"" for name in CONTEXT_NAMES})


def read_queries(lake: Lake, folder: Path | None = None) -> tuple[VerifiedQuery, ...]:
    """Read the verified queries alone. Raises ContextError, LakeError."""
    return parse_queries(read_context_file(lake, folder, QUERIES_NAME) or b"")


def parse_context(files: Mapping[str, bytes]) -> Context:
    """Parse the files of a context, by name; those that are not there are empty. Raises ContextError."""
    page, queries, declarations = (files.get(name, b"") for name in CONTEXT_NAMES)
    return Context(parse_page(page), parse_queries(queries), parse_declarations(declarations))


def parse_queries(data: bytes) -> tuple[VerifiedQuery, ...]:
    """Parse `queries.jsonl`. Raises ContextError."""
    return tuple(_parse_lines(decode_file(QUERIES_NAME, data, MOST_FILE_BYTES)))


def _parse_lines(text: str) -> Iterator[VerifiedQuery]:
    seen: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{QUERIES_NAME} of the lake's context, line {number}"
        try:
            query = VerifiedQuery.model_validate(json.loads(line))
        except ValidationError as error:
            raise ContextError(f"{where}: {_describe_first(error)}.") from error
        except (ValueError, RecursionError) as error:
            raise ContextError(f"{where} is not JSON. A line is an object with id, question and sql.") from error
        if query.id in seen:
            raise ContextError(f"{where}: the id {query.id} is that of line {seen[query.id]} too.")
        if len(seen) == MOST_QUERIES:
            raise ContextError(f"{where}: at most {MOST_QUERIES:,} queries are read.")
        seen[query.id] = number
        yield query


def parse_declarations(data: bytes) -> Declarations:
    """Parse `lake.toml`. Raises ContextError."""
    import tomllib  # 10 ms, for which the handshake does not wait

    text = decode_file(DECLARATIONS_NAME, data, MOST_FILE_BYTES)
    try:
        found: dict[str, Any] = tomllib.loads(text)
        return Declarations.model_validate(found)
    except ValidationError as error:
        raise ContextError(f"{DECLARATIONS_NAME} of the lake's context: {_describe_first(error)}.") from error
    except (ValueError, RecursionError) as error:
        raise ContextError(f"{DECLARATIONS_NAME} of the lake's context is not TOML: {error}.") from error


def _describe_first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
