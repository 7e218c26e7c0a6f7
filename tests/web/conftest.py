"""A real site with a scripted model, and a real browser that looks at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.bridge.rest import Site, site
from tests.openai_server import OpenAiServer, serving
from tests.server import lakes
from tests.web.tab import Tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OPEN_TAB = Callable[..., Tab]
CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ROOM = {
    "IMDB_CHAT_VISITORS_PER_HOUR": "1000",
    "IMDB_CHAT_REQUESTS_PER_MINUTE": "100000",
    "IMDB_CHAT_RUNNING_PER_VISITOR": "2",
    "IMDB_MAX_ROWS": "150",
    "IMDB_CHAT_SHARE_DAYS": "7",
}
ATTACK = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
ATTACKED = "tt0031676"
"""The title that is called ATTACK in the lake."""


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred invented titles; no test writes to it."""
    invented = lakes.titles

    def with_an_attack(count: int) -> list[dict[str, Any]]:
        return [row | ({"primaryTitle": ATTACK} if row["tconst"] == ATTACKED else {}) for row in invented(count)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lakes, "titles", with_an_attack)
        return lakes.make_lake(tmp_path_factory.mktemp("web-lake"))


@pytest.fixture(scope="session")
def states(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """State folders, a new one for each site."""
    return lambda: tmp_path_factory.mktemp("web-state")


@pytest.fixture(scope="session")
def model() -> Iterator[OpenAiServer]:
    """Who plays the model, for the site of all tests. Each test leaves it without a script."""
    with serving() as server:
        yield server


@pytest.fixture
def provider(model: OpenAiServer) -> Iterator[OpenAiServer]:
    """The same, with nothing asked of it yet."""
    model.calls.clear()
    yield model
    left = list(model.script)
    model.script.clear()  # what a test leaves would be told to the next one
    assert not left


@pytest.fixture(scope="session")
def here(lake: Path, states: Callable[[], Path], model: OpenAiServer) -> Iterator[Site]:
    """The site of all tests that need no other."""
    with site(lake, states(), model, **ROOM) as found:
        yield found


@pytest.fixture(scope="package")  # Playwright leaves an event loop running, which other folders' tests must not find
def browser() -> Iterator[Browser]:
    """Headless Chromium. Skips the test where the machine, or this Python, lacks what it takes."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    binary = shutil.which("chromium") or CHROMIUM
    if not os.path.exists(binary):
        pytest.skip("needs Chromium (Debian's package chromium)")
    # By default an expectation waits 5 s, in which a busy machine may not even stop the statement before.
    playwright.expect.set_options(timeout=30_000)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=binary, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def tabs(browser: Browser) -> Iterator[OPEN_TAB]:
    """Opens tabs, each of somebody new, by address and options of the browser's. At the end nothing may have gone wrong
    in any of them that the test did not foresee."""
    opened: list[Tab] = []

    def open_tab(url: str, **options: Any) -> Tab:
        given = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", "timezone_id": "UTC"} | options
        opened.append(Tab(browser.new_context(**given)))
        opened[-1].page.goto(url)
        return opened[-1]

    yield open_tab
    found = [tab.unforeseen() for tab in opened]
    for tab in opened:
        tab.context.close()
    assert not any(found), found


@pytest.fixture
def tab(tabs: OPEN_TAB, here: Site) -> Tab:
    """The page of all tests that need no other, as somebody new sees it."""
    return tabs(here.url)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept: IMDB_SCREENSHOTS, or a temporary folder."""
    folder = Path(_SCREENSHOTS) if _SCREENSHOTS else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


_SCREENSHOTS = os.environ.get("IMDB_SCREENSHOTS")  # before each test gets an environment of its own
