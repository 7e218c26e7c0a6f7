"""Statements to try the guard with: written by a grammar, or made of the corpora by small damage.

Not Hypothesis: what is needed is a stream of a fixed length that one number reproduces whatever the versions of
the libraries, and statements that may be run a hundred thousand times. A mutant is one line of a corpus with one to
four changes, which is as small as a shrinker would make it.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import sqlglot
from sqlglot import exp

from mcp_server.guard.functions import function_policy
from tests.fuzz.changes import CHANGES, HARMLESS
from tests.fuzz.grammar import ARGUMENTS, GRAMMAR, Grammar

_DATA: Final = Path(__file__).parent.parent / "data"
_FORM = re.compile(r"\{\{|\}\}|\{([a-z_]+)(?::([a-z_]+))?\}")
_ATTACK = re.compile(r"\{(odd_|attacked|refused|secret_)")
_WORDS = re.compile(r"\s+|--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.)*'|\"[^\"]*\"|`[^`]*`|\w+|.", re.DOTALL)
_PLAIN_QUERY = re.compile(r"\s*(SELECT|WITH|FROM|VALUES)\b", re.IGNORECASE)
_DEEPEST = 6


@dataclass(frozen=True)
class Targets:
    """What attacks aim at: a file and a table outside the lake, an address that listens, a secret variable."""

    file: str = "/srv/secret/file.txt"
    table: str = "/srv/hr/salaries"
    address: str = "https://127.0.0.1:9/x"
    variable: str = "CANARY"


@functools.cache
def honest() -> tuple[str, ...]:
    """The honest statements of the corpora and the questions."""
    return _lines("guard/honest-open.jsonl", "guard/own-honest.jsonl", "evals/questions.jsonl")


@functools.cache
def hostile() -> tuple[str, ...]:
    return _lines("guard/hostile-open.jsonl", "guard/own-hostile.jsonl")


def _lines(*names: str) -> tuple[str, ...]:
    texts = (line for name in names for line in (_DATA / name).read_text("utf-8").splitlines())
    found = tuple(json.loads(line)["sql"] for line in texts)
    return tuple(sql for sql in found if len(sql) < 2_000)


class Generator:
    """An endless stream of statements. The same seed and the same targets give the same statements."""

    def __init__(
        self, seed: int, targets: Targets | None = None, *, attacks: bool = True, grammar: Grammar = GRAMMAR
    ) -> None:
        self.random = Random(seed)
        self._targets = targets or Targets()
        self._attacks = attacks
        self._grammar = grammar

    def stream(self) -> Iterator[str]:
        """Half of the statements come from the grammar, half from the corpora; most of both are damaged."""
        chance = self.random
        while True:
            grown = chance.random() < 0.5
            sql = self.expand("{statement}") if grown else self._seed()
            if chance.random() < 0.25:
                sql = self._crossed(sql)
            for _ in range(chance.choice((0, 1) if grown else (1, 1, 2, 4))):
                sql = self._damaged(sql)
            yield sql

    def expand(self, form: str, depth: int = _DEEPEST) -> str:
        """A form of the grammar written out; below the deepest level with the plainest forms only."""

        def write(found: re.Match[str]) -> str:
            name, kind = found[1], found[2]
            if name is None:
                return found[0][0]
            if name.startswith("secret_"):
                return str(getattr(self._targets, name.removeprefix("secret_")))
            if name == "refused":
                return self.random.choice(sorted(function_policy().refused))
            if name == "call":
                return self._call(kind, depth)
            forms = [f for f in self._grammar[name] if self._attacks or not _ATTACK.search(f)] or [""]
            chosen = forms[0] if depth <= 0 else self.random.choice(forms)
            return self.expand(chosen, depth - 1)

        return _FORM.sub(write, form)

    def _call(self, kind: str, depth: int) -> str:
        kind = self.random.choice(sorted(ARGUMENTS)) if kind == "any" else kind
        names = sorted(name for name, other in function_policy().allowed.items() if other == kind)
        arguments = ARGUMENTS[kind][0] if depth <= 0 else self.random.choice(ARGUMENTS[kind])
        return f"{self.random.choice(names)}({self.expand(arguments, depth - 1)})"

    def _seed(self) -> str:
        return self.random.choice(hostile() if self._attacks and self.random.random() < 0.35 else honest())

    def _crossed(self, sql: str) -> str:
        """`sql` with one part of its tree replaced by a part of the same kind of another statement."""
        host, guest = _tree(sql), _tree(self._seed())
        if host is None or guest is None:
            return sql
        host = host.copy()
        sort = self.random.choice((exp.Query, exp.Table, exp.Condition, exp.Condition))
        places = [node for node in host.find_all(sort) if node.parent is not None and node.arg_key != "with_"]
        parts = list(guest.find_all(sort))
        if not places or not parts:
            return sql
        self.random.choice(places).replace(self.random.choice(parts).copy())
        try:
            return host.sql("databricks")
        except Exception:  # noqa: BLE001  (a tree that means nothing cannot always be written)
            return sql

    def _damaged(self, sql: str) -> str:
        words = _WORDS.findall(sql)
        changes = CHANGES if self._attacks else HARMLESS
        return "".join(self.random.choice(changes)(self, words)) if words else sql

    def at(self, words: list[str], pattern: str = r"\w") -> int:
        """The index of some word that matches, or of any where none does."""
        found = [index for index, word in enumerate(words) if re.match(pattern, word)]
        return self.random.choice(found or range(len(words)))


@functools.lru_cache(4_096)
def _tree(sql: str) -> exp.Expr | None:
    """The tree of a plain query; sqlglot says too much about the rest, and fails on some pipes."""
    if not _PLAIN_QUERY.match(sql) or "|>" in sql:
        return None
    try:
        return sqlglot.parse_one(sql, dialect="databricks")
    except Exception:  # noqa: BLE001  (of damaged text sqlglot raises nearly anything; the guard's use is what is tested)
        return None
