"""Functions that the embedded engine lacks or answers otherwise: other words for the call, or EngineLacks.

Most of it is data (`sail.toml`); here are the calls whose other words depend on more than their arguments.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mcp_server.dialects.sail import aggregates, collections
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.sail import Form, sail
from mcp_server.dialects.sail.writing import Writing, squeeze, written
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, compose_named, join, write_word
from mcp_server.sql.edits import Edit
from mcp_server.sql.expr import Expr
from mcp_server.sql.types import FRACTIONS, INTEGERS, Decimal

Maker = Callable[[Expr, Writing], Sql | None]


def rewrite_functions(case: Case, _: Catalog) -> Sequence[Edit]:
    """Calls in words that Sail has. Errors: EngineLacks, with what to write instead."""
    for name in case.functions & sail().lacks.keys():
        raise _lacking(name, name)
    words = any(token.key in {"[", "FILTER"} for token in case.source.tokens)
    if not (words or case.functions & _known() or _has_pair(case)):
        return ()
    return written(case, _written)


def _has_pair(case: Case) -> bool:
    """Whether one of `_PAIRS` begins a call: without it those functions are in many a statement and never rewritten."""
    keys = case.source.keys
    return any(
        bracket == "(" and second in _PAIRS.get(first, ())
        for first, bracket, second in zip(keys, keys[1:], keys[2:], strict=False)
    )


@functools.cache
def _known() -> frozenset[str]:
    """Names of functions of which some calls are rewritten or refused."""
    tables = sail()
    keyed = (key.partition("/")[0] for table in (tables.lacks, tables.forms, tables.lengths) for key in table)
    return frozenset(keyed) | (MAKERS.keys() - {each.lower() for each in _PAIRS})


def _lacking(key: str, name: str) -> Exception:
    lack = sail().lacks[key]
    return lacking(name, lack.why.format(name=name), lack.instead)


def _written(node: Expr, write: Writing) -> Sql | None:
    if node.kind == "index":
        return collections.indexed(node, write)
    if node.kind != "call":
        return None
    tables, key = sail(), f"{node.word}/{len(node.parts)}"
    if key in tables.lacks:
        raise _lacking(key, node.word)
    if node.find_rest("filter") is not None and node.find_rest("over") is not None:
        return aggregates.filtered(node, write)
    maker = MAKERS.get(node.word)
    found = maker(node, write) if maker is not None else None
    if found is None and key in tables.forms:
        return _formed(node, write, tables.forms[key])
    if found is None and key in tables.lengths and (node.parts[1].kind, node.parts[1].word) != ("number", ""):
        return _formed(node, write, tables.lengths[key])
    return found


def _formed(node: Expr, write: Writing, form: Form) -> Sql | None:
    """The call in the words of a form, unless it is what the form has written."""
    if node.find_rest("distinct") is not None:
        return None
    if form.keeps_call:
        text = _filled(form, node, write, call=write.kept(node))
        return None if write.stands(text, node) else text
    for which, kind in form.casts.items():
        if (node.parts[which].kind, node.parts[which].word) == ("cast", kind.upper()):
            return None
    return join(" ", [_filled(form, node, write), *map(write.text, node.rest)])


def _filled(form: Form, node: Expr, write: Writing, **parts: Sql) -> Sql:
    names = {name: write.fresh(name, node) for name in form.fresh}
    return compose_named(form.text, map(write.text, node.parts), **parts, **names)


def _fields(node: Expr, write: Writing) -> Sql | None:
    """extract(f FROM x) and date_part('f', x): some fields, and the parts of an interval."""
    if len(node.parts) != 2:
        return None
    if write.types.of(node.parts[1]) == "interval":
        raise lacking(node.word, "the parts of an interval as Spark does", "Take the parts of dates and times.")
    form = sail().fields.get(write.sent(node.parts[0]).strip("'\"").lower())
    return None if form is None else _formed(node, write, form)


def _decode(node: Expr, write: Writing) -> Sql | None:
    """decode(x, a, b, …, otherwise), where nulls are equal."""
    if len(node.parts) < 3:
        return None
    value, *rest = map(write.text, node.parts)
    pairs = join(
        " ", (compose("WHEN {} <=> {} THEN {}", value, a, b) for a, b in zip(rest[::2], rest[1::2], strict=False))
    )
    otherwise = compose("ELSE {}", rest[-1]) if len(rest) % 2 else compose("")
    return compose("CASE {} {} END", pairs, otherwise)


def _json_path(node: Expr, write: Writing) -> Sql | None:
    if len(node.parts) == 2 and node.parts[1].kind == "string" and "*" in write.sent(node.parts[1]):
        raise lacking(
            "get_json_object", "a path with *", "Write from_json(j, 'b ARRAY<STRUCT<c: INT>>').b and transform it."
        )
    return None


def _variant_text(node: Expr, write: Writing) -> Sql | None:
    if len(node.parts) == 3 and write.sent(node.parts[2]).strip("'\"").lower() == "string":
        raise lacking(node.word, "a value of another type as a string", "Write get_json_object(j, '$.a').")
    return None


def _date_pattern(node: Expr, write: Writing) -> Sql | None:
    """The session is in UTC, which Sail calls Etc/UTC."""
    pattern = write.sent(node.parts[1]) if len(node.parts) == 2 and node.parts[1].kind == "string" else ""
    if set(pattern[1:-1].replace("\\'", "'").split("'")[0]) & {"z", "V"}:
        raise lacking("date_format", "the name of a time zone", "All times here are UTC: write 'UTC' as text.")
    return None


def _base(node: Expr, write: Writing) -> Sql | None:
    kind = write.types.of(node.parts[0]) if node.parts else None
    if kind in FRACTIONS or isinstance(kind, Decimal):
        raise lacking(node.word, "it of a fraction as Spark does", "Cast to BIGINT.")
    return None


def _is_nan(node: Expr, write: Writing) -> Sql | None:
    """A null is no NaN, and not unknown."""
    found = compose("({} <=> true)", write.kept(node))
    return None if write.stands(found, node) else found


def _left_over(node: Expr, write: Writing) -> Sql | None:
    if len(node.parts) != 2:
        return None
    left, right = map(write.text, node.parts)
    return compose("({} % {})", left, right)


def _letter(node: Expr, write: Writing) -> Sql | None:
    """chr counts to 255 and begins again; below zero it is nothing."""
    if len(node.parts) != 1 or _is_byte(node.parts[0], write):
        return None
    digits = write.types.text(node.parts[0])
    if digits and node.parts[0].word != "-" and int(digits) < 256:
        return None
    number = compose("CAST({} AS BIGINT)", write.text(node.parts[0]))
    return compose("if({} < 0, '', {}({} & 255))", number, write_word(node.word), number)


def _is_byte(node: Expr, write: Writing) -> bool:
    return node.word == "&" and write.types.text(node.parts[1]) == "255"


def _repeated(node: Expr, write: Writing) -> Sql | None:
    """A number of times, or a length, below zero is none in Spark, and an error in Sail."""
    if len(node.parts) < 2 or (node.parts[1].kind, node.parts[1].word) != ("number", "-"):
        return None
    return write.replaced(node, node.parts[1], compose("0"))


def _cut_out(node: Expr, write: Writing) -> Sql | None:
    """A place that is null gives null; a number of letters below zero is none in Spark, and an error in Sail."""
    if len(node.parts) < 2 or _is_counted(node, write):
        return None
    text, first, *last = node.parts
    counted = _counted(text, first, last[0], write) if last else None
    if first.kind == "number":
        return counted
    call = counted or write.kept(node)
    whole = compose("if({} IS NULL, NULL, {})", write.text(first), call)
    return None if write.stands(whole, node) else whole


def _counted(text: Expr, first: Expr, last: Expr, write: Writing) -> Sql | None:
    """substring with a number of letters that is not below zero."""
    count = write.text(last)
    if _may_be_negative(first):
        # What is counted from the end, and begins before the text does, ends where it would all the same.
        count = compose("({} + {})", _left_out(text, first, write), count)
    elif not _may_be_negative(last):
        return None
    return compose("substring({}, {}, if({} < 0, 0, {}))", write.text(text), write.text(first), count, count)


def _left_out(text: Expr, first: Expr, write: Writing) -> Sql:
    """How many letters before the text's first there would be, as a number below zero."""
    start = compose("({} + length({}))", write.text(first), write.text(text))
    return compose("if({} < 0, {}, 0)", start, start)


