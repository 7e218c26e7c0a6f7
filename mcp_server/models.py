"""The types that travel along the path of a query. No driver, no SDK, no logic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from lakehouse.manifest import Column
from lakehouse.session import Stage

if TYPE_CHECKING:
    import pyarrow as pa

Version = int | datetime
"""A version of a table that a statement asks for: its number, or a time with a zone."""

GUARD_SEAL: Final = object()
"""What the guard stamps a CheckedQuery with. Used in `mcp_server/guard/approval.py` and nowhere else (a test looks)."""


NAME_CHARACTERS: Final = r"\w .,:;!?()\[\]{}<>=+\-*/%&|^~'\"#@"
"""What a name in back-quotes may hold, as a class of a regular expression: no engine reads these otherwise."""


@dataclass(frozen=True)
class Principal:
    """Who asks: the user of the operating system, or whom the program in front of the server vouches for by signature.

    Never what a client says of itself.
    """

    name: str


@dataclass(frozen=True)
class RowLimit:
    """How many rows the answer may have. The engine is asked for one more, which proves truncation."""

    rows: int

    @property
    def fetch(self) -> int:
        return self.rows + 1


FilterOp = Literal["=", "<", "<=", ">", ">=", "in", "contains", "is null", "is not null"]


@dataclass(frozen=True)
class Filter:
    """A condition on one column that every row of a scan must meet, as far as the guard can tell from the text.

    `values` has one value for a comparison, any number for `in`, none for the null tests: int, float, str, bool,
    Decimal, date or datetime (UTC). `contains` has one text, which is part of the column's in some case of its letters.
    """

    column: str
    op: FilterOp
    values: tuple[object, ...] = ()


@dataclass(frozen=True)
class Scan:
    """One reading of a table of the lake: columns that are needed and filters that hold for every row used.

    `columns` is None where all are; a table that a statement names twice is two scans. `version` is the one that
    the sender asks for, by number or time; None means the version that the query is pinned to.
    """

    table: str
    columns: frozenset[str] | None
    filters: tuple[Filter, ...] = ()
    version: Version | None = None


@dataclass(frozen=True)
class ScanEstimate:
    """What reading one table takes after pruning by the file statistics of its Delta log.

    `rows` are an upper bound; None where a file has no statistics.
    """

    table: str
    version: int | None
    files: int
    files_total: int
    bytes: int
    bytes_total: int
    rows: int | None


@dataclass(frozen=True)
class Estimate:
    """What a query would read, before it does. `exact` is False where the engine only knows whole tables."""

    scans: tuple[ScanEstimate, ...]
    exact: bool

    @property
    def bytes(self) -> int:
        return sum(scan.bytes for scan in self.scans)

    @property
    def files(self) -> int:
        return sum(scan.files for scan in self.scans)


@dataclass(frozen=True)
class AiColumn:
    """An AI function that is applied to the rows of a query.

    `argument` names the column of the query that holds what it is called with, and `name` what that column is called
    in the answer. `key` names a column that is no part of the answer: the key of the thing that the row is about,
    None where the query has none.
    """

    function: str
    argument: str
    name: str
    key: str | None


@dataclass(frozen=True)
class StatementUsage:
    """How a statement uses what it reads; names are in lower case.

    `columns` are those whose values decide what the answer says: they are compared, computed with or ordered by, not
    only shown. `optional` are the tables of which an outer join keeps rows without a partner only for the other side,
    `absent` those that are asked for what is not in them: NOT EXISTS, NOT IN, EXCEPT, a join that keeps the others.
    Of columns, `chosen` decide which rows there are, `ranked` are compared as more or less or ordered by, `grouped` are
    what groups are made of. `named` are columns with the texts that they are compared with, `joined` pairs of columns
    of two tables, each `table.column`, that are compared with each other.
    """

    columns: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    chosen: frozenset[str] = frozenset()
    ranked: frozenset[str] = frozenset()
    grouped: frozenset[str] = frozenset()
    named: frozenset[tuple[str, str]] = frozenset()
    joined: frozenset[frozenset[str]] = frozenset()


NO_USAGE: Final = StatementUsage()


@dataclass(frozen=True)
class CheckedQuery:
    """A statement that the guard has read and allowed. Only `guard.approval` makes one; engines take nothing else.

    `sent` is the caller's text. `sql` is what runs: the caller's own tokens without comments, with
    nothing added but what the guard splices in (table version pins). `tables` and `functions` are
    those that it reads and calls, lower case, last part of the name. `pins` maps a table to the Delta
    version that is read. `deadline_seconds` is the time that it may run. `rewrites` names what the guard
    wrote in other words because the engine lacks the sender's (mcp_server/dialects/sail); mostly nothing.
    `scans` are its readings of tables, and `usage` says how the sender's text uses them. `caveats` say where this
    engine's answer may differ from Spark's, and `advice` how the query could be better; both are sentences for the
    caller. `ai` are the AI functions that the server applies to the rows: then `sql` is the query below them, and its
    columns are not yet those of the answer.
    """

    sent: str
    sql: str
    tables: frozenset[str]
    functions: frozenset[str]
    limit: RowLimit
    deadline_seconds: float
    principal: Principal
    pins: Mapping[str, int]
    rewrites: tuple[str, ...]
    seal: InitVar[object]
    scans: tuple[Scan, ...] = ()
    caveats: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    ai: tuple[AiColumn, ...] = ()
    usage: StatementUsage = NO_USAGE

    def __post_init__(self, seal: object) -> None:
        if seal is not GUARD_SEAL:
            raise TypeError("Only the guard makes a CheckedQuery: call checking.check, never this class.")


@dataclass(frozen=True)
class EngineReading:
    """What an engine itself reads in a text, without having run anything of it.

    `tables` are names, lower case, parts joined by dots: those in the text where it is `parsed`, and where it is
    `resolved` the leaves, which every view is opened to. `functions` are the called names, lower case; `kinds` are
    the kinds of nodes of the plan.
    """

    stage: Stage
    tables: frozenset[str]
    functions: frozenset[str]
    kinds: frozenset[str]


@dataclass(frozen=True)
class ShowTables:
    """`SHOW TABLES`, or `SHOW VIEWS` where `views_only`, with the LIKE pattern of the statement, if any.

    `folder`, in lower case, is where the tables lie, such as `sales` of `sales.orders`; empty for all.
    """

    views_only: bool = False
    pattern: str | None = None
    folder: str = ""


@dataclass(frozen=True)
class ShowColumns:
    """`SHOW COLUMNS` or `DESCRIBE [TABLE]` of one table of the lake."""

    table: str
    describe: bool = False


@dataclass(frozen=True)
class ShowVersions:
    """`SHOW VERSIONS` of one table of the lake, at most so many versions."""

    table: str
    versions: int


@dataclass(frozen=True)
class Explain:
    """`EXPLAIN [mode]` of a statement that was checked like any other. `mode` is Spark's, lower case."""

    query: CheckedQuery
    mode: str = "simple"


