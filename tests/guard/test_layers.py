# ruff: noqa: E501  (a layer is read in one line)
"""Each layer of the guard stops something that no other layer stops; without it, that statement would run.

A layer is switched off by itself, all others stay on. Where another layer stops every example that could be found,
the table says which one it is, and the test shows that it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest
from sqlglot import exp

from mcp_server.guard import characters, names, rules
from mcp_server.sql import clauses, lexer, parser, source, splice
from mcp_server.sql.analysis_copy import Copy
from tests.guard.conftest import TABLES, Check, Verdict

Off = Callable[[pytest.MonkeyPatch], None]
BY_KINDS: Final = "syntax_not_allowed"


def _nothing(*_: object, **__: object) -> None: ...


def _without(module: object, name: str, instead: object = _nothing) -> Off:
    return lambda patch: patch.setattr(module, name, instead)


def _reader_without(name: str, instead: object = _nothing) -> Off:
    return _without(clauses._ClauseReader, name, instead)


def _without_rule(name: str) -> Off:
    return lambda patch: patch.setattr(rules, "RULES", tuple(rule for rule in rules.RULES if rule[0] != name))


def _without_text_rule(unwanted: characters.TextRule) -> Off:
    kept = tuple(rule for rule in characters.TEXT_RULES if rule is not unwanted)
    return lambda patch: patch.setattr(characters, "TEXT_RULES", kept)


def _gullible(
    source: source.Source, reading: clauses.Reading, copy: Copy, nodes: list[exp.Expr]
) -> tuple[dict[int, clauses.TableRef], dict[int, int]]:
    """Takes the tree's word for the tables, and no notice of calls and tables that only the tokens have."""
    refs = {ref.first: ref for ref in reading.tables}
    tables, calls = {}, {}
    for node in nodes:
        first = (
            copy.origin.get(node.parts[0].meta.get("start", -1)) if isinstance(node, exp.Table) and node.parts else None
        )
        if isinstance(node, exp.Table) and first is not None:
            named = clauses.TableRef(first, first, first, tuple(part.name.lower() for part in node.parts))
            tables[id(node)] = refs.get(first, named)
        index = copy.origin.get(node.meta.get("start", -1)) if isinstance(node, exp.Anonymous) else None
        if index is not None and index in reading.calls:
            calls[id(node)] = index
    return tables, calls


@dataclass(frozen=True)
class Layer:
    """A layer, how it is switched off, and a statement that it stops with `code`.

    `then` is what becomes of the statement without it: nothing where it is allowed, else the code of the layer
    that stands behind it.
    """

    name: str
    off: Off
    sql: str
    code: str
    then: str | None = None


_NESTED_READS = ", ".join(f"a{i + 1} AS (SELECT p.x FROM a{i} p JOIN a{i} q USING (x))" for i in range(6))