def _is_counted(node: Expr, write: Writing) -> bool:
    """Whether it is what `_counted` writes."""
    if len(node.parts) != 3 or node.parts[2].word != "if" or len(node.parts[2].parts) != 3:
        return False
    text, first, last = node.parts
    begun = f"if(({squeeze(_left_out(text, first, write))}+" if _may_be_negative(first) else ""
    is_least = write.sent(last.parts[1]) == "0"
    return is_least and squeeze(write.sent(last)).startswith(begun) and _is_clamped(last, write)


def _is_clamped(node: Expr, write: Writing) -> bool:
    """Whether it is `if(n < 0, …, n)`."""
    test = node.parts[0]
    return test.word == "<" and squeeze(write.sent(test.parts[0])) == squeeze(write.sent(node.parts[2]))


def _overlaid(node: Expr, write: Writing) -> Sql | None:
    """A number of letters below zero is as many as are put in."""
    if len(node.parts) != 4 or not _may_be_negative(node.parts[3]):
        return None
    put, count = write.text(node.parts[1]), write.text(node.parts[3])
    if (
        node.parts[3].word == "if"
        and f",length({squeeze(put)})," in squeeze(count)
        and _is_clamped(node.parts[3], write)
    ):
        return None
    return write.replaced(node, node.parts[3], compose("if({} < 0, length({}), {})", count, put, count))


