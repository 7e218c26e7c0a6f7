"""The view of an answer in a program that shows MCP Apps: what it shows, and that nothing in it acts but itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imdb_lakehouse.web.bundle import bundle_modules
from lakehouse.storage import Lake
from mcp_server.app import build_server
from mcp_server.settings import load_settings
from tests.web.app_host import AppHost, ServerClient, connect_host
from tests.web.conftest import ATTACK, ATTACKED, OPEN_TAB
from tests.web.tab import Tab
from tests.web.test_results import BY_YEAR, INKED, UNSORTED

expect = pytest.importorskip("playwright.sync_api", reason="needs the package playwright").expect

MANY = "SELECT tconst, primaryTitle, startYear, runtimeMinutes FROM movies_delta ORDER BY tconst"
RATED = "SELECT primaryTitle, averageRating, numVotes FROM movies_with_ratings ORDER BY numVotes DESC LIMIT 12"
SIZES = [(300, "light"), (320, "dark"), (700, "light"), (1000, "dark")]


@pytest.fixture(scope="module")
def client(lake: Path, states: Callable[[], Path]) -> Iterator[ServerClient]:
    """A client of a real server, as a host of MCP Apps is one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("IMDB_SCREENSHOTS", raising=False)  # is for the tests and no setting
        settings = load_settings(lake=str(lake), state_dir=states(), max_result_bytes=4_000)
    server = build_server(settings, Lake.parse(str(lake)))
    with connect_host(server) as client:
        yield client
    server.close()


@pytest.fixture
def tab(tabs: OPEN_TAB) -> Tab:
    return tabs("about:blank", viewport={"width": 700, "height": 900})


@pytest.fixture
def host(tab: Tab, client: ServerClient) -> AppHost:
    return AppHost(tab.page, client)


def test_an_answer_is_a_table_with_types_that_its_headings_sort(host: AppHost) -> None:
    view = host.show(host.client.ask(UNSORTED))
    expect(view.locator(".size")).to_contain_text("4 rows · ")
    heading = view.get_by_role("columnheader", name="n", exact=True).or_(view.get_by_role("columnheader", name="n int"))
    assert "int" in heading.locator("button").evaluate("(one) => getComputedStyle(one, '::after').content")
    heading.get_by_role("button").click()
    expect(view.locator("td:first-child")).to_have_text(["1", "2", "10", "null"])
    expect(heading).to_have_attribute("aria-sort", "ascending")
    heading.get_by_role("button").press("Enter")
    expect(view.locator("td:first-child")).to_have_text(["10", "2", "1", "null"])
    expect(view.get_by_role("status")).to_have_text("Sorted by n, descending.")


def test_decimals_that_come_as_texts_are_sorted_to_their_last_digit(host: AppHost) -> None:
    numbers = ("12345678901234567890.02", "-1.50", "12345678901234567890.01")
    rows = ", ".join(f"(CAST('{number}' AS DECIMAL(30,2)))" for number in numbers)
    view = host.show(host.client.ask(f"SELECT * FROM VALUES {rows} AS t(amount)"))
    view.get_by_role("button", name="amount").click()
    shown = ["-1.50", "12,345,678,901,234,567,890.01", "12,345,678,901,234,567,890.02"]
    expect(view.locator("td")).to_have_text(shown)


def test_the_chart_is_the_pages_with_its_choices(host: AppHost) -> None:
    view = host.show(host.client.ask(BY_YEAR))
    expect(view.locator("[data-drawn=line]")).to_be_visible()
    assert view.locator("canvas").evaluate(INKED)
    expect(view.get_by_role("img")).to_have_attribute("aria-label", re.compile("Line chart of titles by startYear, 70"))
    view.get_by_role("combobox", name="Chart").select_option("Histogram")
    expect(view.locator("[data-drawn=histogram]")).to_be_visible()
    view.get_by_role("button", name="Hide chart").click()
    expect(view.locator("canvas")).to_have_count(0)
    view.get_by_role("button", name="Show a chart").click()
    expect(view.locator("canvas")).to_be_visible()
    none = host.show(host.client.ask("SELECT count(*) AS n FROM movies_delta"))
    expect(none.locator("td")).to_have_text("300")
    expect(none.locator(".chart-box")).to_have_count(0)


def test_the_view_follows_the_theme_of_the_host(host: AppHost) -> None:
    view = host.show(host.client.ask(BY_YEAR), theme="light")
    ground = "(body) => getComputedStyle(body).backgroundColor"
    expect(view.locator("[data-drawn=line]")).to_be_visible()
    light = view.locator("body").evaluate(ground), view.locator("canvas").evaluate("(one) => one.toDataURL()")
    host.tell("ui/notifications/host-context-changed", {"theme": "dark"})
    expect(view.locator("html")).to_have_attribute("data-theme", "dark")
    dark = view.locator("body").evaluate(ground), view.locator("canvas").evaluate("(one) => one.toDataURL()")
    assert (light[0], dark[0]) == ("rgb(250, 249, 247)", "rgb(20, 21, 23)")
    assert light[1] != dark[1]


