"""The tables beside a statement, and what is suggested in it: the real server and lake, and a real browser."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bridge.rest import Site, site
from tests.bridge.scripts import COUNT, running, said
from tests.openai_server import OpenAiServer, Reply
from tests.server.odd_lake import MANY, WIDE_COLUMNS, make_odd_lake
from tests.web.conftest import OPEN_TAB, ROOM
from tests.web.tab import Tab

if TYPE_CHECKING:
    from playwright.sync_api import Locator

expect = pytest.importorskip("playwright.sync_api", reason="needs the package playwright").expect

PRESS_WHILE_COMPOSING = """(field, key) =>
  field.dispatchEvent(new KeyboardEvent("keydown", { key, isComposing: true, bubbles: true, cancelable: true }))"""


def open_sql(tab: Tab) -> Locator:
    """Show the SQL field, and give it."""
    tab.page.locator("#about:not(:empty)").wait_for(state="attached")
    tab.page.get_by_role("tab", name="SQL").click()
    return tab.page.locator("#sql")


def open_tables(tab: Tab) -> Locator:
    """Open the tables, and give their tree once it is there."""
    tab.page.get_by_role("button", name="Tables", exact=True).click()
    tree = tab.page.get_by_role("tree")
    tree.get_by_role("treeitem").first.wait_for()
    return tree


def ready_to_suggest(tab: Tab) -> Locator:
    """Show the SQL field once what it suggests has come."""
    with (
        tab.page.expect_response(re.compile("/api/tables$")),
        tab.page.expect_response(re.compile("/api/functions$")),
    ):
        field = open_sql(tab)
        field.focus()
    return field


def options(tab: Tab) -> Locator:
    return tab.page.get_by_role("option").locator(".suggestion-name")


def caret(field: Locator) -> list[int]:
    """Where the selection of a field begins and ends."""
    return list(field.evaluate("field => [field.selectionStart, field.selectionEnd]"))


def test_tables_and_columns_are_shown_with_what_they_are_and_stay_open_after_a_reload(tab: Tab) -> None:
    open_sql(tab)
    tree = open_tables(tab)
    expect(tab.page.locator("#lake-said")).to_have_text("6 tables")
    movies = tree.locator('[data-name="movies_delta"]')
    expect(movies).to_contain_text("table, 300 rows")
    expect(movies).to_contain_text("All titles.")
    movies.locator(".twisty").click()
    column = movies.get_by_role("treeitem", name="startYear")
    expect(column).to_contain_text("int")
    expect(column).to_contain_text("The startYear of it.")
    tab.page.reload()
    open_sql(tab)
    expect(tree.locator('[data-name="movies_delta"]')).to_be_visible()
    tab.page.get_by_role("button", name="Close the tables").click()
    expect(tree).to_be_hidden()
    assert tab.focused() == "sql"
    tab.page.reload()
    open_sql(tab)
    expect(tab.page.get_by_role("button", name="Tables", exact=True)).to_have_attribute("aria-expanded", "false")


def test_a_name_is_put_at_the_caret_by_a_click_and_can_be_undone(tab: Tab) -> None:
    field = open_sql(tab)
    tree = open_tables(tab)
    field.fill("SELECT count(*) FROM WHERE true")
    field.evaluate("field => field.setSelectionRange(20, 20)")
    tree.get_by_text("ratings_delta", exact=True).click()
    expect(field).to_have_value("SELECT count(*) FROM ratings_delta WHERE true")
    assert tab.focused() == "sql"
    assert caret(field) == [34, 34]
    tab.page.keyboard.press("Control+z")
    expect(field).to_have_value("SELECT count(*) FROM WHERE true")


def test_the_tree_is_used_with_the_keyboard_alone(tab: Tab) -> None:
    field = open_sql(tab)
    open_tables(tab)
    keys = tab.page.keyboard
    current = tab.page.locator("[role=treeitem]:focus")
    assert tab.focused() == "lake-filter"
    keys.press("Tab")
    expect(current).to_have_attribute("data-name", "movie_cast")
    keys.type("pers")
    expect(current).to_have_attribute("data-name", "persons_delta")
    keys.press("ArrowRight")
    expect(current.get_by_role("treeitem", name="birthYear")).to_be_visible()
    keys.press("ArrowRight")
    keys.press("ArrowDown")
    expect(current).to_have_attribute("data-name", "nconst")
    keys.press("Enter")
    expect(field).to_have_value("nconst")
    expect(tab.page.locator("#announcer")).to_have_text("nconst is in the statement.")
    expect(current).to_have_attribute("data-name", "nconst")
    keys.press("ArrowLeft")
    keys.press("ArrowLeft")
    expect(current).to_have_attribute("aria-expanded", "false")
    keys.press("Home")
    expect(current).to_have_attribute("data-name", "movie_cast")
    keys.press("End")
    expect(current).to_have_attribute("data-name", "ratings_delta")
    keys.press("Escape")
    assert tab.focused() == "sql"


def test_a_few_rows_are_shown_when_somebody_asks(tab: Tab) -> None:
    open_sql(tab)
    tree = open_tables(tab)
    persons = tree.locator('[data-name="persons_delta"]').first
    persons.locator(".twisty").click()
    persons.get_by_text("Show a few rows").click()
    rows = tab.page.locator("#lake-sample")
    expect(rows.locator("tbody tr")).to_have_count(5)
    expect(rows).to_contain_text("Person")
    rows.get_by_role("button", name="Close the rows").click()
    expect(rows).to_be_hidden()


def test_the_filter_finds_tables_and_opened_columns_and_says_when_there_are_none(tab: Tab) -> None:
    open_sql(tab)
    tree = open_tables(tab)
    tables = tree.locator(".lake-level-1")
    tree.locator('[data-name="ratings_delta"] .twisty').click()
    expect(tree.get_by_role("treeitem", name="numVotes")).to_be_visible()
    search = tab.page.get_by_role("searchbox", name="Find a table")
    search.fill("numv")
    expect(tables).to_have_count(1)
    expect(tree.locator(".lake-level-2[data-kind=name]")).to_have_count(1)
    expect(tab.page.locator("#lake-said")).to_have_text("1 of 6 tables")
    search.fill("nothing at all")
    expect(tab.page.locator("#lake-said")).to_have_text("No table or opened column is called that.")
    search.press("Escape")
    expect(tables).to_have_count(6)


def test_tables_that_cannot_be_read_are_told_and_read_again(tab: Tab) -> None:
    tab.foresee("ERR_FAILED")
    tab.page.route("**/api/tables", lambda route: route.abort())
    open_sql(tab)
    tab.page.get_by_role("button", name="Tables", exact=True).click()
    trouble = tab.page.locator("#lake-trouble")
    expect(trouble).to_contain_text("The server cannot be reached.")
    tab.page.unroute("**/api/tables")
    trouble.get_by_role("button", name="Try again").click()
    expect(tab.page.get_by_role("treeitem")).to_have_count(6)
    expect(trouble).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_small_screen_the_tables_cover_the_conversation_until_something_is_sent(
    tabs: OPEN_TAB, here: Site, scheme: str, pictures: Path
) -> None:
    tab = tabs(here.url, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    field = open_sql(tab)
    tree = open_tables(tab)
    tree.locator('[data-name="movies_delta"] .twisty').click()
    expect(tree.get_by_role("treeitem", name="startYear")).to_be_visible()
    expect(tab.page.locator("#messages")).to_be_hidden()
    expect(field).to_be_visible()
    assert tab.too_wide() <= 0
    assert tab.barriers() == []
    tab.shoot(pictures, f"tables-small-{scheme}")
    field.fill(COUNT)
    field.press("Enter")
    expect(tab.answer().locator("td")).to_have_text(["300"])
    expect(tab.page.locator("#messages")).to_be_visible()


def test_columns_of_an_alias_are_suggested_and_taken_with_the_keyboard(tab: Tab, pictures: Path) -> None:
    field = ready_to_suggest(tab)
    keys = tab.page.keyboard
    field.fill("SELECT  FROM ratings_delta r")
    field.evaluate("field => field.setSelectionRange(7, 7)")
    keys.type("r.")
    expect(options(tab)).to_have_text(["tconst", "averageRating", "numVotes"])
    chosen = tab.page.locator("[role=option][aria-selected=true]")
    expect(chosen).to_have_count(0)
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    expect(chosen).to_contain_text("averageRating")
    expect(field).to_have_attribute("aria-activedescendant", str(chosen.get_attribute("id")))
    assert tab.barriers() == []
    tab.shoot(pictures, "suggestions")
    keys.press("Enter")
    expect(field).to_have_value("SELECT r.averageRating FROM ratings_delta r")
    expect(options(tab)).to_have_count(0)
    assert caret(field) == [22, 22]
    assert tab.focused() == "sql"


def test_tables_and_functions_are_suggested_after_two_letters_or_when_asked_for(tab: Tab) -> None:
    field = ready_to_suggest(tab)
    keys = tab.page.keyboard
    keys.type("select percent")
    expect(options(tab).first).to_have_text("percent_rank")
    keys.press("Escape")
    expect(options(tab)).to_have_count(0)
    field.fill("")
    keys.type("select * from m")
    expect(options(tab)).to_have_count(0)
    keys.press("Control+Space")
    expect(options(tab)).to_have_text(["movie_cast", "movies_delta", "movies_with_ratings"])
    keys.press("Escape")
    keys.type("ovies_d")
    expect(options(tab)).to_have_text(["movies_delta"])
    keys.press("Tab")
    expect(field).to_have_value("select * from movies_delta")
    assert tab.focused() == "sql"


def test_enter_sends_while_nothing_that_is_suggested_was_chosen(tab: Tab) -> None:
    field = ready_to_suggest(tab)
    field.fill("SELECT count(*) FROM movies_delta ")
    tab.page.keyboard.type("mo")
    expect(options(tab).first).to_be_visible()
    tab.page.keyboard.press("Enter")
    expect(tab.answer().locator("td")).to_have_text(["300"])
    expect(options(tab)).to_have_count(0)


@pytest.mark.parametrize(
    ("names", "sql", "first"),
    [("tables", "SELECT * FROM movies_d", "movies_delta"), ("functions", "SELECT cou", "count")],
)
def test_names_that_come_after_they_were_typed_are_offered(tab: Tab, names: str, sql: str, first: str) -> None:
    held = tab.hold(f"**/api/{names}")
    open_sql(tab).focus()
    tab.page.keyboard.type(sql)
    held.release()
    expect(options(tab).first).to_have_text(first)


@pytest.mark.parametrize("leave", ["Escape", "ArrowLeft", "Home"])
def test_names_that_come_late_open_no_list_behind_somebody_who_went_on(tab: Tab, leave: str) -> None:
    held = tab.hold("**/api/functions")
    open_sql(tab).focus()
    tab.page.keyboard.type("SELECT cou")
    tab.page.keyboard.press(leave)
    with tab.page.expect_response("**/api/functions"):
        held.release()
    tab.page.evaluate("fetch('/api').then((response) => response.text())")  # the page has read the functions by then
    expect(options(tab)).to_have_count(0)


def test_an_input_method_neither_takes_nor_closes_nor_opens_suggestions(tab: Tab) -> None:
    field = ready_to_suggest(tab)
    tab.page.keyboard.type("SELECT cou")
    expect(options(tab).first).to_be_visible()
    tab.page.keyboard.press("ArrowDown")
    shown = options(tab).count()
    for key in ("Enter", "Tab", "Escape", "ArrowDown", "ArrowLeft"):
        field.evaluate(PRESS_WHILE_COMPOSING, key)
    expect(options(tab)).to_have_count(shown)
    expect(field).to_have_value("SELECT cou")
    expect(tab.page.locator("[role=option]").first).to_have_attribute("aria-selected", "true")
    tab.page.keyboard.press("Escape")
    protocol = tab.context.new_cdp_session(tab.page)
    protocol.send("Input.imeSetComposition", {"text": "nt", "selectionStart": 2, "selectionEnd": 2})
    expect(field).to_have_value("SELECT count")
    expect(options(tab)).to_have_count(0)
    protocol.send("Input.insertText", {"text": "nt"})
    expect(options(tab).first).to_have_text("count")


def test_a_large_lake_of_odd_names_stays_fast(tabs: OPEN_TAB, states: Callable[[], Path], tmp_path: Path) -> None:
    with site(make_odd_lake(tmp_path / "lake"), states(), **ROOM) as odd:
        tab = tabs(odd.url)
        field = ready_to_suggest(tab)
        tree = open_tables(tab)
        expect(tree.locator(".lake-level-1")).to_have_count(MANY)
        tree.get_by_text("my films.2024", exact=True).click()
        tree.locator('[data-name="静か"] .twisty').click()
        tree.get_by_text("Länge in m", exact=True).click()
        expect(field).to_have_value("`my films.2024` `Länge in m`")
        tree.locator('[data-name="wide"] .twisty').click()
        expect(tree.locator('[data-name="wide"] [data-kind=name]')).to_have_count(WIDE_COLUMNS)
        began = time.monotonic()
        for text in ("many_12", "column_2", ""):
            tab.page.get_by_role("searchbox", name="Find a table").fill(text)
            tree.locator(".lake-level-1").first.wait_for()
        assert time.monotonic() - began < 10
        expect(tree.locator(".lake-level-1")).to_have_count(MANY)
        field.fill("SELECT  FROM wide")
        field.evaluate("field => field.setSelectionRange(7, 7)")
        tab.page.keyboard.type("299")
        tab.page.keyboard.press("Control+Space")
        expect(options(tab)).to_have_count(0)
        field.evaluate("field => field.setSelectionRange(7, 10)")
        tab.page.keyboard.type("column_29")
        expect(options(tab)).to_have_count(10)


def test_a_statement_of_every_step_can_be_changed_and_run_again(tab: Tab, provider: OpenAiServer) -> None:
    provider.will(running("SELECT nothing FROM movies_delta"), running(COUNT), said("There are 300 titles."))
    tab.page.locator("#about:not(:empty)").wait_for(state="attached")
    assert tab.focused() == "question"  # as the page is loaded
    tab.ask("How many titles?")
    answer = tab.answer()
    answer.get_by_text("How it was found").click()
    field = tab.page.locator("#sql")
    for step, sql in enumerate(["SELECT nothing FROM movies_delta", COUNT]):
        answer.locator(".step").nth(step).get_by_role("button", name="Edit").click()
        expect(field).to_have_value(sql)
        expect(tab.page.get_by_role("tab", name="SQL")).to_have_attribute("aria-selected", "true")
        assert tab.focused() == "sql"
        assert caret(field) == [len(sql), len(sql)]
    tab.page.keyboard.type(" WHERE false")
    tab.page.keyboard.press("Enter")
    expect(tab.answer(1).locator("td")).to_have_text(["0"])
    assert tab.focused() == "sql"
    tab.page.keyboard.press("ArrowUp")
    expect(field).to_have_value(f"{COUNT} WHERE false")
    assert caret(field) == [len(f"{COUNT} WHERE false")] * 2


def test_keys_of_an_input_method_neither_send_nor_cancel(tab: Tab, provider: OpenAiServer) -> None:
    pace = threading.Event()
    provider.will(Reply(text="There are many titles.", pace=pace))
    tab.page.locator("#about:not(:empty)").wait_for(state="attached")
    tab.field.fill("How many titles?")
    tab.field.evaluate(PRESS_WHILE_COMPOSING, "Enter")
    expect(tab.field).to_have_value("How many titles?")
    tab.field.press("Enter")
    expect(tab.live).to_be_visible()
    tab.field.evaluate(PRESS_WHILE_COMPOSING, "Escape")
    expect(tab.page.get_by_role("button", name="Cancel")).to_be_enabled()
    pace.set()
    expect(tab.answer()).to_contain_text("There are many titles.")
