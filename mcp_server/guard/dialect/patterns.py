"""Regular expressions: Spark's are Java's, Sail's are those of Rust's regex crate.

In Java `\\w`, `\\d` and `\\s` mean ASCII only, in Rust all of Unicode: `[^\\w ]` takes É away in one and not in the
other. (`\\b` is that of Java 17; from Java 19 on it is ASCII there.) Where a pattern is written out it gets the
classes that both read alike. What Rust has no words for is refused: looking around, references back, possessive
repetition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from mcp_server.guard.case import Case
from mcp_server.guard.catalog import Catalog
from mcp_server.guard.dialect.edits import Edit, lacking
from mcp_server.guard.dialect.expr import Expr
from mcp_server.guard.dialect.literals import literal, said
from mcp_server.guard.dialect.sail import sail
from mcp_server.guard.dialect.writing import Writing, written

_INSIDE: Final = {
    "d": "0-9",
    "D": "[^0-9]",
    "w": "0-9A-Za-z_",
    "W": "[^0-9A-Za-z_]",
    "s": r"\t\n\x0B\f\r ",
    "S": r"[^\t\n\x0B\f\r ]",
}
"""Java's classes as Rust writes them within brackets."""

_POSIX: Final = {
    "Alnum": "0-9A-Za-z",
    "Alpha": "A-Za-z",
    "Blank": r"\t ",
    "Cntrl": r"\x00-\x1F\x7F",
    "Digit": "0-9",
    "Graph": r"\x21-\x7E",
    "Lower": "a-z",
    "Print": r"\x20-\x7E",
    "Punct": r"\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E",
    "Space": r"\t\n\x0B\f\r ",
    "Upper": "A-Z",
    "XDigit": "0-9A-Fa-f",
}
"""Java's `\\p{Alpha}` and its kin, which are ASCII."""

_PIECE = re.compile(
    r"""
      (?P<quoted>\\Q.*?(?:\\E|$))
    | (?P<posix>\\p\{(\w+)\})
    | (?P<refused>\(\?(?:[=!>]|<[=!])|(?<![\\(|^])[*+?}]\+|\\[1-9GkRXhHvVZNceC0])
    | (?P<bracketed>\[:\^?\w+:\])
    | (?P<escape>\\.)
    | (?P<open>\[)
    | (?P<close>\])
    """,
    re.VERBOSE | re.DOTALL,
)
_REPLACED = re.compile(r"\$\$|\\\d|\$(\d{1,4})|\\(.)", re.DOTALL)
_SIGN = re.compile(r"[^\w\s]", re.ASCII)
_GROUP = re.compile(r"(?<!\\)\((?!\?)|\(\?<\w")


def rewrite_patterns(case: Case, catalog: Catalog) -> Sequence[Edit]:
    """Patterns and replacements that are written out, in words that mean the same to Rust.

    Errors: EngineLacks, for what Rust's regular expressions lack.
    """
    called = case.functions & sail().patterns.keys()
    if not called and not any(token.key in {"RLIKE", "REGEXP"} for token in case.source.tokens):
        return ()
    return written(case, catalog, _written)


def _written(node: Expr, write: Writing) -> str | None:
    place = sail().patterns.get(node.word.removeprefix("not "), -1)
    if node.kind not in {"call", "like"} or not 0 < place < len(node.parts):
        return None
    pattern = _said(node.parts[place], write)
    if pattern is None:
        return None
    if pattern == "" and node.word == "split":
        raise lacking("split", "split by nothing as Spark does", "Write regexp_extract_all(s, '(.)', 1).")
    changed = {node.parts[place]: translated(pattern)}
    if node.word == "regexp_replace" and len(node.parts) > 2:
        replacement = _said(node.parts[2], write)
        if replacement is not None:
            changed[node.parts[2]] = _replacing(replacement, len(_GROUP.findall(pattern)))
    changed = {part: text for part, text in changed.items() if text != _said(part, write)}
    if not changed:
        return None
    return write.kept(node, lambda part: literal(changed[part]) if part in changed else None)


def _said(node: Expr, write: Writing) -> str | None:
    """What a literal says, None for anything else."""
    if node.kind != "string":
        return None
    return said(write.source.tokens[node.first : node.end])


def translated(pattern: str) -> str:
    """A pattern of Java in words that Rust reads alike; it is unchanged where they agree already.

    Errors: EngineLacks.
    """
    pieces, at, depth = list[str](), 0, 0
    for match in _PIECE.finditer(pattern):
        pieces.append(pattern[at : match.start()])
        at = match.end()
        kind, text = match.lastgroup or "", match[0]
        if kind == "refused" and not depth:
            raise lacking(
                f"the pattern {pattern[:40]}",
                f"{text} in a regular expression",
                "It has no looking around, no references back and no possessive repetition: write it without, "
                "or with two conditions.",
            )
        if kind == "bracketed":
            why = f"{text} as Java does, to which it is these letters"
            raise lacking(f"the pattern {pattern[:40]}", why, "Write \\p{Alpha}, \\p{Punct} and so on.")
        if kind in {"open", "close"}:
            depth = max(depth + (1 if kind == "open" else -1), 0)
        writer = _PIECES.get(kind)
        pieces.append(text if writer is None else writer(match, depth > 0))
    pieces.append(pattern[at:])
    return "".join(pieces)


def _quoted(match: re.Match[str], _: bool) -> str:
    return _SIGN.sub(r"\\\g<0>", match[0].removeprefix("\\Q").removesuffix("\\E"))


def _posix(match: re.Match[str], inside: bool) -> str:
    words = _POSIX.get(match[3])
    return match[0] if words is None else words if inside else f"[{words}]"


def _escape(match: re.Match[str], inside: bool) -> str:
    letter = match[0][1]
    words = _INSIDE.get(letter)
    if words is None:
        return match[0]
    return words if inside or words.startswith("[") else f"[{words}]"


_PIECES: Final[dict[str, Callable[[re.Match[str], bool], str]]] = {
    "quoted": _quoted,
    "posix": _posix,
    "escape": _escape,
}


def _replacing(replacement: str, groups: int) -> str:
    """`$1x` is group 1 and an x in Java; in Rust it is a group called 1x, which is empty: Sail also takes `\\1`."""

    def one(match: re.Match[str]) -> str:
        if match[2] is not None:
            if match[2] == "\\":
                raise lacking("regexp_replace", "a backslash as a replacement", "Write replace(…) for it.")
            return "$$" if match[2] == "$" else match[2]
        if match[1] is None:
            return match[0]
        digits = next(
            (match[1][:length] for length in range(len(match[1]), 1, -1) if int(match[1][:length]) <= groups),
            match[1][0],
        )
        behind = match.start() + 1 + len(digits)
        after = replacement[behind : behind + 1]
        return ("\\" if after.isalnum() or after == "_" else "$") + digits + match[1][len(digits) :]

    return _REPLACED.sub(one, replacement)
