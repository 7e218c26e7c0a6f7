"""The nodes of queries and of what they read. Every relation has an id, by which columns name theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mcp_server.models import TableInfo
from mcp_server.sql.compose import Sql
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Expression, SampleUnit, SetKind, Sets, SortKey, Window
from mcp_server.sql.typed.types import Type


@dataclass(frozen=True, slots=True)
class Output:
    """A column that a relation or query gives. `name` is None where only Spark could tell it."""

    name: str | None
    type: Type | None
    source: int | None = None
    qualifier: str | None = None
    """The alias that it had before a pipe's step."""
    origin: tuple[int, str] | None = None
    """The column that it is, without change: two outputs of one origin are the same attribute to Spark."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Relation(Node):
    """What FROM reads. `outputs` is None where its columns are not known; `alias` qualifies them."""

    id: int
    alias: str | None = None
    names: tuple[str, ...] = ()
    """The columns' names after the alias: AS t (a, b)."""
    outputs: tuple[Output, ...] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Named(Relation):
    """A name that is not resolved yet: of a table or a WITH. `text` is the name as sent, with the version asked for."""

    name: tuple[str, ...]
    text: Sql


@dataclass(frozen=True, eq=False, slots=True)
class Table(Relation):
    """A table of the lake. `text` is its name as sent, with the version that is asked for."""

    name: tuple[str, ...]
    info: TableInfo
    text: Sql
    schema: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class CteUse(Relation):
    """A name of a WITH. `cte` is the id of the `Cte`."""

    name: str
    cte: int


@dataclass(frozen=True, eq=False, slots=True)
class Derived(Relation):
    """A query in brackets. A `lateral` one may name columns of the relations before it."""

    query: Query
    lateral: bool = False
    piped: bool = False
    """Whether it is the step of a pipe, whose columns keep their qualifiers."""


@dataclass(frozen=True, eq=False, slots=True)
class FunctionTable(Relation):
    """range(10), explode(x) as a relation."""

    call: Call
    lateral: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class InlineTable(Relation):
    """VALUES (1, 'a'), (2, 'b') as a relation."""

    rows: tuple[Expression, ...]


JoinKind = Literal["inner", "cross", "left", "right", "full", "semi", "anti"]


@dataclass(frozen=True, eq=False, slots=True)
class Join(Relation):
    """`left kind JOIN right ON …`. A comma is a cross join with `comma`.

    Its own id is that of columns which USING and NATURAL make of two; `shared` are their names.
    """

    left: Relation
    right: Relation
    kind: JoinKind
    on: Expression | None = None
    shared: tuple[str, ...] = ()
    using: bool = False
    natural: bool = False
    comma: bool = False
    bracketed: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class LateralView(Relation):
    """`base LATERAL VIEW [OUTER] call alias AS names`: for each row of `base`, the rows of the generator.

    `base` is None where the view stands alone.
    """

    base: Relation | None
    call: Call
    outer: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Pivot(Relation):
    """`base PIVOT (aggregates FOR columns IN (values))`. `values` are `Item`s; those of several columns hold rows."""

    base: Relation
    aggregates: tuple[Item, ...]
    columns: tuple[Expression, ...]
    values: tuple[Item, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Unpivot(Relation):
    """`base UNPIVOT (values FOR label IN (groups))`: each group lists as many columns as there are values."""

    base: Relation
    values: tuple[str, ...]
    label: str
    groups: tuple[UnpivotGroup, ...]
    include_nulls: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class UnpivotGroup(Node):
    """The columns of one row that UNPIVOT makes, and the text that names it, None for the columns' own names."""

    columns: tuple[Expression, ...]
    alias: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Sample(Relation):
    """`base TABLESAMPLE (amount unit)`; `seed` is that of REPEATABLE."""

    base: Relation
    amount: str
    unit: SampleUnit
    seed: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Item(Node):
    """An item of a SELECT list. `aliases` are several for a generator: `AS (k, v)`.

    `outputs` are the columns it gives: several for a star or a generator, None where they are not known.
    """

    operand: Expression
    aliases: tuple[str, ...] = ()
    outputs: tuple[Output, ...] | None = None
    sent: Expression | None = None
    """The operand as it was sent, where the alias is the name that the engine itself gives to that: it is written only
    for another operand."""


@dataclass(frozen=True, eq=False, slots=True)
class GroupingSets(Node):
    """ROLLUP, CUBE or GROUPING SETS within a GROUP BY; `sets` are its items, each a tuple of keys within `Keys`."""

    kind: Sets
    sets: tuple[Keys | GroupingSets, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Keys(Node):
    """Some keys of a grouping set, in brackets."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Grouping(Node):
    """GROUP BY; `all` for GROUP BY ALL. `given` are a and b of `GROUP BY a, b GROUPING SETS (…)`."""

    keys: tuple[Expression | GroupingSets, ...] = ()
    all: bool = False
    given: tuple[Expression, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class NamedWindow(Node):
    """`WINDOW name AS (…)`."""

    name: str
    window: Window


@dataclass(frozen=True, eq=False, slots=True)
class Select(Node):
    """One SELECT without what stands behind a whole query (`Query`)."""

    items: tuple[Item, ...]
    base: Relation | None = None
    distinct: bool = False
    where: Expression | None = None
    group: Grouping | None = None
    having: Expression | None = None
    qualify: Expression | None = None
    windows: tuple[NamedWindow, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class SetOperation(Node):
    """`left UNION [ALL] [BY NAME] right`; brackets around an operand are those of a `Query`."""

    kind: SetKind
    left: Query
    right: Query
    all: bool = False
    by_name: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Values(Node):
    """VALUES as a whole query; rows are `Row`s, or single values."""

    rows: tuple[Expression, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Cte(Node):
    """`name (names) AS (query)` of a WITH. `level` is that of MAX RECURSION LEVEL."""

    id: int
    name: str
    query: Query
    names: tuple[str, ...] = ()
    outputs: tuple[Output, ...] | None = None
    level: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Query(Node):
    """A whole query. `sort` is the list of SORT BY, `distribute` that of DISTRIBUTE BY; CLUSTER BY is both.

    `outputs` are its columns, in order, None where they are not known.
    """

    body: Select | SetOperation | Values | Query
    ctes: tuple[Cte, ...] = ()
    recursive: bool = False
    order: tuple[SortKey, ...] = ()
    order_all: SortKey | None = None
    """ORDER BY ALL, with its direction; its operand is a Star."""
    sort: tuple[SortKey, ...] = ()
    distribute: tuple[Expression, ...] = ()
    limit: Expression | None = None
    offset: Expression | None = None
    outputs: tuple[Output, ...] | None = None
    folded: bool = False
    """Whether there was what Sail does not read as it is sent: pipes, FROM first, several texts in a row, names that it
    takes without back-quotes for keywords, `FOR a IN` of a PIVOT, CLUSTER BY of a window."""
