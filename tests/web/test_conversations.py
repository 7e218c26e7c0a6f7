"""The list of conversations on the page, copies by link, and what is told when a conversation is over."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import httpx2
import pytest

from tests.bridge.rest import Site
from tests.bridge.scripts import COUNT, running, said
from tests.openai_server import OpenAiServer, Reply
from tests.web.conftest import OPEN_TAB
from tests.web.tab import Tab

expect = pytest.importorskip("playwright.sync_api", reason="needs the package playwright").expect

PHONE = {"viewport": {"width": 360, "height": 740}}


def begun(tab: Tab, here: Site, *titles: str) -> list[str]:
    """Conversations of somebody whose tab is open, listed there; their ids."""
    expect(tab.page.locator(".example").first).to_be_visible()
    mine = here.known(tab.token)
    ids = [mine.start(title) for title in titles]
    tab.page.reload()
    expect(tab.page.locator("#conversations li").first).to_contain_text(titles[-1])
    return ids


def test_a_title_is_changed_in_its_place_by_keyboard_menu_and_double_click(tab: Tab, here: Site) -> None:
    _, newer = begun(tab, here, "Films", "Names")
    keys, listed = tab.page.keyboard, tab.page.locator("#conversations li")
    tab.page.get_by_role("link", name="Films").focus()
    keys.press("F2")
    expect(tab.page.get_by_role("textbox", name="New title of “Films”")).to_be_focused()
    keys.type("Old films")
    keys.press("Escape")
    expect(listed).to_contain_text(["Names", "Films"])
    tab.page.get_by_role("button", name="Options of “Films”").click()
    tab.page.get_by_role("button", name="Rename").click()
    keys.type("Old films")
    keys.press("Enter")
    expect(listed).to_contain_text(["Names", "Old films"])
    expect(tab.page.get_by_role("link", name="Old films")).to_be_focused()
    expect(tab.page.locator("#announcer")).to_have_text("Renamed to Old films.")
    tab.page.get_by_role("link", name="Names").dblclick()
    expect(tab.page.get_by_role("textbox", name="New title of “Names”")).to_be_focused()
    expect(tab.page.get_by_role("heading", name="Names")).to_be_visible()
    expect(tab.page.get_by_role("textbox", name="New title of “Names”")).to_be_focused()
    keys.type("People")
    keys.press("Enter")
    expect(tab.page.get_by_role("heading", name="People")).to_be_visible()
    tab.page.reload()
    expect(listed).to_contain_text(["People", "Old films"])
    assert here.known(tab.token).conversation(newer)["title"] == "People"


def test_a_title_that_was_changed_elsewhere_meanwhile_is_told_before_it_is_replaced(tab: Tab, here: Site) -> None:
    tab.foresee("status of 412")
    (one,) = begun(tab, here, "Films")
    tab.page.get_by_role("link", name="Films").focus()
    tab.page.keyboard.press("F2")
    here.known(tab.token).client.patch(f"/api/conversations/{one}", json={"title": "Theirs"})
    tab.page.keyboard.type("Mine")
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("alert")).to_contain_text("It was changed elsewhere, and is called “Theirs” now.")
    tab.page.get_by_role("button", name="Save", exact=True).click()
    expect(tab.page.get_by_role("link", name="Mine")).to_be_focused()


def test_a_conversation_is_pinned_to_the_top_and_let_go_again(tab: Tab, here: Site) -> None:
    begun(tab, here, "Films", "Names")
    listed = tab.page.locator("#conversations li")
    options = tab.page.get_by_role("button", name="Options of “Films”")
    options.click()
    tab.page.get_by_role("button", name="Pin", exact=True).click()
    expect(listed).to_contain_text(["Films", "Names"])
    expect(listed.first).to_contain_text("Pinned")
    expect(options).to_be_focused()
    tab.page.keyboard.press("Enter")
    tab.page.get_by_role("button", name="Unpin").click()
    expect(listed).to_contain_text(["Names", "Films"])
    expect(listed.last).not_to_contain_text("Pinned")


def test_all_conversations_are_listed_step_by_step_and_found_on_the_server(tab: Tab, here: Site) -> None:
    begun(tab, here, *[f"Film number {number}" for number in range(53)])
    listed, more = tab.page.locator("#conversations li"), tab.page.get_by_role("button", name="Show more")
    expect(listed).to_have_count(50)
    field = tab.page.get_by_role("searchbox", name="Find a conversation")
    field.fill("NUMBER 1")
    expect(listed).to_have_count(11)
    field.fill("number 0")
    expect(listed).to_contain_text(["Film number 0"])
    field.fill("nothing like it")
    expect(tab.page.locator("#no-conversations")).to_have_text("No title has that in it.")
    field.fill("")
    expect(listed).to_have_count(50)
    more.focus()
    more.press("Enter")
    expect(listed).to_have_count(53)
    expect(more).to_be_hidden()
    expect(tab.page.get_by_role("link", name="Film number 2", exact=False).last).to_be_focused()
    expect(tab.page.locator("#announcer")).to_have_text("3 more conversations listed.")


def test_a_link_shows_a_copy_to_somebody_else_until_it_is_taken_back(
    tabs: OPEN_TAB, here: Site, provider: OpenAiServer, pictures: Path
) -> None:
    provider.will(running(COUNT), said("There are **300** titles."), said("Later."))
    mine = tabs(here.url)
    mine.ask("How many titles?")
    mine.answer()
    share = mine.page.get_by_role("button", name="Share", exact=True)
    share.click()
    expect(mine.page.locator("#share-panel")).to_contain_text("It expires after 7 days.")
    mine.page.get_by_role("button", name="Make a link").click()
    link = mine.page.get_by_role("textbox", name="Link to the copy")
    expect(link).to_be_focused()
    mine.shoot(pictures, "share-link")
    assert mine.barriers() == []
    url = link.input_value()
    mine.page.keyboard.press("Escape")
    expect(share).to_be_focused()
    mine.ask("And later?")
    expect(mine.answer(1)).to_contain_text("Later.")

    mine.page.set_viewport_size(PHONE["viewport"])
    expect(mine.page.get_by_role("button", name="Save", exact=True)).to_be_in_viewport(ratio=1)
    theirs = tabs(url, **PHONE)
    expect(theirs.page.get_by_role("heading", name="How many titles?")).to_be_visible()
    expect(theirs.page.locator("#copied-when")).to_have_text(
        re.compile(r"A copy of .*\d{4}, \d\d:\d\d, expires .*\d{4}")
    )
    expect(theirs.answer().locator("td")).to_have_text(["300"])
    expect(theirs.answers).to_have_count(1)
    for hidden in ("textarea", "#sidebar", "#menu", "#share", ".edit", "button:has-text('Ask again')"):
        expect(theirs.page.locator(hidden).locator("visible=true")).to_have_count(0)
    assert theirs.page.evaluate("localStorage.getItem('imdb-chat-token')") is None  # a reader becomes nobody
    assert httpx2.get(url).headers["x-robots-tag"] == "noindex"
    assert theirs.too_wide() <= 0
    theirs.shoot(pictures, "copy-small")
    assert theirs.barriers() == []

    mine.page.reload()
    share.click()
    expect(mine.page.locator("#share-panel")).to_contain_text("It is not shown again; a new one replaces it.")
    mine.page.get_by_role("button", name="Take the link back").click()
    expect(mine.page.locator("#announcer")).to_have_text("The link leads nowhere any more.")
    theirs.foresee("status of 404")
    theirs.page.reload()
    expect(theirs.page.get_by_role("alert")).to_contain_text("Its link has expired or was taken back")
    theirs.page.get_by_role("button", name="Ask a question").click()
    expect(theirs.page.locator(".example").first).to_be_visible()
    expect(theirs.field).to_be_focused()


def test_an_answer_whose_conversation_expired_says_so_and_is_asked_for_in_a_new_one(
    tab: Tab, here: Site, provider: OpenAiServer
) -> None:
    tab.foresee("status of 410")
    pace = threading.Event()
    provider.will(Reply(text="One two three.", pace=pace), said("Here it is."))
    tab.ask("How many?")
    expect(tab.live.locator(".prose")).to_contain_text("One")
    here.expire(tab.page.url.rpartition("/")[2])
    pace.set()
    trouble = tab.page.get_by_role("alert")
    expect(trouble).to_contain_text("The answer was interrupted: its conversation expired meanwhile.")
    trouble.get_by_role("button", name="Ask in a new conversation").click()
    expect(tab.answer()).to_contain_text("Here it is.")
    expect(trouble).to_have_count(0)
    expect(tab.page.locator("#conversations li")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_in_the_list_keeps_anybody_out(tabs: OPEN_TAB, here: Site, pictures: Path, scheme: str) -> None:
    tab = tabs(here.url, color_scheme=scheme, **PHONE)
    begun(tab, here, "Films", "A title that is much longer than the list is wide, as questions often are")
    tab.page.locator("#menu").click()
    tab.page.locator(".options").first.click()
    tab.shoot(pictures, f"options-{scheme}")
    assert tab.barriers() == []
    tab.page.get_by_role("button", name="Rename").click()
    tab.shoot(pictures, f"rename-{scheme}")
    assert tab.barriers() == []
    assert tab.too_wide() <= 0
