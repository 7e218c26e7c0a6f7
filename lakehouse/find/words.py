"""Texts as words that compare: without case, accents and punctuation. Index and query fold alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

MOST_QUERY_CHARS: Final = 200
MOST_QUERY_WORDS: Final = 12
MOST_NAME_CHARS: Final = 400

_APOSTROPHES = "'’‘ʼʻ`´"
_SUFFIX = re.compile(rf"(?<=\w)[{_APOSTROPHES}](?=(?:s|t|d|m|re|ve|ll)(?!\w))")
"""The apostrophe of "ocean's" and "they're", unlike that of "d'or" and "O'Brien"."""
_WORD = re.compile(r"[^\W_]+")
_INNER_PUNCTUATION = re.compile(r"\w[^\w\s]\w|[&_]")
_PUNCTUATION = re.compile(r"[^\w\s]|_")
_MARKS = re.compile("[\u0300-\u036f\u1dc0-\u1dff\u064b-\u065f\u0591-\u05c7]+")
_LETTERS: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t", "ŋ": "n"}
)
"""Letters that no normal form takes apart."""
_UNSPACED = re.compile("([\u0e00-\u0e7f\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
"""Scripts that are written without spaces: each sign becomes a word."""

_EQUIVALENTS: Final = (
    ("1", "one"), ("2", "ii", "two"), ("3", "iii", "three"), ("4", "iv", "four"), ("5", "v", "five"),
    ("6", "vi", "six"), ("7", "vii", "seven"), ("8", "viii", "eight"), ("9", "ix", "nine"), ("10", "x", "ten"),
    ("11", "xi", "eleven"), ("12", "xii", "twelve"), ("13", "xiii", "thirteen"), ("20", "xx", "twenty"),
    ("30", "thirty"), ("40", "forty"), ("50", "fifty"), ("60", "sixty"), ("100", "hundred"), ("1000", "thousand"),
    ("1st", "first"), ("2nd", "second"), ("3rd", "third"), ("4th", "fourth"), ("5th", "fifth"), ("6th", "sixth"),
    ("7th", "seventh"), ("8th", "eighth"), ("9th", "ninth"), ("10th", "tenth"), ("13th", "thirteenth"),
    ("doctor", "dr"), ("mister", "mr"), ("mrs", "missus"), ("saint", "st"), ("versus", "vs"), ("volume", "vol"),
    ("junior", "jr"), ("senior", "sr"), ("you", "u"), ("are", "r"), ("part", "pt"), ("brothers", "bros"),
)  # fmt: skip
EQUIVALENTS: Final = {form: forms for forms in _EQUIVALENTS for form in forms}
"""The ways to write a word that people exchange, by each of them; the first stands for all."""
_SMALL = """
    a an the of and in on to for at by
    de la le les l el los las un une il lo i gli der die das ein eine und et y e du des d da do o os as del di della
    part chapter vol volume
"""
SMALL_WORDS: Final = frozenset(_SMALL.split())
"""Words that people leave out, add or exchange without meaning another name."""


def fold_text(text: str) -> str:
    """Fold a text to lower case without accents; "&" becomes "and", and "ocean's" one word.

    >>> fold_text("Léon & Ocean's")
    "leon and oceans"
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).casefold()
        text = unicodedata.normalize("NFC", _MARKS.sub("", text)).translate(_LETTERS)
        text = _UNSPACED.sub(r" \1 ", text)
    return _SUFFIX.sub("", text.lower()).replace("&", " and ")


def split_words(text: str) -> list[str]:
    """Split a text into folded words.

    >>> split_words("Le Fabuleux Destin d'Amélie")
    ['le', 'fabuleux', 'destin', 'd', 'amelie']
    """
    return _WORD.findall(fold_text(text))


def fold_for_index(text: str) -> str:
    """Fold a name to what is indexed: its words, and what punctuation divides written together as well.

    >>> fold_for_index("Spider-Man")
    'spider man spiderman'
    """
    if text.isascii() and not _INNER_PUNCTUATION.search(text):
        return text  # the index lowers letters and splits words itself
    folded = " ".join(
        [_fold_chunk(chunk) if len(chunk) <= _MOST_CHUNK_CHARS else fold_text(chunk) for chunk in text.split()]
    )
    if not _INNER_PUNCTUATION.search(folded):
        return folded
    joined = (_PUNCTUATION.sub("", chunk) for chunk in folded.split() if _PUNCTUATION.search(chunk))
    return " ".join([*_WORD.findall(folded), *(word for word in joined if word)])


