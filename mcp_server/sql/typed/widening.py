"""The columns that set operations and VALUES give: each has the type of all values that stand in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mcp_server.sql.typed.coercion import NoCommonTypeError, join_types
from mcp_server.sql.typed.nodes import Call, Expression, Row
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import Output, SetOperation
from mcp_server.sql.typed.types import STRING, VOID, Struct, Type, as_schema

Outputs = tuple[Output, ...]

_WORDS: Final = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def common_outputs(operation: SetOperation) -> Outputs | None:
    """Return the columns of a set operation, under the names of its left side; None where they are not known.

    Raises SparkRefuses for another number of columns, for types that nothing holds, and for names that BY NAME misses.
    """
    left, right = operation.left.outputs, operation.right.outputs
    if left is None or right is None:
        return None
    if operation.by_name:
        return _match_names(operation, left, right)
    if len(left) != len(right):
        text = f"{operation.kind.upper()} takes as many columns of both queries, not {len(left)} and {len(right)}."
        raise SparkRefuses("NUM_COLUMNS_MISMATCH", text, operation.at)
    pairs = enumerate(zip(left, right, strict=True))
    return tuple(Output(one.name, _widen(operation, place, one, other)) for place, (one, other) in pairs)


def _widen(operation: SetOperation, place: int, left: Output, right: Output) -> Type | None:
    try:
        return join_types([left.type, right.type])
    except NoCommonTypeError:
        word = _WORDS[place] if place < len(_WORDS) else f"{place + 1}th"
        text = (
            f"The {word} columns of {operation.kind.upper()} are of the types {as_schema(left.type)} and "
            f"{as_schema(right.type)}: cast one of them."
        )
        raise SparkRefuses("INCOMPATIBLE_COLUMN_TYPE", text, operation.at) from None


def _match_names(operation: SetOperation, left: Outputs, right: Outputs) -> Outputs | None:
    """UNION BY NAME: the left side's columns with those of their names, in any case."""
    names = [each.name for each in (*left, *right)]
    if any(name is None for name in names):
        return None
    others = {str(each.name).lower(): each for each in right}
    found: list[Output] = []
    for place, each in enumerate(left):
        other = others.pop(str(each.name).lower(), None)
        if other is None:
            if len(left) == len(right):
                text = f"The right side of UNION BY NAME has no column {each.name}."
                raise SparkRefuses("FIELD_NOT_FOUND", text, operation.at)
            return None
        found.append(Output(each.name, _widen(operation, place, each, other)))
    return tuple(found) if not others else None


def row_outputs(rows: Sequence[Expression]) -> Outputs | None:
    """Return the columns of VALUES: col1, col2 … with the common types of the rows; None where they are not known.

    Raises SparkRefuses for rows of another length, and for values that have no common type.
    """
    items = [_items_of(row) for row in rows]
    known = [each for each in items if each is not None]
    if len(known) != len(items) or not known:
        return None
    width = len(known[0])
    for row, kinds in zip(rows, known, strict=True):
        if len(kinds) != width:
            text = f"Rows of VALUES have as many values: one has {len(kinds)}, the first {width}."
            raise SparkRefuses("INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH", text, row.at)
    return tuple(_column(rows[0], place, [kinds[place] for kinds in known]) for place in range(width))


def _items_of(row: Expression) -> list[Type | None] | None:
    """The types of the values in one row: the fields of `(a, b)` and struct(…), else the value itself."""
    if isinstance(row, Row):
        return [each.type for each in row.items]
    if isinstance(row, Call) and row.name == "struct":
        return [kind for _, kind in row.type.fields] if isinstance(row.type, Struct) else None
    return [row.type]


def _join_cells(kinds: list[Type | None]) -> Type | None:
    """Return the common type of a column of VALUES, in which no text becomes a number."""
    others = [kind for kind in kinds if kind is not None and kind not in {VOID, STRING}]
    if STRING in kinds and others:
        raise NoCommonTypeError(STRING, others[0])
    return join_types(kinds) if kinds else VOID


def _column(row: Expression, place: int, kinds: list[Type | None]) -> Output:
    try:
        return Output(f"col{place + 1}", _join_cells(kinds))
    except NoCommonTypeError as error:
        one, other = map(as_schema, error.types)
        text = f"Column {place + 1} of VALUES has values of the types {one} and {other}: cast one of them."
        raise SparkRefuses("INVALID_INLINE_TABLE.INCOMPATIBLE_TYPES_IN_INLINE_TABLE", text, row.at) from None
