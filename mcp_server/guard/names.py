"""Which names may be read and called: tables of the lake, WITH names in their scope, allowed functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from sqlglot import exp

from lakehouse.errors import Refused
from lakehouse.escaping import list_briefly
from lakehouse.nearest import nearest
from mcp_server.guard.functions import function_policy
from mcp_server.guard.travel import read_version
from mcp_server.models import TableInfo, Version
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.clauses import Reading, TableRef
from mcp_server.sql.lexer import Token
from mcp_server.sql.names import TableNames
from mcp_server.sql.refusal import clip, make_refusal
from mcp_server.sql.source import Source
from mcp_server.sql.tree import Tree

MAX_READS = 48
"""How many large tables a statement may read once every WITH name is put in its place. A name that joins
itself, forty times over, reads 2^40. Smaller tables count for less (`_weigh_table`)."""

_LARGE_ROWS = 1_000_000
_LEAST_WEIGHT = 0.25
"""What planning alone costs, which does not depend on how many rows there are."""

_FORMATS = frozenset(
    {
        "avro", "binaryfile", "csv", "delta", "hudi", "iceberg", "image", "jdbc", "json", "kafka", "libsvm", "orc",
        "parquet", "rate", "socket", "text", "xml",
    }
)  # fmt: skip
"""What Spark reads a path with, as in parquet.`/etc`; only for the words of the refusal."""

_NO_AI = "cannot be called here: no engine runs it, so it has no plan. dry_run tells what a query with it may cost."

_HIDDEN_COLUMNS = frozenset({"_metadata"})


def check_calls(source: Source, reading: Reading, ai: Collection[str] = ()) -> None:
    """Refuse calls of functions that are not allowed, and names that are a function or a hidden column in disguise.

    `ai` are the AI functions that may be called here.
    Errors: Refused, with the code `ai_function_in_sql`, `function_not_allowed`, `unknown_function` or `hidden_column`.
    """
    for index, name in reading.calls.items():
        _check_call(source, index, name, ai)
    for index, token in enumerate(source.tokens):
        if token.is_name and index not in reading.calls:
            _check_name(source, index, token)


def _check_call(source: Source, index: int, name: str, ai: Collection[str]) -> None:
    known = function_policy()
    written = clip(source.tokens[index].text)
    ours = name in ai and source.tokens[index].text.isascii()
    if known.is_ai(name) and not ours:
        why = f"is no AI function of this server. There are {', '.join(sorted(ai))}." if ai else _NO_AI
        raise source.refusal_at("ai_function_in_sql", f"{written} {why}", index)
    if name in known.refused:
        raise source.refusal_at("function_not_allowed", f"{written} is not allowed: {known.refused[name]}.", index)
    if not ours and (name not in known.allowed or not source.tokens[index].text.isascii()):
        near = known.elsewhere.get(name) or known.find_nearest(name)
        hint = f"Did you mean {near}?" if near else "Spark's built-in functions for text, dates, arrays and maps are."
        raise source.refusal_at("unknown_function", f"{written} is no function that is allowed here. {hint}", index)
    if source.key(index - 1) == ".":
        raise source.refusal_at(
            "unknown_function", f"Functions are called without a schema: write {name}(…) and no name before it.", index
        )


def _check_name(source: Source, index: int, token: Token) -> None:
    name, known = token.name, function_policy()
    if name in _HIDDEN_COLUMNS:
        raise source.refusal_at(
            "hidden_column", f"{clip(token.text)} tells where rows are stored. Read the table's own columns.", index
        )
    before, after = source.key(index - 1), source.key(index + 1)
    bare = name in known.bare and before not in {".", "AS"} and after != "."
    if bare:
        raise source.refusal_at(
            "function_not_allowed",
            f"{clip(token.text)} is a function, with brackets or without, and not allowed: "
            f"{known.refused[name]}. A column of that name needs its table before it: t.{name}.",
            index,
        )


def resolve_tables(tree: Tree, catalog: Catalog) -> TableNames:
    """Resolve every table of the tree to a table of the lake or to the WITH name in whose scope it stands.

    The scope of a WITH name is the names after it and the query below, never what stands before it: there
    the same name is a table of the lake.
    Errors: Refused, with the code `unknown_table`, `other_schema`, `path_as_table`, `time_travel` or `too_many_reads`.
    """
    tables: dict[int, TableInfo] = {}
    ctes: dict[int, exp.CTE] = {}
    refs: list[tuple[TableRef, TableInfo]] = []
    versions: dict[int, Version] = {}
    unnamed: set[int] = set()
    read: defaultdict[int, float] = defaultdict(float)
    used: defaultdict[int, list[int]] = defaultdict(list)
    for node, scope, owner in _iter_tables(tree.root):
        ref = tree.tables[id(node)]
        cte = scope.get(ref.parts[0]) if len(ref.parts) == 1 else None
        if cte is not None:
            if ref.travels:
                raise tree.source.refusal_at(
                    "time_travel",
                    f"{clip(ref.parts[0])} is a name of WITH and has no versions: ask for one of its table.",
                    ref.first,
                )
            ctes[id(node)] = cte
            used[owner].append(id(cte))
        else:
            info = _find_table(tree.source, ref, catalog)
            version = read_version(tree.source, ref, info, catalog)
            if version is not None:
                versions[ref.first] = version
                info = _describe_version(info, version, catalog)
            tables[id(node)] = info
            refs.append((ref, info))
            if not node.args.get("alias"):
                unnamed.add(ref.first)
            read[owner] += _weigh_table(info)
    if _weigh_reads(0, read, used, {}) > MAX_READS:
        raise make_refusal(
            "too_many_reads",
            f"With every WITH name put in its place the statement reads more than {MAX_READS} large tables, or "
            f"{MAX_READS / _LEAST_WEIGHT:.0f} small ones. Join each name once.",
        )
    return TableNames(tables, ctes, tuple(refs), versions, frozenset(unnamed))


def _describe_version(info: TableInfo, version: Version, catalog: Catalog) -> TableInfo:
    """Return the table with its columns at a version, whose names and types may have been different."""
    if version == catalog.pins.get(info.name):
        return info
    columns = catalog.columns(info.name, version)
    return info if columns is None else replace(info, columns=columns)


def _iter_tables(root: exp.Expr) -> Iterator[tuple[exp.Table, Mapping[str, exp.CTE], int]]:
    """Yield every table node with the WITH names in scope and the WITH name (by id) that contains it."""
    stack: list[tuple[exp.Expr, dict[str, exp.CTE], int]] = [(root, {}, 0)]
    while stack:
        node, scope, owner = stack.pop()
        if isinstance(node, exp.Table) and not isinstance(node.this, exp.Func):
            yield node, scope, owner
        clause = node.args.get("with_")
        if isinstance(clause, exp.With):
            for cte in clause.expressions:
                own = {**scope, cte.alias.lower(): cte}
                stack.append((cte.this, own if clause.recursive else scope, id(cte)))
                scope = own
        stack.extend((child, scope, owner) for child in node.iter_expressions() if child is not clause)


def _weigh_table(info: TableInfo) -> float:
    """Return what reading a table counts: 1 for one of a million rows, or of unknown size."""
    return 1.0 if info.rows is None else min(max(info.rows / _LARGE_ROWS, _LEAST_WEIGHT), 1.0)


def _weigh_reads(
    owner: int, read: Mapping[int, float], used: Mapping[int, list[int]], known: dict[int, float]
) -> float:
    """Return what a WITH name reads, 0 for the whole query: the weight of its tables, and the names that it uses."""
    if owner not in known:
        known[owner] = 1.0  # a recursive name uses itself
        known[owner] = read.get(owner, 0.0) + sum(_weigh_reads(name, read, used, known) for name in used.get(owner, ()))
    return known[owner]


def _find_table(source: Source, ref: TableRef, catalog: Catalog) -> TableInfo:
    """Return the table of the lake that `ref` names."""
    written = ".".join(ref.parts)
    *schema, name = ref.parts
    tokens = name_tokens(source, ref)
    info = catalog.find_table(tokens)
    if info is not None:
        check_readable(source, ref.last, info)
        return info
    in_folder = bool(schema) and catalog.has_folder(schema)
    if len(ref.parts) == 2 and not in_folder and (schema[0] in _FORMATS or "/" in name):
        raise source.refusal_at(
            "path_as_table",
            f"{clip(written)} is a path, and only tables of {catalog.schema} can be read, such as {catalog.example}.",
            ref.first,
        )
    if not catalog.has_schema(schema) and not in_folder:
        raise source.refusal_at(
            "other_schema",
            f"{clip(written)} is outside the schema {catalog.schema}. Its tables are {_list_tables(catalog)}.",
            ref.first,
        )
    raise refuse_unknown_table(
        source, ref.last, catalog, f"There are {_list_tables(catalog)}.", tokens if in_folder else tokens[-1:]
    )


def name_tokens(source: Source, ref: TableRef) -> list[Token]:
    """Return the tokens of the parts of a name, without the dots between them."""
    return list(source.tokens[ref.first : ref.last + 1 : 2])


def check_readable(source: Source, index: int, info: TableInfo) -> None:
    """Refuse a table that is listed and cannot be read, with the reason."""
    if info.problem:
        raise source.refusal_at(
            "unreadable_table", f"The table {clip(info.name)} cannot be read: {info.problem}. All others can.", index
        )


def refuse_unknown_table(
    source: Source, index: int, catalog: Catalog, otherwise: str, parts: Sequence[Token]
) -> Refused:
    """The refusal of a name that no table has. `otherwise` is the hint where no name is similar."""
    name = ".".join(part.name for part in parts)
    near = next(iter(nearest(name, catalog.by_name, most=1, cutoff=0.5)), "")
    if near == name:
        hint = f"The letters of {clip(catalog.by_name[near].name)} only look like it: copy the name from SHOW TABLES."
    else:
        hint = f"Did you mean {catalog.by_name[near].name}?" if near else otherwise
    return source.refusal_at(
        "unknown_table", f"There is no table {clip('.'.join(part.bare for part in parts))}. {hint}", index
    )


def _list_tables(catalog: Catalog) -> str:
    return list_briefly(sorted(catalog.by_name)) or "none"
