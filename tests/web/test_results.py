"""What the page makes of results: tables, charts, files, statements in colour, and texts that would rather be HTML."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bridge.rest import Site
from tests.bridge.scripts import COUNT, calling, running, said
from tests.openai_server import OpenAiServer
from tests.web.conftest import ATTACK, ATTACKED, OPEN_TAB
from tests.web.tab import Tab
from tests.web.test_chat import TOP

expect = pytest.importorskip("playwright.sync_api", reason="needs the package playwright").expect

UNSORTED = "SELECT * FROM VALUES (2, 'b'), (NULL, 'c'), (10, 'a'), (1, NULL) AS t(n, name)"
BY_YEAR = "SELECT startYear, count(*) AS titles FROM movies_delta WHERE startYear IS NOT NULL GROUP BY startYear"
BY_DECADE = """SELECT floor(startYear / 10) * 10 AS decade, titleType, count(*) AS titles
FROM movies_delta
WHERE startYear IS NOT NULL -- a few have none
GROUP BY decade, titleType
ORDER BY decade"""
INKED = """(canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.some((part) => part > 0);
}"""
BY_RATING = (
    "SELECT floor(averageRating) AS rating, count(*) AS titles FROM ratings_delta GROUP BY rating ORDER BY rating"
)


def test_a_table_is_sorted_by_its_headings_with_nulls_last(tab: Tab) -> None:
    table = tab.ask_sql(UNSORTED).locator("table")
    first = table.locator("td:first-child")
    heading = table.get_by_role("columnheader", name="n", exact=True)
    expect(first).to_have_text(["2", "null", "10", "1"])
    heading.get_by_role("button").click()
    expect(first).to_have_text(["1", "2", "10", "null"])
    expect(heading).to_have_attribute("aria-sort", "ascending")
    heading.get_by_role("button").press("Enter")
    expect(first).to_have_text(["10", "2", "1", "null"])
    expect(heading).to_have_attribute("aria-sort", "descending")
    name = table.get_by_role("columnheader", name="name")
    name.get_by_role("button").click()
    expect(table.locator("td:last-child")).to_have_text(["a", "b", "c", "null"])
    expect(heading).to_have_attribute("aria-sort", "none")


def test_numbers_are_aligned_and_the_heading_stays_in_sight(tab: Tab) -> None:
    answer = tab.ask_sql("SELECT tconst, averageRating, numVotes FROM ratings_delta ORDER BY tconst LIMIT 60")
    style = answer.locator("td.number").first.evaluate(
        "(cell) => [getComputedStyle(cell).textAlign, getComputedStyle(cell).fontVariantNumeric]"
    )
    assert style[0] == "right"
    assert "tabular-nums" in style[1]
    scroll = answer.locator(".scroll")
    scroll.evaluate("(box) => { box.scrollTop = box.scrollHeight; }")
    tops = scroll.evaluate(
        "(box) => [box.getBoundingClientRect().top, box.querySelector('th').getBoundingClientRect().top]"
    )
    assert abs(tops[0] - tops[1]) <= 2


def test_a_table_that_is_wider_than_its_box_shows_at_which_side_it_goes_on(tab: Tab) -> None:
    columns = ", ".join(f"'a text that takes some room' AS column_{number}" for number in range(12))
    wide = tab.ask_sql(f"SELECT {columns}").locator(".edges")
    expect(wide).to_have_class("edges more-right")
    wide.locator(".scroll").evaluate("(box) => { box.scrollLeft = 50; }")
    expect(wide).to_have_class("edges more-right more-left")
    wide.locator(".scroll").evaluate("(box) => { box.scrollLeft = box.scrollWidth; }")
    expect(wide).to_have_class("edges more-left")
    assert wide.evaluate("(frame) => getComputedStyle(frame, '::before').opacity") == "1"
    expect(tab.ask_sql("SELECT 1 AS n").locator(".edges")).to_have_class("edges")


def test_a_chart_takes_the_width_that_is_left_to_it(tab: Tab) -> None:
    answer = tab.ask_sql(BY_YEAR)
    expect(answer.locator("canvas")).to_be_visible()
    tab.page.set_viewport_size({"width": 700, "height": 900})
    fits = "(box) => box.querySelector('canvas').getBoundingClientRect().right <= box.getBoundingClientRect().right"
    answer.page.wait_for_function(f"(box) => ({fits})(box)", arg=answer.element_handle())


def test_a_cell_of_a_long_text_scrolls_in_itself(tab: Tab) -> None:
    table = tab.ask_sql("SELECT repeat('a long text ', 150) AS told, 1 AS n").locator("table")
    expect(table.locator("td .long")).to_have_count(1)
    height = table.locator("tbody tr").evaluate("(row) => row.getBoundingClientRect().height")
    assert height < 200


def test_long_results_are_shown_in_part_and_what_is_cut_off_is_said(tab: Tab) -> None:
    answer = tab.ask_sql("SELECT tconst FROM movies_delta ORDER BY tconst")
    expect(answer).to_contain_text("The first 150 rows; there are more")
    expect(answer.locator("tbody tr")).to_have_count(100)
    answer.get_by_role("button", name="Show all 150 rows").click()
    expect(answer.locator("tbody tr")).to_have_count(150)


@pytest.mark.parametrize(
    ("name", "sql", "kind", "about"),
    [
        ("years", BY_YEAR, "line", "Line chart of titles by startYear, 70 points."),
        ("decades", BY_DECADE, "line", "by decade, 7 points."),
        ("ranking", TOP, "ranking", "Bar chart of averageRating by primaryTitle, 8 bars."),
        ("distribution", BY_RATING, "bars", "Bar chart of titles by rating"),
    ],
)
def test_where_a_chart_helps_there_is_one_with_a_name(
    tab: Tab, pictures: Path, name: str, sql: str, kind: str, about: str
) -> None:
    answer = tab.ask_sql(sql)
    expect(answer.locator(f"[data-drawn={kind}]")).to_be_visible()
    expect(answer.get_by_role("img")).to_have_attribute("aria-label", re.compile(re.escape(about)))
    expect(answer.locator("table")).to_be_visible()
    inked = answer.locator("canvas").evaluate(INKED)
    assert inked
    answer.locator("canvas").scroll_into_view_if_needed()
    tab.shoot(pictures, name)


def test_where_a_chart_helps_nobody_there_is_none(tab: Tab) -> None:
    expect(tab.ask_sql("SELECT count(*) AS n FROM movies_delta").locator("canvas")).to_have_count(0)


def test_rows_are_taken_away_as_csv_in_the_order_shown(tab: Tab) -> None:
    answer = tab.ask_sql("SELECT * FROM VALUES (2, '=1+1'), (NULL, 'a, \"b\"'), (-1, '@x') AS t(n, name)")
    answer.get_by_role("columnheader", name="n", exact=True).get_by_role("button").click()
    with tab.page.expect_download() as download:
        answer.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "result.csv"
    text = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    assert text == 'n,name\r\n-1,\'@x\r\n2,\'=1+1\r\n,"a, ""b"""\r\n'


