"""Splits a text into tokens in one linear pass. Comments are left out; whatever is ambiguous is refused.

The tokens are those of Spark 4.2's `SqlBaseLexer.g4` and of Sail 0.7's `lexer.rs`, where both agree. Where they would
split the text in different places (a letter before a string, `#`, `$$ … $$`, digits at the start of a name, `!<`), the
statement is refused, because two readers of it could not be compared.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from lakehouse.errors import Refused
from mcp_server.models import NAME_CHARACTERS
from mcp_server.sql.refusal import clip, make_refusal
from mcp_server.sql.signs import ENTITIES, meant_sign


class Kind(Enum):
    WORD = "word"
    QUOTED = "quoted"
    STRING = "string"
    NUMBER = "number"
    SYMBOL = "symbol"


class Token(NamedTuple):
    """A token of the caller's text. `start` is its offset; `glued` says that no space or comment precedes it.

    `key` is what keywords and symbols are compared by: a word in upper case, a symbol as it is, and an empty string for
    names in back-quotes, strings and numbers, which are never keywords.
    """

    kind: Kind
    text: str
    start: int
    glued: bool
    key: str

    @property
    def is_name(self) -> bool:
        return self.kind is Kind.WORD or self.kind is Kind.QUOTED

    @property
    def bare(self) -> str:
        """The name for display: without back-quotes, in its own case."""
        return self.text[1:-1].replace("``", "`") if self.kind is Kind.QUOTED else self.text

    @property
    def name(self) -> str:
        """The name as engines compare it: without back-quotes, in lower case."""
        return self.bare.lower()


_PIECE = re.compile(
    r"""
      (?P<gap>[ \t\r\n]++)
    | (?P<line>--[^\r\n]*+)
    | (?P<block>/\*)
    | (?P<string>[rR](?:'[^']*+'|"[^"]*+")|[xX]'[0-9a-fA-F]*+'|'(?:[^'\\]++|\\.)*+'|"(?:[^"\\]++|\\.)*+")
    | (?P<quoted>`(?:[^`]++|``)++`)
    | (?P<number>(?:[0-9]++[lLsSyY]|(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?(?:[bB][dD]|[dDfF])?)
                 (?![A-Za-z0-9_]))
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*+)
    | (?P<symbol><=>|\|>|\|\||->|=>|==|!=|<>|<=|>=|::|<<|[()\[\],.;+\-*/%~&|^=<>!:])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_LONG_EXPONENT = re.compile(r"[eE][+-]?[0-9]{4,}")
"""No number has an exponent beyond 400, and Spark works 1e99999999BD out digit by digit while it parses."""

_LONGEST_NUMBER = 400
"""Signs of a number as it is written: a double has 309 digits before its point at most."""

_MOST_DIGITS = 38
"""Of a decimal. Sail reads a whole number of 39 digits as one of 38 and a tenth."""

_FENCE = re.compile(r"/\*|\*/")
_HINT = re.compile(
    r"\+\s*+(?:(?:BROADCAST(?:JOIN)?+|MAPJOIN|MERGE(?:JOIN)?+|SHUFFLE_MERGE|SHUFFLE_HASH"
    r"|REPARTITION(?:_BY_RANGE)?+|REBALANCE)"
    r"\s*+(?:\([\w\s.,`]*+\)\s*+)?+(?:,\s*+)?+)++",
    re.IGNORECASE | re.ASCII,
)
_ODD_NAME_CHARACTER = re.compile(f"[^{NAME_CHARACTERS}]")


def tokenize(text: str, max_tokens: int) -> tuple[Token, ...]:
    """Return the tokens of `text`, without comments.

    Errors: Refused, with the code `unterminated`, `comment`, `hint`, `parameter`, `substitution`, `odd_character`,
    `odd_name`, `not_plain_sql`, `too_large` or `too_long`.
    """
    tokens: list[Token] = []
    at, glued, end = 0, False, len(text)
    while at < end:
        match = _PIECE.match(text, at)
        if match is None:
            raise _odd_character(text, at)
        kind, piece, start = match.lastgroup, match[0], at
        at = match.end()
        if kind == "block":
            at = _end_of_comment(text, start)
        elif kind == "line":
            if piece.endswith("\\"):
                raise make_refusal(
                    "comment",
                    "A comment ends with a backslash, which joins the next line to it in Spark and not elsewhere: "
                    "leave the comment out.",
                    text=text,
                    at=start,
                )
        elif kind != "gap":
            token = _make_token(kind or "", piece, start, glued and bool(tokens))
            _check_neighbour(text, tokens, token)
            tokens.append(token)
            if len(tokens) > max_tokens:
                raise make_refusal(
                    "too_long",
                    f"The statement has more than {max_tokens:,} words and signs. Shorten it: put long lists into a "
                    "condition or a join.",
                )
            glued = True
            continue
        glued = False
    return tuple(tokens)


def _make_token(kind: str, piece: str, start: int, glued: bool) -> Token:
    key = piece.upper() if kind == "word" else piece if kind == "symbol" else ""
    return Token(Kind(kind), piece, start, glued, key)


