"""Operators that the embedded engine lacks or reads otherwise: LIKE ANY, paths into JSON, COLLATE, named arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lakehouse.errors import EngineLacks
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.writing import Writing, written
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, join, quote_text, write_word
from mcp_server.sql.edits import Edit
from mcp_server.sql.expr import Expr
from mcp_server.sql.expressions import read_expressions
from mcp_server.sql.functions import functions
from mcp_server.sql.source import Source

_KEYS: Final = frozenset({"LIKE", "ILIKE", "=>", "RANGE", ":"})
_ONE_PARAMETER: Final = frozenset(
    {"explode", "explode_outer", "posexplode", "posexplode_outer", "inline", "inline_outer", "variant_explode"}
)
"""Functions whose one argument may have a name: there is nothing to confuse."""


def rewrite_operators(case: Case, _: Catalog) -> Sequence[Edit]:
    """LIKE ANY and LIKE ALL as conditions for each pattern. Errors: EngineLacks, for the others."""
    source = case.source
    for index, token in enumerate(source.tokens):
        if token.key == "COLLATE" and index not in case.reading.calls and source.key(index - 1) != ".":
            raise lacking("COLLATE", "collations", "Compare lower(x) with lower(y).")
    _check_chance(case)
    if not any(token.key in _KEYS for token in source.tokens):
        return ()
    edits = written(case, _written)
    for index, token in enumerate(source.tokens):
        if token.key == ":" and not _in_type(source, index) and not any(e.first < index < e.end for e in edits):
            raise _no_path()
    return edits


def _check_chance(case: Case) -> None:
    """The engine asks twice for what stands before BETWEEN or IN. Errors: EngineLacks, where that is of chance."""
    classes = functions().classes
    if not any(classes.get(word) == "random" for word in case.functions):
        return
    for node in (node for root in read_expressions(case) for node in root.walk() if node.kind in {"between", "in"}):
        called = {each.word for each in node.parts[0].walk() if each.kind == "call"}
        if any(classes.get(word) == "random" for word in called):
            raise lacking(
                node.word.upper(),
                f"{node.word.upper()} behind what depends on chance, for which it asks more than once",
                "Put it into a sub-query, under a name.",
            )


def _no_path() -> EngineLacks:
    return lacking("a path after a colon", "paths into JSON", "Write get_json_object(j, '$.a.b').")


def _in_type(source: Source, index: int) -> bool:
    """Whether a colon stands between the name and the type of a field, as in struct<a: int>."""
    opened = [at for at in source.types if at < index and source.key(at) == "<"]
    closed = [at for at in source.types if at < index and source.key(at) == ">"]
    return len(opened) > len(closed)


def _written(node: Expr, write: Writing) -> Sql | None:
    if node.kind == "like" and node.word.endswith((" any", " all")):
        return _each(node, write)
    if node.kind == "cast" and node.parts[0].kind == "path":
        return _path(node.parts[0], node.word, write)
    if node.kind == "path":
        return _path(node, "", write)
    if node.kind == "call" and node.word not in _ONE_PARAMETER:
        _check_arguments(node, write)
    return None


def _each(node: Expr, write: Writing) -> Sql:
    if any(part.kind == "query" for part in node.parts):
        raise lacking("LIKE ANY", "LIKE ANY over a sub-query", "Join with LIKE, or write the patterns out.")
    word, _, which = node.word.rpartition(" ")
    value, *patterns = map(write.text, node.parts)
    tests = [compose("{} {} {}", value, write_word(word.upper()), pattern) for pattern in patterns]
    return compose("({})", join(" AND " if which == "all" else " OR ", tests))


def _path(node: Expr, kind: str, write: Writing) -> Sql:
    """`parse_json(j):a.b::int`, the value at a path. Only of parse_json, whose argument is JSON to both engines."""
    base = node.parts[0]
    if base.kind != "call" or base.word != "parse_json" or len(base.parts) != 1 or "'" in node.word or not kind:
        raise _no_path()
    if kind == "STRING":
        return compose("get_json_object({}, {})", write.text(base.parts[0]), quote_text(node.word))
    return compose("variant_get({}, {}, {})", write.text(base), quote_text(node.word), quote_text(kind.lower()))


def _check_arguments(node: Expr, write: Writing) -> None:
    if any(part.kind == "named" for part in node.parts):
        raise lacking(f"{node.word}(name => value)", "arguments by name", "Give the arguments in their order.")
    over = node.find_rest("over")
    if over is None or not over.word.upper().startswith("RANGE") or "INTERVAL" not in over.word.upper():
        return
    if not over.rest or write.types.of(over.rest[0].parts[0]) != "timestamp":
        raise lacking(
            "RANGE with INTERVAL",
            "ranges of days over dates as Spark does",
            "Order by unix_date(d) and give the days as a number: RANGE BETWEEN 2 PRECEDING AND CURRENT ROW.",
        )
