"""Statements that the server composes: markers become literals, never code."""

from __future__ import annotations

from typing import Any

import pytest

from lakehouse.errors import Refused
from mcp_server import checking
from tests.guard.conftest import PINS, SETTINGS

M = PINS["movies_delta"]


def _filled(sql: str, arguments: dict[str, Any]) -> str:
    return checking.template(sql, arguments, **SETTINGS).sql


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("Heat", "'Heat'"),
        ("it's", r"'it\'s'"),
        ("a\\", r"'a\\'"),
        ("\\' OR 1=1 --", r"'\\\' OR 1=1 --'"),
        ("${env:HOME}", r"'\u0024{env:HOME}'"),
        ("tab\there\x00", r"'tab\u0009here\u0000'"),
        ("日本語 🎬", "'日本語 🎬'"),
        (":other ? @x {y}", "':other ? @x {y}'"),
        (5, "5"),
        (-5, "-5"),
        (0.5, "0.5D"),
        (True, "TRUE"),
        (None, "NULL"),
    ],
)
def test_a_value_stands_as_an_escaped_literal(value: object, literal: str) -> None:
    assert _filled("SELECT :value AS v", {"value": value}) == f"SELECT {literal} AS v"


def test_a_list_stands_as_literals_with_commas_between() -> None:
    sql = _filled("SELECT * FROM movies_delta WHERE tconst IN (:ids)", {"ids": ["tt1", "it's", "', '", 7, None]})

    assert sql.endswith(r"WHERE tconst IN ('tt1', 'it\'s', '\', \'', 7, NULL)")


def test_a_marker_inside_a_string_or_comment_or_path_is_none() -> None:
    sql = _filled("SELECT ':a', j:a.b /* :a */ FROM VALUES ('x') t(j) WHERE j = :a", {"a": "1"})

    assert sql == "SELECT ':a', j:a.b FROM VALUES ('x') t(j) WHERE j = '1'"


def test_a_name_stands_only_where_the_catalogue_has_it() -> None:
    arguments = {"table": checking.Identifier("movies_delta"), "column": checking.Identifier("primaryTitle")}

    sql = _filled("SELECT :column FROM :table", arguments)

    assert sql == f"SELECT `primaryTitle` FROM imdb.movies_delta VERSION AS OF {M}"
    with pytest.raises(Refused) as refusal:
        _filled("SELECT * FROM :table", {"table": checking.Identifier("salaries")})
    assert refusal.value.code == "unknown_table"


def test_a_template_is_checked_like_any_statement() -> None:
    with pytest.raises(Refused) as refusal:
        _filled("SELECT reflect(:a)", {"a": "x"})

    assert refusal.value.code == "function_not_allowed"


@pytest.mark.parametrize("arguments", [{"a": 1, "b": 2}, {"a": float("nan")}, {"a": []}])
def test_a_template_that_does_not_fit_its_arguments_is_a_defect(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"marker|finite|at least one"):
        _filled("SELECT :a", arguments)


def test_a_marker_without_an_argument_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        _filled("SELECT :a, :b", {"a": 1})

    assert refusal.value.code == "parameter"