LAYERS: Final = (
    Layer("characters: size", _without_text_rule(characters.check_size), f"SELECT '{'a' * 40_000}'", "too_long"),
    Layer("characters: encoding", _without_text_rule(characters.check_encoding), "SELECT '\ud800'", "not_utf8"),
    Layer("characters: control", _without_text_rule(characters.check_control_characters), "SELECT 'a\x07'", "control_character"),
    Layer("characters: substitution", _without_text_rule(characters.check_substitution), "SELECT '${env:HOME}'", "substitution"),
    Layer("tokens: names", _without(lexer, "_check_neighbour"), "SELECT `a$b` FROM movies_delta", "odd_name"),
    Layer("tokens: numbers", _without(lexer, "_check_neighbour"), "SELECT 1e99999999BD", "too_large"),
    Layer("tokens: one statement", _without(source, "MAX_SEMICOLONS", 10**6), "SELECT 1" + ";" * 100, "many_statements"),
    Layer("tokens: depth", _without(source, "MAX_DEPTH", 10**6), "SELECT " + "(" * 41 + "1" + ")" * 41, "too_deep"),
    Layer("tokens: signs", _without(source, "MAX_UNARY", 10**6), "SELECT " + "- " * 20 + "1", "too_deep"),
    Layer("tokens: colons", _without(source, "_check_colon"), "SELECT a : b FROM movies_delta", "parameter"),
    Layer("tokens: commas", _without(source, "_check_comma"), "SELECT tconst, FROM movies_delta", "syntax"),
    Layer("clauses: options", _reader_without("check_options"), "SELECT 1 FROM movies_delta WITH (a)", "syntax", BY_KINDS),
    Layer("clauses: versions", _reader_without("read_version", lambda _, last: last), "TABLE movies_delta VERSION AS OF f", "time_travel", BY_KINDS),
    Layer("clauses: after a table", _reader_without("may_follow", lambda *_: True), "SELECT * FROM movies_delta 'a'", "syntax"),
    Layer("clauses: VALUES", _reader_without("check_values"), "SELECT * FROM VALUES salaries", "syntax"),
    Layer("clauses: writing", _reader_without("check_writing"), "FROM movies_delta UPDATE", "not_a_query"),
    Layer("clauses: writing", _reader_without("check_writing"), "FROM movies_delta INSERT INTO x SELECT 1", "not_a_query", BY_KINDS),
    Layer("functions: calls", _without(names, "_check_call"), "SELECT reflect('java.lang.System', 'exit')", "function_not_allowed"),
    Layer("functions: bare", _without(names, "_check_name"), "SELECT user FROM movies_delta", "function_not_allowed"),
    Layer("functions: hidden", _without(names, "_check_name"), "SELECT _metadata.file_path FROM movies_delta", "hidden_column"),
    Layer("limits: LIMIT", _without(rules, "check_row_limits"), "SELECT 1 LIMIT 1 + 1", "limit_not_plain"),
    Layer("limits: OFFSET", _without(rules, "check_row_limits"), "TABLE movies_delta OFFSET 100000000", "offset_too_large"),
    Layer("tree: kinds", _without(rules, "check_kinds"), "SELECT * FROM movies_delta CONNECT BY a = b", BY_KINDS),
    Layer("tree: completeness", _without(parser, "_check_complete"), "SELECT FROM movies_delta", "syntax"),
    Layer("tree: depth", _without(rules, "check_depth"), "SELECT 1" + "+1" * 250, "too_deep"),
    Layer("tree: match", _without(parser, "_match_tokens", _gullible), "SELECT * FROM movies_delta rand(42)", "ambiguous"),
    Layer("tree: match", _without(parser, "_match_tokens", _gullible), "SELECT * FROM array(1).`/etc/passwd`", "ambiguous", "path_as_table"),
    Layer("names: tables", _without(names, "_find_table", lambda *_: TABLES[0]), "SELECT * FROM hr.salaries", "other_schema"),
    Layer("names: reads", _without(names, "MAX_READS", 10**9), f"WITH a0 AS (SELECT tconst AS x FROM crew_delta), {_NESTED_READS} SELECT * FROM a6", "too_many_reads"),
    Layer("recursion", _without_rule("recursion"), "WITH RECURSIVE r AS (SELECT 1 n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r", "recursion"),
    Layer("groupings", _without_rule("groupings"), "SELECT 1 FROM movies_delta GROUP BY CUBE (a, b, c, d, e, f, g, h, i)", "too_many_groupings"),
    Layer("growth", _without_rule("growth"), "SELECT repeat('a', 1000000000)", "too_large"),
    Layer("joins", _without_rule("joins"), "SELECT * FROM movies_delta a JOIN akas_delta b ON a.startYear < b.ordering", "cross_join"),
    Layer("collecting", _without_rule("collecting"), "SELECT to_json(collect_list(struct(*))) FROM movies_delta", "unbounded_value"),
)  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_statement_that_this_layer_stops_gets_further_without_it(
    layer: Layer, verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verdict(layer.sql).code == layer.code

    layer.off(monkeypatch)

    assert verdict(layer.sql).code == layer.then


def test_what_runs_is_read_again(verdict: Verdict, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """No statement is known whose names are spliced wrongly, so splicing is made to go wrong."""
    meant = check("SELECT * FROM movies_delta").sql
    monkeypatch.setattr(splice, "_join_words", lambda _: "imdb.movies_delta, hr.salaries")
    assert verdict("SELECT * FROM movies_delta").code == "ambiguous"

    monkeypatch.setattr(splice, "tokenize", lambda _, most: lexer.tokenize(meant, most))

    assert check("SELECT * FROM movies_delta").sql.endswith(", hr.salaries")


def test_every_layer_has_an_example(verdict: Verdict) -> None:
    """`dialect` refuses nothing of its own; the engine's reading is in test_confirm.py, its caps in tests/fuzz."""
    elsewhere = {"dialect", "splice"}

    reached = {step.layer for step in verdict("SELECT 1").steps if not step.layer.startswith("engine")}

    assert reached - elsewhere == {layer.name.split(":")[0] for layer in LAYERS}
