"""`imdb-mcp context check`: whether the context of a lake can be used, and whether what it says is still true.

Names are compared with the schema, and every verified query runs as a caller's would.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from ai_functions.tokens import count_tokens
from lakehouse.context import (
    CONTEXT_NAMES,
    DECLARATIONS_NAME,
    PAGE_NAME,
    QUERIES_NAME,
    ContextError,
    Declarations,
    VerifiedQuery,
    parse_declarations,
    parse_page,
    parse_queries,
    read_context_file,
)
from lakehouse.errors import LakehouseError
from lakehouse.escaping import cut_text, escape_controls, list_briefly, quote_briefly
from lakehouse.program import tell
from lakehouse.storage import Lake
from mcp_server.context.names import LakeNames, list_quoted_names
from mcp_server.context.statements import Statements, open_statements
from mcp_server.settings import Settings

DRAFT_MARK: Final = "DRAFT"
"""The first word of a page, and of the note of a query, that `context init` wrote and nobody has reviewed."""

_MOST_REASON_CHARS: Final = 300
_ENTITY_COLUMNS: Final = (("id", "label"), ("others", "detail", "weight"))
_MEASURE_COLUMNS: Final = (("part", "rows", "known"), ())
_KEY: Final = re.compile(r":key\b")

T = TypeVar("T")


def check_context(settings: Settings, lake: Lake) -> int:
    """Print a line for each fault, and a summary. The exit code is 0 without faults, else 1.

    Raises ContextError where there is no context at all, LakeError where the lake cannot be read.
    """
    files = {name: read_context_file(lake, settings.context_dir, name) for name in CONTEXT_NAMES}
    if not any(data is not None for data in files.values()):
        raise ContextError(
            f"{lake} has no context: neither {' nor '.join(CONTEXT_NAMES)} lies in "
            f"{settings.context_dir or '_context'}. `imdb-mcp context init` drafts them."
        )
    with open_statements(settings, lake, "context check") as statements:
        check = _Check(statements, LakeNames.from_tables(statements.list_tables()))
        page = check.parse(PAGE_NAME, parse_page, files, "")
        queries: tuple[VerifiedQuery, ...] = check.parse(QUERIES_NAME, parse_queries, files, ())
        declarations = check.parse(DECLARATIONS_NAME, parse_declarations, files, Declarations())
        check.check_page(page)
        check.check_declarations(declarations)
        check.check_queries(queries)
    print(f"{_describe_page(page)}; {check.describe_queries(queries)}. {_count_faults(check.faults)}")
    return 1 if check.faults else 0


class _Check:
    """One check. Prints faults as it finds them, and progress on stderr."""

    def __init__(self, statements: Statements, names: LakeNames) -> None:
        self._statements = statements
        self._names = names
        self.faults = 0
        self.empty: list[str] = []
        self.ran = 0

    def parse(self, name: str, parse: Callable[[bytes], T], files: dict[str, bytes | None], empty: T) -> T:
        """Parse a file of the context; where it is damaged, say so and go on without it."""
        try:
            return parse(files[name] or b"")
        except ContextError as error:
            self._report(name, str(error))
            return empty

    def check_page(self, page: str) -> None:
        """Check the names in back-quotes, and that somebody has reviewed the page."""
        from mcp_server.tools import TOOLS

        tools = {tool.name for tool in TOOLS} | {"find"}
        if page.startswith(DRAFT_MARK):
            self._report(PAGE_NAME, "it is a draft that nobody has reviewed: correct it, then delete its first line.")
        for number, name in list_quoted_names(page):
            if name not in tools and (fault := self._names.find_name_fault(name)):
                self._report(
                    f"{PAGE_NAME}, line {number}", f"{fault} (back-quotes are for names; write values as '…')."
                )

    def check_declarations(self, declared: Declarations) -> None:
        """Check the tables and columns of `lake.toml`, and run its statements."""
        for entity in declared.entity:
            where = f"{DECLARATIONS_NAME}, entity {entity.kind}"
            faults = [self._names.find_column_fault(entity.table, name) for name in (entity.column, entity.id)]
            self._report_all(where, faults)
            self._check_statement(where, entity.sql, *_ENTITY_COLUMNS)
        for join in declared.join:
            faults = [self._names.find_column_fault(*side.split(".", 1)) for side in (join.left, join.right)]
            where = f"{DECLARATIONS_NAME}, join {join.left} = {join.right}"
            self._report_all(where, faults)
            if join.by and not any(faults):
                self._check_statement(where, f"SELECT {join.by} AS part FROM {join.left.split('.')[0]}", ("part",), ())  # noqa: S608  (behind the guard)
        for measure in declared.coverage:
            where = f"{DECLARATIONS_NAME}, coverage of {measure.table} ({measure.about})"
            columns = (*measure.columns, *measure.needs, *measure.asked_by)
            self._report_all(where, [self._names.find_column_fault(measure.table, name) for name in columns])
            if measure.beside:
                self._report_all(where, [self._names.find_column_fault(*measure.beside.split(".", 1))])
            self._check_statement(where, measure.sql, *_MEASURE_COLUMNS)
            if measure.one:
                self._check_statement(where, _KEY.sub("NULL", measure.one), ("rows", "known"), ())
        for listed in ("not_missing", "years", "unindexed"):
            for name in getattr(declared, listed):
                table, _, column = name.partition(".")
                self._report_all(f"{DECLARATIONS_NAME}, {listed}", [self._names.find_column_fault(table, column)])

    def check_queries(self, queries: Sequence[VerifiedQuery]) -> None:
        """Run every verified query."""
        known = {query.id for query in queries}
        if drafts := [query.id for query in queries if query.note.startswith(DRAFT_MARK)]:
            self._report(QUERIES_NAME, f"drafts that nobody has reviewed (see their notes): {list_briefly(drafts)}.")
        for number, query in enumerate(queries, start=1):
            where = f"{QUERIES_NAME}, {query.id}"
            if query.follows and query.follows not in known:
                self._report(where, f"it follows {quote_briefly(query.follows)}, which is no id of the file.")
            began = time.monotonic()
            try:
                answer = self._statements.run_sql(query.sql)
            except LakehouseError as error:
                self._report(where, _shorten_reason(error))
                continue
            self.ran += 1
            rows = len(answer.rows)
            if not rows:
                self.empty.append(query.id)
            more = "+" if answer.truncated else ""
            tell(f"[{number}/{len(queries)}] {query.id}: {rows}{more} rows, {time.monotonic() - began:.1f} s")

    def describe_queries(self, queries: Sequence[VerifiedQuery]) -> str:
        """Say how many of the queries ran, and which found nothing."""
        text = f"{self.ran} of {len(queries)} verified queries ran"
        return f"{text}, and found nothing: {list_briefly(self.empty)}" if self.empty else text

    def _check_statement(self, where: str, sql: str, needed: Sequence[str], optional: Sequence[str]) -> None:
        began = time.monotonic()
        try:
            names = self._statements.run_sql(sql, 1).names
        except LakehouseError as error:
            self._report(where, _shorten_reason(error))
            return
        tell(f"{where}: {time.monotonic() - began:.1f} s")
        if missing := [name for name in needed if name not in names]:
            self._report(where, f"its sql gives no column {', '.join(missing)}.")
        if unknown := [name for name in names if name not in (*needed, *optional)]:
            self._report(where, f"its sql gives columns that nothing reads: {list_briefly(unknown)}.")

    def _report_all(self, where: str, faults: Sequence[str]) -> None:
        for fault in dict.fromkeys(filter(None, faults)):
            self._report(where, fault if fault.endswith("?") else f"{fault}.")

    def _report(self, where: str, fault: str) -> None:
        self.faults += 1
        print(f"{where}: {escape_controls(fault)}", flush=True)


def _describe_page(page: str) -> str:
    tokens = count_tokens(page)
    size = f"{len(page.encode()):,} bytes"
    return f"The page has {size}" if tokens is None else f"The page has {size} and {tokens:,} tokens"


def _count_faults(faults: int) -> str:
    return "No fault." if not faults else f"{faults:,} fault{'s' if faults > 1 else ''}."


def _shorten_reason(error: LakehouseError) -> str:
    return cut_text(str(error).strip().split("\n", 1)[0], _MOST_REASON_CHARS)
