"""One contract for every store: a file, and Azure Cosmos DB as an emulator from npm plays it.

The emulator expires nothing and its batches are no transactions; what the store asks for there is in
test_store_cosmos.py. That nothing expired is ever read is the store's own doing, and tested here for both.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from imdb_lakehouse.bridge.settings import load_settings
from imdb_lakehouse.bridge.store import (
    ChangedError,
    KeyReusedError,
    NotFoundError,
    RecordTooLargeError,
    Store,
    StoredMessage,
    StoredOperation,
    StoreUnavailableError,
    open_store,
)
from imdb_lakehouse.bridge.store.sqlite import FILE_NAME
from tests.bridge.conftest import DAY, Clock

QUESTION = {"question": "Which film is the longest?"}


def say(text: str) -> StoredMessage:
    return StoredMessage("user", text)


def texts(store: Store, conversation_id: str, owner: str = "ann") -> list[str]:
    return [message.text for message in store.list_messages(store.get_conversation(owner, conversation_id))]


def test_messages_come_back_whole_and_in_the_order_they_were_appended(store: Store, clock: Clock) -> None:
    conversation = store.create_conversation("ann", "Films")
    steps = {"steps": [{"sql": "SELECT 'Amélie – 天'", "rows": 1, "cost": 0.001}], "none": None}
    store.append_messages(conversation, [say("first"), StoredMessage("assistant", "second", steps)], after=0)
    clock.now -= 5  # clocks of two machines differ; the order does not
    store.append_messages(conversation, [say(f"number {number}") for number in range(2, 14)], after=2)
    found = store.list_messages(conversation)
    assert [message.text for message in found] == ["first", "second", *(f"number {n}" for n in range(2, 14))]
    assert found[1] == StoredMessage("assistant", "second", steps, clock.now + 5)
    assert found[2].at == clock.now


def test_who_appends_behind_messages_that_are_not_the_last_has_to_read_again(store: Store) -> None:
    conversation = store.create_conversation("ann", "Films")
    store.append_messages(conversation, [say("one")], after=0)
    for late in ([say("late")], [say("late"), say("later")]):
        with pytest.raises(ChangedError, match="Read it again"):
            store.append_messages(conversation, late, after=0)
    assert texts(store, conversation.id) == ["one"]


def test_concurrent_writers_lose_nothing_and_double_nothing(opening: Callable[[], Store]) -> None:
    conversation = opening().create_conversation("ann", "Films")
    stores = [opening() for _ in range(4)]
    together = Barrier(len(stores))

    def write(writer: int) -> int:
        lost = 0
        together.wait()
        for number in range(5):
            while True:
                after = len(stores[writer].list_messages(conversation))
                try:
                    stores[writer].append_messages(conversation, [say(f"{writer}.{number}")], after=after)
                    break
                except ChangedError:
                    lost += 1
        return lost

    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(write, range(len(stores))))
    found = texts(stores[0], conversation.id)
    assert sorted(found) == sorted(f"{writer}.{number}" for writer in range(4) for number in range(5))
    for writer in range(4):  # and each writer's own are in its order
        assert [text for text in found if text.startswith(f"{writer}.")] == [f"{writer}.{n}" for n in range(5)]


def test_conversations_are_listed_for_their_owner_newest_first(store: Store, clock: Clock) -> None:
    started = []
    for title in ("old", "middle", "new"):
        started.append(store.create_conversation("ann", title))
        clock.now += 1
    store.create_conversation("bob", "his")
    assert store.list_conversations("ann").conversations == started[::-1]
    assert store.list_conversations("ann", most=2).conversations == [started[2], started[1]]
    assert store.list_conversations("eve").conversations == []


def test_somebody_elses_conversation_and_operation_do_not_exist(store: Store) -> None:
    conversation = store.create_conversation("ann", "Films")
    operation, _ = store.create_operation(conversation, QUESTION)
    with pytest.raises(NotFoundError) as others:
        store.get_conversation("bob", conversation.id)
    with pytest.raises(NotFoundError) as unknown:
        store.get_conversation("bob", "0" * 24)
    assert str(others.value) == str(unknown.value)
    for wrong in ("", "never-was", "\udc80", "' OR ''='", "0" * 5_000):
        with pytest.raises(NotFoundError, match="no such conversation"):
            store.get_conversation("ann", wrong)
    for wrong in (operation.id, "never.was", "", ".", conversation.id, f"{conversation.id}.", f"{'0' * 24}.{'0' * 24}"):
        with pytest.raises(NotFoundError, match="no such operation"):
            store.get_operation("bob", wrong)


def test_a_deleted_conversation_takes_everything_with_it(store: Store) -> None:
    conversation, other = store.create_conversation("ann", "Films"), store.create_conversation("ann", "Names")
    operation, _ = store.create_operation(conversation, QUESTION)
    store.append_messages(conversation, [say("one"), say("two")], after=0)
    store.delete_conversation(conversation)
    assert store.list_conversations("ann").conversations == [other]
    assert store.list_messages(conversation) == []
    for gone in (
        lambda: store.get_conversation("ann", conversation.id),
        lambda: store.get_operation("ann", operation.id),
        lambda: store.append_messages(conversation, [say("three")], after=0),
        lambda: store.create_operation(conversation, QUESTION),
        lambda: store.delete_conversation(conversation),
    ):
        with pytest.raises(NotFoundError):
            gone()
    with pytest.raises(ChangedError):
        store.save_operation(operation.as_done({}))


def test_a_conversation_and_all_that_belongs_to_it_expire_together(store: Store, clock: Clock) -> None:
    conversation = store.create_conversation("ann", "Films")
    assert conversation.expires == clock.now + 30 * DAY
    clock.now += 29 * DAY
    store.append_messages(conversation, [say("late")], after=0)
    operation, _ = store.create_operation(conversation, QUESTION)
    operation = store.save_operation(operation.as_done({"answer": "none"}))
    clock.now = conversation.expires - 0.5
    assert texts(store, conversation.id) == ["late"]
    assert store.get_operation("ann", operation.id).state == "done"
    clock.now = conversation.expires
    assert store.list_conversations("ann").conversations == []
    assert store.list_messages(conversation) == []
    for expired in (
        lambda: store.get_conversation("ann", conversation.id),
        lambda: store.get_operation("ann", operation.id),
        lambda: store.append_messages(conversation, [say("too late")], after=1),
    ):
        with pytest.raises(NotFoundError):
            expired()


def test_an_operation_tells_how_far_it_has_come_and_how_it_ended(store: Store, clock: Clock) -> None:
    conversation = store.create_conversation("ann", "Films")
    operation, new = store.create_operation(conversation, QUESTION)
    assert (new, operation.state, operation.request, operation.result) == (True, "pending", QUESTION, None)
    assert (operation.owner, operation.conversation_id, operation.created) == ("ann", conversation.id, clock.now)
    operation = store.save_operation(operation.as_running({"stage": "query", "sql": "SELECT 1", "rows": 0}))
    assert store.get_operation("ann", operation.id) == operation
    assert operation.stage == {"stage": "query", "sql": "SELECT 1", "rows": 0}
    ended = store.save_operation(operation.as_done({"answer": "one", "cost": 0.002}))
    found = store.get_operation("ann", operation.id)
    assert (found.state, found.result, found.is_ended) == ("done", {"answer": "one", "cost": 0.002}, True)
    for again in (lambda: ended.as_running({}), lambda: ended.as_failed({}), ended.as_interrupted):
        with pytest.raises(ValueError, match="is done cannot become"):
            again()


def test_only_one_of_two_who_hold_the_same_operation_can_save_it(store: Store) -> None:
    conversation = store.create_conversation("ann", "Films")
    operation, _ = store.create_operation(conversation, QUESTION)
    first, second = operation.as_done({"answer": "first"}), operation.as_failed({"error": "second"})
    store.save_operation(first)
    with pytest.raises(ChangedError, match="Stop working on it"):
        store.save_operation(second)
    assert store.get_operation("ann", operation.id).result == {"answer": "first"}


def test_an_operation_that_nobody_saves_any_more_is_interrupted_for_good(store: Store, clock: Clock) -> None:
    conversation = store.create_conversation("ann", "Films")
    pending, _ = store.create_operation(conversation, QUESTION)
    running, _ = store.create_operation(conversation, QUESTION)
    clock.now += 20
    running = store.save_operation(running.as_running({"stage": "query"}))
    clock.now += 29
    assert store.get_operation("ann", pending.id).state == "interrupted"
    assert store.get_operation("ann", running.id).state == "running"
    clock.now += 1
    assert store.get_operation("ann", running.id).state == "interrupted"
    with pytest.raises(ChangedError):  # its process was only slow: it learns that nobody waits
        store.save_operation(running.as_done({"answer": "late"}))
    assert store.get_operation("ann", running.id).stage == {"stage": "query"}


def test_a_retry_with_the_same_key_finds_the_same_operation(store: Store) -> None:
    conversation, other = store.create_conversation("ann", "Films"), store.create_conversation("ann", "Names")
    first, new = store.create_operation(conversation, QUESTION, key="k")
    store.save_operation(first.as_done({"answer": "once"}))
    again, new_again = store.create_operation(conversation, QUESTION, key="k")
    assert (new, new_again, again.id, again.result) == (True, False, first.id, {"answer": "once"})
    assert store.create_operation(conversation, QUESTION, key="l")[1]
    assert store.create_operation(other, QUESTION, key="k")[1]
    assert store.create_operation(conversation, QUESTION)[0].id != store.create_operation(conversation, QUESTION)[0].id
    with pytest.raises(KeyReusedError, match="Use a new key"):
        store.create_operation(conversation, {"question": "Another?"}, key="k")


def test_of_many_retries_at_once_one_begins(opening: Callable[[], Store]) -> None:
    conversation = opening().create_conversation("ann", "Films")
    stores = [opening() for _ in range(4)]
    together = Barrier(len(stores))

    def begin(store: Store) -> tuple[StoredOperation, bool]:
        together.wait()
        return store.create_operation(conversation, QUESTION, key="k")

    with ThreadPoolExecutor(len(stores)) as pool:
        begun = list(pool.map(begin, stores))
    assert [new for _, new in begun].count(True) == 1
    assert len({operation.id for operation, _ in begun}) == 1


def test_what_is_too_large_is_refused_and_nothing_of_it_is_kept(store: Store) -> None:
    conversation = store.create_conversation("ann", "Films")
    with pytest.raises(RecordTooLargeError, match="1,000,000 at most"):
        store.append_messages(conversation, [say("small"), say("x" * 1_000_000)], after=0)
    operation, _ = store.create_operation(conversation, QUESTION)
    with pytest.raises(RecordTooLargeError):
        store.save_operation(operation.as_done({"answer": "x" * 1_000_000}))
    assert store.list_messages(conversation) == []
    assert store.get_operation("ann", operation.id).state == "pending"


@pytest.mark.parametrize("number", [0, 101])
def test_no_more_is_appended_at_once_than_every_store_keeps_in_one_transaction(store: Store, number: int) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        store.append_messages(store.create_conversation("ann", "Films"), [say("x")] * number, after=0)


def test_what_a_killed_process_had_written_is_whole_and_its_operation_interrupted(
    opening: Callable[[], Store], clock: Clock
) -> None:
    clock.now = time.time()  # the writer's own clock is the machine's
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bridge.writer"], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as writer:
        assert writer.stdout is not None
        conversation_id, operation_id = writer.stdout.readline().split()
        for _ in range(5):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        confirmed = 5 + len(writer.stdout.read().splitlines())
    store = opening()
    assert store.get_operation("ann", operation_id).state == "running"
    found = texts(store, conversation_id)
    assert len(found) in (2 * confirmed, 2 * confirmed + 2)  # the last one may have been kept and not said
    expected = [f"{who} {number}" for number in range(len(found) // 2) for who in ("question", "answer")]
    assert found == expected
    clock.now += 300
    assert store.get_operation("ann", operation_id).state == "interrupted"
    store.append_messages(store.get_conversation("ann", conversation_id), [say("go on")], after=len(found))
    assert texts(store, conversation_id) == [*expected, "go on"]


def test_the_file_is_its_owners_alone_and_what_expired_leaves_it(tmp_path: Path, clock: Clock) -> None:
    store = open_store(load_settings(state_dir=tmp_path / "state"), clock)
    store.create_conversation("ann", "A title that nobody reads again")
    clock.now += 31 * DAY
    store.create_conversation("ann", "New")
    for file in (tmp_path / "state").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert b"nobody reads again" not in file.read_bytes()


def test_the_log_is_written_out_at_the_end_and_not_by_every_call(tmp_path: Path) -> None:
    store, log = open_store(load_settings(state_dir=tmp_path)), tmp_path / f"{FILE_NAME}-wal"
    store.create_conversation("ann", "Films")
    assert log.stat().st_size > 0
    store.close()
    assert not log.exists()
    assert len(store.list_conversations("ann").conversations) == 1


def test_processes_that_open_a_new_file_at_once_all_keep_what_they_say(tmp_path: Path) -> None:
    together = Barrier(8)

    def start(number: int) -> None:
        store = open_store(load_settings(state_dir=tmp_path))
        together.wait()
        store.create_conversation("ann", str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(8)))
    found = open_store(load_settings(state_dir=tmp_path)).list_conversations("ann").conversations
    assert sorted(conversation.title for conversation in found) == [str(number) for number in range(8)]


def test_a_file_that_is_no_database_is_named_without_its_path(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 100)
    store = open_store(load_settings(state_dir=tmp_path))
    with pytest.raises(StoreUnavailableError, match=FILE_NAME) as failed:
        store.create_conversation("ann", "Films")
    assert str(tmp_path) not in str(failed.value)
