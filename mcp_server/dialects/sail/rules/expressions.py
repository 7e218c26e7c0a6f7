"""Rules for expressions: casts that Spark makes unasked, whole numbers that may outgrow their type, Sail's words.

They run in passes, each of which visits each node once, children first: a pass asks for what the tree says in
Spark's words, and the last one leaves those of Sail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules import implied, operators
from mcp_server.dialects.sail.rules.branches import choose_branch, unfold_case
from mcp_server.dialects.sail.rules.calls import write_call
from mcp_server.dialects.sail.rules.casts import write_cast
from mcp_server.dialects.sail.rules.caveats import warn_of_answers
from mcp_server.dialects.sail.rules.collections import write_element
from mcp_server.dialects.sail.rules.conditions import guard_conditions
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.literals import write_constant, write_interval
from mcp_server.dialects.sail.rules.overflow import overflow_rules
from mcp_server.dialects.sail.rules.patterns import write_like
from mcp_server.dialects.sail.rules.predicates import check_chance, write_quantified
from mcp_server.dialects.sail.rules.shown import show_intervals
from mcp_server.dialects.sail.rules.size import check_size
from mcp_server.sql.compose import quote_text
from mcp_server.sql.typed.nodes import (
    Between,
    Binary,
    Call,
    Case,
    Cast,
    Collate,
    Constant,
    Element,
    In,
    IntervalLiteral,
    JsonPath,
    Like,
    Node,
    transform,
)
from mcp_server.sql.typed.relations import Join, NamedWindow, Query, Select, Table
from mcp_server.sql.typed.types import STRING, as_schema

_STEPS: Final = frozenset({"year", "month", "week", "day", "hour", "minute", "second"})

Rule = Callable[[Node, Context], Node | None]


def refuse_collation(node: Node, _: Context) -> Node | None:
    """COLLATE. Errors: EngineLacks."""
    if isinstance(node, Collate):
        raise lacking("COLLATE", "collations", "Compare lower(x) with lower(y).")
    return None


def write_path(node: Node, _: Context) -> Node | None:
    """`parse_json(j):a.b::int`, the value at a path. Only of parse_json, whose argument is JSON to both engines."""
    path = node.operand if isinstance(node, Cast) else node
    if not isinstance(path, JsonPath):
        return None
    base = path.base
    if (
        not isinstance(node, Cast)
        or not isinstance(base, Call)
        or base.name != "parse_json"
        or len(base.arguments) != 1
        or "'" in path.text
        or node.type is None
    ):
        return None
    where = Constant(text=quote_text(f"$.{path.text}"), value=f"$.{path.text}", type=STRING)
    if node.type == STRING:
        return Call(name="get_json_object", arguments=(base.arguments[0], where), type=STRING)
    kind = as_schema(node.type)
    name = Constant(text=quote_text(kind), value=kind, type=STRING)
    return Call(name="variant_get", arguments=(base, where, name), type=node.type)


def refuse_path(node: Node, _: Context) -> Node | None:
    """A path that `write_path` has left. Errors: EngineLacks."""
    if isinstance(node, JsonPath):
        raise lacking("a path after a colon", "paths into JSON", "Write get_json_object(j, '$.a.b').")
    return None


EXPRESSION_RULES: Final[Mapping[type[Node], tuple[Rule, ...]]] = {
    Constant: (write_constant,),
    Cast: (write_cast,),
    JsonPath: (refuse_path,),
    Binary: (operators.write_binary,),
    Like: (write_quantified, write_like),
    Between: (check_chance,),
    In: (check_chance,),
    Call: (write_call,),
    Case: (unfold_case,),
    Element: (write_element,),
    Collate: (refuse_collation,),
    Select: (guard_conditions,),
    Join: (guard_conditions,),
}
"""The last pass: nodes in Sail's words."""


def rewrite_expressions(root: Query, context: Context) -> Query:
    """Write the expressions of a statement for Sail. Errors: EngineLacks, SparkRefuses."""
    warn_of_answers(root, context)
    context.tables = frozenset(node.id for node in root.walk() if isinstance(node, Table))
    context.steps = frozenset(
        each
        for node in root.walk()
        if isinstance(node, Call) and node.name == "sequence"
        for each in node.arguments
        if isinstance(each, IntervalLiteral) and len(each.units) == 1 and each.units[0] in _STEPS
    )
    context.framed = frozenset(
        node.name for node in root.walk() if isinstance(node, NamedWindow) and (node.window.order or node.window.frame)
    )
    found = check_size(transform(root, _applying(_literal_rules(root), context)))
    found = check_size(transform(found, _applying({Case: (choose_branch,), Call: (choose_branch,)}, context)))
    found = check_size(transform(found, _applying(implied.RULES, context)))
    plain, found = found, check_size(transform(found, overflow_rules(found, context)))
    if found is not plain:
        context.rules.append("overflow")
    found = check_size(transform(found, _applying(EXPRESSION_RULES, context)))
    return check_size(show_intervals(found, context))


def _literal_rules(root: Query) -> Mapping[type[Node], tuple[Rule, ...]]:
    """Intervals in one form of each kind, but for the steps of sequence: how much it makes is read from those."""
    sequences = (node for node in root.walk() if isinstance(node, Call) and node.name == "sequence")
    steps = {each for node in sequences for each in node.arguments}

    def write_other(node: Node, context: Context) -> Node | None:
        return None if node in steps else write_interval(node, context)

    return {IntervalLiteral: (write_other,), Cast: (write_path,)}


def _applying(rules: Mapping[type[Node], tuple[Rule, ...]], context: Context) -> Callable[[Node], Node]:
    def apply(node: Node) -> Node:
        for rule in rules.get(type(node), ()):
            found = rule(node, context)
            if found is not None:
                if type(found) is not type(node):
                    return found
                node = found
        return node

    return apply
