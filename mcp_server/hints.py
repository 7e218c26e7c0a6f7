"""What to add to an engine's complaint so that a model can mend its statement: names that exist, and forms that work.

Each kind of complaint gets what helps with it alone: columns where a name is unknown, another form where types differ.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice, pairwise

from lakehouse.errors import QueryFailed, Refused
from lakehouse.escaping import MOST_QUOTED_CHARS, cut_text
from lakehouse.nearest import nearest
from mcp_server.models import TableInfo
from mcp_server.sql.compose import quote_name
from mcp_server.sql.lexer import Kind, Token, tokenize
from mcp_server.sql.source import MAX_TOKENS
from mcp_server.sql.typed.types import Array, Struct, Type, parse_type

_UNKNOWN_COLUMN = frozenset({"UNRESOLVED_COLUMN", "UNRESOLVED_USING_COLUMN_FOR_JOIN"})
"""Spark's conditions, which Sail's errors of this kind have as well."""
_AMBIGUOUS = "AMBIGUOUS_REFERENCE"
_TYPES = frozenset({"DATATYPE_MISMATCH", "PARSE_SYNTAX_ERROR"})
"""Conditions that a list or a boolean in the place of another type ends in."""

_FOR_VARIANTS = frozenset(
    {
        "DATATYPE_MISMATCH",
        "FAILED_READ_FILE",  # what Spark ends a cast with that it has pushed into the reading of files
        "GROUP_EXPRESSION_TYPE_IS_NOT_ORDERABLE",
        "INVALID_EXTRACT_BASE_FIELD_TYPE",
        "INVALID_VARIANT_CAST",
        "UNSUPPORTED_FEATURE",
        "",  # count(DISTINCT v)
    }
)
"""Conditions that a VARIANT ends in where a value of another type is needed."""

_BLAMED = re.compile(r"(?:with name |USING column )`((?:[^`]|``|`\.`)++)` cannot be resolved|Cannot find column (\w+)")
"""How engines name the column that is not there."""

_MOST_COLUMNS = 40
_MOST_TABLES = 3
_MOST_FIELDS = 3
_MOST_TYPE_CHARS = 20_000
_MOST_NESTED = 100
"""Of a type that is longer, or has more types in it, no field is suggested: reading it may cost more than it helps."""
_MOST_FORMS = 2
_EQUALS = frozenset({"=", "=="})
_DIFFERS = frozenset({"<>", "!="})


def teach(error: QueryFailed, names: Collection[str], tables: Sequence[TableInfo], sent: str = "") -> QueryFailed:
    """Add to a failure of the statement `sent` what would work; `names` are those of `tables` that it reads."""
    read = [table for table in tables if table.name in names]
    kind = (error.condition or "").partition(".")[0]
    tokens = _read_tokens(sent)
    lines = [str(error)]
    if kind in _UNKNOWN_COLUMN:
        lines += _describe_unknown_columns(_find_blamed_columns(error), read, tables, tokens)
    if kind in _UNKNOWN_COLUMN or error.condition is None:
        lines += map(_describe_columns, read)
    if kind in _TYPES:
        lines += [*dict.fromkeys(_suggest_forms(tokens, read))][:_MOST_FORMS]
    if kind in _FOR_VARIANTS:
        lines += _suggest_variant_get(str(error), tokens, read)
    if kind == _AMBIGUOUS:
        lines.append("Put the table's name or alias and a dot before it.")
    return QueryFailed(
        "\n".join(lines),
        code=error.code,
        condition=error.condition,
        sqlstate=error.sqlstate,
        lacking=error.lacking,
    )


def _read_tokens(sent: str) -> tuple[Token, ...]:
    try:
        return tokenize(sent, MAX_TOKENS)
    except Refused:  # a text that is not the sender's own, such as an engine's
        return ()


def _find_blamed_columns(error: QueryFailed) -> list[str]:
    """Find the columns, without their qualifiers, that the engine reports as missing."""
    names = [quoted.rpartition("`.`")[2] or plain for quoted, plain in _BLAMED.findall(str(error))]
    return list(dict.fromkeys(names))


def _describe_unknown_columns(
    blamed: Iterable[str], read: Sequence[TableInfo], tables: Sequence[TableInfo], tokens: Sequence[Token]
) -> list[str]:
    """Write a line for each name that the engine reports as missing and no table has."""
    columns = {column.name: table.name for table in read for column in table.columns}
    known = {name.casefold() for name in (*columns, *columns.values())}
    given = {token.bare.casefold() for before, token in pairwise(tokens) if before.key == "AS"}
    lines = []
    for name in (name for name in blamed if name.casefold() not in known):
        owners = [table.name for table in tables if name.casefold() in {c.name.casefold() for c in table.columns}]
        if name.casefold() in given:
            lines.append(f"{name} is a name that the SELECT gives: WHERE comes before it. Use HAVING, or a sub-query.")
            continue
        near = ", ".join(f"{match} (in {columns[match]})" for match in nearest(name, columns))
        lines.append(
            f"There is no column {name}."
            + (f" Nearest: {near}." if near else "")
            + (f" One is in {', '.join(owners[:_MOST_TABLES])}." if owners else "")
            + (f" It is a field: {', '.join(fields)}." if (fields := _find_fields(name, read)) else "")
        )
    return lines


def _find_fields(name: str, tables: Iterable[TableInfo]) -> list[str]:
    """Find the fields of that name in structs, each as a statement writes it: `address.geo.lat`."""
    columns = [c for table in tables for c in table.columns if _may_have_fields(c.type)]
    paths = (path for column in columns for path in _walk_fields(quote_name(column.name), parse_type(column.type)))
    found = (path for path, field in paths if field.casefold() == name.casefold() and len(path) <= MOST_QUOTED_CHARS)
    return list(islice(dict.fromkeys(found), _MOST_FIELDS))


def _may_have_fields(kind: str) -> bool:
    return len(kind) <= _MOST_TYPE_CHARS and kind.count("<") <= _MOST_NESTED and "struct<" in kind.lower()


def _walk_fields(path: str, kind: Type | None) -> Iterator[tuple[str, str]]:
    """Yield the path and the name of each field. Of a list of structs a field is the list of its values."""
    inner = kind.element if isinstance(kind, Array) else kind
    if isinstance(inner, Struct):
        for field, of_field in inner.fields:
            yield f"{path}.{quote_name(field)}", field
            if inner is kind:
                yield from _walk_fields(f"{path}.{quote_name(field)}", of_field)


def _describe_columns(table: TableInfo) -> str:
    columns = [
        f"{cut_text(column.name, MOST_QUOTED_CHARS)} {cut_text(column.type, MOST_QUOTED_CHARS)}"
        for column in table.columns[:_MOST_COLUMNS]
    ]
    more = ", …" if len(table.columns) > _MOST_COLUMNS else ""
    return f"Columns of {table.name}: {', '.join(columns)}{more}"


def _suggest_forms(tokens: Sequence[Token], read: Sequence[TableInfo]) -> Iterator[str]:
    """Yield a form that works for each list or boolean of the lake that the statement compares with another type."""
    types = {column.name.casefold(): column.type.lower() for table in read for column in table.columns}
    for index, token in enumerate(tokens):
        kind = types.get(token.bare.casefold(), "") if token.is_name else ""
        qualified = index > 1 and tokens[index - 1].key == "." and tokens[index - 2].is_name
        name = f"{tokens[index - 2].text}.{token.text}" if qualified else token.text
        name = cut_text(name, MOST_QUOTED_CHARS)
        if kind == "boolean":
            yield from _suggest_boolean(name, tokens[index + 1 : index + 3])
        elif kind.startswith("array<"):
            before = tokens[max(0, index - 2 - 2 * qualified) : index - 2 * qualified]
            yield _suggest_array(name, kind, before, tokens[index + 1 :])


def _suggest_variant_get(complaint: str, tokens: Sequence[Token], read: Sequence[TableInfo]) -> Iterator[str]:
    """Yield how a value is taken out of a VARIANT, where the statement names a column of that type or the engine it."""
    columns = {column.name.casefold() for table in read for column in table.columns if column.type.lower() == "variant"}
    named = next((token.text for token in tokens if token.is_name and token.bare.casefold() in columns), None)
    if "VARIANT" in complaint or "VariantVal" in complaint or (named and "FAILED_READ_FILE" in complaint):
        name = cut_text(named or "v", MOST_QUOTED_CHARS)
        yield (
            f"{name} is a VARIANT, which is not compared, sorted, grouped or computed with: take a value out of it, "
            f"try_variant_get({name}, '$.a', 'int') (null where it is none), or its text, to_json({name})."
        )


def _suggest_boolean(name: str, behind: Sequence[Token]) -> Iterator[str]:
    match behind:
        case [operator, value] if operator.key in _EQUALS | _DIFFERS and value.text in {"0", "1"}:
            word = ("false", "true")[int(value.text)]
            yield f"{name} is a boolean: write {name} {operator.text} {word}."


def _suggest_array(name: str, kind: str, before: Sequence[Token], behind: Sequence[Token]) -> str:
    """Write how a list is asked for the texts that it is compared with."""
    if len(behind) > 1 and behind[0].key == "ILIKE" and behind[1].kind is Kind.STRING:
        return f"{name} is an {kind}: write exists({name}, x -> x ILIKE {behind[1].text})."
    text = _find_texts(before, behind)
    if not text:
        return (
            f"{name} is an {kind}: array_contains({name}, x) looks for an element, explode({name}) gives a row for "
            f"each, array_join({name}, ', ') one text."
        )
    form = f"array_contains({name}, {text[0]})"
    if len(text) > 1:
        form = f"arrays_overlap({name}, array({', '.join(text)}))"
    negated = "NOT " if behind and behind[0].key in _DIFFERS | {"NOT"} else ""
    return f"{name} is an {kind}: write {negated}{form}."


def _find_texts(before: Sequence[Token], behind: Sequence[Token]) -> list[str]:
    """Return the texts that a column is compared with, as they are written and without the % of a pattern."""
    behind = behind[1:] if behind and behind[0].key == "NOT" else behind
    if len(before) == 2 and before[1].key == "IN" and before[0].kind is Kind.STRING:
        return [before[0].text]
    if len(behind) < 2:
        return []
    operator, value = behind[0].key, behind[1]
    if operator in {"LIKE", *_EQUALS, *_DIFFERS} and value.kind is Kind.STRING:
        return [value.text.replace("%", "") if operator == "LIKE" else value.text]
    if operator != "IN" or value.key != "(":
        return []
    end = next((at for at, token in enumerate(behind) if token.key == ")"), 0)
    texts = [token.text for token in behind[2:end] if token.kind is Kind.STRING]
    return texts if 2 * len(texts) == end - 1 and len(texts) <= _MOST_COLUMNS else []
