"""What a team writes down about its lake, beside the lake: `_context/`.

    context.md      one page that every model reads when it connects: words, definitions, defaults, what is not there
    queries.jsonl   verified queries: questions with SQL that was run and reviewed, one JSON object a line
    lake.toml       what programs use: what things are found by, which columns join tables, what is measured

Each file may be missing. All of it is text from outside: bounded, made valid, and never more than text and templates
that the guard reads like any other statement.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakehouse.errors import LakeError
from lakehouse.escaping import replace_controls
from lakehouse.storage import Lake, LakeKind

CONTEXT_FOLDER: Final = "_context"
PAGE_NAME: Final = "context.md"
QUERIES_NAME: Final = "queries.jsonl"
DECLARATIONS_NAME: Final = "lake.toml"

MOST_PAGE_BYTES: Final = 4_096
"""Every conversation carries the page: reviewed context of this size is what published measurements used."""
MOST_FILE_BYTES: Final = 1 << 20
MOST_QUERIES: Final = 1_000


class ContextError(LakeError):
    """A file of the lake's context cannot be used; the text says which line, and why."""


class _Declaration(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


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
    """

    table: str
    columns: tuple[str, ...]
    about: str
    of: str
    sql: str
    key: str = ""


class Declarations(_Declaration):
    """`lake.toml`. `not_missing` lists columns, as `table.column`, of which a null is an answer and not a gap."""

    entity: tuple[Entity, ...] = ()
    join: tuple[Join, ...] = ()
    coverage: tuple[Measure, ...] = ()
    not_missing: tuple[str, ...] = ()


class VerifiedQuery(BaseModel):
    """A question, the SQL that answers it, and what a reader should know. The format of `evals`, whose fields stay."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    question: str
    sql: str
    note: str = ""


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
    files = _read_files(lake, folder)
    return parse_context(files)


def parse_context(files: Mapping[str, bytes]) -> Context:
    """Parse the files of a context, by name; those that are not there are empty. Raises ContextError."""
    page = _decode(PAGE_NAME, files.get(PAGE_NAME, b""), MOST_PAGE_BYTES).strip()
    queries = tuple(_parse_queries(_decode(QUERIES_NAME, files.get(QUERIES_NAME, b""), MOST_FILE_BYTES)))
    return Context(page, queries, _parse_declarations(files.get(DECLARATIONS_NAME, b"")))


def _read_files(lake: Lake, folder: Path | None) -> dict[str, bytes]:
    names = (PAGE_NAME, QUERIES_NAME, DECLARATIONS_NAME)
    if folder is not None:
        if not folder.is_dir():
            raise ContextError(f"{folder}, the folder of the lake's context (IMDB_CONTEXT_DIR), does not exist.")
        return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    if lake.kind is LakeKind.CATALOG:
        return {}
    found = {name: lake.read_file(f"{CONTEXT_FOLDER}/{name}") for name in names}
    return {name: data for name, data in found.items() if data is not None}


def _decode(name: str, data: bytes, most: int) -> str:
    if len(data) > most:
        raise ContextError(f"{name} of the lake's context has {len(data):,} bytes; at most {most:,} are read. Cut it.")
    try:
        return replace_controls(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ContextError(f"{name} of the lake's context is not UTF-8 text (byte {error.start}).") from error


def _parse_queries(text: str) -> Iterator[VerifiedQuery]:
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


def _parse_declarations(data: bytes) -> Declarations:
    text = _decode(DECLARATIONS_NAME, data, MOST_FILE_BYTES)
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
