"""Text beside numbers, dates and truth values: Spark casts the text, Sail takes the type of the other or of the first.

Spark's rule (`AnsiTypeCoercion`): beside a whole number text becomes BIGINT, beside another number DOUBLE, beside
anything else that. What Spark refuses, a number as a condition for one, Sail answers: that is refused here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from mcp_server.dialects.sail.collections import fields_of
from mcp_server.dialects.sail.inference import results
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.writing import Rule, Writing, squeeze, written
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, join, quote_text, write_type, write_word
from mcp_server.sql.edits import Edit
from mcp_server.sql.expr import Expr
from mcp_server.sql.functions import functions
from mcp_server.sql.types import FRACTIONS, INTEGERS, Decimal, Type, common_type, is_nested

_COMPARED: Final = frozenset({"=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>"})
_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%"})
_TRIED: Final = {"try_add": "({} + {})", "try_subtract": "({} - {})", "try_multiply": "({} * {})"}
_BITS: Final = frozenset({"&", "|", "^"})
_RECKONING: Final = (
    "sum", "avg", "mean", "try_sum", "try_avg", "abs", "round", "bround", "floor", "ceil", "ceiling", "sqrt", "exp",
    "ln", "log10", "stddev", "variance", "median", "sign", "negative",
)  # fmt: skip
_SHORT: Final = 9
"""Digits that fit any whole number's type: text of so many means the same either way."""


def rewrite_coercion(case: Case, _: Catalog) -> Sequence[Edit]:
    """Casts where Spark makes them unasked. Errors: EngineLacks, for what Spark refuses and Sail answers."""
    return written(case, _written)


def _written(node: Expr, write: Writing) -> Sql | None:
    if node.kind == "call" and node.find_rest("over") is None and functions().classes.get(node.word) == "aggregate":
        _check_inside(node)
    rule = _RULES.get((node.kind, node.word)) or _RULES.get((node.kind.removeprefix("not "), ""))
    return rule(node, write) if rule is not None else None


def _check_inside(aggregate: Expr) -> None:
    if any(inner.find_rest("over") is not None for part in aggregate.parts for inner in _own(part)):
        raise lacking(
            aggregate.word, "a window inside it as Spark does, which refuses it", "Put the window into a WITH."
        )


def _own(node: Expr) -> Iterator[Expr]:
    """A node and its parts, without those of sub-queries."""
    if node.kind != "query":
        yield node
        for child in node.children:
            yield from _own(child)


def _no_bits(node: Expr, write: Writing) -> Sql | None:
    kinds = [write.types.of(part) for part in node.parts]
    if any(kind in FRACTIONS if node.word == "div" else _has_fraction(kind) for kind in kinds):
        raise lacking(f"{node.word} of a fraction", "it as Spark does, which refuses it", "Cast to BIGINT.")
    return None


def _of_decimals(node: Expr, write: Writing) -> Sql | None:
    kinds = [write.types.of(part) for part in node.parts]
    if len(kinds) != 2:
        return None
    divisor = node.parts[1]
    by_zero = divisor.kind != "number" or not write.sent(divisor).strip("-0. DdFf")
    if (by_zero and not {*kinds}.isdisjoint(FRACTIONS)) or any(isinstance(kind, Decimal) for kind in kinds):
        raise lacking(node.word, "it of decimals, or by what may be zero, as Spark does", "Write ((x % y) + y) % y.")
    return None


def _has_fraction(kind: Type | None) -> bool:
    return kind in FRACTIONS or isinstance(kind, Decimal)


def _is_mixed(kinds: Collection[Type | None]) -> bool:
    """Whether a double is what these numbers become, and is not what Sail makes of them."""
    others = any(isinstance(kind, Decimal) for kind in kinds)
    return (others and not {*kinds}.isdisjoint(FRACTIONS)) or ("float" in kinds and not {*kinds}.isdisjoint(INTEGERS))


def _is_number(kind: Type | None) -> bool:
    return kind in INTEGERS or _has_fraction(kind)


def _binary(node: Expr, write: Writing) -> Sql | None:
    if node.word in _COMPARED:
        return _together(node, write, node.parts)
    if node.word in _BITS or node.word == "div":
        return _no_bits(node, write)
    if node.word not in _ARITHMETIC:
        return None
    kinds = [write.types.of(part) for part in node.parts]
    if "float" in kinds and _is_mixed(kinds):
        return _cast(node, write, node.parts, "double")
    if "string" not in kinds or not any(map(_is_number, kinds)):
        return None
    return _cast(node, write, node.parts, common_type(kinds))


