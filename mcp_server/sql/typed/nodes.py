"""The nodes of expressions. They are immutable; a rule that changes one makes another.

Each has Spark's `type`, None where it cannot be told, and `at`, the index of the sender's token that it was read from,
None for what a rule has made. Nothing is therefore recognised by its looks: what has no token is the compiler's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mcp_server.sql.compose import Sql
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.types import Type

if TYPE_CHECKING:
    from mcp_server.sql.typed.relations import Query


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Expression(Node):
    """A value, or a list of them where a star stands."""

    type: Type | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Constant(Expression):
    """A number, text, truth value, NULL, or typed literal such as DATE '2026-01-31'.

    `text` is what is written: the sender's tokens, or composed by a rule. `value` is an int, decimal.Decimal, float,
    str, bool or None for NULL; for typed literals it is the text within the quotes.
    """

    text: Sql
    value: object


@dataclass(frozen=True, eq=False, slots=True)
class IntervalLiteral(Expression):
    """INTERVAL '1' DAY, INTERVAL '1 2' DAY TO HOUR, INTERVAL 3 days 2 hours: pairs of a value and a unit.

    `units` are lower case without a plural s: `DAY TO HOUR` is "day to hour", that of `INTERVAL '1 day'` is "".
    """

    values: tuple[Expression, ...]
    units: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Column(Expression):
    """A column, resolved. `source` is the id of the relation that has it, None where that is not known.

    `name` is spelled as the relation spells it; `parts` are the names before it as they were sent (table, schema).
    """

    name: str
    parts: tuple[str, ...] = ()
    source: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class ItemUse(Expression):
    """The name of an item of the SELECT list, used in GROUP BY, HAVING, ORDER BY, QUALIFY or further in the list.

    `index` is its place, from 0.
    """

    name: str
    index: int


@dataclass(frozen=True, eq=False, slots=True)
class Ordinal(Expression):
    """GROUP BY 1, ORDER BY 1: the place of an item, from 1."""

    index: int


@dataclass(frozen=True, eq=False, slots=True)
class Field(Expression):
    """`base.name` of a struct, or of an array of structs."""

    base: Expression
    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Element(Expression):
    """`base[index]` of an array or a map."""

    base: Expression
    index: Expression


@dataclass(frozen=True, eq=False, slots=True)
class JsonPath(Expression):
    """`base:a.b[0]`; `text` is the path behind the colon, as it was sent."""

    base: Expression
    text: Sql


@dataclass(frozen=True, eq=False, slots=True)
class Star(Expression):
    """`*`, `t.*` or `t.* EXCEPT (…)`; `sources` are the relations that it stands for, in order."""

    parts: tuple[str, ...] = ()
    excluded: tuple[tuple[str, ...], ...] = ()
    sources: tuple[int, ...] = ()
    base: Expression | None = None
    """The struct whose fields `(expression).*` stands for."""
    renewed: tuple[str, ...] = ()
    renewals: tuple[Expression, ...] = ()
    """Columns that keep their places and get other values, which only a pipe's SET writes."""


@dataclass(frozen=True, eq=False, slots=True)
class NamedArgument(Expression):
    """`name => value` in a call."""

    name: str
    operand: Expression


@dataclass(frozen=True, eq=False, slots=True)
class Alias(Expression):
    """`operand AS name` among the arguments of a call, such as struct."""

    operand: Expression
    name: str


@dataclass(frozen=True, eq=False, slots=True)
class SortKey(Node):
    """One key of an ORDER BY. `nulls_first` is None where the sender does not say."""

    operand: Expression
    descending: bool = False
    nulls_first: bool | None = None


FrameUnit = Literal["rows", "range"]
FrameEdge = Literal["unbounded preceding", "preceding", "current row", "following", "unbounded following"]