def _check_neighbour(text: str, tokens: list[Token], token: Token) -> None:
    """Refuse what engines split differently because of the token before."""
    if token.kind is Kind.QUOTED and _ODD_NAME_CHARACTER.search(token.text[1:-1]):
        raise make_refusal(
            "odd_name",
            f"The name {clip(token.text)} has a character that no name here may have, such as \\, ` or $.",
            text=text,
            at=token.start,
        )
    if token.kind is Kind.NUMBER and _is_too_large(token.text):
        raise make_refusal(
            "too_large", f"The number {clip(token.text)} is too large for any type.", text=text, at=token.start
        )
    if not tokens:
        return
    before = tokens[-1]
    entity = before.text.lower()
    if token.key == ";" and token.glued and before.glued and entity in ENTITIES and tokens[-2].key == "&":
        raise make_refusal(
            "not_plain_sql",
            f"&{before.text}; is HTML for {ENTITIES[entity]}. Send the signs themselves.",
            text=text,
            at=tokens[-2].start,
        )
    if token.kind is Kind.STRING:
        prefixed = before.kind is Kind.WORD and len(before.text) == 1 and not _is_hex(before, token)
        unicode = token.glued and before.key == "&" and len(tokens) > 1 and tokens[-2].key == "U"
        if prefixed or unicode:
            raise make_refusal(
                "odd_character",
                f"The letter {before.text} before a string means different things to different engines. "
                "Write the string alone, or r'…' and X'…' without a space.",
                text=text,
                at=before.start,
            )
    elif token.glued and (
        (before.kind is Kind.NUMBER and (token.text[0] == "." or token.is_name))
        or (token.kind is Kind.NUMBER and token.text[0] == "." and (before.is_name or before.key in {")", "]", "."}))
        or (token.kind is Kind.NUMBER and before.key == ".")
        or (before.key == "!" and token.key in {"<", ">", "<=", ">=", "=", "=="})
        or (before.key + token.key in {":/", "*/"})
    ):
        raise make_refusal(
            "odd_name",
            f"{clip(before.text + token.text)} is neither a name nor a number. Put spaces around operators, and "
            "back-quotes around a name that starts with a digit.",
            text=text,
            at=before.start,
        )


def _is_too_large(number: str) -> bool:
    """Whether a number fits no type, or has more characters than any number needs."""
    if len(number) > _LONGEST_NUMBER or _LONG_EXPONENT.search(number):
        return True
    exact = number[-2:].upper() == "BD"
    if not exact and (len(number) <= _MOST_DIGITS or not number.replace(".", "").isdigit()):
        return False
    value = Decimal(number[:-2] if exact else number).as_tuple()
    scale = max(-int(value.exponent), 0)
    whole = len("".join(map(str, value.digits)).lstrip("0")) + int(value.exponent)
    return max(whole, 0) + scale > _MOST_DIGITS


def _is_hex(letter: Token, string: Token) -> bool:
    """Whether two tokens are `X 'FF'`, which engines split alike."""
    return letter.key == "X" and string.text.startswith("'") and not string.text.strip("'0123456789abcdefABCDEF")


def _end_of_comment(text: str, start: int) -> int:
    """Return the end of the comment that opens at `start`. Comments nest, as in both engines."""
    depth = 0
    for fence in _FENCE.finditer(text, start):
        depth += 1 if fence[0] == "/*" else -1
        if depth == 0:
            content = text[start + 2 : fence.start()]
            if content.startswith("+") and not _HINT.fullmatch(content):
                raise make_refusal(
                    "hint",
                    f"The hint /*{clip(content)}*/ is not allowed: it changes how work is spread. Leave the hint out.",
                    text=text,
                    at=start,
                )
            return fence.end()
    raise make_refusal("unterminated", "A comment /* is never closed with */.", text=text, at=start)


_CHARACTERS = {
    "'": ("unterminated", "A string is never closed: add the missing '."),
    '"': ("unterminated", 'A string is never closed: add the missing ".'),
    "`": ("unterminated", "A name in back-quotes is empty or never closed: add the missing `."),
    "?": ("parameter", "Parameter markers are not filled in here: write the value itself."),
    "{": ("parameter", "Braces are for templates, which are not filled in here: write the value itself."),
    "}": ("parameter", "Braces are for templates, which are not filled in here: write the value itself."),
    "$": ("substitution", "$ outside a string is for variables, which are not filled in here: write the value itself."),
    "@": ("substitution", "@ is for variables and versions. Write the value, or VERSION AS OF 3 after a table."),
    "\\": ("odd_character", "A backslash has a meaning only inside a string."),
    "#": ("odd_character", "# means nothing in Spark SQL. Comments start with --, and &#39; is HTML for a quote."),
}


def _odd_character(text: str, at: int) -> Refused:
    character = text[at]
    if character.isdigit() and character.isascii():
        return make_refusal(
            "odd_name",
            f"{clip(text[at : at + 20].split(maxsplit=1)[0])} is neither a number nor a name. Numbers are written "
            "like 10, 2.5 or 1e6; a name that starts with a digit needs back-quotes.",
            text=text,
            at=at,
        )
    if text.startswith("```", at):
        return make_refusal("not_plain_sql", "A code fence is no part of a query: leave ``` out.", text=text, at=at)
    if character in _CHARACTERS:
        return make_refusal(*_CHARACTERS[character], text=text, at=at)
    meant = meant_sign(character)
    if meant is not None:
        return make_refusal(
            "not_plain_sql",
            f"The character U+{ord(character):04X} is one of word processors and web pages. Write {meant} instead.",
            text=text,
            at=at,
        )
    return make_refusal(
        "odd_character",
        f"The character U+{ord(character):04X} may stand only inside a string, or, if it is a letter, in a name in "
        "back-quotes.",
        text=text,
        at=at,
    )