@dataclass(frozen=True)
class DescribeQuery:
    """`DESCRIBE [QUERY]` of a query that was checked like any other. `query` has its columns and no rows."""

    query: CheckedQuery


Checked = CheckedQuery | ShowTables | ShowColumns | ShowVersions | Explain | DescribeQuery


@dataclass(frozen=True)
class TableInfo:
    """What is known of a table or view. `rows` is None where nobody counted them.

    `version` is the newest that may be read, None where the engine's catalogue keeps that to itself. `published` is
    when it became so, None where nobody publishes versions: then each is there to read as soon as it is written.
    `nan_free` says that its columns of floats hold no NaN.
    `problem` says why it cannot be read; then nothing else is known of it but its name. Empty where it can be.
    `registered` is the name that the engine knows it by, empty where that is `name`.
    """

    name: str
    kind: str
    comment: str
    columns: tuple[Column, ...]
    rows: int | None = None
    key: tuple[str, ...] = ()
    clustered_by: tuple[str, ...] = ()
    version: int | None = None
    published: datetime | None = None
    nan_free: bool = False
    problem: str = ""
    registered: str = ""

    @property
    def engine_name(self) -> str:
        """The name that the engine knows it by."""
        return self.registered or self.name


@dataclass(frozen=True)
class Caps:
    """How large an answer may be: `payload_bytes` of rows as JSON, `cell_chars` characters in one cell.

    `kept_rows` and `kept_bytes` are how much an engine may send beyond what the answer shows, to be kept: it sends less
    where more would be dear.
    """

    payload_bytes: int
    cell_chars: int
    kept_rows: int = 0
    kept_bytes: int = 0

    @property
    def cell_limit(self) -> int:
        """Characters of a cell that can be part of an answer."""
        return min(self.cell_chars, self.payload_bytes)


@dataclass(frozen=True)
class ResultSet:
    """What an engine answered: at most `RowLimit.fetch` rows, with Spark SQL type names beside Arrow's.

    More where `Caps.kept_rows` asks for them. `is_all` says that the statement has no more rows than were found; where
    it is False nobody knows.

    Of an answer that no caller could be given whole, `table` holds only what can be: then `rows` is how many there
    were, and `missing` how many characters a cell has lost, by row and column; 0 for a list, map or struct, of which
    they are not counted. Every cell is still longer than what is shown of it.
    """

    table: pa.Table
    types: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    rows: int | None = None
    is_all: bool = False
    missing: Mapping[tuple[int, int], int] = field(default_factory=dict)

    @property
    def found(self) -> int:
        """The rows that the engine found, within its limit."""
        return self.table.num_rows if self.rows is None else self.rows
