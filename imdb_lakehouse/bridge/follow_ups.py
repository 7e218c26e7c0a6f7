"""Questions that a reader may ask next: those that the model writes behind its answer, else verified ones near to it.

The model adds them to the answer itself (prompts/bridge_system.md), so that they cost no call of their own:

    There are 300 titles.
    <next>
    How many of them are films?
    </next>

What stands between the tags is no part of the answer and is never told while it is streamed. A model that writes
no tags costs nothing and loses nothing: its whole text is the answer.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from lakehouse.context import VerifiedQuery
from lakehouse.escaping import replace_controls
from lakehouse.find.words import split_words

MOST_FOLLOW_UPS: Final = 3
MOST_FOLLOW_UP_CHARS: Final = 160
_MOST_TAIL_CHARS: Final = 800
"""What is longer between the tags, or has no end within so much, is text of the answer."""
_LEAST_SHARE: Final = 0.2
_SAME_SHARE: Final = 0.8
"""A question that shares so much of its words with one that was asked is that question."""

_OPEN_TAG: Final = "<next>"
_OPENING = re.compile(_OPEN_TAG, re.IGNORECASE)
_CLOSING = re.compile("</next>", re.IGNORECASE)
_BULLET = re.compile(r"(?:[-*•]|\d{1,2}[.)])\s")
_IDENTIFIER = re.compile(r"`[^`\n]++`|\b(?:[^\W_]++_\w+|[a-z]++[A-Z]\w*)")
"""A word that only a column, a table or code is written like."""


class _Tail(NamedTuple):
    """Where the follow-ups of a text begin and end with their tags, and what is between these."""

    start: int
    end: int
    body: str


def split_follow_ups(text: str) -> tuple[str, tuple[str, ...]]:
    """Split what a model wrote into its answer and the questions behind it.

    >>> split_follow_ups("There are 300.\\n<next>\\n- How many are films?\\n</next>")
    ('There are 300.', ('How many are films?',))
    """
    tail = _find_tail(text)
    if tail is None:
        return text, ()
    lines = (_BULLET.sub("", line.strip(), count=1).strip() for line in replace_controls(tail.body).splitlines())
    found = dict.fromkeys(line for line in lines if 0 < len(line) <= MOST_FOLLOW_UP_CHARS)
    return _remove_tail(text, tail), tuple(found)[:MOST_FOLLOW_UPS]


class AnswerStream:
    """Passes on an answer as it is streamed, without the follow-ups: what may be the beginning of their tag waits."""

    def __init__(self) -> None:
        self._text = ""
        self._told = 0  # characters of the answer that were passed on
        self._searched = 0  # there is no tail before this

    def add_piece(self, piece: str) -> str:
        """Add a piece of the model's text, and return what of the answer can be told now."""
        self._text += piece
        if (tail := _find_tail(self._text, self._searched)) is not None:
            return self._tell(_remove_tail(self._text, tail))
        self._searched = self._text.rfind("\n") + 1
        return self._tell(self._text[: _find_held(self._text)])

    def end(self) -> str:
        """Return the rest of the answer once the model has ended."""
        tail = _find_tail(self._text, self._searched)
        return self._tell(self._text if tail is None else _remove_tail(self._text, tail))

    def _tell(self, answer: str) -> str:
        new = answer[self._told :]
        self._told += len(new)
        return new


def _find_tail(text: str, start: int = 0) -> _Tail | None:
    """Find the follow-ups of a text, which begin a line. Without a closing tag they go on to the end."""
    for opening in _OPENING.finditer(text, start):
        if text[text.rfind("\n", 0, opening.start()) + 1 : opening.start()].strip():
            continue
        most = opening.start() + _MOST_TAIL_CHARS
        closing = _CLOSING.search(text, opening.end(), most)
        if closing is None and len(text) > most:
            continue
        end, last = closing.span() if closing is not None else (len(text), len(text))
        return _Tail(opening.start(), last, text[opening.end() : end])
    return None


def _remove_tail(text: str, tail: _Tail) -> str:
    """The answer alone; a model may go on with it behind its follow-ups."""
    rest = text[tail.end :]
    return text[: _end_of_lines(text, tail.start)] + (rest if rest.strip() else "")


def _find_held(text: str) -> int:
    """Where the part of a text begins that may become a tail: its last line if that may be an opening tag."""
    line = text.rfind("\n") + 1
    return _end_of_lines(text, line) if _OPEN_TAG.startswith(text[line:].strip().lower()) else len(text)


def _end_of_lines(text: str, end: int) -> int:
    """Where the text before `end` ends without the empty lines behind it."""
    full = len(text[:end].rstrip())
    feed = text.find("\n", full, end)
    return end if feed < 0 else feed


def drop_unknown_names(questions: Iterable[str], sources: Sequence[str]) -> list[str]:
    """Drop questions with a name of a column or table that none of the texts has which the model read.

    >>> drop_unknown_names(["What is the highest boxOffice?", "And by startYear?"], ["startYear INT"])
    ['And by startYear?']
    """
    return [
        question
        for question in questions
        if all(any(name.strip("`") in text for text in sources) for name in _IDENTIFIER.findall(question))
    ]


class VerifiedQuestions:
    """The questions of the verified queries of a lake's context, of which each has an answer."""

    def __init__(self, queries: Sequence[VerifiedQuery] = ()) -> None:
        self._queries = [(query, frozenset(split_words(query.question))) for query in queries]
        counts = Counter(word for _, words in self._queries for word in words)
        self._rarity = {word: math.log((1 + len(queries)) / (1 + count)) for word, count in counts.items()}

    def find_near(self, question: str, asked: Sequence[str] = ()) -> list[str]:
        """Find the questions nearest to one by their words, each counted by its rarity, and none that was asked.

        One that follows another in a conversation (`follows`) is proposed behind that one alone.
        """
        wanted = frozenset(split_words(question))
        known = [wanted, *(frozenset(split_words(text)) for text in asked)]
        before = {query.id for query, words in self._queries if self._compare(words, wanted) >= _SAME_SHARE}
        found: list[tuple[float, str]] = []
        for query, words in self._queries:
            if any(self._compare(words, each) >= _SAME_SHARE for each in known):
                continue
            if query.follows in before:
                found.append((1.0, query.question))
            elif not query.follows and (share := self._compare(words, wanted)) >= _LEAST_SHARE:
                found.append((share, query.question))
        found.sort(key=lambda one: -one[0])
        return [text for _, text in found[:MOST_FOLLOW_UPS] if len(text) <= MOST_FOLLOW_UP_CHARS]

    def _compare(self, words: frozenset[str], others: frozenset[str]) -> float:
        """The share of the words of two questions that both have. A word that no verified question has counts most."""
        most = math.log(1 + len(self._queries))
        both = sum(self._rarity.get(word, most) for word in words & others)
        return both / (sum(self._rarity.get(word, most) for word in words | others) or 1.0)
