"""Regular expressions that are written out: Spark's are Java's, Sail's are those of Rust's regex crate (`regex`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from lakehouse.errors import EngineLacks
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.rules.context import Context
from mcp_server.dialects.sail.rules.data import sail
from mcp_server.dialects.sail.rules.make import constant
from mcp_server.dialects.sail.rules.regex import LINE_END, Regex, Unlike, read_regex
from mcp_server.sql.typed.node import Node
from mcp_server.sql.typed.nodes import Call, Constant, Expression, Like

_AT_END: Final = rf"{LINE_END}\z"
_EVERY: Final = frozenset({"regexp_count", "regexp_extract_all", "regexp_replace", "split"})
"""Functions that go on behind a match: Java finds nothing right behind a match, and Rust does not."""

Changes = dict[int, Expression]
"""Other arguments, by their places."""


def write_like(node: Node, _: Context) -> Node | None:
    """RLIKE and REGEXP."""
    if not isinstance(node, Like) or node.operator != "rlike":
        return None
    patterns = tuple(_write_test(each) for each in node.patterns)
    if all(one is other for one, other in zip(patterns, node.patterns, strict=True)):
        return None
    return node.replace(patterns=patterns)


def _write_test(pattern: Expression) -> Expression:
    changed = _changes("rlike", (pattern, pattern), 1)
    return changed.get(1, pattern)


def write_patterns(node: Call) -> Call | None:
    """The pattern and the replacement of a function, in words that mean the same to Rust.

    Errors: EngineLacks, for what Rust's regular expressions lack.
    """
    place = sail().patterns.get(node.name, -1)
    if not 0 < place < len(node.arguments):
        return None
    changed = _changes(node.name, node.arguments, place)
    if not changed:
        return None
    return node.replace(arguments=tuple(changed.get(at, each) for at, each in enumerate(node.arguments)))


def _changes(word: str, arguments: tuple[Expression, ...], place: int) -> Changes:
    pattern = read_text(arguments[place])
    if pattern is None:
        if read_null(arguments[place]):
            return {}
        raise lacking(word, "a pattern that is not written out, in Java's words", "Write the pattern as a text.")
    try:
        regex = read_regex(pattern)
        _check_empty(regex, word, arguments)
        changed = _WRITERS.get(word, _write_tested)(word, regex, arguments)
    except Unlike as unlike:
        raise _lacks(pattern, str(unlike)) from None
    return {at: text for at, text in changed.items() if read_text(arguments[at]) != getattr(text, "value", None)}


def _check_empty(regex: Regex, word: str, arguments: tuple[Expression, ...]) -> None:
    if regex.nullable and word in _EVERY and not _removes(word, arguments):
        raise Unlike("a pattern that may match nothing")


def read_null(node: Expression) -> bool:
    """Whether a node is NULL, with or without a cast."""
    inner = getattr(node, "operand", node)
    return isinstance(inner, Constant) and inner.value is None


def _lacks(pattern: str, what: str) -> EngineLacks:
    return lacking(
        f"the pattern {pattern[:40]}",
        f"{what[:40]} in a regular expression as Java does",
        "It has no looking around, no references back and no possessive repetition: write it without, "
        "or with two conditions.",
    )


def read_text(node: Expression) -> str | None:
    """What a literal says, None for anything else."""
    return node.value if isinstance(node, Constant) and isinstance(node.value, str) else None


def _removes(word: str, arguments: tuple[Expression, ...]) -> bool:
    """Whether what is found is taken away: then it does not matter how often nothing is found."""
    return word == "regexp_replace" and len(arguments) == 3 and read_text(arguments[2]) == ""


def _check_end(regex: Regex) -> None:
    if not all(map(regex.is_last, regex.ends)):
        raise Unlike("$ before something else")


def _write_tested(_: str, regex: Regex, __: tuple[Expression, ...]) -> Changes:
    """A pattern of which only is asked whether, where or how often it matches."""
    _check_end(regex)
    return {1: constant(regex.with_end(_AT_END))}


def _write_split(_: str, regex: Regex, __: tuple[Expression, ...]) -> Changes:
    if regex.ends:
        raise Unlike("$")
    return {1: constant(regex.with_end(""))}


def _write_extracted(word: str, regex: Regex, arguments: tuple[Expression, ...]) -> Changes:
    """A last line end must be no part of what is extracted."""
    _check_end(regex)
    if not regex.ends:
        return {1: constant(regex.with_end(""))}
    index = getattr(arguments[2], "value", None) if len(arguments) == 3 else 1
    if word == "regexp_extract" and index == 0 and "|" not in regex.pieces and len(regex.ends) == 1:
        before = regex.with_end("")
        return {1: constant(f"({before}){_AT_END}"), 2: constant(1)}
    if word == "regexp_substr" or not isinstance(index, int) or index < 1 or any(map(regex.captures, regex.ends)):
        raise Unlike("$ within what is extracted")
    return {1: constant(regex.with_end(_AT_END))}


def _write_replaced(_: str, regex: Regex, arguments: tuple[Expression, ...]) -> Changes:
    """A last line end is put back: it is a group of its own, the last one."""
    _check_end(regex)
    replacement = read_text(arguments[2]) if len(arguments) > 2 else None
    changed: Changes = {}
    words, kept = "", ""
    if regex.ends:
        if replacement is None or len(regex.ends) > 1 or regex.groups_behind(regex.ends[0]):
            raise Unlike("$ here")
        words, kept = rf"({LINE_END})\z", f"${{{regex.groups + 1}}}"
    changed[1] = constant(regex.with_end(words))
    if replacement is not None:
        changed[2] = constant(_read_replacement(replacement, regex.groups) + kept)
    return changed


def _read_replacement(replacement: str, groups: int) -> str:
    """A replacement of Java in Rust's words: `$10` is group 1 and a 0 where there is no tenth. Errors: EngineLacks."""
    pieces, at = list[str](), 0
    while at < len(replacement):
        letter, following = replacement[at], replacement[at + 1 : at + 2]
        if letter not in "\\$":
            pieces.append(letter)
            at += 1
        elif letter == "\\" and following not in {"", "\\"}:
            pieces.append("$$" if following == "$" else following)
            at += 2
        elif letter == "$" and following.isascii() and following.isdigit() and int(following) <= groups:
            number = _group_number(replacement, at + 1, groups)
            pieces.append(f"${{{number}}}")
            at += 1 + len(number)
        else:
            raise lacking("regexp_replace", f"{letter}{following} in a replacement as Java does", "Write replace(…).")
    return "".join(pieces)


def _group_number(replacement: str, start: int, groups: int) -> str:
    """The digits that Java takes for the number of a group: one, and more as long as there are so many groups."""
    number, end = int(replacement[start]), start + 1
    while (letter := replacement[end : end + 1]).isascii() and letter.isdigit():
        number = 10 * number + int(letter)
        if number > groups:
            break
        end += 1
    return replacement[start:end]


_WRITERS: Final[Mapping[str, Callable[[str, Regex, tuple[Expression, ...]], Changes]]] = {
    "regexp_extract": _write_extracted,
    "regexp_extract_all": _write_extracted,
    "regexp_substr": _write_extracted,
    "regexp_replace": _write_replaced,
    "split": _write_split,
}
