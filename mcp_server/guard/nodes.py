"""The kinds of sqlglot's nodes that a query may hold. Whatever is not here is refused.

Functions need no kinds of their own: every call is an `Anonymous` node (see `rewrite.py`), and its name is
decided by `functions.toml`. A new version of sqlglot that brings new kinds makes refusals, never holes.
"""

from __future__ import annotations

from typing import Final

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
