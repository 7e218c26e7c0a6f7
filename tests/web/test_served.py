"""The page's files: what they are served with, and what no line of them does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx2
import pytest

from imdb_lakehouse import web
from tests.bridge.rest import Site

OURS = [
    *(path for path in sorted(web.FOLDER.rglob("*")) if path.suffix in {".js", ".html"} and "vendor" not in path.parts),
    *sorted(web.FOLDER.parent.glob("result_view/*.js")),
]
HTML_FROM_TEXT = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|setHTML|\beval\b|new Function"
)


@pytest.mark.parametrize(
    "address", ["/", "/index.html", "/app.css", "/js/main.js", "/vendor/chart.umd.min.js", "/icon.svg"]
)
def test_every_file_comes_with_the_policy_and_is_asked_for_each_time(here: Site, address: str) -> None:
    found = httpx2.get(here.url + address)
    assert found.status_code == 200
    assert {name: found.headers.get(name) for name in web.build_headers()} == web.build_headers()
    assert found.headers["cache-control"] == "no-cache"
    again = httpx2.get(here.url + address, headers={"If-None-Match": found.headers["etag"]})
    assert again.status_code == 304


def test_scripts_are_sent_as_such(here: Site) -> None:
    assert httpx2.get(f"{here.url}/js/main.js").headers["content-type"].startswith("text/javascript")


def test_the_policy_lets_the_page_ask_its_own_server_and_those_that_are_named() -> None:
    policy = web.build_headers(["https://chat.example.org"])["Content-Security-Policy"]
    assert "connect-src 'self' https://chat.example.org;" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/../web/__init__.py", 404),
        ("GET", "/js/..%2f..%2f__init__.py", 404),
        ("POST", "/index.html", 405),
        ("GET", "/api/nothing", 404),
        ("GET", "/api/visitors", 405),
    ],
)
def test_what_is_not_there_is_told_as_the_api_tells_it(here: Site, method: str, address: str, status: int) -> None:
    found = httpx2.request(method, here.url + address)
    assert found.status_code == status
    assert found.headers["content-type"] == "application/problem+json"
    assert found.json()["detail"].endswith(("what there is.", "what for."))


def test_azure_static_web_apps_sends_the_same_headers() -> None:
    given = json.loads((web.FOLDER / "staticwebapp.config.json").read_text())
    assert given["globalHeaders"] == web.build_headers()
    assert given["routes"] == [{"route": "/*", "headers": {"Cache-Control": "no-cache"}}]


@pytest.mark.parametrize("file", OURS, ids=lambda path: path.name)
def test_no_line_makes_html_of_a_text_or_breaks_the_policy(file: Path) -> None:
    text = file.read_text()
    assert HTML_FROM_TEXT.findall(text) == []
    assert (
        re.findall(r"<script(?![^>]*\bsrc=)|\bon\w+=\"|\bstyle=\"|https?://(?!chat\.example)(?!www\.w3\.org)", text)
        == []
    )


def test_every_module_that_is_imported_is_there() -> None:
    for file in OURS:
        for target in re.findall(r"""(?:from|import\() ?"(\.[^"]+)\"""", file.read_text()):
            assert (file.parent / target).is_file(), f"{file.name} imports {target}"


def test_every_vendored_file_is_on_the_list_with_its_version_and_licence() -> None:
    folder = web.FOLDER / "vendor"
    listed = json.loads((folder / "list.json").read_text())
    texts = {one["text"] for one in listed}
    assert {one["file"] for one in listed} | texts | {"list.json"} == {path.name for path in folder.iterdir()}
    for one in listed:
        head = (folder / one["file"]).read_text()[:400]
        assert f"v{one['version']}" in head
        assert "Permission is hereby granted" in (folder / one["text"]).read_text()
