"""Replays a Delta log: the state of a table at one version, from the newest checkpoint before it and later commits.

The rules are those of the Delta protocol, "Action Reconciliation" and "Checkpoints". `_last_checkpoint`, which is a
hint, and checksums are not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from lakehouse.delta.checkpoint import read_checkpoint
from lakehouse.delta.folder import Checkpoint, TableLog
from lakehouse.errors import QueryFailed


@dataclass(frozen=True)
class Snapshot:
    """One version of a table: its actions `protocol` and `metaData`, and an `add` for each data file."""

    version: int
    protocol: dict[str, Any]
    metadata: dict[str, Any]
    adds: list[dict[str, Any]]


def latest_version(log: TableLog) -> int:
    """The newest version. Raises LakeError where the log has none."""
    versions = [*log.commits, *(each.version for each in log.checkpoints[:1])]
    if not versions:
        raise log.as_damaged("it has no commit")
    return max(versions)


def read_snapshot(log: TableLog, version: int) -> Snapshot:
    """Read a version of a table. Raises QueryFailed where it does not exist, LakeError where it is damaged."""
    base, commits = find_segment(log, version)
    state = _State()
    if base is not None:
        state.apply_actions(read_checkpoint(log, base))
    for name in commits:
        state.apply_actions(log.actions(name))
    if state.protocol is None or state.metadata is None:
        raise log.as_damaged(f"version {version} has no protocol or no schema")
    return Snapshot(version, state.protocol, state.metadata, list(state.adds.values()))


def find_segment(log: TableLog, version: int) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint to start from and the commits to apply to it."""
    latest = latest_version(log)
    base = next((each for each in log.checkpoints if each.version <= version), None)
    first = 0 if base is None else base.version + 1
    if 0 <= version <= latest and all(number in log.commits for number in range(first, version + 1)):
        return base, [log.commits[number] for number in range(first, version + 1)]
    if version == latest:
        raise log.as_damaged(f"a commit before version {version} is missing")
    raise QueryFailed(
        f"The table {log.name} has no version {version} that can be read: the newest is {latest}, and of the older "
        "ones those whose commits were cleaned up are gone. Ask for another version."
    )


@dataclass
class _State:
    protocol: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    adds: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def apply_actions(self, actions: Iterable[dict[str, Any]]) -> None:
        """Apply the actions of one commit. Their order has no meaning, so removals go before additions."""
        added: dict[tuple[str, str], dict[str, Any]] = {}
        for action in actions:
            if (add := action.get("add")) is not None:
                added[_key_of_file(add)] = add
            elif (removed := action.get("remove")) is not None:
                self.adds.pop(_key_of_file(removed), None)
            elif (metadata := action.get("metaData")) is not None:
                self.metadata = metadata
            elif (protocol := action.get("protocol")) is not None:
                self.protocol = protocol
        self.adds |= added


def _key_of_file(action: dict[str, Any]) -> tuple[str, str]:
    """The identity of a file: its path and its deletion vector (Delta protocol, "Action Reconciliation")."""
    vector = action.get("deletionVector") or {}
    parts = (vector.get(name) for name in ("storageType", "pathOrInlineDv", "offset"))
    return unquote(str(action.get("path"))), "/".join("" if part is None else str(part) for part in parts)
