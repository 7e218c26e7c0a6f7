"""Asking on the page: the real server, bridge and engine, a scripted model, and a real browser."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from tests.bridge.rest import Site
from tests.bridge.scripts import COUNT, running, said
from tests.openai_server import BAD_KEY, OpenAiServer, Reply
from tests.server.test_stdio import SLOW_SQL
from tests.web.conftest import OPEN_TAB
from tests.web.tab import Tab

expect = pytest.importorskip("playwright.sync_api", reason="needs the package playwright").expect

TOP = """SELECT primaryTitle, startYear, averageRating, numVotes
FROM movies_with_ratings
WHERE numVotes >= 1000
ORDER BY averageRating DESC, numVotes DESC
LIMIT 8"""


def test_a_question_is_answered_with_words_rows_statement_cost_and_steps(tab: Tab, provider: OpenAiServer) -> None:
    provider.will(running("SELECT nothing FROM movies_delta"), running(COUNT), said("There are **300** titles."))
    tab.ask("How many titles?")
    answer = tab.answer()
    expect(tab.page.locator(".asked")).to_contain_text("How many titles?")
    expect(answer.locator("strong")).to_have_text("300")
    expect(answer.locator("td")).to_have_text(["300"])
    expect(answer.locator(":scope > .statement code")).to_have_text(COUNT)
    expect(answer.locator(".cost")).to_contain_text(re.compile(r"\d s.*\$0\.00042.*360 tokens.*embedded"))
    answer.get_by_text("How it was found: 2 steps, 1 failed").click()
    first, second = answer.locator(".step").all()
    expect(first).to_contain_text("failed")
    expect(first.locator(".reason")).to_contain_text("nothing")
    expect(second).to_contain_text(f"to run {COUNT}")
    expect(second).to_contain_text("1 row")


def test_while_it_is_answered_the_words_and_steps_so_far_are_shown(
    tab: Tab, provider: OpenAiServer, pictures: Path
) -> None:
    pace = threading.Event()
    provider.will(running(TOP, text="Let me look."), Reply(text="The best of them is far ahead.", pace=pace))
    tab.ask("What are the best titles?")
    expect(tab.live.locator(".prose")).to_contain_text("The")
    expect(tab.live.locator(".doing")).to_have_text("Writing the answer")
    expect(tab.live.locator(".step")).to_contain_text("8 rows")
    expect(tab.page.locator("#announcer")).to_have_text("Writing the answer")
    tab.live.get_by_text("Its 8 rows").click()
    expect(tab.live.locator("td").first).to_be_visible()
    tab.shoot(pictures, "running")
    pace.set()
    expect(tab.answer()).to_contain_text("The best of them is far ahead.")
    expect(tab.page.locator("#announcer")).to_contain_text("answered in")
    expect(tab.live).to_have_count(0)


def test_escape_cancels_and_the_question_can_be_asked_again(tab: Tab, provider: OpenAiServer) -> None:
    provider.will(running(SLOW_SQL), said("Done this time."))
    tab.ask("How many are there?")
    expect(tab.live.locator(".step")).to_be_visible()
    tab.field.press("Escape")
    answer = tab.answer()
    expect(answer.locator(".outcome")).to_have_text("Cancelled")
    expect(tab.page.get_by_role("button", name="Send")).to_be_visible()
    answer.get_by_role("button", name="Ask again").click()
    expect(tab.answer(1)).to_contain_text("Done this time.")


def test_the_cancel_button_cancels_a_statement(tab: Tab) -> None:
    tab.page.get_by_role("tab", name="SQL").click()
    tab.ask(SLOW_SQL)
    expect(tab.live.locator(".doing")).to_have_text("Running in the engine")
    tab.page.get_by_role("button", name="Cancel").click()
    expect(tab.answer().locator(".outcome")).to_have_text("Cancelled")


def test_a_model_that_fails_is_told_where_the_answer_would_be(tab: Tab, provider: OpenAiServer) -> None:
    provider.will(BAD_KEY)
    tab.ask("How many titles?")
    answer = tab.answer()
    expect(answer.locator(".outcome")).to_have_text("Not answered")
    expect(answer).not_to_contain_text("sk-secret")
    assert len(answer.locator(".prose").inner_text()) > 20


def test_what_the_server_does_not_take_is_told_and_can_be_sent_again(
    tab: Tab, here: Site, provider: OpenAiServer
) -> None:
    tab.foresee("status of 429")
    pace = threading.Event()
    provider.will(*[Reply(text="One two three.", pace=pace)] * 2, said("Now there is room."))
    expect(tab.page.locator(".example").first).to_be_visible()
    mine = here.known(tab.token)
    others = [mine.post(mine.start(), "Wait.").json()["id"] for _ in range(2)]
    tab.ask("How many titles?")
    trouble = tab.page.get_by_role("alert")
    expect(trouble).to_contain_text("2 of your questions are being answered. Wait for one, or cancel it.")
    pace.set()
    for other in others:
        mine.ended(other)
    trouble.get_by_role("button", name="Try again").click()
    expect(tab.answer()).to_contain_text("Now there is room.")
    expect(trouble).to_have_count(0)
    expect(tab.page.locator(".asked")).to_have_count(1)


def test_a_reload_goes_on_with_what_is_being_answered(tab: Tab, provider: OpenAiServer) -> None:
    pace = threading.Event()
    provider.will(running(COUNT), Reply(text="There are many titles.", pace=pace))
    tab.ask("How many titles?")
    expect(tab.live.locator(".step")).to_contain_text("1 row")
    tab.page.reload()
    expect(tab.page.locator(".asked")).to_contain_text("How many titles?")
    expect(tab.live.locator(".step")).to_contain_text("1 row")
    pace.set()
    expect(tab.answer()).to_contain_text("There are many titles.")
    tab.page.reload()
    expect(tab.answer()).to_contain_text("There are many titles.")
    expect(tab.page.get_by_role("heading", name="How many titles?")).to_be_visible()


def test_what_is_written_before_the_server_is_heard_stays_and_can_be_sent(tab: Tab, provider: OpenAiServer) -> None:
    held = tab.hold(re.compile(r"/api/?$"))
    tab.page.reload()
    tab.field.fill("How many titles?")
    tab.field.press("Enter")
    expect(tab.page.locator("#send")).to_be_disabled()
    expect(tab.field).to_have_value("How many titles?")

    provider.will(said("There are many titles."))
    held.release()
    expect(tab.page.locator("#send")).to_be_enabled()
    tab.field.press("Enter")
    expect(tab.answer()).to_contain_text("There are many titles.")


def test_a_server_that_is_away_is_waited_for_and_it_is_said(tab: Tab, provider: OpenAiServer) -> None:
    tab.foresee("ERR_INTERNET_DISCONNECTED")
    pace = threading.Event()
    provider.will(Reply(text="There are many titles.", pace=pace))
    tab.ask("How many titles?")
    expect(tab.live.locator(".prose")).to_contain_text("There")
    tab.context.set_offline(True)
    expect(tab.live.get_by_role("status")).to_contain_text("The server cannot be reached. Trying again in")
    pace.set()
    tab.context.set_offline(False)
    expect(tab.answer()).to_contain_text("There are many titles.")


def test_a_question_that_could_not_be_sent_is_sent_once_when_the_server_is_back(
    tab: Tab, provider: OpenAiServer
) -> None:
    tab.foresee("ERR_INTERNET_DISCONNECTED")
    expect(tab.page.locator(".example").first).to_be_visible()
    provider.will(said("Here I am."))
    tab.context.set_offline(True)
    tab.ask("Are you there?")
    expect(tab.live.get_by_role("status")).to_contain_text("cannot be reached")
    tab.context.set_offline(False)
    expect(tab.answer()).to_contain_text("Here I am.")
    assert len(provider.calls) == 1


def test_an_answer_of_the_server_that_is_lost_is_asked_for_again_and_paid_once(
    tab: Tab, provider: OpenAiServer
) -> None:
    tab.foresee("ERR_FAILED")
    lost: list[str] = []

    def lose_the_first(route: object) -> None:
        if not lost:
            lost.append(route.fetch().text())  # type: ignore[attr-defined]
            route.abort()  # type: ignore[attr-defined]
        else:
            route.continue_()  # type: ignore[attr-defined]

    tab.page.route("**/messages", lose_the_first)
    provider.will(said("Only once."))
    tab.ask("How often?")
    expect(tab.answer()).to_contain_text("Only once.")
    assert lost
    assert len(provider.calls) == 1


def test_conversations_are_listed_opened_and_deleted_after_a_question(tab: Tab, provider: OpenAiServer) -> None:
    provider.will(said("First answer."), said("Second answer."))
    listed = tab.page.locator("#conversations li")
    tab.ask("First question?")
    expect(tab.answer()).to_contain_text("First answer.")
    tab.page.get_by_role("button", name="New conversation").click()
    expect(tab.page.locator(".example").first).to_be_visible()
    assert tab.focused() == "question"
    tab.ask("Second question?")
    expect(tab.answer()).to_contain_text("Second answer.")
    expect(listed).to_have_count(2)
    expect(listed.first.locator("[aria-current=page]")).to_contain_text("Second question?")
    tab.page.get_by_role("link", name="First question?").click()
    expect(tab.answer()).to_contain_text("First answer.")
    assert tab.focused() == "title"
    listed.nth(1).get_by_role("button", name="Options of").click()
    listed.get_by_role("button", name="Delete", exact=True).click()
    assert tab.focused() == "Keep"
    tab.page.get_by_role("button", name="Keep").click()
    expect(listed).to_have_count(2)
    listed.nth(1).get_by_role("button", name="Options of").click()
    listed.get_by_role("button", name="Delete", exact=True).click()
    listed.get_by_role("button", name="Delete", exact=True).click()
    expect(listed).to_have_count(1)
    expect(tab.page.locator(".example").first).to_be_visible()


def test_another_conversation_is_shown_while_one_is_answered_and_that_goes_on(tab: Tab, provider: OpenAiServer) -> None:
    pace = threading.Event()
    provider.will(Reply(text="There are many titles.", pace=pace))
    tab.ask("How many titles?")
    expect(tab.live.locator(".prose")).to_contain_text("There")
    tab.page.get_by_role("button", name="New conversation").click()
    expect(tab.live).to_have_count(0)
    expect(tab.ask_sql(COUNT).locator("td")).to_have_text(["300"])
    tab.page.get_by_role("link", name="How many titles?").click()
    expect(tab.live.locator(".prose")).to_contain_text("There")
    pace.set()
    expect(tab.answer()).to_contain_text("There are many titles.")


def test_an_example_is_asked_with_one_click(tab: Tab, provider: OpenAiServer) -> None:
    provider.will(said("These five."))
    tab.page.get_by_role("button", name="Which are the five best rated films of 2020?").click()
    expect(tab.answer()).to_contain_text("These five.")
    expect(tab.page.locator(".example")).to_have_count(0)


def test_a_conversation_that_is_not_there_is_told_with_a_way_on(tab: Tab, here: Site) -> None:
    tab.foresee("status of 404")
    tab.page.goto(f"{here.url}/#c/nobodys")
    expect(tab.page.get_by_role("alert")).to_be_visible()
    tab.page.get_by_role("alert").get_by_role("button", name="New conversation").click()
    expect(tab.page.locator(".example").first).to_be_visible()


def test_somebody_whom_the_server_has_forgotten_becomes_somebody_new(tab: Tab, provider: OpenAiServer) -> None:
    tab.foresee("status of 401")
    expect(tab.page.locator(".example").first).to_be_visible()
    tab.page.evaluate("localStorage.setItem('imdb-chat-token', 'forged')")
    tab.page.reload()
    provider.will(said("Welcome."))
    tab.ask("Who am I?")
    expect(tab.answer()).to_contain_text("Welcome.")
    expect(tab.page.get_by_role("alert")).to_have_count(0)


def test_two_visitors_do_not_see_each_other(tabs: OPEN_TAB, here: Site, provider: OpenAiServer) -> None:
    provider.will(said("Mine."))
    mine = tabs(here.url)
    mine.ask("A private question?")
    expect(mine.answer()).to_contain_text("Mine.")
    other = tabs(here.url)
    other.foresee("status of 404")
    expect(other.page.locator("#no-conversations")).to_be_visible()
    other.page.goto(mine.page.url)
    expect(other.page.get_by_role("alert")).to_be_visible()
    expect(other.answers).to_have_count(0)