_MOST_CHUNK_CHARS: Final = 32
"""Longer ones are not kept: they seldom come again, and may take any memory."""


@lru_cache(maxsize=65_536)
def _fold_chunk(chunk: str) -> str:
    """Fold what stands between blanks. Memoised: names are made of few words, and an index has millions of names."""
    return fold_text(chunk)


def unify_words(words: Sequence[str]) -> tuple[str, ...]:
    """Write words that have several forms in one: "part ii" and "pt two" become "part 2"."""
    return tuple(EQUIVALENTS[word][0] if word in EQUIVALENTS else word for word in words)


_SOUNDS: Final = (
    (re.compile("sch"), "sh"),
    (re.compile("sh"), "sch"),
    (re.compile("ph"), "f"),
    (re.compile("f"), "ph"),
    (re.compile("ck"), "k"),
    (re.compile("k"), "ck"),
    (re.compile("c(?=[aou])"), "k"),
    (re.compile("k"), "c"),
    (re.compile("ch"), "k"),
    (re.compile("k"), "ch"),
    (re.compile("tch"), "ch"),
    (re.compile("v"), "w"),
    (re.compile("w"), "v"),
    (re.compile("ts|tz"), "z"),
    (re.compile("z"), "tz"),
    (re.compile("s(?=[aeiou])"), "z"),
    (re.compile("x"), "ks"),
    (re.compile("ks"), "x"),
    (re.compile("j"), "y"),
    (re.compile("y"), "j"),
    (re.compile("ou|oo"), "u"),
    (re.compile("u"), "oo"),
    (re.compile("i"), "y"),
    (re.compile("ee|ea"), "i"),
    (re.compile("q(u?)"), "k"),
    (re.compile("dj|dzh"), "j"),
    (re.compile("zh"), "j"),
    (re.compile("kh"), "h"),
    (re.compile("^n(?=[aeiou])"), "kn"),
    (re.compile("^r"), "wr"),
    (re.compile("^s"), "ps"),
    (re.compile("gh"), "g"),
    (re.compile("c(?=[ei])"), "s"),
    (re.compile("s(?=[ei])"), "c"),
    (re.compile("aw|au"), "o"),
    (re.compile("ay|ey|ei|ai"), "e"),
)


def list_sound_alikes(word: str) -> list[str]:
    """List spellings that sound like a word, one rule applied in each."""
    found = (pattern.sub(replacement, word) for pattern, replacement in _SOUNDS)
    return [each for each in dict.fromkeys(found) if each != word]


_SOUND_LETTERS: Final = (
    (re.compile("^(?:kn|gn)"), "n"),
    (re.compile("^wr"), "r"),
    (re.compile("^ps"), "s"),
    (re.compile("ph"), "f"),
    (re.compile("t?sch|tch|ch|sh|zh"), "S"),
    (re.compile("ck|q|c(?![eiy])"), "k"),
    (re.compile("c"), "s"),
    (re.compile("x"), "ks"),
    (re.compile("t[sz]|z"), "s"),
    (re.compile("w"), "v"),
    (re.compile("gh"), "g"),
    (re.compile("kh"), "k"),
    (re.compile("th"), "t"),
    (re.compile("j|y"), "i"),
    (re.compile("ee|ea|ie|ei|ii"), "i"),
    (re.compile("ou|oo"), "u"),
    (re.compile("au"), "o"),
    (re.compile("ai|ae|oe"), "e"),
    (re.compile(r"(.)\1"), r"\1"),
)


@lru_cache(maxsize=8192)
def spell_sound(word: str) -> str:
    """Spell a word as it sounds, roughly, and alike for what sounds alike.

    >>> spell_sound("kieslowski") == spell_sound("kislovsky")
    True
    """
    for pattern, replacement in _SOUND_LETTERS:
        word = pattern.sub(replacement, word)
    return word
