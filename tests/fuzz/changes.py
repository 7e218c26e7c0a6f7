# ruff: noqa: E501  (a table is read in lines)
"""Small damage to a statement: each change takes its words, blanks included, and gives other ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.fuzz.generate import Generator

Change = Callable[["Generator", list[str]], list[str]]

_STRANGE: Final = (
    "\u200b", "\u00a0", "\u202e", "\ufeff", "\x00", "\x0b", "\ud800", "ﬁ", "Ａ", "；", "＇", "\u2028", "\\", "#", "$", "@", "?", "{", "}",
    "${", "`", "'", '"', "/*", "*/", "--", ";", "(", ")", "[", "]", "<", ">", "|>", "->", "=>", "::", ":", "!", ".", "..", ",",
)  # fmt: skip
_GAPS: Final = (
    " ", "\n", "\t", "\r\n", "  ", "/**/", "/* x */", " -- x\n", "/* ; DROP TABLE movies_delta */", "-- \\\n", "/*/**/*/", "/*! x */", "--\r",
)  # fmt: skip


def _insert(made: Callable[[Generator], str]) -> Change:
    def change(fuzz: Generator, words: list[str]) -> list[str]:
        at = fuzz.random.randint(0, len(words))
        return [*words[:at], made(fuzz), *words[at:]]

    return change


def _replace(pattern: str, made: Callable[[Generator, str], str]) -> Change:
    def change(fuzz: Generator, words: list[str]) -> list[str]:
        at = fuzz.at(words, pattern)
        return [*words[:at], made(fuzz, words[at]), *words[at + 1 :]]

    return change


def _wrap(*forms: str) -> Change:
    def change(fuzz: Generator, words: list[str]) -> list[str]:
        before, after = fuzz.random.choice(forms).split("{}")
        return [fuzz.expand(before), *words, fuzz.expand(after)]

    return change


def _delete(fuzz: Generator, words: list[str]) -> list[str]:
    at = fuzz.at(words, r"\S")
    return words[:at] + words[at + fuzz.random.choice((1, 1, 3)) :]


def _double(fuzz: Generator, words: list[str]) -> list[str]:
    at = fuzz.at(words, r"\S")
    end = at + fuzz.random.choice((1, 2, 5, 9))
    return [*words[:end], " ", *words[at:end], *words[end:]]


def _swap(fuzz: Generator, words: list[str]) -> list[str]:
    words = list(words)
    one, other = fuzz.at(words), fuzz.at(words)
    words[one], words[other] = words[other], words[one]
    return words


def _cased(fuzz: Generator, words: list[str]) -> list[str]:
    change = fuzz.random.choice((str.upper, str.lower, str.swapcase, str.title))
    return [change(word) if word[0].isalpha() and fuzz.random.random() < 0.5 else word for word in words]


def _spread(fuzz: Generator, words: list[str]) -> list[str]:
    return [fuzz.random.choice(_GAPS[:8]) if word.isspace() else word for word in words]


HARMLESS: Final[tuple[Change, ...]] = (
    _cased,
    _spread,
    _replace(r"\s", lambda fuzz, _: fuzz.random.choice(_GAPS[:8])),
    _replace(r"\d+$", lambda fuzz, _: fuzz.expand("{small}")),
    _wrap(
        "SELECT * FROM ({}) q",
        "WITH q AS ({}) SELECT * FROM q LIMIT 3",
        "({})",
        "{};",
        "EXPLAIN {}",
        "SELECT count(*) FROM ({}) q",
    ),
)
"""Changes after which most statements still mean something."""

CHANGES: Final[tuple[Change, ...]] = (
    *HARMLESS,
    _delete,
    _double,
    _swap,
    _insert(lambda fuzz: fuzz.random.choice(_STRANGE)),
    _insert(lambda fuzz: fuzz.random.choice(_GAPS)),
    _insert(lambda fuzz: fuzz.expand(" {hint} ")),
    _insert(lambda fuzz: fuzz.expand(" {odd_clause} ")),
    _replace(r"\w", lambda fuzz, word: fuzz.random.choice((f"`{word}`", f'"{word}"', f"'{word}'", f"{word}.{word}", f"({word})"))),
    _replace(r"\w", lambda fuzz, _: fuzz.expand("{any}")),
    _replace(r"\w", lambda fuzz, _: fuzz.expand("{odd_item}")),
    _replace(r"\w", lambda fuzz, word: word + fuzz.random.choice(("(1)", "()", " AS x", "[0]", ":a", ".*", "::INT"))),
    _replace(r"(?i)\w+_(delta|ratings|cast)\b", lambda fuzz, _: fuzz.expand("{relation}")),
    _replace(r"(?i)\w+_(delta|ratings|cast)\b", lambda fuzz, _: fuzz.expand("{attacked}")),
    _replace(r"\d+$", lambda fuzz, _: fuzz.expand("{number}")),
    _replace(r"['\"]", lambda fuzz, _: fuzz.expand("{literal}")),
    _replace(r"[=<>+\-*/|]", lambda fuzz, _: fuzz.random.choice((" AND ", " OR ", "=", "<=>", "||", "->", " IN ", " BETWEEN ", "*", " LIKE "))),
    _wrap(
        "{} {limit}", "{}; {odd_statement}", "{odd_statement}; {}", "{} UNION ALL {query}", "{query} {set} {}", "{} |> {step}", "WITH {ctes} {}",
        "EXPLAIN EXTENDED {}", "SELECT {any} FROM ({}) m", "WITH RECURSIVE r AS ({}) SELECT * FROM r", "SELECT * FROM movies_delta m WHERE m.tconst IN ({})",
        "EXECUTE IMMEDIATE '{}'", "CREATE VIEW x AS {}", "CACHE TABLE x AS {}", "INSERT INTO movies_delta {}", "{} INTO x", "{}, hr.salaries", "{}\\",
    ),
)  # fmt: skip