def test_a_statement_is_coloured_and_copied_as_it_was_written(tabs: OPEN_TAB, here: Site) -> None:
    tab = tabs(here.url, permissions=["clipboard-read", "clipboard-write"])
    tab.ask_sql(BY_DECADE)
    asked = tab.page.locator(".asked")
    expect(asked.locator(".sql-keyword").first).to_have_text("SELECT")
    expect(asked.locator(".sql-function")).to_have_text(["floor", "count"])
    expect(asked.locator(".sql-comment")).to_have_text("-- a few have none")
    asked.get_by_role("button", name="Copy").click()
    expect(asked.get_by_role("button", name="Copied")).to_be_visible()
    assert tab.page.evaluate("navigator.clipboard.readText()") == BY_DECADE


def test_what_the_guard_refuses_is_told_with_what_to_do(tab: Tab) -> None:
    answer = tab.ask_sql("DROP TABLE movies_delta")
    expect(answer.locator(".outcome")).to_have_text("Refused by the guard")
    expect(answer.locator(".reason")).to_contain_text("Refused (")


def test_texts_that_would_be_html_are_texts_wherever_they_come_from(tab: Tab, provider: OpenAiServer) -> None:
    sql = f"SELECT tconst, primaryTitle FROM movies_delta WHERE tconst = '{ATTACKED}' -- {ATTACK}"
    call = ("execute_spark_sql", {"sql_query": sql, "reasoning": ATTACK})
    provider.will(calling(call), said(f"{ATTACK}\n\n- {ATTACK}\n\n[here](javascript:alert(1)) **{ATTACK}**"))
    tab.ask(ATTACK)
    answer = tab.answer()
    answer.get_by_text("How it was found").click()
    expect(answer.locator("td").last).to_have_text(ATTACK)
    expect(answer.locator("strong")).to_have_text(ATTACK)
    expect(answer.locator("li").first).to_have_text(ATTACK)
    expect(answer.locator(".reasoning")).to_have_text(ATTACK)
    expect(tab.page.locator(".asked")).to_contain_text(ATTACK)
    expect(tab.page.get_by_role("heading", level=1)).to_contain_text("<img src=x")
    expect(tab.page.locator("#conversations")).to_contain_text("<img src=x")
    assert tab.page.locator("#messages :is(img, script, a), #conversations :is(img, script)").count() == 0
    assert "Lakehouse" in tab.page.title()


