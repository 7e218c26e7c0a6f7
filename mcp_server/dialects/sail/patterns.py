"""Regular expressions that are written out: Spark's are Java's, Sail's are those of Rust's regex crate (`regex`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from lakehouse.errors import EngineLacks
from mcp_server.dialects.sail.lacks import lacking
from mcp_server.dialects.sail.literals import said
from mcp_server.dialects.sail.regex import LINE_END, Regex, Unlike, read_regex
from mcp_server.dialects.sail.sail import sail
from mcp_server.dialects.sail.writing import Writing, written
from mcp_server.sql.case import Case
from mcp_server.sql.catalog import Catalog
from mcp_server.sql.compose import Sql, compose, quote_text
from mcp_server.sql.edits import Edit
from mcp_server.sql.expr import Expr

_AT_END: Final = rf"{LINE_END}\z"
_EVERY: Final = frozenset({"regexp_count", "regexp_extract_all", "regexp_replace", "split"})
"""Functions that go on behind a match: Java finds nothing right behind a match, and Rust does not."""

Changes = dict[Expr, Sql]


def rewrite_patterns(case: Case, _: Catalog) -> Sequence[Edit]:
    """Patterns and replacements that are written out, in words that mean the same to Rust.

    It runs once: what it writes is no Java any more. Errors: EngineLacks, for what Rust's regular expressions lack.
    """
    called = case.functions & sail().patterns.keys()
    if not called and not any(token.key in {"RLIKE", "REGEXP"} for token in case.source.tokens):
        return ()
    return written(case, _written)


def _written(node: Expr, write: Writing) -> Sql | None:
    word = node.word.removeprefix("not ")
    place = sail().patterns.get(word, -1)
    if node.kind not in {"call", "like"} or not 0 < place < len(node.parts):
        return None
    pattern = _said(node.parts[place], write)
    if pattern is None:
        raise lacking(word, "a pattern that is not written out, in Java's words", "Write the pattern as a text.")
    writer = _WRITERS.get(word, _tested)
    try:
        regex = read_regex(pattern)
        _check_empty(regex, word, node, write)
        changed = writer(node, regex, node.parts[place], write)
    except Unlike as unlike:
        raise _lacks(pattern, str(unlike)) from None
    changed = {part: text for part, text in changed.items() if not _says(part, text, write)}
    return write.kept(node, changed.get) if changed else None


def _lacks(pattern: str, what: str) -> EngineLacks:
    return lacking(
        f"the pattern {pattern[:40]}",
        f"{what[:40]} in a regular expression as Java does",
        "It has no looking around, no references back and no possessive repetition: write it without, "
        "or with two conditions.",
    )


def _said(node: Expr, write: Writing) -> str | None:
    """What a literal says, None for anything else."""
    return said(write.source.tokens[node.first : node.end]) if node.kind == "string" else None


def _says(part: Expr, text: Sql, write: Writing) -> bool:
    """Whether a part says this already, in whatever quotes."""
    value = _said(part, write)
    return text == write.sent(part) or (value is not None and quote_text(value) == text)


def _check_empty(regex: Regex, word: str, node: Expr, write: Writing) -> None:
    if regex.nullable and word in _EVERY and not _removes(node, write):
        raise Unlike("a pattern that may match nothing")


def _removes(node: Expr, write: Writing) -> bool:
    """Whether what is found is taken away: then it does not matter how often nothing is found."""
    return node.word == "regexp_replace" and len(node.parts) == 3 and _said(node.parts[2], write) == ""


def _check_end(regex: Regex) -> None:
    if not all(map(regex.is_last, regex.ends)):
        raise Unlike("$ before something else")


def _tested(_: Expr, regex: Regex, pattern: Expr, __: Writing) -> Changes:
    """A pattern of which only is asked whether, where or how often it matches."""
    _check_end(regex)
    return {pattern: quote_text(regex.with_end(_AT_END))}


def _split(_: Expr, regex: Regex, pattern: Expr, __: Writing) -> Changes:
    if regex.ends:
        raise Unlike("$")
    return {pattern: quote_text(regex.with_end(""))}


def _extracted(node: Expr, regex: Regex, pattern: Expr, write: Writing) -> Changes:
    """A last line end must be no part of what is extracted."""
    _check_end(regex)
    if not regex.ends:
        return {pattern: quote_text(regex.with_end(""))}
    index = write.sent(node.parts[2]) if len(node.parts) == 3 else "1"
    if node.word == "regexp_extract" and index == "0" and "|" not in regex.pieces and len(regex.ends) == 1:
        before = regex.with_end("")
        return {pattern: quote_text(f"({before}){_AT_END}"), node.parts[2]: compose("1")}
    if node.word == "regexp_substr" or not index.isdigit() or index == "0" or any(map(regex.captures, regex.ends)):
        raise Unlike("$ within what is extracted")
    return {pattern: quote_text(regex.with_end(_AT_END))}


def _replaced(node: Expr, regex: Regex, pattern: Expr, write: Writing) -> Changes:
    """A last line end is put back: it is a group of its own, the last one."""
    _check_end(regex)
    replacement = _said(node.parts[2], write) if len(node.parts) > 2 else None
    changed: Changes = {}
    words, kept = "", ""
    if regex.ends:
        if replacement is None or len(regex.ends) > 1 or regex.groups_behind(regex.ends[0]):
            raise Unlike("$ here")
        words, kept = rf"({LINE_END})\z", f"${{{regex.groups + 1}}}"
    changed[pattern] = quote_text(regex.with_end(words))
    if replacement is not None:
        changed[node.parts[2]] = quote_text(replaced_by(replacement, regex.groups) + kept)
    return changed


def replaced_by(replacement: str, groups: int) -> str:
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


_WRITERS: Final[Mapping[str, Callable[[Expr, Regex, Expr, Writing], Changes]]] = {
    "regexp_extract": _extracted,
    "regexp_extract_all": _extracted,
    "regexp_substr": _extracted,
    "regexp_replace": _replaced,
    "split": _split,
}
