"""Tables whose names end alike get an alias each: `sales.orders` and `returns.orders` are both `orders` to Spark.

A table in a folder runs under another name, with an alias for its columns (`splice`). Where two relations of a
statement would have the same one, the alias is the whole name, and what qualifies columns is replaced by it:

    SELECT sales.orders.id, orders.reason FROM sales.orders JOIN returns.orders USING (id)
    SELECT `sales.orders`.id, `returns.orders`.reason FROM … AS `sales.orders` JOIN … AS `returns.orders` USING (id)

A short `orders.x` means what it means to Spark: a relation of the query around it that has a column `x`, before those
further out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from mcp_server.models import TableInfo
from mcp_server.sql.clauses import TableRef
from mcp_server.sql.lexer import Token
from mcp_server.sql.names import TableNames
from mcp_server.sql.refusal import clip
from mcp_server.sql.relations import Relations
from mcp_server.sql.source import Source, place_tokens, read_source
from mcp_server.sql.splice import end_of_sample, find_qualified
from mcp_server.sql.tree import Tree, find_token


@dataclass(frozen=True)
class _Hidden:
    """A table without an alias that the engine knows by another name than the statement."""

    ref: TableRef
    info: TableInfo

    @property
    def alias(self) -> str:
        return f"`{self.info.name}`"


def separate_same_names(tree: Tree, names: TableNames, relations: Relations) -> Source | None:
    """Return the statement with aliases for the tables whose names end alike, None where there are no such.

    Its tokens keep their places in the sender's text. Errors: Refused, with the code `ambiguous`, for a short name that
    may be several tables.
    """
    hidden = {
        key: _Hidden(tree.tables[key], info)
        for key, info in names.tables.items()
        if tree.tables[key].first in names.unnamed and info.engine_name.lower() != tree.tables[key].parts[-1]
    }
    shared = _find_shared(tree, hidden) if hidden else frozenset()
    chosen = {key: table for key, table in hidden.items() if table.ref.parts[-1] in shared}
    if not chosen:
        return None
    source = tree.source
    added: dict[int, str] = {}
    replaced: dict[int, tuple[int, str]] = {}
    for table in chosen.values():
        added[end_of_sample(source, table.ref.end + 1)] = f"AS {table.alias}"
        for start in range(len(table.ref.parts) - 1):
            parts = table.ref.parts[start:]
            for at in find_qualified(source, parts):
                replaced.setdefault(at, (at + 2 * len(parts) - 2, table.alias))
    taken = {ref.first for ref, _ in names.refs}
    for at, alias in _read_short_names(tree, relations, chosen, shared):
        replaced.setdefault(at, (at, alias))
    return read_source(source.text, tuple(_replace_tokens(source, added, replaced, taken)))


def _find_shared(tree: Tree, hidden: Mapping[int, _Hidden]) -> frozenset[str]:
    """Return the last parts of hidden tables that are the name of another relation as well."""
    named: defaultdict[str, set[str]] = defaultdict(set)
    for node in tree.find_all(exp.Table, exp.Subquery, exp.Lateral):
        table = hidden.get(id(node))
        named[node.alias_or_name.lower()].add("" if table is None else table.info.name)
    return frozenset(name for name, tables in named.items() if len(tables) > 1 and name)


def _read_short_names(
    tree: Tree, relations: Relations, chosen: Mapping[int, _Hidden], shared: frozenset[str]
) -> Iterator[tuple[int, str]]:
    """Yield the tokens that qualify a column with the last part of a name, and the alias that is meant."""
    for column in tree.find_all(exp.Column):
        first, *rest = column.parts
        qualifies = bool(rest) or isinstance(column.parent, exp.Dot)
        if not qualifies or first.name.lower() not in shared:
            continue
        index = find_token(tree.copy, first)
        member = rest[0].name.lower() if rest else ""
        found = _find_meant(relations, column, first.name.lower(), "" if member == "*" else member)
        tables = [chosen[id(node)] for node in found if id(node) in chosen]
        if index is None or not tables:
            continue
        if len(found) > 1:
            whole = tables[0].info.name
            raise tree.source.refusal_at(
                "ambiguous",
                f"{clip(first.name)} may be {clip(whole)} or another relation of this FROM. Write the whole name "
                f"before the column, {clip(whole)}.x, or give each an alias: FROM {clip(whole)} AS a.",
                index,
            )
        yield index, tables[0].alias


def _find_meant(relations: Relations, column: exp.Column, name: str, member: str) -> list[exp.Expr]:
    """Return the relations called `name` that a column may belong to: of the innermost query that has one with it."""
    select = column.find_ancestor(exp.Select)
    while select is not None:
        listed = [each for each in relations.list_relations(select) if each.alias == name]
        known = [each.node for each in listed if not member or each.columns is None or member in each.columns]
        if known:
            return known
        select = select.find_ancestor(exp.Select)
    return []


def _replace_tokens(
    source: Source, added: Mapping[int, str], replaced: Mapping[int, tuple[int, str]], kept: set[int]
) -> Iterator[Token]:
    """Yield the tokens of a statement with words before some and in the place of others; names of tables are `kept`."""
    index = 0
    while index < len(source.tokens):
        token = source.tokens[index]
        if index in added:
            yield from place_tokens(added[index], token.start)
        if index in replaced and index not in kept:
            index, words = replaced[index]
            yield from place_tokens(words, token.start)
        else:
            yield token
        index += 1
    if index in added:
        yield from place_tokens(added[index], source.tokens[-1].start)
