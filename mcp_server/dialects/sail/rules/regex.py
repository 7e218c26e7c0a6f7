"""Reads a regular expression of Java and writes it in words that Rust's regex crate reads alike.

In Java `\\w`, `\\d`, `\\s` and `\\p{Alpha}` mean ASCII only, and `.` no line end of any kind; in Rust they mean all of
Unicode, and all but `\\n`. (`\\b` is that of Java 17; from Java 19 on it is ASCII there.) What Rust has no words for is
refused: looking around, references back, possessive repetition. One pass from left to right; nothing goes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mcp_server.sql.refusal import clip

END: Final = "\0"
"""Stands in the pieces for `$`, which in Java is before a last line end too: Rust cannot look there."""

LINE_END: Final = r"(?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])?"
"""A last line end, or nothing."""

_DOT: Final = r"[^\n\r\x{85}\x{2028}\x{2029}]"
_MAX_DEPTH: Final = 40
_MOST_DIGITS: Final = 9
"""Of a count in `{…}`, which Java reads as an int."""

_CLASSES: Final = {
    "d": "0-9",
    "D": "[^0-9]",
    "w": "0-9A-Za-z_",
    "W": "[^0-9A-Za-z_]",
    "s": r"\t\n\x0B\f\r ",
    "S": r"[^\t\n\x0B\f\r ]",
}
"""Java's classes as Rust writes them within brackets."""

