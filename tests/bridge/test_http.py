"""What every response has, over HTTP: compression, problems where something is wrong, and nothing of the inside."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from imdb_lakehouse import web
from tests.bridge.rest import Site, Visitor, site
from tests.openai_server import BAD_KEY, CUT, NO_JSON, OpenAiServer, Reply

PAGE_ELSEWHERE = "https://chat.example.org"
SCRIPT = "/js/app.js"
MANY = "SELECT tconst, primaryTitle FROM movies_delta ORDER BY tconst LIMIT 50"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of the site."""
    return tmp_path_factory.mktemp("http")


@pytest.fixture(scope="module")
def here(lake: Path, folder: Path, site_model: OpenAiServer) -> Iterator[Site]:
    with site(
        lake, folder, site_model, IMDB_CHAT_ORIGINS=PAGE_ELSEWHERE, IMDB_CHAT_HOSTS="*.example.net",
        IMDB_CHAT_VISITORS_PER_HOUR="1000",
    ) as found:  # fmt: skip
        yield found


@pytest.fixture(scope="module")
def visitor(here: Site) -> Visitor:
    return here.visitor()


def get_raw(url: str, **headers: str) -> tuple[httpx2.Response, bytes]:
    """What came, as it came over the network."""
    with httpx2.stream("GET", url, headers={"Accept-Encoding": "gzip"} | headers) as found:
        return found, b"".join(found.iter_raw())


def test_a_file_of_the_page_is_sent_compressed_and_known_again(here: Site) -> None:
    found, body = get_raw(here.url + SCRIPT)
    assert (found.headers["content-encoding"], found.headers["vary"]) == ("gzip", "Accept-Encoding, Origin")
    assert gzip.decompress(body) == (web.FOLDER / SCRIPT[1:]).read_bytes()
    assert int(found.headers["content-length"]) == len(body)
    again, nothing = get_raw(here.url + SCRIPT, **{"If-None-Match": found.headers["etag"]})
    assert (again.status_code, again.headers["vary"], nothing) == (304, "Accept-Encoding, Origin", b"")


def test_who_takes_no_compression_or_a_part_gets_the_file_as_it_is(here: Site) -> None:
    packed, _ = get_raw(here.url + SCRIPT)
    whole, body = get_raw(here.url + SCRIPT, **{"Accept-Encoding": "identity"})
    part, ten = get_raw(here.url + SCRIPT, Range="bytes=0-9")
    assert "content-encoding" not in whole.headers
    assert (whole.headers["vary"], part.status_code) == ("Accept-Encoding, Origin", 206)
    assert body == (web.FOLDER / SCRIPT[1:]).read_bytes()
    assert ten == body[:10]
    assert whole.headers["etag"] != packed.headers["etag"]


