"""What people do with an answer on the page: rate it, copy it, ask it again, and go on from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bridge.rest import Site
from tests.bridge.scripts import COUNT, running, said
from tests.openai_server import OpenAiServer
from tests.web.conftest import OPEN_TAB
from tests.web.tab import Tab

expect = pytest.importorskip("playwright.sync_api", reason="needs the package playwright").expect

ANSWER = "There are **300** titles."
FEEDBACK = "**/api/operations/*/feedback"


def answered(tab: Tab, provider: OpenAiServer, more: str = "") -> None:
    provider.will(running(COUNT), said(ANSWER + more))
    tab.ask("How many titles?")
    tab.answer()


def test_an_answer_is_rated_and_commented_with_the_keyboard_and_still_is_after_a_reload(
    tab: Tab, provider: OpenAiServer
) -> None:
    answered(tab, provider)
    keys = tab.page.keyboard
    good, bad = (tab.answer().get_by_role("button", name=name) for name in ("Good answer", "Bad answer"))
    comment = tab.answer().get_by_role("textbox")
    expect(comment).not_to_be_visible()
    good.focus()
    keys.press("Enter")
    expect(good).to_have_attribute("aria-pressed", "true")
    expect(tab.answer().get_by_role("status")).to_have_text("Thank you.")
    keys.press("Tab")
    keys.press("Space")
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(good).to_have_attribute("aria-pressed", "false")
    keys.press("Tab")
    expect(comment).to_be_focused()
    expect(tab.answer().get_by_label("What was wrong?")).to_be_visible()
    keys.type("Not all of them, <b>I</b> think.")
    keys.press("Enter")
    expect(tab.answer().get_by_role("status")).to_have_text("Thank you. Your comment: Not all of them, <b>I</b> think.")
    expect(comment).not_to_be_visible()
    tab.page.reload()
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(tab.answer().get_by_role("status")).to_contain_text("Not all of them")
    tab.answer().get_by_role("button", name="Edit comment").press("Enter")
    expect(comment).to_have_value("Not all of them, <b>I</b> think.")
    keys.press("Escape")
    expect(tab.answer().get_by_role("button", name="Edit comment")).to_be_focused()
    bad.press("Enter")
    expect(tab.answer().get_by_role("status")).to_have_text("Withdrawn.")
    tab.page.reload()
    expect(bad).to_have_attribute("aria-pressed", "false")


def test_a_rating_that_is_not_kept_is_taken_back_and_says_why(tab: Tab, provider: OpenAiServer) -> None:
    tab.foresee("status of 507")
    answered(tab, provider)
    full = {"status": 507, "json": {"detail": "No more feedback is kept."}}
    tab.page.route(FEEDBACK, lambda route: route.fulfill(**full))
    good = tab.answer().get_by_role("button", name="Good answer")
    good.click()
    expect(tab.answer().get_by_role("status")).to_have_text("It was not kept. No more feedback is kept.")
    expect(good).to_have_attribute("aria-pressed", "false")
    expect(tab.answer().get_by_role("textbox")).not_to_be_visible()
    tab.page.unroute(FEEDBACK)
    good.click()
    expect(tab.answer().get_by_role("status")).to_have_text("Thank you.")


def test_what_is_no_answer_to_a_question_is_not_rated(tab: Tab) -> None:
    expect(tab.ask_sql(COUNT).get_by_role("button", name="Good answer")).to_have_count(0)


def test_what_may_be_asked_next_goes_into_the_field_and_only_behind_the_last_answer(
    tab: Tab, provider: OpenAiServer
) -> None:
    answered(tab, provider, "\n<next>\nHow many are films?\nHow many are <i>series</i>?\n</next>")
    proposed = tab.page.get_by_role("list", name="Ask next").get_by_role("button")
    expect(proposed).to_have_text(["How many are films?", "How many are <i>series</i>?"])
    expect(tab.answer().locator(".prose")).to_have_text("There are 300 titles.")
    tab.field.fill("A draft")
    proposed.first.press("Enter")
    expect(tab.field).to_have_value("How many are films?")
    expect(tab.field).to_be_focused()
    provider.will(said("All of them."))
    tab.field.press("Enter")
    expect(tab.answer(1)).to_contain_text("All of them.")
    expect(tab.answer().locator(".follow-ups")).not_to_be_visible()
    assert len(provider.calls) == 3


def test_an_answer_is_copied_and_asked_again_with_the_keyboard_and_the_old_one_stays(
    tabs: OPEN_TAB, here: Site, provider: OpenAiServer
) -> None:
    tab = tabs(here.url, permissions=["clipboard-read", "clipboard-write"])
    answered(tab, provider, "\n<next>\nAnd films?\n</next>")
    tab.answer().get_by_title("Copy the answer").press("Enter")
    expect(tab.answer().get_by_role("button", name="Copied")).to_be_focused()
    assert tab.page.evaluate("navigator.clipboard.readText()") == ANSWER
    provider.will(said("It is **300** again."))
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    expect(tab.answer(1)).to_contain_text("It is 300 again.")
    tab.page.reload()
    expect(tab.answers.locator(".prose")).to_have_text(["There are 300 titles.", "It is 300 again."])
    expect(tab.page.locator(".asked")).to_have_text(["You asked: How many titles?"] * 2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_rated_answer_keeps_nobody_out_and_fits_a_small_screen(
    tabs: OPEN_TAB, here: Site, provider: OpenAiServer, pictures: Path, scheme: str
) -> None:
    tab = tabs(here.url, color_scheme=scheme)
    answered(
        tab, provider, "\n<next>\nHow many of them are films, and how many are series?\nSince which year?\n</next>"
    )
    tab.answer().get_by_role("button", name="Bad answer").click()
    expect(tab.answer().get_by_role("status")).to_have_text("Thank you.")
    tab.answer().get_by_role("textbox").fill("Not all of them.")
    assert tab.barriers() == []
    for width in (1280, 768, 360):
        tab.page.set_viewport_size({"width": width, "height": 900})
        tab.page.locator(".follow-ups").scroll_into_view_if_needed()
        assert tab.too_wide() <= 0
        tab.shoot(pictures, f"feedback-{scheme}-{width}")
