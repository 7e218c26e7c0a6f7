"""Azure Cosmos DB backend: a container partitioned by conversation, with a time to live per item.

A conversation is one partition, so an append is one transaction, and an operation is found by its id, which begins with
that of the conversation. Only an owner's list of conversations and the look-up of a link are cross-partition queries.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Self

from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.cosmos import ContainerProxy, CosmosClient, PartitionKey
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from imdb_lakehouse.bridge.store.records import (
    ABOVE_ALL,
    Record,
    RecordKind,
    StoreUnavailableError,
    TakenError,
    encode_bodies,
)
from lakehouse.errors import UsageError

CONTAINER = "conversations"
PARTITION = "/conversation"

_TTL_OF_ITEMS = -1
"""Default time to live of the container: -1 enables that of the items; without it, theirs is ignored."""

_RETRIES = 3
"""Retries of the client after throttling (429). For a query it retries in two nested loops."""

_ADVICE = {
    401: "COSMOS_KEY is not a key of this account. Correct it.",
    403: "The identity may not read and write there. Give it the role Cosmos DB Built-in Data Contributor; database "
    f"and container have to exist then (container {CONTAINER}, partition key {PARTITION}, time to live on, "
    "without a default).",
    413: "It is larger than an item may be.",
    429: "The account is asked for more than its throughput. Raise that, or ask again later.",
}


class CosmosRecords:
    """The records of a container; use `connect` to open it."""

    def __init__(self, client: CosmosClient, container: ContainerProxy) -> None:
        self._client = client
        self._container = container

    @classmethod
    def connect(cls, endpoint: str, key: str | None, database: str, **options: Any) -> Self:
        """Open the container, and create it if it is missing. Without a key, uses the Azure identity of the process.

        `options` are those of CosmosClient. Raises UsageError if an existing container has unsuitable settings, and
        StoreUnavailableError.
        """
        options = {
            # Discovers the other regions of an account; the emulator (http) reports an unreachable endpoint.
            "enable_endpoint_discovery": endpoint.startswith("https://"),
            "retry_throttle_total": _RETRIES,
        } | options
        with _translate_errors():
            client = CosmosClient(endpoint, credential=key or _open_identity(), **options)
            container = client.create_database_if_not_exists(database).create_container_if_not_exists(
                CONTAINER,
                partition_key=PartitionKey(PARTITION),
                default_ttl=_TTL_OF_ITEMS,
                indexing_policy={"includedPaths": [{"path": "/*"}], "excludedPaths": [{"path": "/body/*"}]},
            )
            found = container.read()
        if found["partitionKey"]["paths"] != [PARTITION] or found.get("defaultTtl") is None:
            client.close()
            raise UsageError(
                f"The container {CONTAINER} of {database} cannot keep conversations: it needs the partition key "
                f"{PARTITION} and time to live switched on (without a default). Name another database in "
                "COSMOS_DATABASE, and the container is made there."
            )
        return cls(client, container)

    def add(self, records: Sequence[Record], now: float) -> None:
        encode_bodies(records)  # checks the size limit
        items = [_to_item(record, now) for record in records]
        try:
            with _translate_errors():
                if len(items) == 1:
                    self._container.create_item(items[0])
                else:
                    creations = [("create", (item,)) for item in items]
                    self._container.execute_item_batch(creations, partition_key=records[0].conversation)
        except CosmosResourceExistsError as error:
            raise TakenError from error
        except CosmosBatchOperationError as error:
            if error.status_code == 409:
                raise TakenError from error
            raise _to_unavailable(error) from error

    def replace(self, record: Record, now: float) -> Record | None:
        encode_bodies([record])
        try:
            with _translate_errors():
                stored = self._container.replace_item(
                    record.id,
                    _to_item(record, now),
                    etag=record.etag,
                    match_condition=MatchConditions.IfNotModified,
                )
        except (CosmosAccessConditionFailedError, CosmosResourceNotFoundError):
            return None
        return replace(record, body=stored["body"], etag=stored["_etag"])

    def find_records(
        self, conversation: str, owner: str, kind: RecordKind, now: float, record_id: str | None = None
    ) -> list[Record]:
        query = (
            "SELECT * FROM c WHERE c.conversation = @conversation AND c.owner = @owner AND c.kind = @kind "
            "AND c.expires > @now AND (IS_NULL(@id) OR c.id = @id) ORDER BY c.id"
        )
        values = {"conversation": conversation, "owner": owner, "kind": kind, "now": now, "id": record_id}
        with _translate_errors():
            found = self._container.query_items(query, parameters=_to_parameters(values), partition_key=conversation)
            return [_to_record(item) for item in found]

    def find_by_id(self, kind: RecordKind, record_id: str, now: float) -> Record | None:
        query = "SELECT * FROM c WHERE c.id = @id AND c.kind = @kind AND c.expires > @now"
        values = {"id": record_id, "kind": kind, "now": now}
        with _translate_errors():
            found = self._container.query_items(
                query, parameters=_to_parameters(values), enable_cross_partition_query=True
            )
            return next((_to_record(item) for item in found), None)

    def list_ranked(
        self, owner: str, kind: RecordKind, now: float, *, most: int, below: str | None = None, text: str = ""
    ) -> list[Record]:
        query = (
            "SELECT * FROM c WHERE c.owner = @owner AND c.kind = @kind AND c.expires > @now "
            "AND c.rank < @below AND CONTAINS(c.text, @text) ORDER BY c.rank DESC"
        )
        values = {"owner": owner, "kind": kind, "now": now, "below": below or ABOVE_ALL, "text": text}
        with _translate_errors():
            found = self._container.query_items(
                query, parameters=_to_parameters(values), enable_cross_partition_query=True, max_item_count=most
            )
            return [_to_record(item) for item in islice(found, most)]

    def remove(self, conversation: str, record_ids: Sequence[str] | None = None) -> None:
        """Delete records, the conversation's own first: without it nothing is found. Leftovers expire."""
        with _translate_errors():
            for record_id in self._list_ids(conversation) if record_ids is None else record_ids:
                with contextlib.suppress(CosmosResourceNotFoundError):  # deleted meanwhile, or expired
                    self._container.delete_item(record_id, partition_key=conversation)

    def close(self) -> None:
        self._client.close()

    def _list_ids(self, conversation: str) -> list[str]:
        query = "SELECT c.id FROM c WHERE c.conversation = @conversation ORDER BY c.id"
        values = {"conversation": conversation}
        found = self._container.query_items(query, parameters=_to_parameters(values), partition_key=conversation)
        return [item["id"] for item in found]


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    """Convert Azure errors to StoreUnavailableError, except those that the callers handle."""
    try:
        yield
    except (
        CosmosAccessConditionFailedError,
        CosmosBatchOperationError,
        CosmosResourceExistsError,
        CosmosResourceNotFoundError,
    ):
        raise
    except AzureError as error:
        raise _to_unavailable(error) from error


