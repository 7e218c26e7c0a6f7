"""Rules for expressions: casts that Spark makes unasked, whole numbers that may outgrow their type, Sail's words.

They run in passes, each of which visits each node once, children first: a pass asks for what the tree says in
Spark's words, and the last one leaves those of Sail.
"""

from __future__ import annotations

from typing import Final

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules import implied, operators
from mcp_server.dialects.sail.rules.branches import choose_branch, unfold_case
from mcp_server.dialects.sail.rules.calls import write_call
from mcp_server.dialects.sail.rules.casts import write_cast
from mcp_server.dialects.sail.rules.caveats import warn_of_answers
from mcp_server.dialects.sail.rules.collections import write_element, write_field
from mcp_server.dialects.sail.rules.conditions import guard_conditions
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.literals import write_constant, write_interval
from mcp_server.dialects.sail.rules.overflow import overflow_rules
from mcp_server.dialects.sail.rules.passes import Passes, Rules
from mcp_server.dialects.sail.rules.patterns import write_like
from mcp_server.dialects.sail.rules.predicates import check_chance, write_quantified
from mcp_server.dialects.sail.rules.shown import show_intervals
from mcp_server.dialects.sail.rules.size import check_size
from mcp_server.sql.compose import quote_text
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import (
    Between,
    Binary,
    Call,
    Case,
    Cast,
    Collate,
    Constant,
    Element,
    Field,
    In,
    IntervalLiteral,
    JsonPath,
    Like,
)
from mcp_server.sql.typed.relations import Join, NamedWindow, Select, Table
from mcp_server.sql.typed.types import STRING, as_schema

_STEPS: Final = frozenset({"year", "month", "week", "day", "hour", "minute", "second"})


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


EXPRESSION_RULES: Final[Rules] = {
    Constant: (write_constant,),
    Cast: (write_cast,),
    JsonPath: (refuse_path,),
    Binary: (operators.write_binary,),
    Like: (write_quantified, write_like),
    Between: (check_chance,),
    In: (check_chance,),
    Call: (write_call,),
    Case: (unfold_case,),
    Field: (write_field,),
    Element: (write_element,),
    Collate: (refuse_collation,),
    Select: (guard_conditions,),
    Join: (guard_conditions,),
}
"""The last pass: nodes in Sail's words."""


def rewrite_expressions(passes: Passes, context: Context) -> bool:
    """Write the expressions of a statement for Sail; whether any changed. Errors: EngineLacks, SparkRefuses."""
    before = root = passes.root
    nodes = tuple(root.walk())
    warn_of_answers(nodes, context)
    context.tables = frozenset(node.id for node in nodes if isinstance(node, Table))
    sequences = [node for node in nodes if isinstance(node, Call) and node.name == "sequence"]
    steps = frozenset(each for node in sequences for each in node.arguments)
    context.steps = frozenset(
        each for each in steps if isinstance(each, IntervalLiteral) and len(each.units) == 1 and each.units[0] in _STEPS
    )
    windows = [node for node in nodes if isinstance(node, NamedWindow)]
    context.framed = frozenset(node.name for node in windows if node.window.order or node.window.frame)
    passes.run(_literal_rules(steps))
    passes.run({Case: (choose_branch,), Call: (choose_branch,)})
    passes.run(implied.RULES)
    if passes.run(overflow_rules(passes.root, context)):
        context.rules.append("overflow")
    passes.run(EXPRESSION_RULES)
    shown = show_intervals(passes.root, context)
    if shown is not passes.root:
        passes.root = check_size(shown)
    return passes.root is not before


def _literal_rules(steps: frozenset[Node]) -> Rules:
    """Intervals in one form of each kind, but for the steps of sequence: how much it makes is read from those."""

    def write_other(node: Node, context: Context) -> Node | None:
        return None if node in steps else write_interval(node, context)

    return {IntervalLiteral: (write_other,), Cast: (write_path,)}