def test_more_rows_come_without_the_model_until_all_are_there(host: AppHost) -> None:
    view = host.show(host.client.ask(MANY))
    rows = view.locator("tbody tr")
    expect(view.locator(".size")).to_contain_text(re.compile(r"^\d\d of 300 rows · "))
    shown = rows.count()
    view.get_by_role("button", name="tconst").click()
    expect(view.get_by_role("status")).to_contain_text("Only the rows that are here.")
    view.get_by_role("button", name="More rows").press("Enter")
    expect(view.locator(".size")).to_contain_text(f"300 rows; the model has {shown} · ")
    expect(view.get_by_role("status")).to_have_text(f"{300 - shown} rows added.")
    expect(rows).to_have_count(300)
    expect(view.locator("#view")).to_contain_text(re.compile("The model was told:Cut after 100 of 300 rows"))
    expect(view.get_by_role("button", name="More rows")).to_be_hidden()
    expect(view.get_by_role("region", name="Result")).to_be_focused()
    assert [params["name"] for params in host.heard("tools/call")] == ["read_kept_rows"]


def test_rows_that_are_no_longer_kept_are_said_to_be_gone(host: AppHost) -> None:
    arguments, result = host.client.ask(MANY)
    result["structuredContent"]["query_id"] = "0" * 12
    view = host.show((arguments, result))
    rows = view.locator("tbody tr")
    expect(rows).to_have_count(len(result["structuredContent"]["rows"]))
    view.get_by_role("button", name="More rows").click()
    expect(view.get_by_role("status")).to_contain_text("No rows are kept of a query")
    expect(rows).to_have_count(len(result["structuredContent"]["rows"]))


def test_what_a_host_should_not_say_and_what_it_refuses_stop_nothing(host: AppHost) -> None:
    view = host.show(host.client.ask(UNSORTED))
    host.tell("__proto__", {})
    host.tell("toString", {})
    host.page.evaluate("() => { ways['ui/request-display-mode'] = () => { throw new Error('no') } }")
    view.get_by_role("button", name="Full screen").click()
    expect(view.get_by_role("button", name="Full screen")).to_have_count(0)
    host.tell("ui/notifications/host-context-changed", {"availableDisplayModes": ["inline", "fullscreen"]})
    expect(view.get_by_role("button", name="Full screen")).to_be_visible()
    host.tell("ui/notifications/tool-result", host.client.ask(BY_YEAR)[1])
    expect(view.locator("[data-drawn=line]")).to_be_visible()


def test_texts_that_would_be_html_or_turn_others_around_are_texts(tab: Tab, host: AppHost) -> None:
    sql = f"""SELECT primaryTitle AS `<b>name</b>`, 'abc\u202efed' AS turned, repeat('a long text ', 150) AS told,
array('<i>x</i>') AS parts FROM movies_delta WHERE tconst = '{ATTACKED}'"""
    view = host.show(host.client.ask(sql))
    expect(view.locator("td").first).to_have_text(ATTACK)
    expect(view.locator("td").nth(1)).to_have_text("abc\ufffdfed")
    expect(view.locator("th").first).to_contain_text("<b>name</b>")
    assert view.locator("tbody tr").evaluate("(row) => row.getBoundingClientRect().height") < 200
    assert view.locator("main").evaluate("(main) => main.querySelectorAll('img, i, b, script').length") == 0
    assert view.locator("html").evaluate("() => document.title") == "Result"
    evil = {"isError": True, "content": [{"type": "text", "text": f"{ATTACK}\u202e"}]}
    expect(host.show(({}, evil)).get_by_role("alert")).to_have_text(f"{ATTACK}\ufffd")


def test_no_script_runs_but_the_views_own(tab: Tab, host: AppHost) -> None:
    tab.foresee("Content Security Policy", "policy: ")
    view = host.show(host.client.ask("SELECT 1 AS n"))
    expect(view.locator("td")).to_have_text("1")
    added = """() => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'taken'";
        document.head.append(script);
        const picture = new Image();
        picture.src = "http://view.test/picture";
        return new Promise((resolve) => { picture.onerror = () => resolve(document.title); });
    }"""
    assert view.locator("html").evaluate(added) == "Result"


@pytest.mark.parametrize(
    ("sql", "more", "said"),
    [
        ("SELECT * FROM nowhere", {}, "Refused (unknown_table)"),
        ("SELECT count(*) FROM movies_delta", {"dry_run": True}, "dry run"),
        ("SELECT tconst FROM movies_delta WHERE startYear < 1000", {}, "The statement found no rows."),
    ],
)
def test_answers_without_rows_are_told_in_words(host: AppHost, sql: str, more: Any, said: str) -> None:
    view = host.show(host.client.ask(sql, **more))
    expect(view.locator("#view")).to_contain_text(said)
    expect(view.locator("table")).to_have_count(0)


