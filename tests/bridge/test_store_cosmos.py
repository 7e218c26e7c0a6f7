"""What is asked of Azure Cosmos DB and what becomes of its answers, at the wire: an emulator cannot show these.

A scripted server proves what the store asks for (an expiry, a transaction, a condition), not that Azure grants it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from imdb_lakehouse.bridge.settings import Settings, load_settings
from imdb_lakehouse.bridge.store import ChangedError, Store, StoredMessage, StoreUnavailableError, open_store
from imdb_lakehouse.bridge.store.cosmos import CosmosRecords
from lakehouse.errors import UsageError
from tests.bridge.cosmos_server import KEY, Reply, ScriptedCosmos

C1, O1 = "c1" * 12, "01" * 12
NOW = 1_800_000_000.0
GOOD = {"id": "conversations", "partitionKey": {"paths": ["/conversation"], "kind": "Hash"}, "defaultTtl": -1}
MESSAGE = StoredMessage("user", "Which?")
HEAD = {
    "id": "conversation", "conversation": C1, "kind": "conversation", "owner": "ann", "at": NOW,
    "expires": NOW + 100.2, "body": {"title": "Films"}, "_etag": '"1"',
}  # fmt: skip
OPERATION = HEAD | {
    "id": f"operation-{O1}", "kind": "operation", "_etag": '"7"', "expires": NOW + 3_700.2,
    "body": {"request": {}, "state": "running", "stage": {}, "result": None, "alive_until": NOW + 9},
}  # fmt: skip


def found(*items: object) -> Reply:
    return Reply(200, {"Documents": items, "_count": len(items)})


@pytest.fixture
def server() -> Iterator[ScriptedCosmos]:
    with ScriptedCosmos(GOOD).serving() as server:
        yield server


def settings(server: ScriptedCosmos, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("COSMOS_ENDPOINT", server.url)
    monkeypatch.setenv("COSMOS_KEY", KEY)
    return load_settings()


@pytest.fixture
def store(server: ScriptedCosmos) -> Iterator[Store]:
    """On the scripted server, and as impatient as a test is."""
    records = CosmosRecords.connect(server.url, KEY, "imdb-chat", retry_total=0)
    store = Store(records, 30 * 86_400, lambda: NOW)
    yield store
    store.close()


def test_the_container_is_made_with_its_partition_key_and_expiry_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedCosmos(None).serving() as server:
        open_store(settings(server, monkeypatch)).close()
        [made] = [request.body for request in server.requests if request.path.rstrip("/").endswith("/colls")]
        assert (made["partitionKey"]["paths"], made["defaultTtl"]) == (["/conversation"], -1)
        assert made["indexingPolicy"]["excludedPaths"] == [{"path": "/body/*"}]  # nobody searches what was said
        assert all(KEY not in str(request) for request in server.requests)


@pytest.mark.parametrize(
    "container", [GOOD | {"partitionKey": {"paths": ["/id"], "kind": "Hash"}}, GOOD | {"defaultTtl": None}]
)
def test_a_container_that_would_keep_everything_for_ever_or_apart_is_not_used(
    monkeypatch: pytest.MonkeyPatch, container: dict[str, object]
) -> None:
    with ScriptedCosmos(container).serving() as server, pytest.raises(UsageError, match="time to live switched on"):
        open_store(settings(server, monkeypatch))


def test_every_item_says_when_it_expires_in_whole_seconds_and_whose_partition_it_is(
    store: Store, server: ScriptedCosmos
) -> None:
    server.script.extend([Reply(201), found(HEAD), Reply(201), found(HEAD), Reply(201), found(OPERATION)])
    store.create_conversation("ann", "Films")
    conversation = store.get_conversation("ann", C1)
    server.script.appendleft(found(HEAD))
    store.append_messages(conversation, [MESSAGE], after=0)
    store.create_operation(conversation, {}, key="k")
    added = [request for request in server.items("POST") if "query" not in request.body]
    assert [request.body["ttl"] for request in added] == [30 * 86_400, 101, 3_701]
    assert [request.body["id"] for request in added[1:]] == ["message-00000000", "operation-8254c329a92850f6d539dd37"]
    for request in added[1:]:
        assert request.headers["x-ms-documentdb-partitionkey"] == f'["{C1}"]'


def test_several_messages_are_one_transaction_and_its_conflict_is_a_change(
    store: Store, server: ScriptedCosmos
) -> None:
    server.script.extend([found(HEAD), found(HEAD), Reply(207, [{"statusCode": 409}, {"statusCode": 424}])])
    conversation = store.get_conversation("ann", C1)
    with pytest.raises(ChangedError, match="Read it again"):
        store.append_messages(conversation, [MESSAGE, MESSAGE], after=3)
    batch = server.items("POST")[-1]
    assert batch.headers["x-ms-cosmos-batch-atomic"].lower() == "true"
    assert [(part["operationType"], part["resourceBody"]["id"]) for part in batch.body] == [
        ("Create", "message-00000003"),
        ("Create", "message-00000004"),
    ]


def test_a_transaction_that_fails_otherwise_is_no_change(store: Store, server: ScriptedCosmos) -> None:
    server.script.extend([found(HEAD), found(HEAD), Reply(207, [{"statusCode": 424}, {"statusCode": 413}])])
    with pytest.raises(StoreUnavailableError, match=r"status 413.*larger than an item"):
        store.append_messages(store.get_conversation("ann", C1), [MESSAGE, MESSAGE], after=0)


@pytest.mark.parametrize("status", [412, 404])
def test_an_operation_is_saved_under_the_condition_that_it_is_what_was_read(
    store: Store, server: ScriptedCosmos, status: int
) -> None:
    server.script.extend([found(OPERATION), Reply(status, {"code": "PreconditionFailed", "message": "not met"})])
    operation = store.get_operation("ann", f"{C1}.{O1}")
    with pytest.raises(ChangedError, match="Stop working on it"):
        store.save_operation(operation.as_done({}))
    [put] = server.items("PUT")
    assert (put.headers["if-match"], put.body["body"]["state"]) == ('"7"', "done")


def test_an_owner_is_part_of_every_question_and_a_conversation_is_asked_for_in_its_partition(
    store: Store, server: ScriptedCosmos
) -> None:
    server.script.extend([found(HEAD), found(), found(OPERATION)])
    store.list_messages(store.get_conversation("ann", C1))
    store.get_operation("ann", f"{C1}.{O1}")
    for request in server.items("POST"):
        assert {"name": "@owner", "value": "ann"} in request.body["parameters"]
        assert request.headers["x-ms-documentdb-partitionkey"] == f'["{C1}"]'


def test_being_asked_to_slow_down_is_obeyed_for_a_while_and_then_said(store: Store, server: ScriptedCosmos) -> None:
    slow = Reply(429, {"code": "TooManyRequests", "message": "slow"}, {"x-ms-retry-after-ms": "1"})
    server.script.extend([slow, found(HEAD)])
    assert store.get_conversation("ann", C1).title == "Films"
    server.script.extend([slow] * 20)
    with pytest.raises(StoreUnavailableError, match=r"status 429.*throughput"):
        store.get_conversation("ann", C1)
    assert len(server.script) == 20 - 16


@pytest.mark.parametrize(("status", "advice"), [(401, "Correct it"), (403, "Data Contributor")])
def test_a_refusal_is_explained_without_what_the_service_quotes(
    store: Store, server: ScriptedCosmos, status: int, advice: str
) -> None:
    server.script.append(Reply(status, {"code": "No", "message": f"the key {KEY} at {server.url}"}))
    with pytest.raises(StoreUnavailableError, match=f"status {status}.*{advice}") as failed:
        store.create_conversation("ann", "Films")
    assert KEY not in str(failed.value)
    assert server.url not in str(failed.value)


def test_an_account_that_is_not_there_is_said() -> None:
    with ScriptedCosmos(GOOD).serving() as server:
        url = server.url
    with pytest.raises(StoreUnavailableError, match="COSMOS_ENDPOINT and the network"):
        CosmosRecords.connect(url, KEY, "imdb-chat", retry_total=0)


def test_without_the_package_one_is_told_what_to_install() -> None:
    code = (
        "import sys; sys.modules['azure.cosmos'] = None\n"
        "from imdb_lakehouse.bridge.store import open_store\nfrom imdb_lakehouse.bridge.settings import load_settings\n"
        "open_store(load_settings(cosmos_endpoint='https://x.invalid'))"
    )
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "UsageError: COSMOS_ENDPOINT is set, and the package azure-cosmos is not installed." in tried.stderr


def test_a_file_is_kept_without_loading_anything_of_azure() -> None:
    code = (
        "import sys\nfrom imdb_lakehouse.bridge.store import open_store\n"
        "from imdb_lakehouse.bridge.settings import load_settings\n"
        "open_store(load_settings()).create_conversation('ann', 'Films')\n"
        "assert not any(m.startswith('azure') for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
