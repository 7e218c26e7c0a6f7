"""Memory of the chat in use: the site's processes and a browser's page, looked at every minute.

    python -m bench.chat_soak [--minutes 120] [--every 20] [--out soak.jsonl]
    python -m bench.chat_soak --read soak.jsonl                    the summary of an earlier run

A real site on an invented lake, a scripted model, and headless Chromium that asks a question every 20 seconds as a
person does: 25 in a conversation, then a new one; every 120th question the page is loaded again, and an older
conversation is opened. Each sample is a line: memory that only a process has (USS) and that is resident (RSS), of the
site, its server and the engine's worker; of the browser the renderer's USS, and, after a garbage collection, the heap
of JavaScript, DOM nodes and event listeners. A page grows with its conversation and shrinks with the next, so it is
compared where it is at the same length: what is sampled after the first answer of a conversation is `fresh`. The
summary is a slope by linear regression behind a warm-up, and the first, median and last sample. Memory is in MB (10^6
bytes).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import CDPSession, Page, sync_playwright

from tests.bridge.rest import Site, site
from tests.bridge.scripts import running, said
from tests.openai_server import OpenAiServer, Received, Reply, serving
from tests.server.lakes import make_lake
from tests.web.conftest import CHROMIUM, FLAGS
from tests.web.tab import Tab

PER_CONVERSATION = 25
PER_LOADED_PAGE = 120
SAMPLE_SECONDS = 60
WARM_UP_MINUTES = 20
ANSWER_SECONDS = 90
STATEMENTS = (
    "SELECT primaryTitle, startYear, numVotes FROM movies_with_ratings ORDER BY numVotes DESC LIMIT 10",
    "SELECT startYear, count(*) AS n FROM movies_delta WHERE startYear > 0 GROUP BY startYear ORDER BY startYear",
    "SELECT tconst, primaryTitle, genres, runtimeMinutes, startYear FROM movies_delta ORDER BY tconst LIMIT 100",
    "SELECT titleType, count(*) AS n FROM movies_delta GROUP BY titleType ORDER BY n DESC",
)
ROOM = {
    "IMDB_CHAT_QUESTIONS_PER_HOUR": "100000",
    "IMDB_CHAT_REQUESTS_PER_MINUTE": "100000",
    "IMDB_AI_CALLER_HOUR_BUDGET": "1000",
    "IMDB_AI_CALLER_DAY_BUDGET": "1000",
    "IMDB_AI_DAY_BUDGET": "1000",
    "IMDB_AI_MONTH_BUDGET": "1000",
}
BROWSER = ("renderer_uss", "heap", "nodes", "listeners")
"""What grows with a conversation."""


def play_model(server: OpenAiServer) -> None:
    """Have the scripted model run a statement for each question, in the same order in each conversation, and then write
    a text."""
    asked = 0

    def choose(received: Received) -> Reply:
        nonlocal asked
        server.calls.clear()
        if received.body["messages"][-1]["role"] == "tool":
            return said("The **first rows** are shown below.\n\n- one\n- two\n\nAsk for more of them.")
        statement = STATEMENTS[asked % PER_CONVERSATION % len(STATEMENTS)]
        asked += 1
        return running(statement, text="Let me look.")

    server.choose = choose


def ask_next(tab: Tab, number: int) -> None:
    """Ask as a person does, and wait for the answer. Raises playwright's TimeoutError where none comes."""
    page = tab.page
    if number and number % PER_LOADED_PAGE == 0:
        page.reload()
        page.locator("#conversations a").nth(1).click()
        tab.answers.nth(PER_CONVERSATION - 1).wait_for(timeout=ANSWER_SECONDS * 1000)
    if number % PER_CONVERSATION == 0:
        page.locator("#new").click()
    before = tab.answers.count()
    page.get_by_role("tab", name="Question").click()
    tab.ask(f"What stands in the lake, question {number}?")
    tab.answers.nth(before).wait_for(timeout=ANSWER_SECONDS * 1000)


def read_site(root: psutil.Process) -> dict[str, float]:
    """Memory of the site's processes in MB: the site, its server, and the engine's workers."""
    found: dict[str, float] = {}
    for name, members in (("site", [root]), *_list_below(root)):
        memory = [member.memory_full_info() for member in members]
        found[f"{name}_rss"] = sum(one.rss for one in memory) / 1e6
        found[f"{name}_uss"] = sum(one.uss for one in memory) / 1e6
    return found


def _list_below(root: psutil.Process) -> list[tuple[str, list[psutil.Process]]]:
    servers = root.children()
    return [("server", servers), ("worker", [below for server in servers for below in server.children(recursive=True)])]


def read_page(cdp: CDPSession, browser: Sequence[psutil.Process]) -> dict[str, float]:
    """Memory of the page in MB, after a garbage collection, and its nodes and listeners."""
    cdp.send("HeapProfiler.collectGarbage")
    metrics = {one["name"]: one["value"] for one in cdp.send("Performance.getMetrics")["metrics"]}
    renderers = [one for one in browser if "--type=renderer" in " ".join(one.cmdline())]
    return {
        "renderer_uss": sum(one.memory_full_info().uss for one in renderers) / 1e6,
        "heap": metrics["JSHeapUsedSize"] / 1e6,
        "nodes": metrics["Nodes"],
        "listeners": metrics["JSEventListeners"],
        "documents": metrics["Documents"],
    }