def test_warnings_stand_below_the_rows_as_the_text_has_them(host: AppHost) -> None:
    arguments, result = host.client.ask("SELECT tconst FROM movies_delta ORDER BY tconst", row_limit=5)
    view = host.show((arguments, result))
    expect(view.get_by_role("list", name="Warnings").get_by_role("listitem")).to_have_text(
        result["structuredContent"]["warnings"]
    )


def test_a_host_that_can_do_nothing_is_asked_for_nothing(host: AppHost) -> None:
    view = host.show(host.client.ask(MANY), can={}, availableDisplayModes=["inline"])
    expect(view.locator("tbody tr").first).to_be_visible()
    expect(view.get_by_role("button", name=re.compile("More rows|CSV|JSON|picture|screen"))).to_have_count(0)


def test_what_is_no_answer_of_a_statement_is_shown_as_the_text_that_it_is(host: AppHost) -> None:
    text = {"type": "text", "text": "plain words"}
    for structured in (
        None,
        {"status": "done", "columns": "x", "rows": [[1]]},
        {"status": "done", "columns": [], "rows": []},
    ):
        view = host.show(({}, {"content": [text], "structuredContent": structured}))
        expect(view.locator("#view")).to_have_text("plain words")
    view = host.show(({}, None))
    expect(view.get_by_role("status")).to_have_text("Waiting for the answer…")
    host.tell("ui/notifications/tool-cancelled", {"reason": "the user stopped it"})
    expect(view.locator("#view")).to_have_text("Cancelled: the user stopped it")


def test_files_are_saved_by_the_host_in_the_order_shown(host: AppHost) -> None:
    view = host.show(host.client.ask("SELECT * FROM VALUES (2, '=1+1'), (-1, '@x') AS t(n, name)"))
    view.get_by_role("button", name="n int").or_(view.get_by_role("button", name="n", exact=True)).click()
    view.get_by_role("button", name="Save CSV").click()
    view.get_by_role("button", name="JSON").click()
    host.page.wait_for_function("() => heard.filter((one) => one.method === 'ui/download-file').length === 2")
    files = [params["contents"][0]["resource"] for params in host.heard("ui/download-file")]
    assert files[0]["text"] == "\ufeffn,name\r\n-1,'@x\r\n2,'=1+1\r\n"
    assert json.loads(files[1]["text"]) == [{"n": -1, "name": "@x"}, {"n": 2, "name": "=1+1"}]


def test_the_view_takes_the_whole_screen_where_the_host_has_one_for_it(host: AppHost) -> None:
    view = host.show(host.client.ask(BY_YEAR))
    view.get_by_role("button", name="Full screen").click()
    expect(view.locator("html")).to_have_attribute("data-mode", "fullscreen")
    view.get_by_role("button", name="Leave full screen").click()
    expect(view.locator("html")).to_have_attribute("data-mode", "inline")
    assert host.heard("ui/request-display-mode") == [{"mode": "fullscreen"}, {"mode": "inline"}]


@pytest.mark.parametrize(("width", "theme"), SIZES)
def test_the_view_fits_its_frame_and_keeps_nobody_out(
    host: AppHost, tab: Tab, pictures: Path, width: int, theme: str
) -> None:
    tab.page.set_viewport_size({"width": width, "height": 1100})
    view = host.show(host.client.ask(RATED), theme=theme)
    expect(view.locator("[data-drawn=ranking]")).to_be_visible()
    (frame,) = tab.page.frames[1:]
    assert frame.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    tab.page.wait_for_function("() => document.querySelector('iframe').clientHeight > 200")
    assert frame.evaluate("document.documentElement.scrollHeight - innerHeight") <= 0
    assert tab.barriers(frame) == []
    tab.shoot(pictures, f"app-{width}-{theme}")


def test_a_module_of_a_form_that_cannot_be_bundled_is_an_error(tmp_path: Path) -> None:
    module = tmp_path / "module.js"
    module.write_text('import { a } from "./other.js";\nexport function b() {}\n')
    (tmp_path / "other.js").write_text('import { b } from "./module.js";\nexport const a = b;\n')
    with pytest.raises(ValueError, match="imports itself"):
        bundle_modules(module)
    for text in (
        "export default 1;\n",
        'import "./other.js";\n',
        'import { a as b } from "./other.js";\n',
        "export { a };\n",
    ):
        module.write_text(text)
        with pytest.raises(ValueError, match="cannot be bundled"):
            bundle_modules(module)
    module.write_text('export const a = "</script>";\n')
    with pytest.raises(ValueError, match="cannot stand in a document"):
        bundle_modules(module)
