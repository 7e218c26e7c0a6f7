"""The names that Spark gives to columns that have none, where the embedded engine gives others.

Only the outermost query's columns are seen, and only those get an alias whose name in Sail would differ: because
Sail names the operator otherwise, or because the expression is going to be rewritten. What Spark would call a
column is known for what is here; else the column keeps the name that the engine gives it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from mcp_server.dialects.sail.coercion import rewrite_coercion
from mcp_server.dialects.sail.functions import rewrite_functions
from mcp_server.dialects.sail.literals import rewrite_literals, said
from mcp_server.dialects.sail.numbers import rewrite_numbers
from mcp_server.dialects.sail.operators import rewrite_operators
from mcp_server.dialects.sail.overflow import rewrite_overflow
from mcp_server.dialects.sail.patterns import rewrite_patterns
from mcp_server.dialects.sail.sail import sail
from mcp_server.dialects.sail.texts import rewrite_texts
from mcp_server.dialects.sail.windows import over_name
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import back_quote, compose
from mcp_server.sql.edits import Edit
from mcp_server.sql.expr import Expr
from mcp_server.sql.expressions import read_expression
from mcp_server.sql.functions import functions
from mcp_server.sql.lexer import Kind
from mcp_server.sql.source import Source
from mcp_server.sql.types import java_double, number_type, parse_type
from mcp_server.sql.words import KEYWORDS

_OTHERS: Final = (
    rewrite_literals,
    rewrite_operators,
    rewrite_patterns,
    rewrite_functions,
    rewrite_coercion,
    rewrite_texts,
    rewrite_numbers,
    rewrite_overflow,
)

MAX_NAME = 255
"""Characters of a name that is given; longer ones help nobody."""

_NAME = re.compile(r"[\w .,:;!?()\[\]{}<>=+\-*/%&|^~'\"#@]+")
"""What may stand in a name in back-quotes; the lexer's `_ODD_NAME_CHARACTER`."""

_DIGITS: Final = frozenset("09")
_OF_BYTES: Final = frozenset({"base64", "hex", "utf-8"})
"""to_char is named by its pattern: of bytes it is one of these, of a number it has a digit, else it is of a time."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d*[1-9])?")
_PLAIN_OPERATORS: Final = frozenset({"+", "-", "*", "/", "%", "=", "==", "<", "<=", ">", ">=", "<=>", "&", "|", "^"})
_WITHOUT_BRACKETS: Final = frozenset({"CURRENT_DATE", "CURRENT_TIMESTAMP", "LOCALTIMESTAMP"})
_ARGUMENT_WORDS: Final = frozenset({"FROM", "IN", "PLACING", "BOTH", "LEADING", "TRAILING"})
_SAME_WORDS: Final = frozenset({"number", "string", "name", "star", "brackets"})


class Unnamed(Exception):  # noqa: N818  (a signal within this module)
    """Spark's name of an expression is not known here."""


def rewrite_names(case: Case, catalog: Catalog) -> Sequence[Edit]:
    """Aliases for columns that Sail would name otherwise than Spark, or that are going to be rewritten.

    Errors: EngineLacks, those of the other rewrites.
    """
    items = [item for item in _unnamed(case) if item.kind not in {"name", "star", "string"}]
    if not items:
        return ()
    changed = [edit for rewrite in _OTHERS for edit in rewrite(case, catalog)]
    edits: list[Edit] = []
    for item in items:
        if (_is_alike(item) or _is_plain_cast(item)) and not any(
            item.first <= edit.first < item.end for edit in changed
        ):
            continue
        name = name_of(item, case.source)
        if name is not None:
            edits.append(Edit(item.end, item.end, compose("AS {}", back_quote(name))))
    return edits


def _unnamed(case: Case) -> Iterator[Expr]:
    """What the outermost SELECT selects without giving it a name."""
    source, at, end = case.source, 0, len(case.source.tokens)
    while at < end and source.key(at) != "SELECT":
        opened = source.key(at) == "(" and (at > 0 and source.key(at - 1) != "(")
        at = source.closing[at] + 1 if opened or source.key(at) == "[" else at + 1
    at += 1 + (source.key(at + 1) in {"DISTINCT", "ALL"})
    while at < end:
        item = read_expression(case, at)
        at = end if item is None else item.end
        if item is not None and not _is_named(source, at):
            yield item
        while at < end and source.key(at) != ",":
            if source.key(at) in KEYWORDS and source.key(at) != "AS":
                return
            at = source.closing[at] + 1 if source.key(at) in {"(", "["} else at + 1
        at += 1


