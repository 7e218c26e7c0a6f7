"""Predicates that Sail lacks or reads otherwise: LIKE ANY and ALL, and chance before BETWEEN and IN."""

from __future__ import annotations

from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.sql.functions import functions
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Between, Call, Expression, In, Like, Logic
from mcp_server.sql.typed.types import BOOLEAN


def write_quantified(node: Node, _: Context) -> Node | None:
    """LIKE ANY and LIKE ALL as conditions for each pattern."""
    if not isinstance(node, Like) or node.quantifier is None:
        return None
    tests = tuple(node.replace(patterns=(pattern,), quantifier=None) for pattern in node.patterns)
    # NOT LIKE ANY is true where one of the patterns does not fit: each test is negated, not all of them together.
    return (
        tests[0]
        if len(tests) == 1
        else Logic(operator="or" if node.quantifier == "any" else "and", operands=tests, type=BOOLEAN)
    )


def check_chance(node: Node, _: Context) -> Node | None:
    """The engine asks twice for what stands before BETWEEN or IN. Errors: EngineLacks, where that is of chance."""
    if isinstance(node, Between | In) and is_of_chance(node.operand):
        word = type(node).__name__.upper()
        raise lacking(
            word,
            f"{word} behind what depends on chance, for which it asks more than once",
            "Put it into a sub-query, under a name.",
        )
    return None


def is_of_chance(node: Expression) -> bool:
    """Whether a value depends on chance."""
    classes = functions().classes
    return any(isinstance(each, Call) and classes.get(each.name) == "random" for each in node.walk())