def _together(node: Expr, write: Writing, parts: Sequence[Expr]) -> Sql | None:
    """Operands that are compared with each other."""
    kinds = [write.types.of(part) for part in parts]
    if _is_mixed(kinds):
        numbers = [part for part in parts if _is_number(write.types.of(part))]
        return _cast(node, write, numbers, "double") if None not in kinds else None
    if None in kinds or "string" not in kinds or set(kinds) <= {"string", "void"}:
        return None
    target = common_type(kinds)
    texts = [part for part, kind in zip(parts, kinds, strict=True) if kind == "string"]
    if target is None or (target == "bigint" and all(_is_short(part, write) for part in texts)):
        return None
    return _cast(node, write, texts, target)


def _is_short(part: Expr, write: Writing) -> bool:
    text = write.sent(part)[1:-1].removeprefix("-")
    return part.kind == "string" and text.isdigit() and len(text) <= _SHORT


def _cast(node: Expr, write: Writing, parts: Sequence[Expr], target: Type | None) -> Sql | None:
    """The node with those of `parts` cast that have another type."""
    if target is None:
        return None
    other = [part for part in parts if write.types.of(part) not in {target, "void"}]
    if not other:
        return None
    kind = str(target).upper()
    return write.kept(
        node, lambda part: compose("CAST({} AS {})", write.text(part), write_type(kind)) if part in other else None
    )


def _shifted(node: Expr, write: Writing) -> Sql | None:
    """Java shifts by what is left of the number of places after 32, or 64 for a BIGINT, and by none not at all."""
    if len(node.parts) != 2 or _is_bounded(node.parts[1]):
        return None
    kind, places = write.types.of(node.parts[0]), write.types.text(node.parts[1])
    most = 63 if kind == "bigint" else 31
    if places and node.parts[1].word != "-" and 0 < int(places) <= most:
        return None
    value, left = write.text(node.parts[0]), compose("({}) & {}", write.text(node.parts[1]), most)
    return compose(
        "if({} = 0, {}, shiftrightunsigned({}, if({} = 0, 1, {}) & {}))", left, value, value, left, left, most
    )


def _is_bounded(places: Expr) -> bool:
    """Whether they are what `_shifted` writes: `if(n = 0, 1, n) & 31`, which is neither none nor too many."""
    if places.word != "&" or places.parts[1].kind != "number":
        return False
    chosen = places.parts[0]
    return chosen.word == "if" and len(chosen.parts) == 3 and chosen.parts[1].kind == "number"


def _within(node: Expr, write: Writing) -> Sql | None:
    return None if any(part.kind == "query" for part in node.parts) else _together(node, write, node.parts)


def _chosen(node: Expr, write: Writing) -> Sql | None:
    """CASE and its kin: conditions are no numbers, and what they give has one type."""
    if node.kind == "case":
        tests: Sequence[Expr] = [p for p, w in _worded(node) if w == "when" and not node.word.startswith("case")]
        given: Sequence[Expr] = results(node)
    else:
        tests = node.parts[:1] if node.word == "if" else ()
        given = node.parts[node.word in {"if", "nvl2"} :]
    if any(_is_number(write.types.of(test)) for test in tests):
        raise lacking("a number as a condition", "it as Spark does, which refuses it", "Write x <> 0.")
    kinds = {write.types.of(part) for part in given} - {"void"}
    if not (_is_mixed(kinds) or kinds & {"string", "timestamp"}) or len(kinds) < 2 or None in kinds:
        return None
    return _cast(node, write, given, common_type(list(kinds)))


def _worded(node: Expr) -> list[tuple[Expr, str]]:
    return list(zip(node.parts, node.word.split(), strict=True))


def _of_one_type(node: Expr, write: Writing) -> Sql | None:
    kinds = {write.types.of(part) for part in node.parts} - {"void"}
    if "string" in kinds and any(map(_is_number, kinds)):
        raise lacking(node.word, "text beside numbers as Spark does, which refuses it", "Cast to one type.")
    return _cast(node, write, node.parts, "double") if _is_mixed(kinds) and None not in kinds else None


def _number(node: Expr, write: Writing) -> Sql | None:
    """Text that is reckoned with is a double."""
    if not node.parts or write.types.of(node.parts[0]) != "string":
        return _alone(node, write)
    return _cast(node, write, node.parts[:1], "double")


def _tried(node: Expr, write: Writing) -> Sql | None:
    """try_add and its kin take whole numbers of one type only."""
    kinds = {write.types.of(part) for part in node.parts}
    if kinds & {*FRACTIONS} and len(node.parts) == 2 and all(map(_is_number, kinds)):
        left, right = map(write.text, node.parts)  # a double is never too large: it is infinite then, on both
        return compose(_TRIED[node.word], left, right)
    return _cast(node, write, node.parts, common_type(list(kinds))) if kinds <= {*INTEGERS} else None