_POSIX: Final = {
    "ASCII": r"\x00-\x7F",
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

_SAME_ESCAPES: Final = frozenset("tnrfa")
_META: Final = frozenset("\\.+*?()|[]{}^$")
_META_INSIDE: Final = frozenset("\\[]^-&~")
_FLAGS: Final = frozenset("isu-")


class Unlike(Exception):  # noqa: N818  (a signal to the rewrite, which says it to the caller)
    """A piece of a pattern that Rust has no words for, or none that mean the same."""


@dataclass(frozen=True)
class Regex:
    """A pattern in Rust's words. `nullable` says that it may match nothing; `END` stands in the pieces for `$`."""

    pieces: tuple[str, ...]
    groups: int
    nullable: bool

    def with_end(self, words: str) -> str:
        """The pattern with these words for `$`."""
        return "".join(words if piece == END else piece for piece in self.pieces)

    @property
    def ends(self) -> list[int]:
        """Where `$` stands among the pieces."""
        return [at for at, piece in enumerate(self.pieces) if piece == END]

    def is_last(self, at: int) -> bool:
        """Whether nothing can match behind the piece at `at`."""
        inner, is_alternative = 0, False
        for piece in self.pieces[at + 1 :]:
            if piece == ")" and inner == 0:
                is_alternative = False
            elif piece == "|" and inner == 0:
                is_alternative = True
            elif not is_alternative:
                return False
            else:
                inner += _opens(piece) - (piece == ")")
        return True

    def captures(self, at: int) -> bool:
        """Whether a capturing group is open at the piece at `at`."""
        stack: list[bool] = []
        for piece in self.pieces[:at]:
            if piece == ")":
                stack.pop()
            elif _opens(piece):
                stack.append(_captures(piece))
        return any(stack)

    def groups_behind(self, at: int) -> int:
        """How many capturing groups begin behind the piece at `at`."""
        return sum(map(_captures, self.pieces[at:]))


def _opens(piece: str) -> bool:
    return piece.startswith("(") and not piece.endswith(")")


def _captures(piece: str) -> bool:
    return piece == "(" or piece.startswith("(?<")


def read_regex(pattern: str) -> Regex:
    """A pattern of Java in words that Rust reads alike. Errors: Unlike."""
    reader = _Reader(pattern)
    nullable = reader.alternation(frozenset(), 0)
    if reader.at < len(pattern):
        raise Unlike("a bracket that closes nothing")
    return Regex(tuple(reader.pieces), reader.groups, nullable)


class _Reader:
    """Reads from `at` on; each method says whether what it read may match nothing."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.groups = 0
        self.pieces: list[str] = []

    def peek(self, length: int = 1) -> str:
        return self.pattern[self.at : self.at + length]

    def take(self, text: str) -> bool:
        if not self.pattern.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def until(self, end: str) -> str:
        """What stands before `end`, which is passed."""
        at = self.pattern.find(end, self.at)
        if at < 0:
            raise Unlike(f"a missing {end}")
        found, self.at = self.pattern[self.at : at], at + len(end)
        return found

    def alternation(self, flags: frozenset[str], depth: int) -> bool:
        if depth > _MAX_DEPTH:
            raise Unlike("so many brackets within each other")
        nullable = False
        while True:
            empty, flags = self.sequence(flags, depth)
            nullable |= empty
            if not self.take("|"):
                return nullable
            self.pieces.append("|")

    def sequence(self, flags: frozenset[str], depth: int) -> tuple[bool, frozenset[str]]:
        """Also gives the flags that are set from here on."""
        nullable = True
        while self.at < len(self.pattern) and self.peek() not in {"|", ")"}:
            if self.peek(2) == "(?" and self.pattern[self.at + 2 : self.at + 3] in _FLAGS | {"x", "m", "d", "U"}:
                found, closed = self.flags(flags)
                if closed:
                    flags = found
                    continue
                empty = self.group("(?i:" if "i" in found else "(?-i:", found, depth)
            else:
                empty = self.atom(flags, depth)
            empty |= self.repetition()
            nullable &= empty
        return nullable, flags

    def flags(self, flags: frozenset[str]) -> tuple[frozenset[str], bool]:
        """The flags of `(?i)` or `(?i:`, and whether a bracket ends them."""
        self.at += 2
        first, found, on = self.at, set(flags), True
        while (letter := self.peek()) not in {")", ":", ""}:
            if letter not in _FLAGS:
                raise Unlike(f"(?{letter})")
            if letter == "-":
                on = False
            elif on:
                found.add(letter)
            else:
                found.discard(letter)
            self.at += 1
        closed = self.take(")")
        if not closed and not self.take(":"):
            raise Unlike("a missing )")
        if closed and "i" in self.pattern[first : self.at]:
            self.pieces.append("(?i)" if "i" in found else "(?-i)")
        return frozenset(found), closed

    def group(self, words: str, flags: frozenset[str], depth: int) -> bool:
        self.pieces.append(words)
        nullable = self.alternation(flags, depth + 1)
        if not self.take(")"):
            raise Unlike("a missing )")
        self.pieces.append(")")
        return nullable

    def atom(self, flags: frozenset[str], depth: int) -> bool:
        letter = self.peek()
        self.at += 1
        if letter == "(":
            return self.bracket(flags, depth)
        if letter == "[":
            self.pieces.append(self.letters(flags, depth))
        elif letter == "\\":
            return self.escape(flags)
        elif letter == ".":
            self.pieces.append("(?s:.)" if "s" in flags else _DOT)
        elif letter in "^$":
            self.pieces.append("^" if letter == "^" else END)
            return True
        elif letter in "*+?{":
            raise Unlike(f"{letter} that repeats nothing")
        else:
            self.literal(letter, flags)
        return False

    def bracket(self, flags: frozenset[str], depth: int) -> bool:
        if not self.take("?"):
            self.groups += 1
            return self.group("(", flags, depth)
        if self.take(":"):
            return self.group("(?:", flags, depth)
        if self.peek() == "<" and self.pattern[self.at + 1 : self.at + 2].isalpha():
            self.at += 1
            name = self.until(">")
            if not (name.isascii() and name.isalnum()):
                raise Unlike("a group of this name")
            self.groups += 1
            return self.group(f"(?<{name}>", flags, depth)
        raise Unlike(f"(?{self.peek()}")

    def literal(self, letter: str, flags: frozenset[str]) -> None:
        self.pieces.append(_literal(_folded(letter, flags)))

    def escape(self, flags: frozenset[str]) -> bool:
        letter = self.peek()
        self.at += 1
        if letter == "Q":
            end = self.pattern.find("\\E", self.at)
            text = self.pattern[self.at :] if end < 0 else self.pattern[self.at : end]
            self.at = len(self.pattern) if end < 0 else end + 2
            for each in text:
                self.literal(each, flags)
            return not text
        if letter in {"b", "B", "A", "z"}:
            if self.peek() == "{":
                raise Unlike(f"\\{letter}{{")
            self.pieces.append(f"\\{letter}")
            return True
        words = self.escaped(letter, flags, inside=False)
        is_class = letter in _CLASSES or letter in "pP"
        self.pieces.append(f"[{words}]" if is_class and not words.startswith(("[", "\\p", "\\P")) else words)
        return False

    def escaped(self, letter: str, flags: frozenset[str], *, inside: bool) -> str:  # noqa: PLR0911  (an escape a line)
        """What an escape means; a class of letters as it is written within brackets."""
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter and letter in "pP":
            return self.property(letter)
        if letter in _SAME_ESCAPES:
            return f"\\{letter}"
        if letter == "e":
            return r"\x1B"
        if letter == "x" and self.take("{"):
            return f"\\x{{{self.hexadecimal(self.until('}'))}}}"
        if letter and letter in "xu":
            length = 2 if letter == "x" else 4
            digits = self.hexadecimal(self.peek(length))
            self.at += length
            return f"\\x{{{digits}}}"
        if not letter or (letter.isascii() and letter.isalnum()):
            raise Unlike(f"\\{letter}")
        letter = _folded(letter, flags)
        return _literal(letter, _META_INSIDE if inside else _META)

    def hexadecimal(self, digits: str) -> str:
        if not digits or digits.strip("0123456789abcdefABCDEF"):
            raise Unlike("an escape without digits")
        return digits

    def property(self, letter: str) -> str:
        """`\\p{Alpha}`, `\\pL` and `\\P{…}`."""
        name = self.until("}") if self.take("{") else self.peek()
        self.at += self.pattern[self.at - 1] != "}"
        if name in _POSIX:
            return _POSIX[name] if letter == "p" else f"[^{_POSIX[name]}]"
        if not name.replace("_", "").isalnum() or not name.isascii() or name.startswith(("In", "java")):
            raise Unlike(f"\\{letter}{{{name}}}")
        return f"\\{letter}{{{name}}}"

    def letters(self, flags: frozenset[str], depth: int) -> str:
        """What stands between `[` and `]`."""
        if depth > _MAX_DEPTH:
            raise Unlike("so many brackets within each other")
        negated, pieces = self.take("^"), list[str]()
        while (letter := self.peek()) != "]" or not pieces:
            if not letter:
                raise Unlike("a missing ]")
            self.at += 1
            pieces.append(self.member(letter, flags, depth, negated=negated))
        self.at += 1
        return f"[{'^' if negated else ''}{''.join(pieces)}]"

    def member(self, letter: str, flags: frozenset[str], depth: int, *, negated: bool) -> str:
        if letter == "[":
            if negated or self.peek() == ":":
                raise Unlike("[ within these brackets")
            return self.letters(flags, depth + 1)
        if letter == "\\":
            escaped = self.peek()
            self.at += 1
            return self.escaped(escaped, flags, inside=True)
        if letter == "-":
            if self.peek() in {"-", "\\", "["}:
                raise Unlike(f"-{self.peek()} within brackets")
            return "-"
        if letter == "&" and self.take("&"):
            return "&&"
        return _literal(_folded(letter, flags), _META_INSIDE)

    def repetition(self) -> bool:
        """What says how often; whether that may be never."""
        letter = self.peek()
        if letter not in {"*", "+", "?", "{"}:
            return False
        self.at += 1
        words = letter if letter != "{" else f"{{{self.until('}')}}}"
        least, _, most = words[1:-1].partition(",")
        if letter == "{" and not (_is_count(least) and (not most or _is_count(most))):
            raise Unlike(clip(words))
        lazy = self.take("?")
        if self.peek() in {"+", "*", "?", "{"}:
            raise Unlike(f"{words}{self.peek()}")
        self.pieces.append(words + "?" * lazy)
        return letter in "*?" or (letter == "{" and int(least) == 0)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _literal(letter: str, meta: frozenset[str] = _META) -> str:
    return f"\\{letter}" if letter in meta else letter


def _folded(letter: str, flags: frozenset[str]) -> str:
    """Java's (?i) folds ASCII alone."""
    if "i" in flags and "u" not in flags and not letter.isascii():
        raise Unlike(f"(?i) over {letter}")
    return letter