def _to_unavailable(error: AzureError) -> StoreUnavailableError:
    """Convert an error, without the service's text, which quotes requests and addresses."""
    status = getattr(error, "status_code", None)
    why = f"status {status}" if status else type(error).__name__
    advice = _ADVICE.get(status or 0, "Check COSMOS_ENDPOINT and the network, or ask again later.")
    return StoreUnavailableError(f"Azure Cosmos DB did not do what the conversations need ({why}). {advice}")


def _open_identity() -> TokenCredential:
    from azure.identity import DefaultAzureCredential  # imported late: it takes a second

    return DefaultAzureCredential()


def _to_parameters(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": f"@{name}", "value": value} for name, value in values.items()]


def _to_item(record: Record, now: float) -> dict[str, Any]:
    """Convert a record. An item's `ttl` counts from its last change, in whole seconds."""
    return {
        "id": record.id,
        "conversation": record.conversation,
        "kind": record.kind,
        "owner": record.owner,
        "at": record.at,
        "expires": record.expires,
        "body": dict(record.body),
        "rank": record.rank,
        "text": record.text,
        "ttl": max(1, math.ceil(record.expires - now)),
    }


def _to_record(item: Mapping[str, Any]) -> Record:
    return Record(
        item["conversation"],
        item["id"],
        item["kind"],
        item["owner"],
        item["at"],
        item["expires"],
        item["body"],
        item["_etag"],
        item.get("rank", ""),
        item.get("text", ""),
    )