@contextmanager
def open_page(url: str) -> Iterator[tuple[Page, CDPSession, Tab, list[psutil.Process]]]:
    """Headless Chromium with the page, its debugger, and its processes."""
    before = set(psutil.Process().children(recursive=True))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium") or CHROMIUM, args=list(FLAGS))
        tab = Tab(browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", timezone_id="UTC"))
        tab.page.goto(url)
        cdp = tab.context.new_cdp_session(tab.page)
        cdp.send("Performance.enable")
        processes = [one for one in psutil.Process().children(recursive=True) if one not in before]
        yield tab.page, cdp, tab, processes
        browser.close()


def soak(found: Site, options: argparse.Namespace) -> None:
    """Ask and sample until the time is over. What goes wrong is a line of its own, and the next question is asked."""
    root = psutil.Process(found.process.pid)
    with options.out.open("w") as out, open_page(found.url) as (page, cdp, tab, processes):
        began = time.monotonic()

        def write(**line: Any) -> None:
            out.write(json.dumps({"minutes": round((time.monotonic() - began) / 60, 2)} | line) + "\n")
            out.flush()

        number, sampled = 0, 0.0
        while time.monotonic() - began < options.minutes * 60:
            due = time.monotonic() + options.every
            is_fresh = number % PER_CONVERSATION == 0
            try:
                ask_next(tab, number)
            except Exception as error:  # noqa: BLE001  (playwright's, or a site that has ended: both are results)
                write(failed=str(error).splitlines()[0], question=number)
                page.reload()
            number += 1
            if is_fresh or time.monotonic() - sampled >= SAMPLE_SECONDS:
                sampled = time.monotonic()
                write(
                    **read_site(root),
                    **read_page(cdp, processes),
                    question=number,
                    fresh=is_fresh,
                    page=(number - 1) // PER_LOADED_PAGE,
                    conversation=(number - 1) % PER_CONVERSATION + 1,
                    errors=len(tab.unforeseen()),
                )
            page.wait_for_timeout(max(0.0, due - time.monotonic()) * 1000)


def fit_slope(points: Sequence[tuple[int, float, float]]) -> float:
    """Units an hour of points (page, minutes, value): one slope for all loaded pages, each from where it began."""
    pages: dict[int, list[tuple[float, float]]] = {}
    for page, minutes, value in points:
        pages.setdefault(page, []).append((minutes / 60, value))
    above = below = 0.0
    for members in pages.values():
        hour, value = (statistics.fmean(part) for part in zip(*members, strict=True))
        above += sum((x - hour) * (y - value) for x, y in members)
        below += sum((x - hour) ** 2 for x, _ in members)
    return above / below if below else 0.0


def print_summary(lines: Sequence[Mapping[str, Any]], warm_up: float = WARM_UP_MINUTES) -> None:
    """Print slope, first, median and last of each figure behind the warm-up."""
    samples = [line for line in lines if "heap" in line and line["minutes"] >= warm_up]
    failed = [line for line in lines if "failed" in line]
    if not samples:
        print("no sample behind the warm-up")
        return
    print(f"{samples[-1]['question']} questions, {len(failed)} without an answer; behind {warm_up:.0f} minutes:")
    print(f"{'':14} {'an hour':>9} {'first':>9} {'median':>9} {'last':>9}")
    for name in [name for name in samples[0] if name.endswith(("_rss", "_uss")) or name in BROWSER]:
        fitting = [line for line in samples if line["fresh"] or name not in BROWSER]
        values = [line[name] for line in fitting]
        slope = fit_slope([(line["page"] if name in BROWSER else 0, line["minutes"], line[name]) for line in fitting])
        shown = (slope, values[0], statistics.median(values), values[-1])
        print(f"{name:14} " + " ".join(f"{value:9.2f}" for value in shown))


def keep_reading(process: Any) -> None:
    """Pass on what the site says: a full pipe would stop it."""
    threading.Thread(target=lambda: shutil.copyfileobj(process.stderr, sys.stderr), daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--every", type=float, default=20, help="seconds from question to question")
    parser.add_argument("--out", type=Path, default=Path("soak.jsonl"))
    parser.add_argument("--read", type=Path, help="print the summary of this file")
    parser.add_argument("--warm-up", type=float, default=WARM_UP_MINUTES, help="minutes")
    options = parser.parse_args()
    if options.read is None:
        with tempfile.TemporaryDirectory() as folder, serving() as model:
            play_model(model)
            lake = make_lake(Path(folder) / "lake")
            with site(lake, Path(folder) / "state", model, **ROOM) as found:
                keep_reading(found.process)
                soak(found, options)
    lines = (options.read or options.out).read_text().splitlines()
    print_summary([json.loads(line) for line in lines], options.warm_up)


if __name__ == "__main__":
    main()