def test_the_result_of_a_question_has_its_statement_and_that_of_another_step_is_folded(
    tab: Tab, provider: OpenAiServer
) -> None:
    provider.will(
        running("SELECT min(startYear) AS first, max(startYear) AS last FROM movies_delta"),
        running(TOP),
        said("**The eight best-rated titles** with at least 1,000 votes. They are close: all are above 9."),
    )
    tab.ask("Which titles are rated best?")
    answer = tab.answer()
    expect(answer.locator(":scope > .result tbody tr")).to_have_count(8)
    answer.get_by_text("How it was found: 2 steps").click()
    answer.get_by_text("Its 1 row").click()
    expect(answer.locator(".step td")).to_have_text(["1950", "2019"])


def test_a_statement_is_edited_and_run_again_and_the_last_one_recalled(tab: Tab) -> None:
    tab.ask_sql("SELECT 1 AS one")
    tab.page.locator(".asked").get_by_role("button", name="Edit").click()
    expect(tab.page.locator("#sql")).to_have_value("SELECT 1 AS one")
    tab.field.fill("SELECT 2 AS two")
    tab.field.press("Enter")
    expect(tab.answer(1).locator("td")).to_have_text("2")
    tab.field.press("ArrowUp")
    expect(tab.page.locator("#sql")).to_have_value("SELECT 2 AS two")


def test_people_choose_the_kind_of_chart_and_its_measure_and_hide_it(tab: Tab) -> None:
    sql = "SELECT primaryTitle, averageRating, numVotes FROM movies_with_ratings ORDER BY numVotes DESC LIMIT 12"
    answer = tab.ask_sql(sql)
    expect(answer.get_by_role("img")).to_have_attribute("aria-label", re.compile("Bar chart of numVotes"))
    answer.get_by_role("combobox", name="Measure").select_option("averageRating")
    expect(answer.get_by_role("img")).to_have_attribute("aria-label", re.compile("Bar chart of averageRating"))
    answer.get_by_role("combobox", name="Chart").select_option("scatter")
    expect(answer.locator("[data-drawn=scatter]")).to_be_visible()
    with tab.page.expect_download() as download:
        answer.get_by_role("button", name="Save picture").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    answer.get_by_role("button", name="Hide chart").click()
    expect(answer.locator("canvas")).to_have_count(0)
    answer.get_by_role("button", name="Show a chart").click()
    expect(answer.locator("canvas")).to_be_visible()


def test_a_number_that_no_result_has_is_marked_and_an_answer_without_data_says_so(
    tab: Tab, provider: OpenAiServer
) -> None:
    provider.will(running(COUNT), said("There are 987,654 films, **300** of them titles."), said("About 12,345."))
    tab.ask("How many?")
    expect(tab.answer().locator("mark")).to_have_text(["987,654"])
    expect(tab.answer().locator(".basis")).to_contain_text("in no result of this question")
    tab.ask("And in all?")
    expect(tab.answer(1).locator(".basis")).to_contain_text("No data was asked for this answer.")


def test_a_conversation_is_saved_as_markdown(tab: Tab, provider: OpenAiServer) -> None:
    provider.will(running(COUNT), said("There are **300**."))
    tab.ask("How many titles?")
    tab.answer()
    with tab.page.expect_download() as download:
        tab.page.get_by_role("button", name="Save", exact=True).click()
    text = Path(download.value.path()).read_text()
    assert text.startswith("# How many titles?\n\n## How many titles?\n\nThere are **300**.\n\n```sql\n" + COUNT)
    assert "| 300 |" in text


def test_markdown_of_an_answer_is_shown_as_what_it_says(tab: Tab, provider: OpenAiServer) -> None:
    provider.will(said("<think>hm</think>1. One\n\n   more of it\n2. *Two*\n\n| a | b |\n|---|---|\n| x | y |"))
    tab.ask("Which?")
    prose = tab.answer().locator(".prose")
    expect(prose.locator("ol > li")).to_have_count(2)
    expect(prose.locator("em")).to_have_text("Two")
    expect(prose.locator("td")).to_have_text(["x", "y"])
    expect(prose).not_to_contain_text("hm")