@dataclass(frozen=True, eq=False, slots=True)
class Frame(Node):
    """ROWS or RANGE BETWEEN … AND …; `low` and `high` are the distances of `preceding` and `following`."""

    unit: FrameUnit
    start: FrameEdge
    end: FrameEdge
    low: Expression | None = None
    high: Expression | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Window(Node):
    """OVER (…). `base` names a window of the WINDOW clause that it is, or begins with."""

    partition: tuple[Expression, ...] = ()
    order: tuple[SortKey, ...] = ()
    frame: Frame | None = None
    base: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Call(Expression):
    """A call of a function. `name` is Spark's own in lower case: `mean` stays `mean`.

    Calls with a grammar of their own become plain ones: `extract(year FROM d)` is `extract('year', d)`,
    `substring(s FROM 2 FOR 3)` is `substring(s, 2, 3)`, `trim(BOTH 'x' FROM s)` is `trim` with `how` "both" and the
    arguments `('x', s)`, `overlay(s PLACING r FROM 1)` is `overlay(s, r, 1)`, `position('a' IN s)` is
    `position('a', s)`; their `how` is "words", by which Spark names their columns. `within` is the ORDER BY of WITHIN
    GROUP.
    """

    name: str
    arguments: tuple[Expression, ...] = ()
    distinct: bool = False
    filter: Expression | None = None
    within: tuple[SortKey, ...] = ()
    nulls: Literal["ignore", "respect"] | None = None
    window: Window | None = None
    how: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Cast(Expression):
    """CAST(x AS type), x::type, TRY_CAST(…). The target is the node's `type`; `text` is the sender's words for it."""

    operand: Expression
    text: Sql | None = None
    tries: bool = False


SetKind = Literal["union", "intersect", "except"]
Sets = Literal["rollup", "cube", "sets"]
SampleUnit = Literal["percent", "rows", "bucket"]
LikeOperator = Literal["like", "ilike", "rlike"]
Quantifier = Literal["any", "all"]
Truth = Literal["null", "true", "false", "unknown"]
UnaryOperator = Literal["-", "+", "~"]
BinaryOperator = Literal[
    "+", "-", "*", "/", "%", "div", "||", "&", "|", "^", "<<", ">>", ">>>", "=", "<>", "<", "<=", ">", ">=", "<=>"
]


@dataclass(frozen=True, eq=False, slots=True)
class Unary(Expression):
    """A sign, or `~`."""

    operator: UnaryOperator
    operand: Expression


@dataclass(frozen=True, eq=False, slots=True)
class Binary(Expression):
    """Arithmetic, bits, `||` and comparisons. `IS NOT DISTINCT FROM` is `<=>`."""

    operator: BinaryOperator
    left: Expression
    right: Expression


@dataclass(frozen=True, eq=False, slots=True)
class Logic(Expression):
    """AND or OR of two or more operands."""

    operator: Literal["and", "or"]
    operands: tuple[Expression, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Not(Expression):
    """NOT x, !x. `a NOT IN (…)` and the like are `negated` instead."""

    operand: Expression


@dataclass(frozen=True, eq=False, slots=True)
class Is(Expression):
    """IS [NOT] NULL, TRUE, FALSE, UNKNOWN."""

    operand: Expression
    value: Truth
    negated: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Between(Expression):
    """x [NOT] BETWEEN low AND high."""

    operand: Expression
    low: Expression
    high: Expression
    negated: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Like(Expression):
    """LIKE, ILIKE, RLIKE, with ANY or ALL of several patterns as `quantifier`."""

    operand: Expression
    operator: LikeOperator
    patterns: tuple[Expression, ...]
    quantifier: Quantifier | None = None
    escape: Expression | None = None
    negated: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class In(Expression):
    """x [NOT] IN (a, b)."""

    operand: Expression
    items: tuple[Expression, ...]
    negated: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class InQuery(Expression):
    """x [NOT] IN (SELECT …). `operands` are several for (a, b) IN (SELECT c, d …)."""

    operands: tuple[Expression, ...]
    query: Query
    negated: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Exists(Expression):
    """[NOT] EXISTS (SELECT …)."""

    query: Query
    negated: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class ScalarQuery(Expression):
    """(SELECT …) as a value."""

    query: Query


@dataclass(frozen=True, eq=False, slots=True)
class Case(Expression):
    """CASE [operand] WHEN … THEN … ELSE … END; `conditions` and `results` are of one length."""

    operand: Expression | None
    conditions: tuple[Expression, ...]
    results: tuple[Expression, ...]
    otherwise: Expression | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Parameter(Expression):
    """A parameter of a lambda, where it is named and where it is used."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Lambda(Expression):
    """(x, y) -> body. Its type is that of the body."""

    parameters: tuple[Parameter, ...]
    body: Expression


@dataclass(frozen=True, eq=False, slots=True)
class Row(Expression):
    """(a, b): a struct without names."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Collate(Expression):
    """x COLLATE name."""

    operand: Expression
    name: str


def iter_conjuncts(condition: Expression | None) -> Iterator[Expression]:
    """Yield the operands of the ANDs of a condition, nested ones included; nothing where there is no condition."""
    if isinstance(condition, Logic) and condition.operator == "and":
        for operand in condition.operands:
            yield from iter_conjuncts(operand)
    elif condition is not None:
        yield condition
