"""The types and refusals of expressions are those that Spark has recorded (`python -m tests.sql.record_types`)."""

from __future__ import annotations

import pytest

from mcp_server.sql.compose import compose, quote_text
from mcp_server.sql.functions import functions as classes
from mcp_server.sql.lexer import tokenize
from mcp_server.sql.source import MAX_TOKENS, read_source
from mcp_server.sql.typed import functions, typing
from mcp_server.sql.typed.casts import refused_cast
from mcp_server.sql.typed.coercion import common_type
from mcp_server.sql.typed.nodes import Binary, Call, Column, Constant, NamedArgument
from mcp_server.sql.typed.parse_query import parse_query
from mcp_server.sql.typed.refusal import SparkRefuses
from mcp_server.sql.typed.relations import Query
from mcp_server.sql.typed.resolve import TableSource, resolve_query
from mcp_server.sql.typed.types import (
    BIGINT,
    BOOLEAN,
    INT,
    STRING,
    Array,
    Decimal,
    Map,
    Type,
    as_schema,
    parse_fields,
    parse_type,
)
from tests.sql.record_types import read_lines

pytestmark = pytest.mark.quick

VERSION, LINES = read_lines()


def resolve(sql: str) -> Query:
    source = read_source(sql, tokenize(sql, MAX_TOKENS))
    return resolve_query(parse_query(source), TableSource(lambda _: None, lambda *_: None, ("main",)))


def number(value: int) -> Constant:
    return Constant(compose("{}", value), value, type=INT)


def text(value: str) -> Constant:
    return Constant(quote_text(value), value, type=STRING)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["sql"][:80])
def test_a_statement_has_the_types_or_the_refusal_of_spark(line):
    if "refused" in line:
        with pytest.raises(SparkRefuses) as caught:
            resolve(line["sql"])
        assert caught.value.condition == line["refused"]
    else:
        outputs = resolve(line["sql"]).outputs
        assert f"struct<{','.join(f'{each.name}:{as_schema(each.type)}' for each in outputs)}>" == line["schema"]


def test_the_recorded_answers_are_many_of_both_kinds():
    assert VERSION.startswith("4.2")
    assert sum("refused" in line for line in LINES) > 400
    assert sum("schema" in line for line in LINES) > 800


def test_every_function_that_may_be_called_has_a_signature():
    grammar = {"cast", "try_cast"}
    names_of_types = {"dec", "numeric", "varchar"}
    assert set(classes().classes) - grammar - names_of_types <= set(functions.functions())


@pytest.mark.parametrize(
    ("written", "schema"),
    [
        ("array<struct<a: dec(4), `b c` int NOT NULL COMMENT 'x'>>", "array<struct<a:decimal(4,0),b c:int>>"),
        ("Interval day TO second", "interval day to second"),
        ("interval year", "interval year"),
        ("timestamp without time zone", "timestamp_ntz"),
        ("TIMESTAMP_LTZ", "timestamp"),
        ("time(3)", "time(3)"),
        ("long", "bigint"),
        ("map<string,array<binary>>", "map<string,array<binary>>"),
        ("varchar(10)", "varchar(10)"),
    ],
)
def test_names_of_types_are_read_as_spark_reads_them(written, schema):
    assert as_schema(parse_type(written)) == schema


@pytest.mark.parametrize(
    "written", ["", "geometry(4326)", "interval month to day", "array<int", "char", "int int", "x"]
)
def test_what_is_no_known_type_is_none(written):
    assert parse_type(written) is None


def test_a_schema_of_columns_is_read():
    assert as_schema(parse_fields("a INT, b: array<string>")) == "struct<a:int,b:array<string>>"


@pytest.mark.parametrize(
    ("kinds", "common"),
    [
        ([INT, BIGINT], BIGINT),
        ([INT, STRING], BIGINT),
        ([Decimal(10, 2), Decimal(12, 4)], Decimal(12, 4)),
        ([Array(INT), Array(None)], Array(None)),
        ([INT, None], None),
        ([INT, BOOLEAN], None),
        ([parse_type("varchar(5)"), STRING], STRING),
    ],
)
def test_common_types_are_unknown_where_one_is_or_none_fits(kinds: list[Type | None], common: Type | None):
    assert common_type(kinds) == common


def test_nothing_is_refused_for_an_unknown_type():
    unknown = Column("x")
    assert typing.complete(Binary("+", unknown, text("a"))).type is None
    assert typing.complete(Binary("=", unknown, text("a"))).type == BOOLEAN
    assert typing.complete(Call("sqrt", (unknown,))).type == parse_type("double")
    assert typing.complete(Call("transform_keys", (unknown, unknown))).type == Map(None, None)
    assert refused_cast(None, INT) == ""


def test_a_function_that_is_not_known_has_no_type():
    assert typing.complete(Call("no_such_function", (number(1),))).type is None


def test_named_arguments_become_positional():
    call = Call("mask", (text("a"), NamedArgument("lowerChar", text("q")), NamedArgument("UPPERCHAR", text("Q"))))
    placed = functions.place_arguments(call)
    assert [each.value for each in placed.arguments] == ["a", "Q", "q"]


def test_an_argument_that_is_left_out_between_others_has_its_default():
    placed = functions.place_arguments(Call("mask", (text("a"), NamedArgument("digitChar", text("d")))))
    assert [each.value for each in placed.arguments] == ["a", "X", "x", "d"]


def test_a_refusal_says_where_it_stands():
    with pytest.raises(SparkRefuses) as caught:
        resolve("SELECT 1 + true")
    assert caught.value.at == 2
    assert "INT" in caught.value.message


@pytest.mark.parametrize(
    ("name", "kinds", "parameters"),
    [
        ("transform", [Array(STRING), None], (STRING, INT)),
        ("filter", [Array(None), None], (None, INT)),
        ("aggregate", [Array(INT), BIGINT, None], (BIGINT, INT)),
        ("map_zip_with", [Map(INT, STRING), Map(BIGINT, BOOLEAN), None], (BIGINT, STRING, BOOLEAN)),
        ("array_sort", [Array(INT), None], (INT, INT)),
        ("upper", [None], ()),
    ],
)
def test_parameters_of_lambdas_have_types(name, kinds, parameters):
    assert typing.bind_parameters(name, kinds, len(kinds) - 1) == parameters