def _may_be_negative(node: Expr) -> bool:
    return node.kind != "number" or node.word == "-"


def _factorial(node: Expr, write: Writing) -> Sql | None:
    if len(node.parts) != 1:
        return None
    number, inner = write.text(node.parts[0]), node.parts[0].parts
    if node.parts[0].word == "if" and inner and inner[0].kind == "between" and "BETWEEN0AND20," in squeeze(number):
        return None
    if write.types.of(node.parts[0]) == "bigint":
        raise lacking("factorial", "it of a BIGINT as Spark does", "Write factorial(CAST(x AS INT)).")
    return compose("factorial(if({} BETWEEN 0 AND 20, {}, NULL))", number, number)


def _truncated(node: Expr, write: Writing) -> Sql | None:
    """A unit that there is none of gives null."""
    if len(node.parts) != 2:
        return None
    of_date = node.word == "trunc"
    unit = node.parts[1] if of_date else node.parts[0]
    units = _DATE_UNITS if of_date else _DATE_UNITS | _TIME_UNITS
    if unit.kind != "string" or write.sent(unit)[1:-1].upper() in units:
        return None
    return compose("CAST(NULL AS DATE)" if of_date else "CAST(NULL AS TIMESTAMP)")


def _since_1970(node: Expr, write: Writing) -> Sql | None:
    """timestamp_seconds of a double, of which Spark cuts off what is less than a microsecond."""
    if not node.parts or write.types.of(node.parts[0]) not in FRACTIONS:
        return None
    return compose("timestamp_micros(CAST({} * 1E6D AS BIGINT))", write.text(node.parts[0]))


def _apart(node: Expr, write: Writing) -> Sql | None:
    """Whole units between two times, as Java counts them; Sail counts midnights, and begun units below zero.

    Months are those of `LocalDateTime.until`: the later date counts only if its time of day is reached.
    """
    if len(node.parts) != 3:
        return None
    unit = write.sent(node.parts[0]).strip("'\"").upper()
    first, last = (
        write.text(part) if write.types.of(part) == "timestamp" else compose("CAST({} AS TIMESTAMP)", write.text(part))
        for part in node.parts[1:]
    )
    if unit in _MICROSECONDS:
        return compose("((unix_micros({}) - unix_micros({})) DIV {})", last, first, _MICROSECONDS[unit])
    if unit not in _MONTHS:
        return None
    reached = compose(
        "CAST(timestamp_micros(unix_micros({}) - unix_micros({}) % {} + if({} < {}, {}, 0)) AS DATE)",
        last,
        first,
        _DAY,
        last,
        first,
        _DAY - 1,
    )
    places = [
        compose("((year({}) * 12 + month({})) * 32 + day({}))", day, day, day)
        for day in (reached, compose("CAST({} AS DATE)", first))
    ]
    return compose("(({} - {}) DIV {})", places[0], places[1], 32 * _MONTHS[unit])


def _encoded(node: Expr, write: Writing) -> Sql | None:
    """Other character sets lack letters, for which Spark fails, or begin with a mark even where there is no letter."""
    charset = write.sent(node.parts[1]).strip("'\"").lower() if len(node.parts) == 2 else ""
    if charset not in {"utf-8", "utf-16be", "utf-16le"}:
        raise lacking("encode", "this character set as Spark does", "Write encode(s, 'UTF-8') or 'UTF-16BE'.")
    return None


def _to_bytes(node: Expr, write: Writing) -> Sql | None:
    """Malformed text, which Sail takes for something all the same."""
    asked = write.sent(node.parts[1]).strip("'\"").lower() if len(node.parts) == 2 else "hex"
    if asked not in ({"utf-8", "utf8"} if node.word == "to_binary" else {"utf-8", "utf8", "hex"}):
        raise lacking(
            node.word, f"the format {asked} as Spark does", "Write unhex(s), unbase64(s) or CAST(s AS BINARY)."
        )
    return None


