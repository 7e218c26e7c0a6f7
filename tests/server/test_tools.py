"""The four tools through a real client in both eras, on the real engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.conftest import Connect, Serve, audit_lines
from tests.server.tokens import count_tokens

pytestmark = pytest.mark.anyio

FIELDS = [
    "status", "columns", "rows", "row_count", "total_rows", "truncated", "elapsed_ms", "query_id", "engine", "warnings",
    "warning_codes", "handle", "stage", "dry_run", "ai",
]  # fmt: skip


async def run(client: Any, sql: str, **more: Any) -> Any:
    return await client.call_tool("execute_spark_sql", {"sql_query": sql, "reasoning": "a test", **more})


def text_of(result: Any) -> str:
    (block,) = result.content
    return str(block.text)


async def test_a_statement_is_answered_as_structured_content_and_as_text(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        result = await run(client, "SELECT tconst, startYear, genres FROM movies_delta WHERE tconst = 'tt0007919'")
    content = result.structured_content
    assert list(content) == FIELDS
    assert content["columns"] == [
        {"name": "tconst", "type": "string"},
        {"name": "startYear", "type": "int"},
        {"name": "genres", "type": "array<string>"},
    ]
    assert content["rows"] == [["tt0007919", 1951, ["Comedy", "Drama"]]]
    assert (content["status"], content["row_count"], content["truncated"]) == ("done", 1, False)
    assert content["query_id"] in text_of(result)
    assert text_of(result).endswith("tconst:string\tstartYear:int\tgenres:array<string>\ntt0007919\t1951\tComedy,Drama")


async def test_truncated_is_told_exactly_at_the_limit(serve: Serve, connect: Connect) -> None:
    async with connect(serve(max_rows=6)) as client:
        exact = (await run(client, "SELECT tconst FROM movies_delta LIMIT 6")).structured_content
        more = (await run(client, "SELECT tconst FROM movies_delta LIMIT 7")).structured_content
        wished = (await run(client, "SELECT tconst FROM movies_delta", row_limit=100)).structured_content
        fewer = (await run(client, "SELECT tconst FROM movies_delta", row_limit=3)).structured_content
    assert (exact["row_count"], exact["truncated"], exact["warnings"]) == (6, False, [])
    assert (more["row_count"], more["truncated"]) == (6, True)
    assert (more["total_rows"], more["warning_codes"]) == (7, ["rows_cut"])
    assert "Cut after 6 of 7 rows, the most that an answer has." in more["warnings"][0]
    assert "Cut after 6 of 300 rows, the most that an answer has." in wished["warnings"][0]
    assert "Cut after 3 of 300 rows." in fewer["warnings"][0]


async def test_an_answer_has_as_many_rows_as_its_caller_or_its_limit_says_and_else_few(
    serve: Serve, connect: Connect
) -> None:
    sql = "SELECT tconst FROM movies_delta"
    async with connect(serve(max_rows=9, default_rows=4)) as client:
        plain = await run(client, sql)
        found = [plain, await run(client, f"{sql} LIMIT 7"), await run(client, sql, row_limit=8)]
        beyond = await run(client, f"{sql} LIMIT 50", row_limit=50)
    assert [each.structured_content["row_count"] for each in (*found, beyond)] == [4, 7, 8, 9]
    assert [each.structured_content["total_rows"] for each in (*found, beyond)] == [300, 7, 300, 50]
    assert text_of(plain).startswith("done, 4 of 300 rows, truncated, ")
    assert ", 7 rows, all rows, " in text_of(found[1])


@pytest.mark.parametrize(
    ("sql", "total"),
    [
        ("SELECT genres, count(*) AS n FROM movies_delta GROUP BY genres; -- by genre", 6),
        ("WITH a AS (SELECT tconst FROM ratings_delta) SELECT a.tconst, a.tconst FROM a ORDER BY 1", 270),
        ("SELECT DISTINCT m.startYear FROM movies_delta m JOIN ratings_delta r USING (tconst)", 63),
        ("SELECT m.tconst FROM movies_delta m JOIN ratings_delta r USING (tconst)", None),
    ],
)
async def test_a_cut_answer_says_how_many_rows_there_are_unless_counting_could_take_long(
    serve: Serve, connect: Connect, sql: str, total: int | None
) -> None:
    server = serve(default_rows=2, max_rows=3)
    async with connect(server) as client:
        content = (await run(client, sql)).structured_content
    assert (content["row_count"], content["truncated"], content["total_rows"]) == (2, True, total)
    (line,) = audit_lines(server)
    assert line["warnings"] == ["rows_cut"]
    assert len(line["sql_run"]) == 1 + (total is not None)


async def test_a_caller_may_lower_the_row_limit_and_not_raise_it(serve: Serve, connect: Connect) -> None:
    async with connect(serve(max_rows=6)) as client:
        low = (await run(client, "SELECT tconst FROM movies_delta", row_limit=2)).structured_content
        high = (await run(client, "SELECT tconst FROM movies_delta", row_limit=50)).structured_content
    assert (low["row_count"], low["truncated"]) == (2, True)
    assert (high["row_count"], high["truncated"]) == (6, True)


async def test_a_hundred_rows_of_a_view_take_few_tokens(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        result = await run(client, "SELECT * FROM movies_with_ratings LIMIT 100")
    assert len(result.structured_content["columns"]) == 11
    assert result.structured_content["row_count"] == 100
    assert count_tokens(text_of(result)) <= 3_700


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SHOW VIEWS", ["movie_cast", "movies_with_ratings"]),
        ("SHOW TABLES LIKE '*rating*'", ["movies_with_ratings", "ratings_delta"]),
    ],
)
async def test_show_is_answered_from_the_catalogue(
    serve: Serve, connect: Connect, sql: str, expected: list[str]
) -> None:
    async with connect(serve()) as client:
        content = (await run(client, sql)).structured_content
    assert sorted(row[1] for row in content["rows"]) == expected


async def test_describe_and_show_columns_name_the_columns(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        described = (await run(client, "DESCRIBE TABLE ratings_delta")).structured_content
        columns = (await run(client, "SHOW COLUMNS IN imdb.ratings_delta")).structured_content
    assert [row[:2] for row in described["rows"]] == [
        ["tconst", "string"], ["averageRating", "double"], ["numVotes", "int"],
    ]  # fmt: skip
    assert [row[0] for row in columns["rows"]] == ["tconst", "averageRating", "numVotes"]


async def test_explain_shows_a_plan_and_runs_nothing(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        content = (await run(client, "EXPLAIN SELECT count(*) FROM movies_delta")).structured_content
    assert [column["name"] for column in content["columns"]] == ["plan"]
    assert content["row_count"] == 1


@pytest.mark.parametrize("letter", ["x", "🎬"])
async def test_of_a_plan_as_much_is_shown_as_an_answer_holds(serve: Serve, connect: Connect, letter: str) -> None:
    async with connect(serve(max_result_bytes=4_000)) as client:
        content = (await run(client, f"EXPLAIN SELECT '{letter * 6_000}' FROM movies_delta")).structured_content
    ((plan,),) = content["rows"]
    shown, _, missing = plan.partition("…[+")
    assert 500 < len(plan.encode()) < 4_000
    assert len(shown) + int(missing.removesuffix(" chars]")) > 6_000
    assert any("longer than an answer may be" in each for each in content["warnings"])


async def test_a_write_is_refused_with_a_reason(serve: Serve, connect: Connect) -> None:
    server = serve()
    async with connect(server) as client:
        result = await run(client, "DROP TABLE movies_delta")
    assert result.is_error
    assert "DROP" in text_of(result).upper()
    (line,) = audit_lines(server)
    assert (line["verdict"], line["sql_sent"], line["sql_run"]) == ("refused", "DROP TABLE movies_delta", [])


async def test_a_refusal_and_a_lack_begin_with_their_codes(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        refused = await run(client, "SELECT count(*) FROM movies_delta m JOIN principals_delta p ON true")
        lacking = await run(client, "SELECT primaryTitle COLLATE UNICODE_CI FROM movies_delta")
    assert refused.is_error
    assert text_of(refused).startswith("Refused (cross_join): ")
    assert "ON m.tconst = p.tconst" in text_of(refused)
    assert lacking.is_error
    assert text_of(lacking).startswith("Not on this engine (engine_lacks): ")
    assert "lower(x)" in text_of(lacking)


async def test_a_rewritten_statement_is_answered_like_any_other(serve: Serve, connect: Connect) -> None:
    sql = (
        "FROM movies_with_ratings |> WHERE numVotes > 10 |> AGGREGATE count(*) AS n GROUP BY titleType "
        "|> ORDER BY n DESC, titleType |> LIMIT 2"
    )
    plain = (
        "SELECT titleType, count(*) AS n FROM movies_with_ratings WHERE numVotes > 10 GROUP BY titleType "
        "ORDER BY n DESC, titleType LIMIT 2"
    )
    async with connect(serve()) as client:
        rewritten, expected = [(await run(client, each)).structured_content for each in (sql, plain)]
    assert rewritten["rows"] == expected["rows"] != []
    assert rewritten["columns"] == expected["columns"]


async def test_a_misspelt_column_is_answered_with_the_nearest_and_the_columns(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        result = await run(client, "SELECT primaryTitel FROM movies_with_ratings")
    assert result.is_error
    assert "There is no column primaryTitel. Nearest: primaryTitle (in movies_with_ratings)." in text_of(result)
    assert "Columns of movies_with_ratings: tconst string, " in text_of(result)


async def test_a_misspelt_table_is_answered_with_the_nearest(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        result = await run(client, "SELECT * FROM movie_with_rating")
    assert result.is_error
    assert "movies_with_ratings" in text_of(result)


async def test_all_tables_are_listed_with_purpose_and_size(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        result = await client.call_tool("describe_schema", {})
    tables = {table["name"]: table for table in result.structured_content["tables"]}
    assert tables["movies_delta"] == {
        "name": "movies_delta", "kind": "table", "purpose": "All titles.", "rows": 300,
        "key": ["tconst"], "clustered_by": ["tconst"],
    }  # fmt: skip
    assert "movies_with_ratings (view, 270 rows): Titles that have a rating." in text_of(result)


async def test_one_table_is_described_with_values_and_samples(serve: Serve, connect: Connect) -> None:
    server = serve()
    async with connect(server) as client:
        result = await client.call_tool("describe_schema", {"table": "imdb.Movies_With_Ratings"})
        again = await client.call_tool("describe_schema", {"table": "movies_with_ratings"})
    columns = {column["name"]: column for column in result.structured_content["columns"]}
    assert columns["startYear"]["values"] == "1951 … 2019"
    assert columns["titleType"]["values"].startswith("movie (")
    assert columns["genres"]["values"].startswith("Drama (")
    assert columns["primaryTitle"]["values"] == ""
    assert columns["tconst"]["comment"] == "The tconst of it."
    assert len(result.structured_content["sample_rows"]) == 3
    assert result.structured_content["notes"] == []
    assert again.structured_content == result.structured_content
    first, second = audit_lines(server)
    assert len(first["sql_run"]) > 3
    assert second["sql_run"] == []


async def test_an_unknown_table_or_page_is_answered_with_what_exists(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        table = await client.call_tool("describe_schema", {"table": "moveis_delta"})
        page = await client.call_tool("describe_schema", {"page": 9})
    assert table.is_error
    assert "Nearest: movies_delta" in text_of(table)
    assert page.is_error
    assert "the last page is 1" in text_of(page)


async def test_views_say_when_to_use_them_in_the_words_of_the_lake(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        result = await client.call_tool("list_views", {})
    views = {view["name"]: view for view in result.structured_content["views"]}
    assert sorted(views) == ["movie_cast", "movies_with_ratings"]
    assert "instead of joining" in views["movie_cast"]["purpose"]
    assert "instead of joining" in text_of(result)
    assert text_of(result).count("\n") == 1  # a line for each; columns and sizes are describe_schema's


async def test_small_limits_on_answers_do_not_make_the_server_guess_or_fail(serve: Serve, connect: Connect) -> None:
    async with connect(serve(max_rows=1, max_result_bytes=1_000, max_cell_chars=50)) as client:
        title = await client.call_tool("ai_movie_summary", {"title": "The Twin Bridges"})
        table = await client.call_tool("describe_schema", {"table": "movies_with_ratings"})
    assert title.structured_content["status"] == "ambiguous"
    assert len(title.structured_content["candidates"]) == 2
    assert len(table.structured_content["sample_rows"]) == 3
    (note,) = table.structured_content["notes"]
    assert note.startswith("Page 1 of ")


async def test_a_dry_run_tells_what_would_be_read_and_runs_nothing(serve: Serve, connect: Connect) -> None:
    server = serve()
    async with connect(server) as client:
        result = await run(client, "SELECT primaryTitle FROM movies_delta WHERE tconst = 'tt0007919'", dry_run=True)
    (line,) = audit_lines(server)
    content = result.structured_content
    assert (content["status"], content["rows"]) == ("dry_run", [])
    (table,) = content["dry_run"]["tables"]
    assert (table["table"], table["files"]) == ("movies_delta", 1)
    assert 0 < table["bytes"] <= table["bytes_total"]
    assert content["dry_run"]["sql"] in text_of(result)
    assert "nothing was run" in text_of(result)
    assert (line["sql_run"], line["verdict"]) == ([], "ok")


async def test_a_dry_run_of_a_write_is_refused_like_the_write(serve: Serve, connect: Connect) -> None:
    async with connect(serve()) as client:
        result = await run(client, "DELETE FROM movies_delta", dry_run=True)
    assert result.is_error
    assert text_of(result).startswith("Refused (")


async def test_a_scan_budget_stops_what_would_read_more_and_the_dry_run_says_so_before(
    serve: Serve, connect: Connect
) -> None:
    server = serve(max_scan_mb=0.001)
    async with connect(server) as client:
        planned = await run(client, "SELECT count(*) FROM movies_delta", dry_run=True)
        refused = await run(client, "SELECT count(*) FROM movies_delta")
        free = await run(client, "SELECT 1 AS x")
    assert planned.structured_content["dry_run"]["refused"] in text_of(planned)
    assert refused.is_error
    assert "IMDB_MAX_SCAN_MB" in text_of(refused)
    assert [line["code"] for line in audit_lines(server)] == ["", "scan_budget", ""]
    assert free.structured_content["rows"] == [[1]]
