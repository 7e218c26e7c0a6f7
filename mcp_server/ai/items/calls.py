"""Where AI functions are called: each an item of the one outermost SELECT, by the guard's tree and the typed one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from lakehouse.errors import Refused
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, copy_tokens
from mcp_server.sql.refusal import SHOWN, clip
from mcp_server.sql.source import Source
from mcp_server.sql.typed.nodes import Call
from mcp_server.sql.typed.relations import Item, Select
from mcp_server.sql.typed.spans import NotRead, Spans, read_spans

RESERVED: Final = "_ai_"
"""What the names of the columns that the guard adds begin with."""

PLACES: Final[Mapping[type[exp.Expr], str]] = {
    exp.Where: "in WHERE",
    exp.Having: "in HAVING",
    exp.Qualify: "in QUALIFY",
    exp.Group: "in GROUP BY",
    exp.Window: "in a window",
    exp.WithinGroup: "in an aggregate",
    exp.Filter: "in an aggregate",
    exp.Order: "in ORDER BY",
    exp.Sort: "in SORT BY",
    exp.Cluster: "in CLUSTER BY",
    exp.Distribute: "in DISTRIBUTE BY",
    exp.Lambda: "in a lambda",
    exp.Anonymous: "within another function",
    exp.Values: "in VALUES",
    exp.Lateral: "in LATERAL",
    exp.CTE: "in a name of WITH",
    exp.Subquery: "in a sub-query",
    exp.From: "in FROM",
    exp.Join: "in JOIN",
    exp.SetOperation: "in a part of a set operation",
}
"""Where a call may stand by mistake; the first that is met on the way up is what the refusal names."""

_NO_VALUE: Final = (
    exp.Star, exp.Lambda, exp.Kwarg, exp.Distinct, exp.Alias, exp.Select, exp.SetOperation, exp.Order, exp.Limit,
    exp.IgnoreNulls, exp.RespectNulls, exp.Tuple,
)  # fmt: skip
"""What sqlglot takes for an argument and is no value."""


@dataclass(frozen=True)
class AiCall:
    """One call: its node, its name in the answer, and the item of the list that it is.

    The item has a number, from 1, and the tokens from `first` up to `end`, its alias included.
    """

    node: exp.Anonymous
    function: str
    first: int
    end: int
    number: int
    name: str

    @property
    def argument(self) -> exp.Expr:
        argument: exp.Expr = self.node.expressions[0]
        return argument

    def copy_argument(self, case: Case) -> Sql:
        """Copy the argument as written between the brackets."""
        return copy_tokens(case.source, self.first + 2, case.source.closing[self.first + 1])


def find_calls(case: Case, catalog: Catalog) -> tuple[exp.Select, tuple[AiCall, ...], int]:
    """Return the outermost SELECT, the calls in its list, and the token after the list.

    Errors: Refused, with the code `ai_function_in_sql`.
    """
    found = [node for node in case.tree.find_all(exp.Anonymous) if case.tree.called_name(node) in catalog.ai]
    nodes = sorted(found, key=lambda node: case.tree.calls[id(node)])
    try:
        spans = read_spans(case.source)
    except NotRead:
        raise refuse_misplaced(case, nodes[0], "in a statement of this form") from None
    select, listed = case.tree.root, spans.query.body
    if not isinstance(listed, Select) or _has_pipe(case.source) or not isinstance(select, exp.Select):
        raise refuse_misplaced(
            case, nodes[0], _describe_place(nodes[0]) or "where the outermost query is no plain SELECT"
        )
    if listed.distinct or select.args.get("distinct") is not None:
        raise refuse_misplaced(case, nodes[0], "under DISTINCT")
    calls = tuple(_read_call(case, select, listed.items, spans, node) for node in nodes)
    return select, calls, max(spans.items[item.at][1] for item in listed.items if item.at is not None)


def _has_pipe(source: Source) -> bool:
    """Whether the statement goes on behind a pipe, outside of brackets."""
    at = 0
    while at < len(source.tokens) and source.key(at) != "|>":
        at = source.closing.get(at, at) + 1
    return at < len(source.tokens)


def _read_call(case: Case, select: exp.Select, items: tuple[Item, ...], spans: Spans, node: exp.Anonymous) -> AiCall:
    """Read a call as an item of the list."""
    source, first = case.source, case.tree.calls[id(node)]
    top = node.parent if isinstance(node.parent, exp.Alias) else node
    number = next((n for n, each in enumerate(select.expressions, start=1) if each is top), None)
    item = items[number - 1] if number is not None and len(items) == len(select.expressions) else None
    if number is None or item is None or not _is_call(item, first) or len(item.aliases) > 1:
        raise refuse_misplaced(case, node, _describe_place(node) or "within an expression")
    only = node.expressions[0] if len(node.expressions) == 1 else None
    if only is None or isinstance(only, _NO_VALUE) or only.is_star:
        raise refusal_at(case, node, "takes one value, such as a column with names or keys.")
    _, end = spans.items[first]
    name = item.aliases[0] if item.aliases else copy_tokens(source, first, end)
    return AiCall(node, case.tree.called_name(node), first, end, number, name)


def _is_call(item: Item, first: int) -> bool:
    """Whether an item is the call at a token, and nothing else."""
    call = item.operand
    if not isinstance(call, Call) or not item.at == call.at == first:
        return False
    return not (call.window or call.filter or call.within or call.nulls)


def refuse_misplaced(case: Case, node: exp.Anonymous, place: str) -> Refused:
    """Return the refusal of a call whose number of executions a plan would decide, with the form to use."""
    name, column = case.tree.called_name(node), _choose_example(node)
    example = f"SELECT {column}, {name}({column}) AS ai_text FROM found LIMIT 10"  # noqa: S608  (words of a message)
    return refusal_at(
        case,
        node,
        f"cannot stand {place}: the engine's plan would decide how many paid calls are made. It stands as a column of "
        f"its own in the outermost SELECT, and is applied to the rows that come out: WITH found AS (…) {example}.",
    )


def refusal_at(case: Case, node: exp.Anonymous, why: str) -> Refused:
    """Return a refusal that points at a call and begins with its name."""
    index = case.tree.calls[id(node)]
    return case.source.refusal_at("ai_function_in_sql", f"{clip(case.source.tokens[index].text)} {why}", index)


def _describe_place(node: exp.Expr) -> str:
    """Describe the clause around a call; empty where it has no name."""
    above = node.parent
    while above is not None:
        for kind, words in PLACES.items():
            if isinstance(above, kind):
                return words
        above = above.parent
    return ""


def _choose_example(node: exp.Anonymous) -> str:
    """Return the argument for the example of a refusal: the sender's own if it is a plain column."""
    only = node.expressions[0] if len(node.expressions) == 1 else None
    plain = isinstance(only, exp.Column) and only.name.isidentifier() and len(only.name) < SHOWN // 2
    return only.name if plain and only is not None else "x"
