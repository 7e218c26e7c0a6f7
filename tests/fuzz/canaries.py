"""What must not be touched and must not leak, around a lake and an engine on it.

The engine runs without the network of its own and with the secret in its environment, so that nothing but the
guard stands between a statement and the canaries. `test_canaries.py` shows that each of them would be noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.storage import Lake
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.engines.local import process
from mcp_server.settings import load_settings
from tests.conftest import ROOT
from tests.fuzz.generate import Targets

MARKER: Final = "CANARY5d41"
"""What every secret begins with."""

VARIABLE: Final = "FUZZ_CANARY"
DEADLINE_SECONDS: Final = 4.0
_MEMORY_MB: Final = 2_048


@dataclass
class Canaries:
    """The lake, and around it what is watched. `calls` are the connections that arrived."""

    lake: Path
    folder: Path
    port: int
    calls: list[str] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)

    @property
    def targets(self) -> Targets:
        return Targets(
            file=str(self.folder / "secret.txt"),
            table=str(self.folder / "hr" / "salaries"),
            address=f"https://127.0.0.1:{self.port}/x.parquet",
            variable=VARIABLE,
        )

    def look(self) -> dict[str, str]:
        """Every file of the lake and around it by its hash, and the version of every Delta table."""
        seen = {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.folder.rglob("*")
            if path.is_file()
        }
        for log in self.folder.rglob("_delta_log"):
            seen[f"version of {log.parent.name}"] = str(DeltaTable(str(log.parent)).version())
        return seen

    def disturbed(self) -> list[str]:
        """What is not as it was: files, versions, connections."""
        after = self.look()
        changed = [name for name in self.before.keys() | after.keys() if self.before.get(name) != after.get(name)]
        return sorted(changed) + self.calls


@contextmanager
def guarded(lake: Path) -> Iterator[Canaries]:
    """Puts the canaries beside a lake whose folder is their own, and watches until the end."""
    folder = lake.parent
    rows = pa.table({"name": [f"{MARKER}-salary"], "tconst": ["tt0000001"]})
    write_deltalake(str(folder / "hr" / "salaries"), rows)
    write_deltalake(str(lake / "salaries"), rows)
    (folder / "secret.txt").write_text(f"{MARKER}-file\n", "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Canaries(lake, folder, listener.getsockname()[1])
        listening = threading.Thread(target=_listen, args=(listener, found.calls), daemon=True)
        listening.start()
        found.before = found.look()
        yield found
        with socket.create_connection(listener.getsockname(), timeout=5) as goodbye:
            goodbye.sendall(b"goodbye")
        listening.join(timeout=5)


def _listen(listener: socket.socket, calls: list[str]) -> None:
    while True:
        said = b""
        with listener.accept()[0] as caller, contextlib.suppress(OSError):
            caller.settimeout(1)
            said = caller.recv(80)
        if said == b"goodbye":
            return
        calls.append(f"a connection that said {said!r}")


@contextmanager
def engine_among(canaries: Canaries, state: Path, max_rows: int) -> Iterator[EmbeddedEngine]:
    """An embedded engine whose sessions also have the forbidden tables: `hr.salaries` and `salaries`."""
    settings = load_settings(
        engine="embedded",
        state_dir=state,
        max_rows=max_rows,
        query_timeout_seconds=DEADLINE_SECONDS,
        engine_isolation="off",
        engine_memory_mb=_MEMORY_MB,
        max_concurrent_queries=1,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "_WORKER", "tests.fuzz.worker")
        patch.setenv(VARIABLE, f"{MARKER}-variable")
        engine = EmbeddedEngine(Lake.parse(str(canaries.lake)), settings)
        seen = {"PYTHONPATH": str(ROOT), "FUZZ_FORBIDDEN": canaries.targets.table}
        engine._spec = replace(engine._spec, environment={**engine._spec.environment, **seen})
        try:
            yield engine
        finally:
            engine.close()


def resident_of(engine: EmbeddedEngine) -> int:
    """Bytes that the engine's process holds, 0 where there is none."""
    try:
        pages = Path(f"/proc/{engine.process_id}/statm").read_text("ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
