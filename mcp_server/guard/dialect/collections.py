"""Arrays and maps in words that the embedded engine has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mcp_server.guard.dialect.edits import lacking
from mcp_server.guard.dialect.expr import Expr
from mcp_server.guard.dialect.literals import said
from mcp_server.guard.dialect.types import FRACTIONS, INTEGERS, Decimal, Type, element, is_nested
from mcp_server.guard.dialect.writing import Writing

_NO_NULLS = frozenset(
    {"split", "collect_list", "collect_set", "array_agg", "regexp_extract_all", "map_keys", "sequence"}
)
"""Functions whose arrays hold no nulls."""


def indexed(node: Expr, write: Writing) -> str | None:
    """`a[i]`, where Sail takes no index but a number: element_at counts from one."""
    base, index = node.parts
    if index.kind in {"number", "string"} or not str(write.types.of(base)).startswith("array<"):
        return None
    return f"element_at({write.text(base)}, ({write.text(index)}) + 1)"


def contains(node: Expr, write: Writing) -> str | None:
    """array_contains is null, and not false, where a null may be what is looked for.

    Arrays in a table's columns hold no nulls.
    """
    if len(node.parts) != 2:
        return None
    base, wanted = node.parts
    written_out = base.word == "array" and all(part.kind in {"string", "number"} for part in base.parts)
    has_nulls = (base.kind != "name" or not write.reads_tables) and not (
        base.kind == "call" and (written_out or base.word in _NO_NULLS)
    )
    if not has_nulls and wanted.kind in {"string", "number"}:
        return None
    found = f"exists({write.text(base)}, item_ -> item_ = {write.text(wanted)})"
    return found if wanted.kind in {"string", "number"} else f"if({write.text(wanted)} IS NULL, NULL, {found})"


def fields_of(node: Expr, write: Writing) -> list[tuple[str, Expr]]:
    """Names and values of a struct, or an array, that is written out; nothing for any other."""
    if node.kind != "call" or any(part.kind == "star" for part in node.parts):
        return []
    if node.word == "named_struct":
        if len(node.parts) % 2 or any(name.kind != "string" for name in node.parts[::2]):
            return []
        pairs = zip(node.parts[::2], node.parts[1::2], strict=True)
        return [(said(write.source.tokens[name.first : name.end]), value) for name, value in pairs]
    if node.word not in {"struct", "array"}:
        return []
    tokens = write.source.tokens
    names = [tokens[part.end - 1].bare if part.kind in {"name", "alias"} else "" for part in node.parts]
    values = [part.parts[0] if part.kind == "alias" else part for part in node.parts]
    return [(name or f"col{at}", value) for at, (name, value) in enumerate(zip(names, values, strict=True), start=1)]


def extreme(node: Expr, write: Writing) -> str | None:
    """array_max and array_min of nested values, which sort_array puts in Spark's order."""
    if len(node.parts) != 1 or not is_nested(element(write.types.of(node.parts[0]))):
        return None
    upward = "true" if node.word == "array_min" else "false"
    return f"get(sort_array({_known(node.parts[0], write)}, {upward}), 0)"


def cut(node: Expr, write: Writing) -> str | None:
    """slice from a place before the array's first, of which Spark gives nothing."""
    if len(node.parts) != 3 or node.parts[1].word == "if" or (node.parts[1].kind, node.parts[1].word) == ("number", ""):
        return None
    array, start = map(write.text, node.parts[:2])
    place = f"if(- ({start}) > size({array}), size({array}) + 1, {start})"
    return write.replaced(node, node.parts[1], place)


def sort(node: Expr, write: Writing) -> str | None:
    """array_sort of nested values; its nulls come last."""
    if len(node.parts) != 1 or not is_nested(element(write.types.of(node.parts[0]))):
        return None
    nulls = f"filter({write.text(node.parts[0])}, each_ -> each_ IS NULL)"
    return f"concat(sort_array({_known(node.parts[0], write)}), {nulls})"


def _known(array: Expr, write: Writing) -> str:
    return f"filter({write.text(array)}, each_ -> each_ IS NOT NULL)"


def explode(node: Expr, write: Writing) -> str | None:
    """explode of a map, on which Sail's process panics."""
    if len(node.parts) != 1 or not _is_map(node, write, 2):
        return None
    return f"{'inline_outer' if node.word.endswith('outer') else 'inline'}(map_entries({write.text(node.parts[0])}))"


