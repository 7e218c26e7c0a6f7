"""Conversations are renamed, pinned, listed by pages, searched, and shared as copies: in every store, and over HTTP."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx2
import pytest

from imdb_lakehouse.bridge.settings import load_settings
from imdb_lakehouse.bridge.store import (
    ExpiredError,
    NotFoundError,
    NothingToShareError,
    OutdatedError,
    Store,
    StoredConversation,
    StoredMessage,
    open_store,
)
from imdb_lakehouse.bridge.store.sqlite import FILE_NAME
from tests.bridge.conftest import DAY, Clock
from tests.bridge.rest import ROOM, Site, site
from tests.openai_server import OpenAiServer, Reply

FIRST_FILE = """
CREATE TABLE records (
    conversation TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, owner TEXT NOT NULL,
    at REAL NOT NULL, expires REAL NOT NULL, body TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (conversation, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX records_of_owner ON records (owner, kind, at);
CREATE INDEX records_that_expire ON records (expires);
"""
"""The file of conversations as its first version made it."""


def titles(store: Store, **wanted: Any) -> list[str]:
    return [one.title for one in store.list_conversations("ann", **wanted).conversations]


def written(found: Site) -> bytes:
    """What a site has written to stderr since it was asked last."""
    assert found.process.stderr is not None
    os.set_blocking(found.process.stderr.fileno(), False)
    try:
        return os.read(found.process.stderr.fileno(), 1_000_000)
    except BlockingIOError:
        return b""


def answered(store: Store, title: str = "Films") -> StoredConversation:
    """A conversation with one question and its answer."""
    conversation = store.create_conversation("ann", title)
    said = [StoredMessage("user", "How many?"), StoredMessage("assistant", "Three hundred.")]
    store.append_messages(conversation, said, after=0)
    return conversation


def test_of_changes_at_once_none_is_lost(opening: Callable[[], Store]) -> None:
    conversation = opening().create_conversation("ann", "Films")
    stores = [opening() for _ in range(4)]
    together = Barrier(len(stores))

    def change(number: int) -> None:
        together.wait()
        for turn in range(2):
            wanted: dict[str, Any] = {"title": f"{number}.{turn}"} if number else {"pinned": turn == 1}
            stores[number].change_conversation("ann", conversation.id, **wanted)

    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(change, range(len(stores))))
    found = stores[0].get_conversation("ann", conversation.id)
    assert (found.pinned, found.version) == (True, 2 * len(stores))
    assert found.title in {f"{number}.1" for number in (1, 2, 3)}
    assert (found.created, found.expires) == (conversation.created, conversation.expires)


def test_a_change_between_reading_and_writing_of_another_is_kept(store: Store, clock: Clock) -> None:
    conversation = store.create_conversation("ann", "Films")
    asked: list[float] = []

    def meddling() -> float:
        asked.append(clock.now)
        if len(asked) == 2:  # it has read, and asks for the time to write
            store.change_conversation("ann", conversation.id, title="Theirs")
        return clock.now

    with closing(open_store(load_settings(), meddling)) as slow:
        slow.change_conversation("ann", conversation.id, pinned=True)
    found = store.get_conversation("ann", conversation.id)
    assert (found.title, found.pinned, found.version) == ("Theirs", True, 3)


def test_a_change_that_was_meant_for_an_earlier_version_is_refused(store: Store, clock: Clock) -> None:
    conversation = store.create_conversation("ann", "Films")
    renamed = store.change_conversation("ann", conversation.id, title="Old films", etag=conversation.etag)
    with pytest.raises(OutdatedError, match="Read it again"):
        store.change_conversation("ann", conversation.id, title="New films", etag=conversation.etag)
    assert store.get_conversation("ann", conversation.id) == renamed
    assert store.change_conversation("ann", conversation.id, title="Old films", etag=renamed.etag) == renamed
    with pytest.raises(NotFoundError):
        store.change_conversation("bob", conversation.id, title="His")
    clock.now = conversation.expires
    with pytest.raises(NotFoundError):
        store.change_conversation("ann", conversation.id, pinned=True)


def test_pages_have_every_conversation_once_while_new_ones_begin(store: Store, clock: Clock) -> None:
    begun = [store.create_conversation("ann", str(number)) for number in range(5)]  # all in the same instant
    clock.now += 1
    begun += [store.create_conversation("ann", str(number)) for number in range(5, 8)]
    store.change_conversation("ann", begun[2].id, pinned=True)
    store.create_conversation("bob", "his")
    clock.now += 1
    page = store.list_conversations("ann", 3)
    assert page.conversations[0].title == "2"
    found, sizes = list(page.conversations), [len(page.conversations)]
    while page.after is not None:
        store.create_conversation("ann", "later")
        page = store.list_conversations("ann", 3, after=page.after)
        found += page.conversations
        sizes.append(len(page.conversations))
    assert sorted(one.title for one in found) == [str(number) for number in range(8)]
    assert sizes == [3, 3, 2]
    store.change_conversation("ann", begun[2].id, pinned=False)
    assert titles(store)[:2] == ["later", "later"]


def test_a_title_is_found_behind_all_pages_without_case_and_accents(store: Store, clock: Clock) -> None:
    sought = store.create_conversation("ann", "Amélie  in Montmartre")
    for number in range(4):
        clock.now += 1
        store.create_conversation("ann", f"Film {number}")
    assert titles(store, most=2) == ["Film 3", "Film 2"]
    assert titles(store, most=2, search="AMELIE IN") == ["Amélie  in Montmartre"]
    page = store.list_conversations("ann", 3, search="film")
    assert titles(store, search="film", after=page.after) == ["Film 0"]
    for nothing in ("%", "_", "Amelie'", "film 9"):
        assert titles(store, search=nothing) == []
    store.change_conversation("ann", sought.id, title="Paris")
    assert titles(store, search="amelie") == []
    assert titles(store, search="paris") == ["Paris"]


def test_a_link_leads_to_what_was_said_then_and_to_nothing_once_it_is_over(store: Store, clock: Clock) -> None:
    conversation = answered(store)
    store.append_messages(conversation, [StoredMessage("user", "Still being answered?")], after=2)
    made, token = store.share_conversation(conversation, 7 * DAY)
    store.append_messages(conversation, [StoredMessage("assistant", "Now it is.")], after=3)
    store.change_conversation("ann", conversation.id, title="Renamed")
    share, messages = store.get_shared(token)
    assert (share, store.find_share(conversation)) == (made, made)
    assert (share.title, share.created, share.expires) == ("Films", clock.now, clock.now + 7 * DAY)
    assert [message.text for message in messages] == ["How many?", "Three hundred."]
    for wrong in (token[:-1], token.upper(), "", "share-"):
        with pytest.raises(NotFoundError, match="ask whoever sent it"):
            store.get_shared(wrong)
    clock.now = made.expires
    assert store.find_share(conversation) is None
    with pytest.raises(NotFoundError, match="has expired or was taken back"):
        store.get_shared(token)


def test_a_link_ends_with_a_newer_one_a_revocation_or_its_conversation(store: Store, clock: Clock) -> None:
    conversation, other = answered(store), answered(store)
    _, first = store.share_conversation(conversation, DAY)
    newer, second = store.share_conversation(conversation, 365 * DAY)
    assert newer.expires == conversation.expires
    assert store.get_shared(second)[0] == newer
    with pytest.raises(NotFoundError):
        store.get_shared(first)
    _, others = store.share_conversation(other, DAY)
    store.revoke_share(conversation)
    store.revoke_share(conversation)
    _, third = store.share_conversation(conversation, DAY)
    assert store.get_shared(third)
    store.delete_conversation(conversation)
    for over in (second, third):
        with pytest.raises(NotFoundError):
            store.get_shared(over)
    assert store.get_shared(others)
    with pytest.raises(NothingToShareError, match="Nothing is answered"):
        store.share_conversation(store.create_conversation("ann", "Empty"), DAY)


def test_an_answer_whose_conversation_expired_says_so_for_an_hour(store: Store, clock: Clock) -> None:
    conversation = store.create_conversation("ann", "Films")
    clock.now = conversation.expires - 1
    running, _ = store.create_operation(conversation, {"text": "How many?"})
    done, _ = store.create_operation(conversation, {"text": "How many?"})
    store.save_operation(done.as_done({}))
    clock.now = conversation.expires
    with pytest.raises(ExpiredError, match="was interrupted: its conversation expired"):
        store.get_operation("ann", running.id)
    with pytest.raises(ExpiredError, match="This answer expired"):
        store.get_operation("ann", done.id)
    with pytest.raises(NotFoundError, match="no such operation"):
        store.get_operation("bob", running.id)
    clock.now += 3_600
    with pytest.raises(NotFoundError, match="no such operation"):
        store.get_operation("ann", running.id)


def test_a_file_of_the_first_version_keeps_its_conversations(tmp_path: Path, clock: Clock) -> None:
    rows = [(f"{number:024x}", clock.now + number, f'{{"title": "Film {number}"}}') for number in range(3)]
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        database.executescript(FIRST_FILE)
        database.executemany(
            "INSERT INTO records (conversation, id, kind, owner, at, expires, body) "
            f"VALUES (?1, 'conversation', 'conversation', 'ann', ?2, {clock.now + DAY}, ?3)",
            rows,
        )
    together = Barrier(4)

    def read(_: int) -> list[str]:
        store = open_store(load_settings(state_dir=tmp_path), clock)
        together.wait()
        return titles(store)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [["Film 2", "Film 1", "Film 0"]] * 4
    store = open_store(load_settings(state_dir=tmp_path), clock)
    assert titles(store, search="FILM 1") == ["Film 1"]
    assert store.change_conversation("ann", rows[0][0], pinned=True).version == 2
    assert titles(store, most=1) == ["Film 0"]


@pytest.fixture(scope="module")
def here(lake: Path, state: Path, site_model: OpenAiServer) -> Iterator[Site]:
    """The site of all tests that need no other."""
    with site(lake, state, site_model, **ROOM, IMDB_CHAT_SHARE_DAYS="7") as found:
        yield found


def test_a_conversation_is_renamed_and_pinned_under_the_condition_of_its_etag(here: Site) -> None:
    visitor = here.visitor()
    conversation, other = visitor.start("Films"), visitor.start("Names")
    address = f"/api/conversations/{conversation}"
    renamed = visitor.client.patch(address, json={"title": "  Old films "})
    assert (renamed.status_code, renamed.json()["title"], renamed.json()["pinned"]) == (200, "Old films", False)
    assert renamed.headers["etag"] == renamed.json()["etag"] == visitor.client.get(address).headers["etag"]
    late = visitor.client.patch(address, json={"title": "New"}, headers={"If-Match": '"1"'})
    assert late.status_code == 412
    assert "changed meanwhile" in late.json()["detail"]
    pinned = visitor.client.patch(address, json={"pinned": True}, headers={"If-Match": renamed.headers["etag"]})
    assert (pinned.json()["title"], pinned.json()["pinned"]) == ("Old films", True)
    listed = visitor.client.get("/api/conversations").json()
    assert [(one["id"], one["etag"]) for one in listed["conversations"]] == [
        (conversation, pinned.headers["etag"]), (other, '"1"'),
    ]  # fmt: skip
    assert listed["next"] is None
    half = visitor.client.patch(
        address, content=b'{"title": "cut \\ud83d"}', headers={"Content-Type": "application/json"}
    )
    assert half.json()["title"] == "cut \ufffd"
    assert here.visitor().client.patch(address, json={"title": "Theirs"}).status_code == 404


@pytest.mark.parametrize("change", [{"title": " "}, {"title": "x" * 121}, {"pinned": 1}, {"owner": "me"}, []])
def test_a_change_that_does_not_fit_is_refused(here: Site, change: Any) -> None:
    visitor = here.visitor()
    conversation = visitor.start("Films")
    assert visitor.client.patch(f"/api/conversations/{conversation}", json=change).status_code == 422
    assert visitor.conversation(conversation)["title"] == "Films"


def test_conversations_beyond_a_hundred_are_listed_and_found(here: Site) -> None:
    visitor = here.visitor()
    started = [visitor.start(f"Film {number}") for number in range(103)]
    found = visitor.client.get("/api/conversations").json()
    assert len(found["conversations"]) == 100
    visitor.start("Later")
    rest = visitor.client.get("/api/conversations", params={"after": found["next"]}).json()
    assert [one["id"] for one in found["conversations"] + rest["conversations"]] == started[::-1]
    assert rest["next"] is None
    (oldest,) = visitor.client.get("/api/conversations", params={"q": "film 0", "limit": 1}).json()["conversations"]
    assert oldest["id"] == started[0]
    for wrong in ({"limit": 0}, {"limit": 101}, {"after": "x"}, {"q": "x" * 121}):
        assert visitor.client.get("/api/conversations", params=wrong).status_code == 422


def test_a_copy_is_read_without_a_token_and_names_nobody(here: Site, state: Path) -> None:
    visitor = here.visitor()
    conversation = visitor.start("Films")
    operation = visitor.ask("SELECT 42 AS n", "sql", conversation)
    made = visitor.client.post(f"/api/conversations/{conversation}/share")
    assert made.status_code == 201
    token = made.json()["token"]
    assert made.json()["url"] == f"{here.url}/#s/{token}"
    visitor.ask("SELECT 'later' AS word", "sql", conversation)
    found = httpx2.get(f"{here.url}/api/shared/{token}")
    assert (found.status_code, found.json()["title"]) == (200, "Films")
    assert [one["text"] for one in found.json()["messages"]] == ["SELECT 42 AS n", ""]
    (step,) = found.json()["messages"][1]["result"]["steps"]
    assert step["table"]["rows"] == [[42]]
    query_id = operation["result"]["steps"][0]["table"]["query_id"]
    for secret in (conversation, operation["id"], query_id, visitor.token, visitor.token.partition(".")[0], "later"):
        assert secret not in found.text
    assert {name: found.headers[name] for name in ("cache-control", "referrer-policy", "x-robots-tag")} == {
        "cache-control": "no-store", "referrer-policy": "no-referrer", "x-robots-tag": "noindex",
    }  # fmt: skip
    assert visitor.conversation(conversation)["share"] == {name: made.json()[name] for name in ("created", "expires")}
    kept = written(here) + b"".join(file.read_bytes() for file in state.rglob("*") if file.is_file())
    assert conversation.encode() in kept
    assert token.encode() not in kept  # neither in the store nor in a log


def test_a_link_is_taken_back_by_its_owner_alone_and_goes_with_its_conversation(here: Site) -> None:
    visitor, other = here.visitor(), here.visitor()
    conversation = visitor.start("Films")
    address = f"/api/conversations/{conversation}/share"
    assert visitor.client.post(address).status_code == 409
    visitor.ask("SELECT 42 AS n", "sql", conversation)

    def share() -> str:
        return f"{here.url}/api/shared/{visitor.client.post(address).json()['token']}"

    first = share()
    assert other.client.post(address).status_code == other.client.delete(address).status_code == 404
    assert httpx2.get(first).status_code == 200
    assert visitor.client.delete(address).status_code == 204
    gone = httpx2.get(first)
    assert (gone.status_code, visitor.conversation(conversation)["share"]) == (404, None)
    assert "ask whoever sent it for a new one" in gone.json()["detail"]
    second = share()
    visitor.client.delete(f"/api/conversations/{conversation}")
    assert httpx2.get(second).status_code == 404


def test_a_running_answer_whose_conversation_expires_ends_its_events_and_is_gone(
    here: Site, site_model: OpenAiServer
) -> None:
    visitor, pace = here.visitor(), threading.Event()
    site_model.will(Reply(text="One two three.", pace=pace))
    conversation = visitor.start("Films")
    operation = visitor.post(conversation, "How many?").json()["id"]
    ends = []
    for name, data in visitor.events(operation):
        ends.append((name, data.get("state")))
        if not pace.is_set():
            here.expire(conversation)
            pace.set()
    assert ends[0][0] == "state"
    assert all(state not in ("done", "failed") for _, state in ends)
    gone = visitor.client.get(f"/api/operations/{operation}")
    assert gone.status_code == 410
    assert gone.json()["detail"].startswith("The answer was interrupted: its conversation expired meanwhile.")
    assert visitor.client.get(f"/api/conversations/{conversation}").status_code == 404