def _is_named(source: Source, at: int) -> bool:
    return at < len(source.tokens) and (
        source.key(at) == "AS" or (source.tokens[at].is_name and source.key(at) not in KEYWORDS)
    )


def _is_plain_cast(node: Expr) -> bool:
    return node.kind == "cast" and node.parts[0].kind in _SAME_WORDS and _is_alike(node.parts[0])


def _is_alike(node: Expr) -> bool:
    """Whether both engines name an expression alike."""
    if not all(map(_is_alike, node.children)):
        return False
    if node.kind == "call":
        names = sail().names
        named_so = names.keys() & {node.word, f"{node.word}/{len(node.parts)}"}
        extract = node.word in {"extract", "position", "overlay"}
        named_so |= sail().patterns.keys() & {node.word}  # patterns are rewritten
        return not node.rest and not named_so and not extract and functions().classes.get(node.word) != "generator"
    return (
        (node.kind in _SAME_WORDS and node.word != "-")
        or (node.kind == "constant")
        or (node.kind == "binary" and node.word in _PLAIN_OPERATORS)
        or node.kind == "index"
    )


def name_of(node: Expr, source: Source) -> str | None:
    """What Spark calls the column of an expression, None where that is not known."""
    if node.kind == "cast" and node.parts[0].kind == "path" and node.parts[0].word[-1] != "]":
        return node.parts[0].word.rpartition(".")[2]  # parse_json(j):a.b::int is b
    if (
        node.word == "from_json"
        and len(node.parts) > 1
        and source.tokens[node.parts[1].first].text[1:4].lower() == "map"
    ):
        return "entries"
    if node.kind in {"cast", "try_cast"} and node.parts[0].kind == "name":
        node = node.parts[0]  # a column that is cast keeps its name
    try:
        name = _Namer(source).of(node)
    except Unnamed:
        return None
    return name if len(name) <= MAX_NAME and _NAME.fullmatch(name) else None


