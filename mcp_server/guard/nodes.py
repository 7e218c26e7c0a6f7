"""The kinds of sqlglot's nodes that a query may hold. Any other kind is refused.

Functions need no kinds of their own: every call is an `Anonymous` node (`sql/analysis_copy.py`), and `functions.toml`
decides about its name. A new version of sqlglot that adds kinds causes refusals and no holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from mcp_server.sql.analysis_copy import Copy
from mcp_server.sql.refusal import make_refusal
from mcp_server.sql.source import Source
from mcp_server.sql.tree import find_token

ALLOWED_KINDS: Final = frozenset(
    {
        "Select", "From", "Where", "Group", "Having", "Qualify", "Order", "Ordered", "Sort", "Cluster", "Distribute",
        "Limit", "Offset", "Distinct", "Star", "With", "CTE", "Subquery", "Union", "Intersect", "Except", "Values",
        "Tuple", "Paren", "Table", "TableAlias", "TableSample", "Alias", "Aliases", "Join", "Lateral",
        "Pivot", "PivotAlias", "Cube", "Rollup", "GroupingSets", "Window", "WindowSpec", "WithinGroup",
        "Filter", "IgnoreNulls", "RespectNulls", "Identifier", "Column", "Dot", "Bracket", "Literal", "Boolean",
        "Null", "Var", "Interval", "IntervalSpan", "DataType", "DataTypeParam", "ColumnDef", "Cast", "TryCast",
        "Collate", "Lambda", "Kwarg", "Anonymous", "And", "Or", "Not", "EQ", "NEQ", "NullSafeEQ",
        "NullSafeNEQ", "GT", "GTE", "LT", "LTE", "Is", "In", "Between", "Like", "ILike", "RegexpLike", "Escape",
        "Any", "All", "Exists", "Add", "Sub", "Mul", "Div", "IntDiv", "Mod", "Neg", "DPipe", "Concat", "BitwiseAnd",
        "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitwiseLeftShift", "BitwiseRightShift", "Case", "If", "Extract",
        "Trim", "Substring", "Overlay", "StrPosition", "JSONExtract", "JSONPath", "JSONPathRoot", "JSONPathKey",
        "JSONPathSubscript", "CurrentDate", "CurrentTimestamp",
    }
)  # fmt: skip

REFUSED_KINDS: Final = {
    "Command": "Only queries can be run",
    "Insert": "INSERT writes, and nothing is written here",
    "Update": "UPDATE writes, and nothing is written here",
    "Delete": "DELETE writes, and nothing is written here",
    "Merge": "MERGE writes, and nothing is written here",
    "Create": "CREATE changes the lake, and nothing is changed here",
    "Drop": "DROP changes the lake, and nothing is changed here",
    "Alter": "ALTER changes the lake, and nothing is changed here",
    "Into": "SELECT … INTO writes, and nothing is written here",
    "QueryTransform": "TRANSFORM runs a program, and no program is run here",
    "Set": "Settings cannot be changed here",
    "Use": "The schema cannot be changed here",
}
"""Why the kinds that people do try are refused."""


def check_kinds(source: Source, copy: Copy, nodes: Sequence[exp.Expr]) -> None:
    """Refuse nodes whose kind is not in `ALLOWED_KINDS`.

    Errors: Refused, with the code `not_a_query` or `syntax_not_allowed`.
    """
    for node in nodes:
        kind = type(node).__name__
        if kind not in ALLOWED_KINDS:
            at = find_token(copy, node)
            why = REFUSED_KINDS.get(kind, f"{kind} is not part of what queries may use here")
            raise make_refusal(
                "not_a_query" if kind in REFUSED_KINDS else "syntax_not_allowed",
                f"{why}. This server answers one query at a time.",
                text=source.text,
                at=None if at is None else source.tokens[at].start,
            )
