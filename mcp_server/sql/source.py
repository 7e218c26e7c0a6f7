"""A statement as tokens: a single one, with paired brackets, nested no deeper than engines can bear."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from lakehouse.errors import Refused
from mcp_server.sql.lexer import Kind, Token, tokenize
from mcp_server.sql.refusal import clip, make_refusal
from mcp_server.sql.words import SET_OPERATORS

MAX_TOKENS = 3_000
"""sqlglot needs about 20 µs a token: this keeps any statement within 250 ms of CPU (bench/guard.py)."""

MAX_DEPTH = 40
"""Brackets, CASE and sub-queries within each other. Analysts' queries reach about ten; sqlglot's
recursion, and Spark's, end at a few hundred."""

MAX_UNARY = 16
"""Signs and NOTs in a row, which nest too."""

MAX_SEMICOLONS = 8
"""How many empty statements may follow the one."""

_OPENING = {")": "(", "]": "["}
_TYPE_WORDS = frozenset({"ARRAY", "MAP", "STRUCT"})
_BEFORE_LIST = frozenset({"(", "[", ",", "SELECT", "BY"})
_AFTER_LIST = frozenset({")", "]", ",", "|>", "FROM"})
AFTER_LIMIT = frozenset({")", "OFFSET", "|>"})
"""What follows the number of a LIMIT, where the statement goes on."""

_UNARY = frozenset({"-", "+", "~", "!", "NOT"})


@dataclass(frozen=True)
class Source:
    """The caller's text and its tokens. `closing` maps the index of an opening bracket to its closing one.

    `types` holds the indexes of the `<` and `>` of types such as `array<int>`.
    """

    text: str
    tokens: tuple[Token, ...]
    closing: Mapping[int, int]
    types: frozenset[int]

    def key(self, index: int) -> str:
        """Return the key of a token, or an empty string outside the statement."""
        keys = self.keys
        return keys[index] if 0 <= index < len(keys) else ""

    @functools.cached_property
    def keys(self) -> tuple[str, ...]:
        """The keys of all tokens."""
        return tuple(token.key for token in self.tokens)

    def refusal_at(self, code: str, message: str, index: int) -> Refused:
        """The refusal of a token."""
        return make_refusal(code, message, text=self.text, at=self.tokens[index].start)


def read_source(text: str, tokens: tuple[Token, ...]) -> Source:
    """Return the one statement in `tokens`, without the semicolons at its end.

    Errors: Refused, with the code `empty`, `many_statements`, `syntax`, `too_deep` or `parameter`.
    """
    tokens = _take_statement(text, tokens)
    closing: dict[int, int] = {}
    types: set[int] = set()
    opened: list[int] = []
    angles = cases = unary = 0
    for index, token in enumerate(tokens):
        key = token.key
        unary = unary + 1 if key in _UNARY else 0
        cases += (key == "CASE") - (key == "END")
        if key in {"(", "["}:
            opened.append(index)
        elif key in _OPENING:
            closing[_pop_opening(text, tokens, opened, token)] = index
        elif (key == "<" and index and tokens[index - 1].key in _TYPE_WORDS) or (key == ">" and angles):
            angles += 1 if key == "<" else -1
            types.add(index)
        elif key == ":" and not angles:
            _check_colon(text, tokens, index)
        elif key == ",":
            _check_comma(text, tokens, index)
        if len(opened) + max(cases, 0) + angles > MAX_DEPTH or unary > MAX_UNARY:
            raise make_refusal(
                "too_deep",
                f"The statement nests more than {MAX_DEPTH} levels. Use WITH to name the inner steps.",
                text=text,
                at=token.start,
            )
    if opened:
        open_token = tokens[opened[-1]]
        raise make_refusal("syntax", f"This {open_token.key} is never closed.", text=text, at=open_token.start)
    return Source(text, tokens, closing, frozenset(types))


def _pop_opening(text: str, tokens: tuple[Token, ...], opened: list[int], token: Token) -> int:
    """Return the index of the bracket that `token` closes, and remove it from `opened`."""
    if not opened or tokens[opened[-1]].key != _OPENING[token.key]:
        raise make_refusal("syntax", f"This {token.key} closes nothing.", text=text, at=token.start)
    return opened.pop()


def _take_statement(text: str, tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    end = len(tokens)
    while end and tokens[end - 1].key == ";":
        end -= 1
    if end == 0:
        raise make_refusal("empty", "There is no statement. Send one query, such as SELECT 1.")
    extra = next((t for t in tokens[:end] if t.key == ";"), None)
    if extra is not None or len(tokens) - end > MAX_SEMICOLONS:
        at = (extra or tokens[end]).start
        raise make_refusal("many_statements", "Send one statement at a time, in one call each.", text=text, at=at)
    return tokens[:end]


def _check_colon(text: str, tokens: tuple[Token, ...], index: int) -> None:
    """Outside types, a colon is a path into JSON (`j:a.b`) without spaces, or marks a parameter."""
    before = tokens[index - 1] if index else None
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    joined = before is not None and after is not None and tokens[index].glued and after.glued
    if not joined or before is None or after is None or not (before.is_name or before.key in {")", "]"}):
        piece = ":" + (after.text if after else "")
        raise make_refusal(
            "parameter",
            f"{clip(piece)} looks like a parameter; they are not filled in here. Write the value itself.",
            text=text,
            at=tokens[index].start,
        )


def _check_comma(text: str, tokens: tuple[Token, ...], index: int) -> None:
    """A comma stands between two items. sqlglot accepts one too many, and engines do not."""
    before = tokens[index - 1].key if index else "("
    after = tokens[index + 1].key if index + 1 < len(tokens) else ")"
    if before in _BEFORE_LIST or after in _AFTER_LIST:
        raise make_refusal(
            "syntax", "There is a comma too many, or something is missing beside it.", text=text, at=tokens[index].start
        )


def place_tokens(words: str, start: int) -> tuple[Token, ...]:
    """Return words of this program as tokens at a place of the sender's text, which messages name."""
    return tuple(token._replace(start=start, glued=False) for token in tokenize(words, MAX_TOKENS))


def spell_out(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """Return the tokens of a statement with what its readers do not know in other words."""
    return leave_out_limit_all(spell_out_table(tokens))


def spell_out_table(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """Write `TABLE x`, where a query may begin, as the equivalent `SELECT * FROM x`."""
    spelled: list[Token] = []
    starts = SET_OPERATORS | {"", "(", ")", "ALL", "DISTINCT", "EXPLAIN"}
    for index, token in enumerate(tokens):
        before = tokens[index - 1].key if index else ""
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        if token.key == "TABLE" and before in starts and after is not None and after.is_name:
            spelled += place_tokens("SELECT * FROM", token.start)
        else:
            spelled.append(token)
    return tuple(spelled)


def leave_out_limit_all(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """Leave out `LIMIT ALL`, which is no limit: what a caller is given has one in any case."""
    left: set[int] = set()
    for index in (at for at, token in enumerate(tokens) if token.key == "ALL" and at and tokens[at - 1].key == "LIMIT"):
        before = tokens[index - 2].key if index > 1 else ""
        after = tokens[index + 1].key if index + 1 < len(tokens) else ""
        if before not in {".", "AS", "SELECT", ","} and after in AFTER_LIMIT | {"", ";"}:
            left |= {index - 1, index}
    return tuple(token for index, token in enumerate(tokens) if index not in left) if left else tokens


def is_plain_integer(token: Token) -> bool:
    """Whether a token is digits alone."""
    return token.kind is Kind.NUMBER and token.text.isdigit()