def _alone(node: Expr, _: Writing) -> Sql | None:
    if node.find_rest("distinct") is not None and node.find_rest("over") is not None:
        raise lacking(
            f"{node.word}(DISTINCT) OVER", "it as Spark does, which refuses it", "Write size(collect_set(x) OVER w)."
        )
    return None


def _outermost(node: Expr, write: Writing) -> Sql | None:
    """The largest or smallest struct: a null in it is less than anything to Spark, and more to Sail."""
    kind = write.types.of(node.parts[0]) if len(node.parts) == 1 else None
    if not is_nested(kind):
        return _alone(node, write)
    fields = fields_of(node.parts[0], write)
    if not fields or any(is_nested(write.types.of(value)) for _, value in fields):
        raise lacking(f"{node.word} of this {kind}", "it as Spark does, with nulls in it", "Take max(struct(x, y)).")
    if _is_ordered(fields, write):
        return None
    rest = join(" ", (write.text(each) for each in node.rest))
    names = [write.fresh(f"value{at}_", node) for at in range(len(fields))]
    found = compose("array({}({}) {})", write_word(node.word), _ordered(fields, write, names), rest)
    top = write.fresh("top_", node)
    values = [compose("{}.{}", top, name) for name in names]
    if node.parts[0].word == "array":
        made = compose("array({})", join(", ", values))
    else:
        pairs = (compose("{}, {}", quote_text(name), each) for (name, _), each in zip(fields, values, strict=True))
        made = compose("named_struct({})", join(", ", pairs))
    return compose("element_at(transform({}, {} -> if({} IS NULL, NULL, {})), 1)", found, top, top, made)


def _ordered(fields: Sequence[tuple[str, Expr]], write: Writing, names: Sequence[Sql]) -> Sql:
    """A struct that Sail puts in Spark's order. Its names are its own: Sail takes structs of the same ones for one."""
    pairs = (
        compose(
            "{} IS NOT NULL AS {}, {} AS {}",
            write.text(value),
            write.fresh(f"known_{name}", value),
            write.text(value),
            name,
        )
        for (_, value), name in zip(fields, names, strict=True)
    )
    return compose("struct({})", join(", ", pairs))


def _is_ordered(fields: Sequence[tuple[str, Expr]], write: Writing) -> bool:
    """Whether each value stands behind whether it is known, as `_ordered` writes them."""
    known, values = fields[::2], fields[1::2]
    return len(known) == len(values) and all(
        each.word == "is not null" and squeeze(write.sent(each.parts[0])) == squeeze(write.sent(value))
        for (_, each), (_, value) in zip(known, values, strict=True)
    )


def _by(node: Expr, write: Writing) -> Sql | None:
    """max_by and min_by with a struct to order by."""
    by = node.parts[1] if len(node.parts) == 2 else node
    kind = write.types.of(by)
    if by is node or not is_nested(kind):
        return None
    fields = fields_of(by, write)
    if fields and _is_ordered(fields, write):
        return None
    if not fields or any(is_nested(write.types.of(value)) for _, value in fields):
        raise lacking(f"{node.word} of this {kind}", "it as Spark does, with nulls in it", "Order by struct(x, y).")
    return write.replaced(
        node, by, _ordered(fields, write, [write.fresh(f"value{at}_", by) for at in range(len(fields))])
    )


def _days(node: Expr, write: Writing) -> Sql | None:
    if len(node.parts) == 2:
        kind = write.types.of(node.parts[1])
        if _has_fraction(kind):
            raise lacking(node.word, "a fraction of days as Spark does, which refuses it", "Give whole days.")
    return None


def _pattern(node: Expr, write: Writing) -> Sql | None:
    """What LIKE and RLIKE look at is text."""
    kind = write.types.of(node.parts[0])
    if kind not in {*INTEGERS, "boolean", "date", "timestamp"} and not isinstance(kind, Decimal):
        return None
    return _cast(node, write, node.parts[:1], "string")


_RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("binary", ""): _binary,
    ("binary", ">>>"): _shifted,
    ("unary", "~"): _no_bits,
    ("call", "shiftrightunsigned"): _shifted,
    ("call", "pmod"): _of_decimals,
    ("between", ""): lambda node, write: _together(node, write, node.parts),
    ("in", ""): _within,
    ("like", ""): _pattern,
    ("case", ""): _chosen,
    **{("call", name): _chosen for name in ("if", "coalesce", "ifnull", "nvl", "nvl2", "array")},
    **{("call", name): _of_one_type for name in ("greatest", "least")},
    **{("call", name): _number for name in _RECKONING},
    **{("call", name): _tried for name in _TRIED},
    ("call", "count"): _alone,
    ("call", "max"): _outermost,
    ("call", "min"): _outermost,
    ("call", "max_by"): _by,
    ("call", "min_by"): _by,
    **{("call", name): _days for name in ("date_add", "date_sub", "dateadd")},
}
