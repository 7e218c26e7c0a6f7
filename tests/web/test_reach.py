"""That everybody can use the page: by keyboard, with a screen reader, on a small screen, in the dark."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.bridge.rest import Site
from tests.bridge.scripts import running, said
from tests.openai_server import OpenAiServer, Reply
from tests.web.conftest import OPEN_TAB
from tests.web.tab import Tab
from tests.web.test_chat import TOP
from tests.web.test_results import BY_DECADE

expect = pytest.importorskip("playwright.sync_api", reason="needs the package playwright").expect

PHONE = {"viewport": {"width": 360, "height": 740}}
SCHEMES = ["light", "dark"]
WORDS = (
    "**The eight best-rated titles** with at least 1,000 votes:\n\n- all are rated 9 or more,\n- none is from `2020`."
)


def answered(tab: Tab, provider: OpenAiServer) -> None:
    """A question with a chart, a table and steps that are opened."""
    provider.will(running("SELECT nothing FROM movies_delta"), running(TOP), said(WORDS))
    tab.ask("Which titles are rated best?")
    expect(tab.answer().locator("[data-drawn]")).to_be_visible()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_keeps_anybody_out(
    tabs: OPEN_TAB, here: Site, provider: OpenAiServer, pictures: Path, scheme: str
) -> None:
    tab = tabs(here.url, color_scheme=scheme)
    expect(tab.page.locator(".example").first).to_be_visible()
    tab.shoot(pictures, f"empty-{scheme}")
    assert tab.barriers() == []
    answered(tab, provider)
    tab.shoot(pictures, f"answer-{scheme}")
    tab.answer().get_by_text("How it was found").click()
    tab.answer().locator(".found").scroll_into_view_if_needed()
    tab.page.locator("#conversations .options").click()
    tab.page.get_by_role("button", name="Delete", exact=True).click()
    tab.shoot(pictures, f"steps-{scheme}")
    assert tab.barriers() == []
    expect(tab.ask_sql("DROP TABLE movies_delta").locator(".outcome")).to_be_visible()
    tab.ask_sql(BY_DECADE)
    tab.shoot(pictures, f"sql-{scheme}")
    assert tab.barriers() == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_keeps_anybody_out_while_it_runs_or_when_it_fails(
    tabs: OPEN_TAB, here: Site, provider: OpenAiServer, pictures: Path, scheme: str
) -> None:
    tab = tabs(here.url, color_scheme=scheme, **PHONE)
    tab.foresee("ERR_INTERNET_DISCONNECTED", "status of 404")
    pace = threading.Event()
    provider.will(running(TOP), Reply(text="There are many titles.", pace=pace))
    tab.ask("Which titles are rated best?")
    expect(tab.live.locator(".prose")).to_contain_text("There")
    tab.context.set_offline(True)
    expect(tab.live.get_by_role("status")).to_contain_text("cannot be reached")
    tab.shoot(pictures, f"away-{scheme}")
    assert tab.barriers() == []
    tab.context.set_offline(False)
    pace.set()
    tab.answer()
    tab.page.goto(f"{here.url}/#c/nobodys")
    expect(tab.page.get_by_role("alert")).to_be_visible()
    tab.page.locator("#menu").click()
    tab.shoot(pictures, f"menu-{scheme}")
    assert tab.barriers() == []


def test_on_a_small_screen_nothing_is_wider_than_it(
    tabs: OPEN_TAB, here: Site, provider: OpenAiServer, pictures: Path
) -> None:
    tab = tabs(here.url, **PHONE)
    expect(tab.page.locator(".example").first).to_be_visible()
    assert tab.too_wide() <= 0
    tab.shoot(pictures, "small-empty")
    answered(tab, provider)
    assert tab.too_wide() <= 0
    tab.shoot(pictures, "small-answer")
    tab.ask_sql(f"SELECT '{'x' * 300}' AS long, * FROM movies_delta LIMIT 3")
    assert tab.too_wide() <= 0
    tab.page.locator("#menu").click()
    expect(tab.page.locator("#sidebar")).to_be_visible()
    assert tab.focused() == "new"
    tab.page.keyboard.press("Escape")
    expect(tab.page.locator("#sidebar")).not_to_be_visible()
    assert tab.focused() == "menu"


def test_it_is_dark_where_the_system_is_or_somebody_chose_so(tabs: OPEN_TAB, here: Site) -> None:
    def ground(tab: Tab) -> int:
        return int(tab.page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"))

    assert ground(tabs(here.url, color_scheme="dark")) < 60
    tab = tabs(here.url, color_scheme="light")
    assert ground(tab) > 200
    tab.page.get_by_role("button", name="Dark mode").click()
    assert ground(tab) < 60
    tab.page.reload()
    assert ground(tab) < 60
    expect(tab.page.get_by_role("button", name="Dark mode")).to_have_attribute("aria-pressed", "true")


def test_a_chart_takes_the_colours_of_the_page_when_they_change(tab: Tab) -> None:
    canvas = tab.ask_sql(BY_DECADE).locator("canvas")
    expect(tab.page.locator("[data-drawn]")).to_be_visible()
    light = canvas.evaluate("(canvas) => canvas.toDataURL()")
    tab.page.get_by_role("button", name="Dark mode").click()
    assert canvas.evaluate("(canvas) => canvas.toDataURL()") != light


def test_everything_is_done_with_the_keyboard_alone(tab: Tab, provider: OpenAiServer) -> None:
    keys = tab.page.keyboard
    expect(tab.page.locator(".example").first).to_be_visible()
    assert tab.focused() == "question"
    tab.page.locator("#skip").focus()
    expect(tab.page.locator("#skip")).to_be_in_viewport()
    keys.press("Enter")
    assert tab.focused() == "messages"
    tab.page.locator("#tab-question").focus()
    keys.press("ArrowRight")
    assert tab.focused() == "tab-sql"
    keys.press("Tab")
    assert tab.focused() == "sql"
    keys.type("SELECT 1 AS one,")
    keys.press("Shift+Enter")
    keys.type("2 AS two")
    keys.press("Enter")
    expect(tab.answer().locator("td")).to_have_text(["1", "2"])
    expect(tab.page.locator(".asked code")).to_have_text("SELECT 1 AS one,\n2 AS two")
    assert tab.focused() == "sql"
    tab.page.locator("#conversations a").focus()
    keys.press("Tab")
    for key in ("Enter", "Tab", "Tab", "Tab", "Enter"):
        keys.press(key)
    assert tab.focused() == "Keep"
    keys.press("Escape")
    assert tab.page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Options of")
    for key in ("Enter", "Tab", "Tab", "Tab", "Enter", "Shift+Tab"):
        keys.press(key)
    assert tab.focused() == "Delete"
    keys.press("Enter")
    expect(tab.page.locator("#no-conversations")).to_be_visible()


def test_the_focus_goes_on_to_the_field_where_what_had_it_is_taken_away(tab: Tab, provider: OpenAiServer) -> None:
    provider.will(said("Yes."), said("No."))
    example = tab.page.locator(".example").first
    example.focus()
    example.press("Enter")
    expect(tab.answer()).to_contain_text("Yes.")
    assert tab.focused() == "question"
    tab.page.keyboard.type("And then?")
    send = tab.page.locator("#send")
    send.focus()
    send.press("Enter")
    expect(tab.answer(1)).to_contain_text("No.")
    assert tab.focused() == "question"
    expect(tab.page.locator("#announcer")).to_contain_text("No.")


def test_the_focus_is_seen_and_motion_is_spared_those_who_ask_for_that(
    tabs: OPEN_TAB, here: Site, provider: OpenAiServer
) -> None:
    tab = tabs(here.url, reduced_motion="reduce")
    tab.page.locator("#new").focus()
    tab.page.keyboard.press("Tab")
    outline = tab.page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "2px"
    pace = threading.Event()
    provider.will(Reply(text="One two three.", pace=pace))
    tab.ask("How many?")
    expect(tab.live.locator(".prose")).to_contain_text("One")
    assert tab.live.locator(".dot").evaluate("(dot) => getComputedStyle(dot).animationName") == "none"
    pace.set()
    tab.answer()