class _Namer:
    """Spark 4.2's `toPrettySQL`. Errors: Unnamed."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.parameters: list[str] = []

    def of(self, node: Expr) -> str:
        writer = self._WRITERS.get(node.kind)
        if writer is None:
            raise Unnamed
        return writer(self, node)

    def all(self, nodes: Sequence[Expr]) -> str:
        return ", ".join(map(self.of, nodes))

    def text(self, node: Expr) -> str:
        return self.source.tokens[node.end - 1].text

    def number(self, node: Expr) -> str:
        text = self.text(node).upper()
        kind = number_type(text)
        digits = text.removesuffix("BD").rstrip("LSY") if kind not in {"double", "float"} else text.rstrip("DF")
        if kind in {"double", "float"}:
            if kind == "float":
                raise Unnamed  # Java writes these in its own way
            value = float(digits)
            if value != 0 and not 1e-3 <= value < 1e7:
                return ("-" if node.word == "-" else "") + java_double(value)
            digits = repr(value)
        elif "E" in digits:
            raise Unnamed
        whole, point, fraction = digits.partition(".")
        whole = str(int(whole or "0"))
        return ("-" if node.word == "-" else "") + whole + (point + fraction if fraction else "")

    def string(self, node: Expr) -> str:
        tokens = self.source.tokens[node.first : node.end]
        if tokens[0].text[0] in "xX":
            return tokens[0].text.upper()
        return said(tokens)

    def typed(self, node: Expr) -> str:
        value = self.string(Expr("string", node.first + 1, node.end))
        shape = {"date": _DATE, "timestamp": _TIMESTAMP}.get(node.word)
        if shape is None or not shape.fullmatch(value):
            raise Unnamed
        return f"{node.word.upper()} '{value}'"

    def constant(self, node: Expr) -> str:
        return "NULL" if node.word == "null" else node.word

    def name(self, node: Expr) -> str:
        token = self.source.tokens[node.end - 1]
        first, _, field = node.word.partition(".")
        if first in self.parameters:
            return "namedlambdavariable()" + ("." + field if field else "")
        return f"{token.name}()" if token.key in _WITHOUT_BRACKETS else token.text.strip("`")

    def inner(self, node: Expr) -> str:
        return self.of(node.parts[0])

    def alias(self, node: Expr) -> str:
        return f"{self.inner(node)} AS {self.text(node)}"

    def unary(self, node: Expr) -> str:
        inner = self.of(node.parts[0])
        return f"~{inner}" if node.word == "~" else f"({node.word.upper()} {inner})"

    def binary(self, node: Expr) -> str:
        kinds = [part.kind for part in node.parts]
        is_moved = node.word in {"+", "-"} and kinds[1] == "interval" and kinds[0] != "interval"
        if is_moved and node.parts[1].word not in {"day", "days"}:  # whole days become a date_add
            return f"{self.of(node.parts[0])} {node.word} {self.of(node.parts[1])}"
        if node.word in {"+", "-"} and {*kinds} & {"interval", "typed"}:
            raise Unnamed
        left, right = map(self.of, node.parts)
        if node.word == "||":
            return f"concat({left}, {right})"
        if node.word in {"<>", "!="}:
            return f"(NOT ({left} = {right}))"
        return f"({left} {'=' if node.word == '==' else node.word} {right})"

    def logic(self, node: Expr) -> str:
        first, *rest = map(self.of, node.parts)
        for other in rest:
            first = f"({first} {node.word.upper()} {other})"
        return first

    def among(self, node: Expr) -> str:
        first, *rest = node.parts
        if any(part.kind == "query" for part in rest):
            raise Unnamed
        found = f"({self.of(first)} IN ({self.all(rest)}))"
        return f"(NOT {found})" if node.word.startswith("not") else found

    def between(self, node: Expr) -> str:
        found = f"between({self.all(node.parts)})"
        return f"(NOT {found})" if node.word.startswith("not") else found

    def structure(self, node: Expr) -> str:
        """Fields are named like the columns in them, else by their place."""
        names = [part.word.rpartition(".")[2] if part.kind == "name" else "" for part in node.parts]
        fields = [
            f"{name or f'col{at}'}, {self.of(part)}"
            for at, (name, part) in enumerate(zip(names, node.parts, strict=True), start=1)
        ]
        return f"named_struct({', '.join(fields)})"

    def like(self, node: Expr) -> str:
        if node.word.endswith((" any", " all")):
            value = self.inner(node)
            word = node.word.replace(" ", "")
            return f"{word.replace('ilike', 'like')}({f'lower({value})' if 'ilike' in word else value})"
        value, *patterns = map(self.of, node.parts)
        word = node.word.removeprefix("not ")
        if word not in {"like", "ilike", "rlike", "regexp"} or (word == "ilike" and len(patterns) > 1):
            raise Unnamed
        escape = f" ESCAPE '{patterns[1]}'" if len(patterns) > 1 else ""
        form = {"like": "{0} LIKE {1}{2}", "ilike": "ilike({0}, {1})"}.get(word, "RLIKE({0}, {1})")
        found = form.format(value, patterns[0], escape)
        return f"(NOT {found})" if node.word.startswith("not") else found

    def check(self, node: Expr) -> str:
        value, *rest = map(self.of, node.parts)
        negated = node.word.startswith("is not ")
        if rest:
            found = f"({value} <=> {rest[0]})"
            return found if negated else f"(NOT {found})"
        what = node.word.rpartition(" ")[2]
        if what in {"true", "false"}:
            found = f"({value} <=> {what})"
            return f"(NOT {found})" if negated else found
        return f"({value} IS {'NOT ' if negated else ''}NULL)"

    def interval(self, node: Expr) -> str:
        """One number of a unit, or days and times as they are written."""
        if node.word == "day second" and self.source.tokens[node.first + 1].kind is Kind.STRING:
            return f"INTERVAL {self.source.tokens[node.first + 1].text} DAY TO SECOND"
        unit = node.word.removesuffix("s")
        count = self.source.tokens[node.first + 1].text.strip("'")
        if node.end - node.first != 3 or unit not in {"year", "month", "day", "hour", "minute"}:
            raise Unnamed
        if not (count.isascii() and count.isdigit()):
            raise Unnamed
        return f"INTERVAL '{count.lstrip('0') or '0'}' {unit.upper()}"

    def cast(self, node: Expr) -> str:
        kind = parse_type(node.word)
        if node.parts[0].word == "null":
            return "NULL"
        if kind is None:
            raise Unnamed
        return f"{node.kind.upper()}({self.inner(node)} AS {str(kind).upper()})"

    def case(self, node: Expr) -> str:
        words, values = node.word.split(), [self.of(part) for part in node.parts]
        operand = values[0] if words[0] == "case" else None
        pieces = [
            f"WHEN ({operand} = {value})" if operand is not None and word == "when" else f"{word.upper()} {value}"
            for word, value in zip(words, values, strict=True)
            if word != "case"
        ]
        return " ".join(["CASE", *pieces, "END"])

    def field(self, node: Expr) -> str:
        return f"{self.of(node.parts[0])}.{self.source.tokens[node.end - 1].bare}"

    def index(self, node: Expr) -> str:
        if node.parts[1].kind == "string":
            raise Unnamed  # m['k'] of a map is m[k], of a struct m.k
        base, index = map(self.of, node.parts)
        return f"{base}[{index}]"

    def function(self, node: Expr) -> str:
        *parameters, body = node.parts
        self.parameters += [parameter.word for parameter in parameters]
        found = f"lambdafunction({self.of(body)}{', namedlambdavariable()' * len(parameters)})"
        del self.parameters[len(self.parameters) - len(parameters) :]
        return found

    def scalar(self, _: Expr) -> str:
        return "scalarsubquery()"

    def exists(self, _: Expr) -> str:
        return "exists()"

    def call(self, node: Expr) -> str:
        form = self.form(node)
        if not form or any(part.kind == "star" for part in node.parts) > (node.word == "count"):
            raise Unnamed
        used = ("{all}" in form or f"{{{at}}}" in form for at in range(len(node.parts)))
        values = [
            ("1" if part.kind == "star" else self.of(part)) if is_used else ""
            for part, is_used in zip(node.parts, used, strict=True)
        ]
        everything = ("DISTINCT " if node.find_rest("distinct") else "") + ", ".join(values)
        try:
            found = form.format(*values, name=node.word, all=everything)
        except IndexError:  # fewer arguments than every call of it has: the engine will say so
            raise Unnamed from None
        return found + "".join(self.behind(node, each) for each in node.rest)

    def form(self, node: Expr) -> str:
        """How Spark names a call; nothing where it is not known, or makes several columns."""
        names = sail().names
        if node.word in {"to_char", "to_varchar"} and len(node.parts) == 2:
            pattern = self.string(node.parts[1]) if node.parts[1].kind == "string" else ""
            if pattern.lower() in _OF_BYTES:
                return "{name}({all})"
            return "date_format({all})" if pattern and _DIGITS.isdisjoint(pattern) else "to_char({all})"
        words = any(self.source.key(part.first - 1) in _ARGUMENT_WORDS for part in node.parts)
        key = f"{node.word}/{len(node.parts)}{' words' if words else ''}"
        if functions().classes.get(node.word) == "generator" or (words and key not in names):
            return ""
        return names.get(key, names.get(node.word, "{name}({all})"))

    def behind(self, call: Expr, node: Expr) -> str:
        """What follows a call."""
        if node.kind == "filter":
            return f" FILTER (WHERE {self.of(node.parts[0])})"
        if node.kind == "within":
            order = ", ".join(map(self.sort, node.parts))
            if call.word.startswith("percentile_"):
                order = order.removesuffix(" ASC NULLS FIRST").removesuffix(" NULLS LAST")
            elif call.word != "listagg":
                raise Unnamed
            return f" WITHIN GROUP (ORDER BY {order})"
        if node.kind == "over":
            name = over_name(self.source, call, node, self.all(node.parts), [self.sort(part) for part in node.rest])
            if name is None:
                raise Unnamed
            return name
        if node.kind == "nulls":
            raise Unnamed
        return ""

    def sort(self, node: Expr) -> str:
        return f"{self.of(node.parts[0])} {node.word}"

    _WRITERS: Final[Mapping[str, Callable[[_Namer, Expr], str]]] = {
        "number": number,
        "string": string,
        "typed": typed,
        "constant": constant,
        "name": name,
        "brackets": inner,
        "unary": unary,
        "binary": binary,
        "logic": logic,
        "in": among,
        "between": between,
        "like": like,
        "is": check,
        "cast": cast,
        "try_cast": cast,
        "interval": interval,
        "case": case,
        "alias": alias,
        "tuple": structure,
        "index": index,
        "field": field,
        "lambda": function,
        "query": scalar,
        "exists": exists,
        "call": call,
    }
