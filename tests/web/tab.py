"""The page in a tab of a browser, as a person uses it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.processes import until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Frame, Locator, Page, Route

_TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  console.error(`policy: ${violatedDirective} ${blockedURI}`);
});
"""


class Held:
    """Requests to an address that wait for their answers, from the moment it is made."""

    def __init__(self, page: Page, address: str | re.Pattern[str]) -> None:
        self._page = page
        self._routes: list[Route] | None = []
        page.route(address, self._hold)

    def release(self) -> None:
        """Answer those that wait, once one is there, and whatever follows."""
        until(self._has_come, what="a request that is held")
        waiting, self._routes = self._routes, None
        for route in waiting or []:
            route.continue_()

    def _hold(self, route: Route) -> None:
        if self._routes is None:
            route.continue_()
        else:
            self._routes.append(route)

    def _has_come(self) -> bool:
        self._page.evaluate("null")  # what the browser told meanwhile is heard within a call
        return bool(self._routes)


class Tab:
    """A tab. What goes wrong in it is kept: `foresee` what is meant to."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.context.add_init_script(_TELL_VIOLATIONS)
        self.page = context.new_page()
        self._errors: list[str] = []
        self._foreseen: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._errors.append(f"thrown: {error}"))

    def foresee(self, *parts: str) -> None:
        """Errors with one of these in their text are what the test is about."""
        self._foreseen.extend(parts)

    def unforeseen(self) -> list[str]:
        """All other errors."""
        return [text for text in self._errors if not any(part in text for part in self._foreseen)]

    def hold(self, address: str | re.Pattern[str]) -> Held:
        """Let requests to an address wait until they are released."""
        return Held(self.page, address)

    def ask(self, text: str) -> None:
        """Write into the field that is shown, and send once the page has heard the server."""
        self.page.locator("#about:not(:empty)").wait_for(state="attached")
        self.field.fill(text)
        self.field.press("Enter")

    @property
    def token(self) -> str:
        """Whom the page says it is, once it knows."""
        until(lambda: self._token is not None, what="somebody whom the server knows")
        return str(self._token)

    @property
    def _token(self) -> str | None:
        found: str | None = self.page.evaluate("localStorage.getItem('imdb-chat-token')")
        return found

    def ask_sql(self, sql: str) -> Locator:
        """Ask in SQL, and give the answer."""
        before = self.answers.count()
        self.page.get_by_role("tab", name="SQL").click()
        self.ask(sql)
        return self.answer(before)

    def answer(self, number: int = 0) -> Locator:
        """An answer, once it has come."""
        found = self.answers.nth(number)
        found.wait_for()
        return found

    @property
    def answers(self) -> Locator:
        return self.page.locator(".answer:not(.live)")

    @property
    def live(self) -> Locator:
        return self.page.locator(".live")

    @property
    def field(self) -> Locator:
        return self.page.locator("textarea:visible")

    def focused(self) -> str:
        """The id of what has the focus, or its text."""
        return str(self.page.evaluate("document.activeElement.id || document.activeElement.textContent"))

    def too_wide(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    def shoot(self, folder: Path, name: str) -> None:
        """Keep a picture."""
        self.page.screenshot(path=folder / f"{name}.png", animations="disabled")

    def barriers(self, frame: Frame | None = None) -> Sequence[str]:
        """What axe finds that seriously keeps somebody out, of the page or of a frame in it."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
        found: dict[str, Any] = axe.Axe().run(frame or self.page).response
        return [
            f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes']][:3]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._errors.append(message.text)
