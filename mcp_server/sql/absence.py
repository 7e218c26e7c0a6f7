"""Which tables a statement asks for what is not in them: a row that they lack is one more of the answer."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from mcp_server.sql.case import Case


def find_absent(case: Case) -> frozenset[str]:
    """Return the tables, in lower case, of NOT EXISTS, NOT IN, EXCEPT, ANTI JOIN and LEFT JOIN … IS NULL.

    EXISTS and IN count too as a test of CASE: what has no partner is another case.
    """
    return frozenset(name for node in _iter_denied(case) for name in _iter_tables(case, node, frozenset()))


def _iter_denied(case: Case) -> Iterator[exp.Expr]:
    """Yield the relations and queries of which rows are asked for that have no partner in them."""
    for node in case.tree.find_all(exp.Exists, exp.In, exp.Except, exp.Join):
        match node:
            case exp.Exists() if _is_denied(node):
                yield node.this
            case exp.In() if node.args.get("query") and _is_denied(node):
                yield node.args["query"]
            case exp.Except():
                yield node.expression
            case exp.Join():
                if str(node.args.get("kind") or "").upper() == "ANTI" or _is_denied_by_null(case, node):
                    yield node.this


def _is_denied(test: exp.Expr) -> bool:
    """Whether a test is under NOT, or one of CASE."""
    above = test.parent
    while isinstance(above, exp.Paren):
        above = above.parent
    return isinstance(above, exp.Not) or isinstance(test.find_ancestor(exp.Case, exp.Select), exp.Case)


def _is_denied_by_null(case: Case, join: exp.Join) -> bool:
    """Whether a statement tests a column of the other side of a LEFT JOIN for IS NULL: LEFT JOIN d … d.id IS NULL."""
    select = join.parent
    if str(join.args.get("side") or "").upper() != "LEFT" or not isinstance(select, exp.Select):
        return False
    alias, tested = join.this.alias_or_name.lower(), case.relations.find_columns(join.this) or ()
    tests = (test for test in select.find_all(exp.Is) if isinstance(test.expression, exp.Null))
    return any(
        isinstance(test.this, exp.Column)
        and test.this.name.lower() in tested
        and test.this.table.lower() in {"", alias}
        and (not isinstance(test.parent, exp.Not) or _is_denied(test.parent))
        for test in tests
    )


def _iter_tables(case: Case, node: exp.Expr, opened: frozenset[int]) -> Iterator[str]:
    """Yield the tables of the lake that a relation or query reads, through WITH names."""
    for table in node.find_all(exp.Table):
        info, cte = case.names.tables.get(id(table)), case.names.ctes.get(id(table))
        if info is not None:
            yield info.name.lower()
        elif cte is not None and id(cte) not in opened:
            yield from _iter_tables(case, cte.this, opened | {id(cte)})
