"""Arithmetic that the embedded engine does otherwise than Spark: decimals, and rounding of doubles.

Sail divides decimals to four digits more than the dividend has and cuts the rest off; Spark gives at least six,
rounds, and takes the digits of a number that is written out into account. `runtimeMinutes / 60.0` is 1.6666 in
one and 1.666667 in the other. Where all types are known, the type that Spark has is written into the statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from mcp_server.dialects.sail.inference import results
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.texts import RAW
from mcp_server.dialects.sail.writing import Rule, Writing, written
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, write_type, write_word
from mcp_server.sql.edits import Edit
from mcp_server.sql.expr import Expr
from mcp_server.sql.source import Source
from mcp_server.sql.types import FRACTIONS, INTEGERS, MAX_PRECISION, Decimal, bound_decimal, parse_type, round_decimal
from mcp_server.sql.words import STAR_NEXT

_STEPPED = Decimal(30, 15)
"""What Spark takes a double for where it wants a decimal (`DecimalType.DoubleDecimal`)."""

EXACT = Decimal(MAX_PRECISION, 18)
"""Digits enough for a double as it is written out: rounding those is what Spark does (`BigDecimal(x).setScale(n,
HALF_UP)`), where Sail multiplies by 10 to the n and meets 28.499999999999996. Casting the double itself to a decimal
multiplies too, so it goes by way of its text."""

_KEYS = frozenset({"/", "-", "+", "%", "CASE", "CAST", "TRY_CAST", "::"})
_NUMBERS = frozenset({*INTEGERS, "float", "double"})
_PLACEHOLDER = re.compile(r"%(?:(\d{1,9})\$)?[-#+ 0,(]*+\d*+(?:\.(\d{1,9}))?([a-zA-Z%])")


def rewrite_numbers(case: Case, _: Catalog) -> Sequence[Edit]:
    """Decimals divided, averaged and rounded as Spark does; doubles rounded as it does; dates with hours added.

    Errors: EngineLacks, for a difference of two dates.
    """
    source = case.source
    if not (any(_reckons(source, index) for index in range(len(source.tokens))) or _CALLS & case.functions):
        return ()
    return written(case, _written)


def _reckons(source: Source, index: int) -> bool:
    """Whether a token is an operator or CASE; a `*` may also mean all columns."""
    key = source.key(index)
    return key in _KEYS or (key == "*" and source.key(index - 1) not in STAR_NEXT)


def _read(node: Expr, write: Writing) -> Sql | None:
    """try_cast of a text to a decimal; Sail takes none with an exponent, such as 1e3."""
    inner, parent = node.parts[0], write.parent(node)
    is_own = parent is not None and parent.word == "if" and write.sent(parent.parts[0]).endswith("RLIKE '[eE]'")
    if write.types.of(inner) != "string" or _is_cast(inner, RAW) or is_own:
        return None
    has_exponent = compose("{} RLIKE '[eE]'", write.text(inner))
    return compose(
        "if({}, try_cast(try_cast({} AS DOUBLE) AS {}), {})",
        has_exponent,
        write.text(inner),
        write_type(node.word),
        write.kept(node),
    )


def _as_decimal(node: Expr, write: Writing) -> Sql | None:
    kind, inner = write.types.of(node.parts[0]), write.text(node.parts[0])
    if kind == "boolean":
        return compose("CAST(CAST({} AS INT) AS {})", inner, write_type(node.word))
    if kind == "timestamp":
        return compose(
            "{}(CAST(unix_micros({}) AS DECIMAL(20,0)) * 0.000001BD AS {})",
            write_word(node.kind.upper()),
            inner,
            write_type(node.word),
        )
    return _read(node, write) if node.kind == "try_cast" else None


def _seconds(node: Expr, write: Writing) -> Sql | None:
    """A time as whole seconds: Sail cuts what is before 1970 off towards zero."""
    if write.types.of(node.parts[0]) != "timestamp":
        return None
    time = write.text(node.parts[0])
    early = compose("{} < TIMESTAMP '1970-01-01 00:00:00' AND unix_micros({}) % 1000000 <> 0", time, time)
    return compose("CAST(unix_seconds({}) - if({}, 1, 0) AS {})", time, early, write_type(node.word))


def _truth(node: Expr, write: Writing) -> Sql | None:
    if not isinstance(write.types.of(node.parts[0]), Decimal):
        return None
    return compose("({} <> 0)", write.text(node.parts[0]))


def _written(node: Expr, write: Writing) -> Sql | None:
    if node.kind in {"cast", "try_cast"} and isinstance(parse_type(node.word), Decimal):
        return _as_decimal(node, write)
    rule = _RULES.get((node.kind, node.word)) or _RULES.get((node.kind, ""))
    return rule(node, write) if rule is not None else None


def _is_cast(node: Expr | None, *kinds: str) -> bool:
    return node is not None and node.kind == "cast" and (not kinds or node.word in kinds)


def _divided(node: Expr, write: Writing) -> Sql | None:
    kind = write.types.of(node)
    if not isinstance(kind, Decimal):
        return None
    left, right = node.parts
    parent = write.parent(node)
    meant = parse_type(parent.word) if parent is not None and parent.kind == "cast" else None
    if isinstance(meant, Decimal) and _is_cast(left, str(_widened(meant))):
        return None
    wide = _widened(kind)
    return compose("CAST(CAST({} AS {}) / {} AS {})", write.text(left), wide, write.text(right), kind)


def _widened(kind: Decimal) -> Decimal:
    """Sail adds four digits and cuts: one digit more than are wanted is what rounding needs."""
    return Decimal(MAX_PRECISION, max(kind.scale - 3, 0))


def _combined(node: Expr, write: Writing) -> Sql | None:
    """A whole number beside a decimal counts with its own digits: 2BD is what Spark takes 2 for."""
    kinds = [write.types.of(part) for part in node.parts]
    if kinds == ["date", "date"] and node.word == "-" and not _is_cast(write.parent(node), "INT", "BIGINT"):
        raise lacking("date - date", "it as an interval", "Write datediff(a, b) for the days between them.")
    if "date" in kinds and any(part.kind == "interval" and write.types.is_of_day(part) for part in node.parts):
        return write.kept(
            node,
            lambda part: compose("CAST({} AS TIMESTAMP)", write.text(part)) if write.types.of(part) == "date" else None,
        )
    if not any(isinstance(kind, Decimal) for kind in kinds) or not any(write.types.text(part) for part in node.parts):
        return None
    return write.kept(node, lambda part: compose("{}BD", write.sent(part)) if write.types.text(part) else None)


def _left_over(node: Expr, write: Writing) -> Sql | None:
    """What is left over has the digits of the smaller one in Spark."""
    kind = write.types.of(node)
    parent = write.parent(node)
    if not isinstance(kind, Decimal) or (parent is not None and _is_cast(parent, str(kind))):
        return _combined(node, write)
    return compose("CAST({} AS {})", _combined(node, write) or write.kept(node), kind)


def _or_null(node: Expr, write: Writing) -> Sql | None:
    """nullif has the type of what it gives, and zero has no sign."""
    kind = write.types.of(node)
    if kind in FRACTIONS and len(node.parts) == 2:
        value = write.text(node.parts[0])
        return compose("CASE WHEN {} = {} THEN NULL ELSE {} END", value, write.text(node.parts[1]), value)
    parent = write.parent(node)
    if not isinstance(kind, Decimal) or (parent is not None and _is_cast(parent, str(kind))):
        return None
    return compose("CAST({} AS {})", write.kept(node), kind)


def _averaged(node: Expr, write: Writing) -> Sql | None:
    kind = write.types.of(node)
    inner = write.types.of(node.parts[0]) if node.parts else None
    if not isinstance(kind, Decimal) or not isinstance(inner, Decimal):
        return None
    parent = write.parent(node)
    own = bound_decimal(inner.precision + 3, inner.scale + 3)  # what this has written casts to one digit more, and back
    if _is_cast(node.parts[0]) and parent is not None and parent.kind == "cast" and parse_type(parent.word) == own:
        return None
    wide = bound_decimal(inner.precision + 1, inner.scale + 1)
    call = write.replaced(node, node.parts[0], compose("CAST({} AS {})", write.text(node.parts[0]), wide))
    return compose("CAST({} AS {})", call, kind)


def _rounded(node: Expr, write: Writing) -> Sql | None:
    digits = write.types.digits(node)
    if digits is None:
        raise lacking("round", "digits that are no plain number", "Write them out: round(x, 2).")
    if digits > EXACT.scale or not node.parts:
        return None
    parent, kind = write.parent(node), write.types.of(node)
    if isinstance(kind, Decimal):
        is_exact = _is_cast(parent, "DOUBLE") and node.parts[0].word == str(EXACT)
        if is_exact or _is_cast(parent, str(kind)):
            return None
        return compose("CAST({} AS {})", write.kept(node), kind)
    if kind != "double":
        return None
    found = _exactly(write.text(node.parts[0]), digits)
    return None if write.stands(found, node) else found


def _half_even(node: Expr, write: Writing) -> Sql | None:
    """bround and rint: halves go to the even neighbour, which Sail does for some doubles alone."""
    digits = 0 if node.word == "rint" else write.types.digits(node)
    inner = write.types.of(node.parts[0]) if node.parts else None
    if inner in INTEGERS and node.word == "bround":
        return _tens(node, write, str(inner), digits)
    if digits is None or not 0 <= digits <= EXACT.scale or (inner not in _NUMBERS and not isinstance(inner, Decimal)):
        raise lacking(node.word, "half-even rounding of this", "Write round(x, n).")
    kind = "DOUBLE" if node.word == "rint" or not isinstance(inner, Decimal) else str(round_decimal(inner, digits))
    sent = write.text(node.parts[0])
    value = _digits_of(sent) if kind == "DOUBLE" else compose("({})", sent)
    unit = compose("1E-{}BD", digits) if digits else compose("1BD")
    scaled = compose("abs({} * {}BD)", value, 10**digits)
    is_odd_half = compose("{} % 1BD = 0.5BD AND floor({}) % 2BD = 0BD", scaled, scaled)
    step = compose("CASE WHEN {} THEN sign({}) * {} ELSE 0BD END", is_odd_half, value, unit)
    found = compose("CAST(round({}, {}) - {} AS {})", value, digits, step, write_type(kind))
    if kind == "DOUBLE":
        found = compose("coalesce({}, CAST({} AS DOUBLE))", found, sent)
    return compose("CAST({} AS FLOAT)", found) if inner == "float" and node.word == "bround" else found


def _stepped(node: Expr, write: Writing) -> Sql | None:
    """ceil and floor of a double to some digits: by its decimal digits, in the type that Spark has for it."""
    if len(node.parts) != 2 or write.types.of(node.parts[0]) not in FRACTIONS:
        return None
    value = compose("CAST(CAST({} AS {}) AS {})", write.text(node.parts[0]), write_type(RAW), _STEPPED)
    return write.replaced(node, node.parts[0], value)


def _tens(node: Expr, write: Writing, kind: str, digits: int | None) -> Sql | None:
    """bround of an integer: where the tens exceed its type, Sail gives it back as it was."""
    if digits is not None and digits >= 0:
        return compose("({})", write.text(node.parts[0]))
    if kind == "bigint":
        inner = node.parts[0]
        if _is_cast(inner) and write.types.of(inner.parts[0]) in INTEGERS[:-1]:
            return None  # its tens are far from the type's end
        raise lacking(node.word, "half-even rounding of this", "Write round(x, n).")
    wide = write.replaced(node, node.parts[0], compose("CAST({} AS BIGINT)", write.text(node.parts[0])))
    return compose("CAST({} AS {})", wide, write_type(kind))


def _exactly(value: Sql, digits: int) -> Sql:
    """A double rounded by its decimal digits; NaN and what is too large for them as the engine does, without -0.0."""
    return compose(
        "coalesce(CAST(round({}, {}) AS DOUBLE), 0D + round({}, {}))", _digits_of(value), digits, value, digits
    )


def _digits_of(value: Sql) -> Sql:
    return compose("try_cast(CAST({} AS {}) AS {})", value, write_type(RAW), EXACT)


def _formatted(node: Expr, write: Writing) -> Sql | None:
    """`%.1f` of 2.25 is 2.3 in Spark and 2.2 in Sail."""
    if not node.parts or node.parts[0].kind != "string" or node.parts[0].end - node.parts[0].first > 1:
        return None
    precise = dict[Expr, int]()
    index = 0
    for place, digits, conversion in _PLACEHOLDER.findall(write.sent(node.parts[0])):
        if conversion in "%n":
            continue
        index += not place
        at = int(place) if place else index
        if conversion == "f" and at < len(node.parts):
            precise[node.parts[at]] = int(digits or 6)
    wanted = {part: digits for part, digits in precise.items() if not _is_exact(part) and digits <= EXACT.scale}
    if not wanted:
        return None

    def rounded_off(part: Expr) -> Sql | None:
        is_float = write.types.of(part) == "float"
        value = compose("CAST({} AS DOUBLE)", write.text(part)) if is_float else write.text(part)
        return _exactly(value, wanted[part]) if part in wanted else None

    return write.kept(node, rounded_off)


def _is_exact(node: Expr) -> bool:
    """Whether it is what `_exactly` writes: two ways to one rounded value."""
    if node.word != "coalesce" or len(node.parts) != 2 or not _is_cast(node.parts[0], "DOUBLE"):
        return False
    rounded_off, other = node.parts[0].parts[0], node.parts[1].parts
    return rounded_off.word == "round" and len(other) == 2 and other[0].word == "" and other[1].word == "round"


def _grouped(node: Expr, write: Writing) -> Sql | None:
    """format_number of what a double, which Sail makes of it, does not hold: decimals and large whole numbers."""
    kind, digits = (write.types.of(node.parts[0]) if len(node.parts) == 2 else None), write.types.digits(node)
    exact = Decimal(19, 0) if kind == "bigint" else kind
    if isinstance(exact, Decimal) and digits is None and node.parts[1].kind != "string":
        raise lacking("format_number", "digits that are no plain number", "Write them out: format_number(x, 2).")
    if not isinstance(exact, Decimal) or digits is None or digits < 0:
        return None
    wide = Decimal(min(exact.precision - min(exact.scale - digits, 0) + 1, MAX_PRECISION), digits)
    value = write.text(node.parts[0])
    rounded_off = compose("bround({}, {})", value, digits) if exact.scale > digits else value
    text = compose("CAST(CAST({} AS {}) AS STRING)", rounded_off, wide)
    name = write.fresh("t_", node)
    whole = compose(
        "regexp_replace(reverse(split_part(trim(LEADING '-' FROM {}), '.', 1)), '([0-9]{{3}})', '$1,')", name
    )
    point = compose("'.', split_part({}, '.', 2)", name) if digits else compose("''")
    sign = compose("if({} < 0, '-', '')", value)
    each = compose("{} -> concat({}, reverse(trim(TRAILING ',' FROM {})), {})", name, sign, whole, point)
    return compose("element_at(transform(array({}), {}), 1)", text, each)


def _branches(node: Expr, write: Writing) -> Sql | None:
    """Sail takes the type of the first branch, into which the others may not fit: each is cast to what fits all."""
    kind = write.types.of(node)
    given = results(node) if node.kind == "case" else node.parts[1:]
    kinds = {write.types.of(part) for part in given} - {"void"}
    if kind is None or len(kinds) < 2 or any(each not in _NUMBERS and not isinstance(each, Decimal) for each in kinds):
        return None
    text = str(kind).upper()
    return write.kept(
        node,
        lambda part: (
            compose("CAST({} AS {})", write.text(part), write_type(text))
            if part in given and write.types.of(part) not in {kind, "void"}
            else None
        ),
    )


_RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("binary", "/"): _divided,
    ("binary", "+"): _combined,
    ("binary", "-"): _combined,
    ("binary", "*"): _combined,
    ("binary", "%"): _left_over,
    ("call", "nullif"): _or_null,
    ("call", "avg"): _averaged,
    ("call", "mean"): _averaged,
    ("call", "try_avg"): _averaged,
    ("call", "round"): _rounded,
    ("call", "bround"): _half_even,
    ("call", "rint"): _half_even,
    **{("call", name): _stepped for name in ("ceil", "ceiling", "floor")},
    ("cast", "BIGINT"): _seconds,
    ("cast", "INT"): _seconds,
    ("cast", "BOOLEAN"): _truth,
    ("call", "format_string"): _formatted,
    ("call", "printf"): _formatted,
    ("call", "format_number"): _grouped,
    ("call", "if"): _branches,
    ("case", ""): _branches,
}

_CALLS: Final = frozenset(word for kind, word in _RULES if kind == "call")
