"""The page before other sites: without a model, at another origin, and before one that ended meanwhile."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imdb_lakehouse import web
from tests.bridge.rest import Site, site
from tests.bridge.scripts import COUNT, said
from tests.openai_server import HANGING, OpenAiServer
from tests.server.processes import until
from tests.web.conftest import OPEN_TAB, ROOM

expect = pytest.importorskip("playwright.sync_api", reason="needs the package playwright").expect

States = Callable[[], Path]


def test_the_tab_that_was_chosen_before_the_server_answered_stays_chosen(tabs: OPEN_TAB, here: Site) -> None:
    tab = tabs(here.url)
    held = tab.hold("**/api")
    tab.page.reload()
    tab.page.get_by_role("tab", name="SQL").click()
    tab.page.wait_for_function("document.querySelector('#about:empty') !== null")
    held.release()
    tab.ask(COUNT)
    expect(tab.answer().locator("td")).to_have_text(["300"])


def test_without_a_model_the_page_says_so_and_opens_on_sql(
    tabs: OPEN_TAB, lake: Path, states: States, pictures: Path
) -> None:
    with site(lake, states(), **ROOM) as found:
        tab = tabs(found.url)
        expect(tab.page.get_by_role("tab", name="SQL")).to_have_attribute("aria-selected", "true")
        expect(tab.page.locator(".welcome")).to_contain_text("No model is set up here, so only SQL is answered.")
        expect(tab.page.locator(".example").first).to_contain_text("SELECT")
        tab.shoot(pictures, "no-model")
        tab.ask(COUNT)
        expect(tab.answer().locator("td")).to_have_text(["300"])
        expect(tab.answer().locator(".cost")).to_contain_text("$0")
        tab.page.get_by_role("tab", name="Question").click()
        expect(tab.page.locator("#no-model")).to_contain_text("No model is set up here")
        expect(tab.page.locator("#question")).to_be_disabled()


def test_an_answer_that_was_interrupted_says_so_and_can_be_asked_for_again(
    tabs: OPEN_TAB, lake: Path, states: States, provider: OpenAiServer
) -> None:
    state = states()
    provider.will(HANGING, said("This time."))
    with site(lake, state, provider, **ROOM) as before:
        visitor = before.visitor()
        conversation = visitor.start("How many titles?")
        visitor.post(conversation, "How many titles?")
        until(lambda: provider.calls, what="the question at the model")
        before.end()
    with site(lake, state, provider, **ROOM) as after:
        tab = tabs(after.url)
        assert tab.token  # it is somebody by then, and will not become another one
        tab.page.evaluate("(token) => localStorage.setItem('imdb-chat-token', token)", visitor.token)
        tab.page.goto(f"{after.url}/#c/{conversation}")
        tab.page.reload()
        trouble = tab.page.get_by_role("alert")
        expect(trouble).to_contain_text("The answer was interrupted")
        trouble.get_by_role("button", name="Ask again").click()
        expect(tab.answer()).to_contain_text("This time.")


def test_from_another_origin_the_page_asks_the_server_that_its_configuration_names(
    tabs: OPEN_TAB, lake: Path, states: States, elsewhere: _Elsewhere
) -> None:
    with site(lake, states(), IMDB_CHAT_ORIGINS=elsewhere.url, **ROOM) as found:
        elsewhere.api = found.url
        tab = tabs(elsewhere.url)
        expect(tab.page.locator(".example").first).to_be_visible()
        tab.ask(COUNT)
        expect(tab.answer().locator("td")).to_have_text(["300"])


def test_a_page_before_a_server_that_does_not_answer_says_so_and_waits_for_it(
    tabs: OPEN_TAB, lake: Path, states: States, elsewhere: _Elsewhere
) -> None:
    elsewhere.api = "http://127.0.0.1:9"  # nobody listens there
    tab = tabs(elsewhere.url)
    tab.foresee("ERR_CONNECTION_REFUSED", "ERR_UNSAFE_PORT")
    expect(tab.page.locator("#notice")).to_contain_text("The server cannot be reached. Trying again in")
    expect(tab.page.get_by_role("button", name="Try now")).to_be_visible()


class _Elsewhere:
    """The page's files from an address of their own, with a configuration that names `api`."""

    def __init__(self) -> None:
        self.api = ""
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def config(self) -> bytes:
        text = (web.FOLDER / "config.js").read_text()
        configured, count = re.subn(r'API = ""', f'API = "{self.api}"', text)
        assert count == 1
        return configured.encode()


def _handler(elsewhere: _Elsewhere) -> type[http.server.SimpleHTTPRequestHandler]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(web.FOLDER))

        def do_GET(self) -> None:
            if self.path != "/config.js":
                super().do_GET()
                return
            body = elsewhere.config()
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def end_headers(self) -> None:
            for name, value in web.build_headers([elsewhere.api]).items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler


@pytest.fixture
def elsewhere() -> Iterator[_Elsewhere]:
    """Another origin."""
    found = _Elsewhere()
    yield found
    found.server.shutdown()
    found.server.server_close()
