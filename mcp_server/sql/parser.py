"""Parses the copy of a statement with sqlglot, and matches the tree with the caller's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.databricks import Databricks
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.parsers.databricks import DatabricksParser

from lakehouse.errors import Refused
from mcp_server.sql.analysis_copy import Copy
from mcp_server.sql.clauses import Reading, TableRef
from mcp_server.sql.refusal import clip, make_refusal
from mcp_server.sql.source import Source
from mcp_server.sql.tree import Tree
from mcp_server.sql.words import NO_ALIAS

WORK_PER_TOKEN = 10
"""How often sqlglot may step over each token. It tries alternatives and goes back; honest statements need
fewer than two steps a token, a hostile one could make it take exponentially many."""


class _OutOfWork(Exception):  # noqa: N818  (a signal between the parser and its caller, never seen outside)
    """sqlglot backtracks more often than any honest statement makes it."""


class _Parser(DatabricksParser):
    """sqlglot's parser for Databricks, which reads Spark's SQL and `j:path`, with a bounded number of steps."""

    work = 0

    ARRAY_CONSTRUCTORS: ClassVar[dict[str, type[exp.Func]]] = {}
    """Spark has none in square brackets: `t.list[0]` is an element of a column."""

    def _advance(self, times: int = 1) -> None:
        self.work -= 1
        if self.work < 0:
            raise _OutOfWork
        super()._advance(times)

    def _warn_unsupported(self) -> None:
        """Log nothing: the log must not repeat a caller's text, and what is read as a command is refused."""


def parse_copy(copy: Copy) -> tuple[exp.Expr, ...]:
    """Return the nodes of the tree of a copy, the root first and parents before children.

    Errors: Refused, with the code `syntax` or `too_deep`; RecursionError.
    """
    try:
        return tuple(_parse_text(copy.text, len(copy.origin)).walk())
    except _OutOfWork:
        raise make_refusal(
            "too_deep", "The statement is too involved to be checked. Use WITH to name the inner steps."
        ) from None
    except SqlglotError as error:
        raise make_refusal("syntax", f"This is not a query in Spark SQL{_quote_error(error)}.") from error


def match_tree(source: Source, reading: Reading, copy: Copy, nodes: tuple[exp.Expr, ...]) -> Tree:
    """Return the tree of the nodes of `parse_copy`, with the tokens of its tables and calls.

    Errors: Refused, with the code `syntax` or `ambiguous`.
    """
    _check_complete(nodes)
    if not isinstance(nodes[0], (exp.Query, exp.Values)):
        raise make_refusal(
            "syntax", "A query begins with SELECT, WITH, FROM or VALUES; this is only an expression in brackets."
        )
    tables, calls = _match_tokens(source, reading, copy, nodes)
    return Tree(source, reading, nodes[0], nodes, tables, calls, copy)


def _parse_text(text: str, words: int) -> exp.Expr:
    dialect = Databricks()
    tokens = dialect.tokenize(text)
    parser = _Parser(error_level=ErrorLevel.IMMEDIATE, dialect=dialect)
    parser.work = WORK_PER_TOKEN * (words + 20)
    try:
        statements = parser.parse(tokens, text)
    except (SqlglotError, RecursionError, _OutOfWork):
        raise
    except Exception as error:  # over damaged text it also trips in ways of its own: a decimal, an index, an attribute
        raise SqlglotError("not a statement") from error
    root = statements[0] if len(statements) == 1 else None
    if root is None:
        raise SqlglotError("not one statement")
    return root


def _quote_error(error: SqlglotError) -> str:
    """Return the caller's words at which sqlglot failed, for the message."""
    details: list[dict[str, Any]] = getattr(error, "errors", [])
    piece = details[0].get("highlight") if details else None
    return f": it cannot be read at or before {clip(str(piece))}" if piece else ""


def _check_complete(nodes: Sequence[exp.Expr]) -> None:
    """Refuse what sqlglot reads and Spark does not."""
    if any(isinstance(node, exp.Select) and not node.expressions for node in nodes):
        raise make_refusal("syntax", "SELECT needs something to select: columns, or * for all of them.")
    for node in nodes:
        if isinstance(node, exp.Values) and isinstance(node.parent, (exp.Anonymous, exp.Tuple, exp.Paren)):
            raise make_refusal("syntax", "VALUES stands where a table does; inside a call use array(…) or a sub-query.")
        alias = node.this if isinstance(node, exp.TableAlias) else None
        if isinstance(alias, exp.Identifier) and not alias.args.get("quoted") and alias.name.upper() in NO_ALIAS:
            raise make_refusal(
                "syntax", f"{alias.name} begins a clause that is not finished, or is an alias that needs back-quotes."
            )


def _match_tokens(
    source: Source, reading: Reading, copy: Copy, nodes: Sequence[exp.Expr]
) -> tuple[dict[int, TableRef], dict[int, int]]:
    """Return the tokens of the tables and calls of the tree. Both readers must have found the same ones."""
    refs = {ref.first: ref for ref in reading.tables}
    tables: dict[int, TableRef] = {}
    calls: dict[int, int] = {}
    for node in nodes:
        if isinstance(node, exp.Table) and not isinstance(node.this, exp.Func):
            first = copy.origin.get(node.parts[0].meta.get("start", -1)) if node.parts else None
            ref = refs.pop(first, None) if first is not None else None
            if ref is None or tuple(part.name.lower() for part in node.parts) != ref.parts:
                raise _refuse_ambiguous(source, first)
            tables[id(node)] = ref
        elif isinstance(node, exp.Anonymous):
            index = copy.origin.get(node.meta.get("start", -1))
            if index not in reading.calls or node.name != f"f{index}" or index in calls.values():
                raise _refuse_ambiguous(source, index)
            calls[id(node)] = index
    renamed = {i for i in reading.calls if f"f{i}" in _split_names(copy)}
    missing = renamed - set(calls.values())
    if refs or missing:
        raise _refuse_ambiguous(source, min([*refs, *missing]))
    return tables, calls


def _split_names(copy: Copy) -> set[str]:
    return set(copy.text.split())


def _refuse_ambiguous(source: Source, index: int | None) -> Refused:
    return make_refusal(
        "ambiguous",
        "This can be read in more than one way. Write AS before aliases, qualify names, and put brackets around "
        "sub-queries.",
        text=source.text,
        at=None if index is None else source.tokens[index].start,
    )