def posexplode(node: Expr, write: Writing) -> str | None:
    if len(node.parts) == 1 and _is_map(node, write, 3):
        raise lacking(node.word, "the places of a map's entries", "Write posexplode(map_entries(m)).")
    return None


def _is_map(node: Expr, write: Writing, names: int) -> bool:
    """Whether it is a map by its type, or by the number of names that a LATERAL VIEW gives to its columns."""
    kind, source = write.types.of(node.parts[0]), write.source
    if kind == "map" or node.parts[0].kind in {"cast", "try_cast"}:
        return kind == "map" or node.parts[0].word.startswith("MAP")
    if source.key(node.first - 1) not in {"VIEW", "OUTER"}:
        return False
    at = node.end
    while source.key(at) != "AS" and at < len(source.tokens) and source.tokens[at].is_name and at < node.end + 2:
        at += 1
    at += source.key(at) == "AS"
    return all(source.key(at + 2 * place - 1) == "," for place in range(1, names))


def zip_with(node: Expr, write: Writing) -> str | None:
    """zip_with(a, b, (x, y) -> e) as a transform of arrays_zip, which pads with nulls too."""
    if len(node.parts) != 3:
        return None
    left, right, function = node.parts
    # A column would give its name to its field: coalesce has none, and the fields are numbers.
    zipped = f"arrays_zip(coalesce({write.text(left)}), coalesce({write.text(right)}))"
    kinds = [element(write.types.of(part)) for part in (left, right)]
    pairs, body = _of_pairs(node.word, function, write, zipped, ("`0`", "`1`"), kinds)
    return f"transform({pairs}, pair_ -> {body})"


def transform_map(node: Expr, write: Writing) -> str | None:
    """transform_values(m, (k, v) -> e) and transform_keys as a transform of the map's entries."""
    if len(node.parts) != 2:
        return None
    entries, function = node.parts
    pairs, body = _of_pairs(node.word, function, write, f"map_entries({write.text(entries)})", ("key", "value"))
    names = [name.word for name in function.parts[:-1]]
    pair = [f"pair_.{names[0]}", body] if node.word == "transform_values" else [body, f"pair_.{names[1]}"]
    return f"map_from_entries(transform({pairs}, pair_ -> struct({', '.join(pair)})))"


def _of_pairs(
    word: str,
    function: Expr,
    write: Writing,
    pairs: str,
    fields: tuple[str, str],
    kinds: Sequence[Type | None] = (None, None),
) -> tuple[str, str]:
    """An array of pairs whose fields bear the names of a lambda's parameters, and its body about such a `pair_`.

    The fields are cast to their types where these are known, which tells them to whoever reads the result.

    What the body holds is rewritten in the next step. Errors: EngineLacks.
    """
    *names, body = function.parts if function.kind == "lambda" else (function,)
    taken = {name.word for node in body.walk() if node.kind == "lambda" for name in node.parts[:-1]}
    if len(names) != 2 or taken & {name.word for name in names}:
        raise lacking(word, "this function of two values", f"Write {word}(…, (x, y) -> …), each name once.")
    first, second = (name.word for name in names)
    values = [_as(f"pair_.{field}", kind) for field, kind in zip(fields, kinds, strict=True)]
    named = f"named_struct('{first}', {values[0]}, '{second}', {values[1]})"
    replaced = _replaced(body, write, {first: f"pair_.{first}", second: f"pair_.{second}"})
    return f"transform({pairs}, pair_ -> {named})", replaced


def _as(text: str, kind: Type | None) -> str:
    if kind == "string":
        return f"CAST({text} AS VARCHAR(65535))"
    plain = isinstance(kind, Decimal) or kind in {*INTEGERS, *FRACTIONS}
    return f"CAST({text} AS {str(kind).upper()})" if plain else text


def _replaced(body: Expr, write: Writing, values: Mapping[str, str]) -> str:
    source = write.source
    pieces: list[str] = []
    for index in range(body.first, body.end):
        token = source.tokens[index]
        gap = "" if token.glued or index == body.first else " "
        bare = token.is_name and source.key(index - 1) != "." and source.key(index + 1) != "("
        pieces.append(gap + (values.get(token.name, token.text) if bare else token.text))
    return "".join(pieces)


def split(node: Expr, write: Writing) -> str | None:
    """split of what another function gives, whose texts Sail keeps in a form that its split cannot read."""
    first = node.parts[0] if node.parts else None
    if first is None or first.kind in {"name", "string", "cast"}:
        return None
    return write.replaced(node, first, f"CAST({write.text(first)} AS STRING)")
