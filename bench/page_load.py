"""The first load of the chat's page: bytes over the network and the first contentful paint, in headless Chromium.

    python -m bench.page_load --url http://127.0.0.1:8766/ [--runs 5]

Each load is of somebody new, whose browser has nothing in its cache, and is over when the page has heard the server.
Bytes are what came over the network, headers included, compressed where they were. Processor time is throttled by the
browser itself; "4 x" is what a phone of the middle class is like. Medians.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
from dataclasses import dataclass

from playwright.sync_api import Browser, sync_playwright

from tests.web.conftest import CHROMIUM, FLAGS

SLOWDOWNS = (1, 4)


@dataclass(frozen=True)
class Load:
    """What one load took: requests, bytes, and milliseconds to the first paint and until the server was heard."""

    requests: int
    received: float
    painted: float
    heard: float


def load_page(browser: Browser, url: str, slowdown: int) -> Load:
    """Load the page in a context of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    cdp = context.new_cdp_session(page)
    finished: list[float] = []
    cdp.on("Network.loadingFinished", lambda event: finished.append(event["encodedDataLength"]))
    cdp.send("Network.enable")
    cdp.send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
    page.goto(url)
    page.locator("#about:not(:empty)").wait_for(state="attached")
    heard = page.evaluate("performance.now()")
    page.wait_for_load_state("networkidle")
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    context.close()
    return Load(len(finished), sum(finished), painted, heard)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium") or CHROMIUM, args=list(FLAGS))
        load_page(browser, options.url, 1)  # the first starts the browser's processes
        for slowdown in SLOWDOWNS:
            before = os.getloadavg()[0]
            loads = [load_page(browser, options.url, slowdown) for _ in range(options.runs)]
            painted, heard = (statistics.median(getattr(load, name) for load in loads) for name in ("painted", "heard"))
            received = statistics.median(load.received for load in loads)
            print(
                f"{slowdown} x: {loads[0].requests} requests, {received / 1e3:.1f} kB, first contentful paint "
                f"{painted:.0f} ms, server heard {heard:.0f} ms; load average {before:.1f} to {os.getloadavg()[0]:.1f}"
            )
        browser.close()


if __name__ == "__main__":
    main()
