"""Where a text is cut: the guard, Spark's own lexer and the embedded engine cut alike what the guard lets pass."""

from __future__ import annotations

import random
import subprocess
import uuid
from pathlib import Path

import pyspark
import pytest

from lakehouse.errors import LakehouseError, Refused
from mcp_server.engines.local import LocalEngine
from mcp_server.sql.lexer import tokenize
from tests.conftest import ROOT
from tests.engines.conftest import Query

_KNOWN = """
    1.5L 1.5S .5Y 1e5L 1e5Y 1e5D 1.e5 1.BD 1.D 1.F 1.e 1. .5 .5e5 .e5 . 0x1F 1_000 1__0 _1 1e+ 1e+5 1e+5L 1E-5f 1b 1bd
    1BDx 1.5.5 1..5 1.a a.1 a.1e5 a1.5 5D5 1l 1s 1y 1f 1d 0.0BD 007 1e400 1-1 1-.5 1--5 1e5-5 1.-5 1*.5 1/.5 */ 5*/5
    a*/b
    1e5e5 1e5.5 15e0BD 15e0bdx 1L5 1.0e-5d (1).5 [1].5 1]5 'a'.5 `q`.5 x.5 1`q` 1'a' 1:5 1::int -.5e-5 +.5 ~5 !5
    9223372036854775808
"""
_PIECES = """
    1 0 15 . e E 5 + - L D BD f Y s _ x F b 000 a * / < = ! | & :: : ( ) , `q` ^ ~ % e5 $ @ # --
"""
_SHARE = 700


_TOO_LONG = (
    "1" * 39,
    "0." + "1" * 39,
    "1" * 20 + "." + "1" * 19,
    "1e38BD",
    "1e-39BD",
    "1" * 5_000,
    "." + "0" * 500,
    "1" * 401 + "D",
)
_LONG = (
    "1" * 38,
    "0" * 50 + "1",
    "0." + "1" * 38,
    "1" * 19 + "." + "1" * 19,
    "1e37BD",
    "1e-38BD",
    "0e5BD",
    "1" * 309 + "D",
)


def _texts() -> list[str]:
    chance = random.Random(14)
    pieces, known = [*_PIECES.split(), " ", " ", " "], _KNOWN.split()
    made = {"".join(chance.choice(pieces) for _ in range(chance.randrange(1, 7))) for _ in range(_SHARE)}
    return [*known, *_LONG, *_TOO_LONG, *sorted(made - set(known))]


def _cut(text: str) -> list[str] | None:
    """The guard's tokens; None where it refuses the text."""
    try:
        return [token.text for token in tokenize(text, 100)]
    except Refused:
        return None


def _cut_by_spark(texts: list[str]) -> list[str]:
    """For each text the places where Spark's own lexer cuts it."""
    jars = Path(pyspark.__file__).parent / "jars" / "*"
    done = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", str(jars), str(ROOT / "tests" / "engines" / "SparkTokens.java")],
        input="".join(f"{text}\n" for text in texts),
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    )
    return [line.removeprefix("TOKENS ") for line in done.stdout.splitlines() if line.startswith("TOKENS ")]


@pytest.mark.usefixtures("java")
def test_the_guard_cuts_a_text_where_sparks_own_lexer_does() -> None:
    texts = _texts()
    told = {}

    for text, cut in zip(texts, _cut_by_spark(texts), strict=True):
        try:
            ours = " ".join(f"{token.start}-{token.start + len(token.text)}" for token in tokenize(text, 100))
        except Refused:
            continue
        if ours != cut:
            told[text] = (ours, cut)
    assert told == {}
    assert [text for text in _TOO_LONG if _cut(text)] == []
    assert [text for text in _LONG if not _cut(text)] == []
    assert sum(_cut(text) is not None for text in texts) > len(texts) / 2


@pytest.mark.parametrize("engine", ["embedded"], indirect=True)
def test_the_embedded_engine_cuts_a_text_where_the_guard_does(engine: LocalEngine, query: Query) -> None:
    """A text means the same with blanks between the guard's tokens."""
    told = {}

    for text in _texts():
        if (cut := _cut(text)) is not None and any(piece[0].isdigit() or piece[:1] == "." for piece in cut):
            glued, apart = (_answer(engine, query, f"SELECT {sql}") for sql in (text, " ".join(cut)))
            if glued != apart:
                told[text] = (glued, apart)
    assert told == {}


def _answer(engine: LocalEngine, query: Query, sql: str) -> str:
    try:
        found = engine.execute(query(sql), uuid.uuid4().hex)
    except LakehouseError:
        return "no answer"
    return f"{found.types} {found.table.to_pylist()}"
