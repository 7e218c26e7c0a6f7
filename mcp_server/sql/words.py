"""The words of Spark SQL that are known by their place in a statement."""

from __future__ import annotations

from typing import Final

QUERY_STARTS: Final = frozenset({"SELECT", "WITH", "FROM", "VALUES", "TABLE"})
"""What a query begins with; `TABLE x` is spelled out as SELECT * FROM x before it is read."""

SET_OPERATORS: Final = frozenset({"UNION", "INTERSECT", "EXCEPT", "MINUS"})

CLAUSES: Final = SET_OPERATORS | frozenset(
    {
        "WHERE", "GROUP", "HAVING", "ORDER", "SORT", "CLUSTER", "DISTRIBUTE", "LIMIT", "OFFSET", "WINDOW",
        "QUALIFY", "SELECT", "|>",
    }
)  # fmt: skip
"""What ends the list of relations after FROM."""

BEFORE_BRACKET: Final = (CLAUSES - {"WINDOW"}) | frozenset(
    {
        "AND", "OR", "NOT", "IN", "ON", "AS", "USING", "OVER", "FROM", "JOIN", "BY", "DISTINCT", "ALL", "VALUES",
        "WHEN", "THEN", "ELSE", "CASE", "BETWEEN", "LATERAL", "VIEW", "OUTER", "PIVOT", "UNPIVOT", "FOR",
        "TABLESAMPLE", "REPEATABLE", "CUBE", "ROLLUP", "SETS", "NULLS", "DIV", "SET", "EXTEND", "IS",
        "RECURSIVE", "ESCAPE", "PLACING", "BOTH", "LEADING", "TRAILING", "RETURN",
    }
)  # fmt: skip
"""Words that stand before a bracket without calling anything. None is the name of a function."""

AFTER_OPERAND: Final = SET_OPERATORS | frozenset(
    {
        "AND", "OR", "IN", "ON", "AS", "USING", "OVER", "BETWEEN", "WHERE", "GROUP", "HAVING", "ORDER", "SORT",
        "CLUSTER", "DISTRIBUTE", "QUALIFY", "THEN", "ELSE", "IS", "ESCAPE", "PLACING", "DIV", "VIEW", "OUTER", "PIVOT",
        "UNPIVOT", "TABLESAMPLE", "REPEATABLE", "SETS", "NULLS", "FOR", "JOIN",
    }
)  # fmt: skip
"""Those of them that need something to their left."""

OPERAND_NEXT: Final = frozenset(
    {
        ",", "(", "[", "=", "==", "<>", "!=", "<", ">", "<=", ">=", "<=>", "+", "-", "/", "%", "||", "&", "|", "^",
        "~", "->", "=>", "SELECT", "BY", "WHEN", "THEN", "ELSE", "WHERE", "HAVING", "AND", "OR", "BETWEEN", "LIKE",
    }
)  # fmt: skip
"""Where an operand must follow."""

STAR_NEXT: Final = frozenset({"SELECT", "DISTINCT", "ALL", ",", ".", "("})
"""Where `*` means all columns and no product."""

KEYWORDS: Final = BEFORE_BRACKET | frozenset(
    {
        "LIKE", "ILIKE", "RLIKE", "REGEXP", "ANY", "SOME", "EXISTS", "NATURAL", "CROSS", "INNER", "LEFT", "RIGHT",
        "FULL", "SEMI", "ANTI", "AGGREGATE", "WITH", "TABLE", "WINDOW", "END", "OF",
    }
)  # fmt: skip
"""Words that a table or column name cannot be where one of them would be read as a keyword."""

QUERY_NAMES: Final = frozenset({"EXTRACT", "TRIM", "SUBSTRING", "SUBSTR", "OVERLAY", "POSITION", "CAST", "TRY_CAST"})
"""Functions with a grammar of their own, such as extract(YEAR FROM d)."""

FROM_ARGUMENT: Final = frozenset({"EXTRACT", "TRIM", "SUBSTRING", "SUBSTR", "OVERLAY"})
"""Those of them in which FROM stands between arguments."""

WRITING: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "MAP", "REDUCE"})
"""Statements that may follow WITH or FROM and are no queries."""

TRAVEL: Final = frozenset({"VERSION", "SYSTEM_VERSION", "TIMESTAMP", "SYSTEM_TIME"})
"""What stands before AS OF; the first two take an integer, the others a string."""

NO_ALIAS: Final = CLAUSES | frozenset(
    {
        "ON", "USING", "JOIN", "FROM", "AND", "OR", "NOT", "LATERAL", "NATURAL", "CROSS", "INNER", "LEFT", "RIGHT",
        "FULL", "SEMI", "ANTI", "PIVOT", "UNPIVOT", "TABLESAMPLE", "WITH", "FOR", "VALUES", "TABLE", "VERSION",
        "TIMESTAMP", "FETCH",
    }
)  # fmt: skip
"""Words that sqlglot may take for the alias of a table where an engine reads a clause."""

RESERVED: Final = frozenset(
    {
        "ANALYZE", "AUTHORIZATION", "BOTH", "CHECK", "COLLATE", "COLUMN", "CONSTRAINT", "CREATE", "ESCAPE", "EXPLAIN",
        "FILTER", "FOREIGN", "FORMAT", "GLOBAL", "GRANT", "INTO", "LEADING", "ONLY", "OVERLAPS", "PARTITION",
        "PRIMARY", "REFERENCES", "SAMPLE", "SET", "START", "TO", "TOP", "TRAILING", "UNIQUE", "UNKNOWN", "VIEW",
        "WITHIN",
    }
)  # fmt: skip
"""Words that Sail 0.7.2 does not take for a name as they are, and Spark 4.2 does (each one tried)."""