def _to_json(node: Expr, write: Writing) -> Sql | None:
    kind = write.types.of(node.parts[0]) if node.parts else None
    if isinstance(kind, Decimal) or kind in _NO_JSON:
        raise lacking("to_json", f"it of {kind} as Spark does, which refuses it", "Write to_json(struct(x)).")
    return None


def _of_times(node: Expr, write: Writing) -> Sql | None:
    if node.parts and write.types.of(node.parts[0]) == "date":
        raise lacking(node.word, "it of a date as Spark does, which refuses it", "Write CAST(d AS TIMESTAMP).")
    return None


def _try_divide(node: Expr, write: Writing) -> Sql | None:
    """Of numbers with a fraction, which Sail's own does not take."""
    kinds = [write.types.of(part) for part in node.parts]
    if len(kinds) != 2 or not any(kind in FRACTIONS or isinstance(kind, Decimal) for kind in kinds):
        return None
    left, right = map(write.text, node.parts)
    digits = write.types.text(node.parts[1])
    return compose("({} / {})", left, right) if digits and int(digits) else compose("({} / nullif({}, 0))", left, right)


def _cased(node: Expr, write: Writing) -> Sql | None:
    """lower(upper(x)) is lower(x) to Spark's optimizer, which leaves an ß alone that upper(x) makes SS of."""
    inner = node.parts[0] if len(node.parts) == 1 else node
    if not write.reads_tables or not _changes_case(inner) or not any(each.kind == "name" for each in inner.walk()):
        return None  # constants and VALUES are reckoned before anything is simplified
    while _changes_case(inner):
        inner = inner.parts[0]
    return compose("{}({})", write_word(node.word), write.text(inner))


def _changes_case(node: Expr) -> bool:
    return node.kind == "call" and node.word in _CASES and len(node.parts) == 1


_CASES: Final = ("lower", "lcase", "upper", "ucase")
_PAIRS: Final[Mapping[str, frozenset[str]]] = {
    "COUNT": frozenset({"DISTINCT"}),
    **dict.fromkeys(map(str.upper, _CASES), frozenset(map(str.upper, _CASES))),
}
"""A function and what its brackets have to begin with for it to be written in other words."""

_DAY: Final = 86_400_000_000
_MICROSECONDS: Final = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": _DAY,
    "WEEK": 7 * _DAY,
}
_MONTHS: Final = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
"""Units between times, and how long they are."""

_NO_JSON: Final = frozenset({*INTEGERS, *FRACTIONS, "boolean", "date", "timestamp", "string", "binary"})

_DATE_UNITS: Final = frozenset({"YEAR", "YYYY", "YY", "QUARTER", "MONTH", "MM", "MON", "WEEK"})
_TIME_UNITS: Final = frozenset({"DAY", "DD", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"})

MAKERS: Final[Mapping[str, Maker]] = {
    **dict.fromkeys(_CASES, _cased),
    "approx_percentile": aggregates.quantile,
    "array_contains": collections.contains,
    "array_max": collections.extreme,
    "array_min": collections.extreme,
    "array_sort": collections.sort,
    "char": _letter,
    "chr": _letter,
    "conv": _base,
    "count": aggregates.counted_together,
    "date_format": _date_pattern,
    **dict.fromkeys(("date_diff", "datediff", "timediff", "timestampdiff"), _apart),
    "date_trunc": _truncated,
    "date_part": _fields,
    "datepart": _fields,
    "decode": _decode,
    "encode": _encoded,
    "explode": collections.explode,
    "explode_outer": collections.explode,
    "extract": _fields,
    "factorial": _factorial,
    "get_json_object": _json_path,
    "isnan": _is_nan,
    "listagg": aggregates.joined,
    "lpad": _repeated,
    "mod": _left_over,
    "overlay": _overlaid,
    "percentile_approx": aggregates.quantile,
    "percentile_cont": aggregates.quantiles,
    "percentile_disc": aggregates.quantiles,
    "posexplode": collections.posexplode,
    "posexplode_outer": collections.posexplode,
    "repeat": _repeated,
    "rpad": _repeated,
    "slice": collections.cut,
    "split": collections.split,
    "string_agg": aggregates.joined,
    "substr": _cut_out,
    "substring": _cut_out,
    "timestamp_seconds": _since_1970,
    "to_binary": _to_bytes,
    "to_json": _to_json,
    "transform_keys": collections.transform_map,
    "transform_values": collections.transform_map,
    "trunc": _truncated,
    "try_divide": _try_divide,
    "try_to_binary": _to_bytes,
    "try_variant_get": _variant_text,
    **dict.fromkeys(("unix_micros", "unix_millis", "unix_seconds"), _of_times),
    "variant_get": _variant_text,
    "zip_with": collections.zip_with,
}
