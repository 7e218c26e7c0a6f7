"""Writes rows as the lines of their source file: lines that have not changed are recognised by it, and not parsed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from etl.datasets import Dataset, Field, FieldKind
from etl.forms import NULL

if TYPE_CHECKING:
    import pyarrow as pa

_SEPARATORS: Final = {FieldKind.COMMA_LIST: ",", FieldKind.CONTROL_B_LIST: "\x02", FieldKind.JSON_LIST: '","'}
_NEEDS_ESCAPE: Final = re.compile(r'["\\\x00-\x1f]')


def write_lines(rows: pa.Table, dataset: Dataset, line_end: bytes) -> pa.Array:
    """Write each row as a line that makes this row where it is loaded, as bytes; null where that is not certain.

    Other lines may make the same row: `7` and `007` are one number.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    fields = [_write_field(rows.column(field.column_name), field) for field in dataset.fields]
    fields[-1] = pc.binary_join_element_wise(fields[-1], line_end.decode(), "")
    return pc.binary_join_element_wise(*fields, "\t").cast(pa.large_binary())


def _write_field(column: pa.ChunkedArray, field: Field) -> pa.Array:
    """Write values as their field has them; null where a text is empty, which engines may read as null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pa.concat_arrays([pa.array([], column.type), *column.chunks])
    match field.kind:
        case FieldKind.FLAG:
            texts = pc.if_else(values, "1", "0")
        case FieldKind.DECIMAL:
            texts = _write_decimals(values)
        case FieldKind.COMMA_LIST | FieldKind.CONTROL_B_LIST | FieldKind.JSON_LIST:
            texts = _write_lists(values, field.kind)
        case _:
            texts = pc.cast(values, pa.string())
    certain = pc.if_else(pc.equal(texts, ""), None, texts)
    return pc.if_else(pc.is_null(values), NULL, certain)


def _write_decimals(values: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.cast(values, pa.string())
    texts = pc.if_else(pc.match_substring(texts, "."), texts, pc.binary_join_element_wise(texts, ".0", ""))
    return pc.if_else(pc.match_substring(texts, "e"), None, texts)  # no file has 1e-05


def _write_lists(values: pa.Array, kind: FieldKind) -> pa.Array:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    joined = pc.binary_join(values, _SEPARATORS[kind])  # null where an item is null
    if kind is not FieldKind.JSON_LIST:
        return joined
    needs_escape = pc.fill_null(pc.match_substring_regex(pc.list_flatten(values), _NEEDS_ESCAPE.pattern), True)
    uncertain = np.zeros(len(values), bool)
    uncertain[pc.list_parent_indices(values).to_numpy()[needs_escape.to_numpy(zero_copy_only=False)]] = True
    quoted = pc.binary_join_element_wise('["', joined, '"]', "")
    texts = pc.if_else(pc.equal(pc.list_value_length(values), 0), "[]", quoted)
    return pc.if_else(pa.array(uncertain), None, texts)