def test_answers_are_compressed_from_a_thousand_bytes_on_and_events_never(visitor: Visitor) -> None:
    operation = visitor.ask(MANY, "sql")["id"]
    large, small = visitor.client.get(f"/api/operations/{operation}"), visitor.client.get("/api")
    assert large.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in large.headers["vary"]
    assert int(large.headers["content-length"]) < len(large.content) / 2
    assert "content-encoding" not in small.headers
    with visitor.client.stream("GET", f"/api/operations/{operation}/events") as events:
        assert events.request.headers["accept-encoding"].startswith("gzip")
        assert "content-encoding" not in events.headers
        assert b'"state":"done"' in events.read().replace(b" ", b"")


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "detail"),
    [
        (
            "POST",
            "/api/conversations",
            {"content": b"title=x", "kind": "application/x-www-form-urlencoded"},
            415,
            "JSON",
        ),
        ("POST", "/api/conversations", {"content": b'{"title": "x"}', "kind": "text/plain"}, 415, "application/json"),
        ("POST", "/api/conversations", {"content": b'{"title": "x"}'}, 415, "application/json"),
        ("PATCH", "/api/conversations/x", {"content": b"{}", "kind": "text/plain"}, 415, "application/json"),
        ("PUT", "/api/operations/x/feedback", {"content": b"{}", "kind": "text/plain"}, 415, "application/json"),
        ("POST", "/api/conversations", {"content": b"{", "kind": "application/json"}, 422, "no JSON"),
        ("POST", "/api/conversations", {"content": b'{"title": "\xff"}', "kind": "application/json"}, 422, "UTF-8"),
        ("POST", "/api/conversations", {"content": b" " * 200_001, "kind": "application/json"}, 413, "200,000 bytes"),
        ("PATCH", "/api/conversations", {}, 405, "GET, POST"),
        ("DELETE", "/index.html", {}, 405, "GET, HEAD"),
        ("GET", "/api/nothing", {}, 404, "openapi.json"),
        ("GET", "/js/nothing.js", {}, 404, "nothing at this address"),
        ("GET", "/api", {"Host": "evil.example"}, 400, "IMDB_CHAT_HOSTS"),
        ("GET", "/api", {"Host": "["}, 400, "IMDB_CHAT_HOSTS"),
        ("OPTIONS", "/api", {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}, 400, "ORIGINS"),
    ],
)
def test_whatever_is_wrong_is_answered_as_a_problem(
    visitor: Visitor, method: str, path: str, sent: dict[str, Any], status: int, detail: str
) -> None:
    headers = {name: value for name, value in sent.items() if name[0].isupper()}
    headers |= {"Content-Type": sent["kind"]} if "kind" in sent else {}
    found = visitor.client.request(method, path, content=sent.get("content"), headers=headers)
    assert (found.status_code, found.headers["content-type"]) == (status, "application/problem+json")
    problem = found.json()
    assert problem["status"] == status
    assert detail in problem["detail"]


def test_a_name_may_be_allowed_with_all_names_below_it(here: Site) -> None:
    assert httpx2.get(f"{here.url}/api", headers={"Host": "Chat.example.net:443"}).status_code == 200
    assert httpx2.get(f"{here.url}/api", headers={"Host": "example.net.evil.example"}).status_code == 400


def test_a_defect_is_told_to_a_page_elsewhere_without_anything_of_the_inside(
    here: Site, visitor: Visitor, folder: Path
) -> None:
    broken = here.visitor()
    conversation = broken.start("Broken")
    with closing(sqlite3.connect(folder / "conversations.sqlite")) as database, database:
        database.execute("UPDATE records SET body = '{}' WHERE conversation = ?", [conversation])
    found = broken.client.get(f"/api/conversations/{conversation}", headers={"Origin": PAGE_ELSEWHERE})
    assert (found.status_code, found.headers["content-type"]) == (500, "application/problem+json")
    assert found.headers["access-control-allow-origin"] == PAGE_ELSEWHERE
    problem = found.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert "in its log, under" in problem["detail"]
    for inside in ("KeyError", "title'", "Traceback", ".py", str(folder), conversation):
        assert inside not in problem["detail"]
    assert visitor.client.get("/api/conversations").status_code == 200


@pytest.mark.parametrize("reply", [BAD_KEY, CUT, NO_JSON, Reply(400, error={"message": "no", "code": "sk-secret"})])
def test_a_model_that_fails_is_told_without_its_address_or_key_in_answers_events_and_what_is_kept(
    visitor: Visitor, site_model: OpenAiServer, reply: Reply
) -> None:
    site_model.will(reply)
    conversation = visitor.start()
    operation = visitor.post(conversation, "How many titles?").json()["id"]
    events = list(visitor.events(operation))
    assert events[-1][1]["result"]["answer"].startswith("The model could not be asked: The model's server ")
    told = json.dumps([events, visitor.operation(operation), visitor.conversation(conversation)])
    for secret in ("127.0.0.1", site_model.url, str(site_model.root.rpartition(":")[2]), "sk-secret"):
        assert secret not in told
