"""A real Spark Connect server with Delta, from the installed PySpark, for tests and benches.

    python -m tests.connect_server        # starts one, prints its URL, ends it with the terminal's Ctrl-C

It listens on loopback alone. What it does can be looked at from outside: Spark writes an event for every operation
that begins and ends, and the event log is a file.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import psutil
import pyspark

from lakehouse.session import spark_properties
from mcp_server.engines.worker import sandbox
from tests.ports import free_port

_MAIN = "org.apache.spark.sql.connect.service.SparkConnectServer"
_START_SECONDS = 180.0
_EVENT = "org.apache.spark.sql.connect.service.SparkListenerConnectOperation"
_OF_INTEREST = tuple(f'{{"Event":"{name}'.encode() for name in (_EVENT, "SparkListenerJob"))
"""How the lines of the event log begin that are read: the others are many times as long, and nobody asks for them."""


class ConnectServer:
    """One server on one port; killed and started again, it is there again under the same URL.

    `config` adds properties of Spark. With a `token` nobody is served who does not give it.
    """

    def __init__(self, folder: Path, config: Mapping[str, str] = MappingProxyType({}), token: str | None = None):
        self.port = free_port()
        self._folder = folder
        self._config = dict(config)
        self._token = token
        self._java: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._log = _EventLog()

    @property
    def url(self) -> str:
        """Where clients find it. A token makes PySpark speak TLS to every host but `localhost`."""
        if self._token is None:
            return f"sc://127.0.0.1:{self.port}"
        return f"sc://localhost:{self.port}/;token={self._token}"

    @property
    def process(self) -> psutil.Process:
        """The server's JVM."""
        assert self._java is not None
        return psutil.Process(self._java.pid)

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with its last words where it does not."""
        self._starts += 1
        work = self._folder / f"server-{self._starts}"
        events = work / "events"
        events.mkdir(parents=True)
        self._log = _EventLog()
        home = Path(pyspark.__file__).parent
        log = (work / "log").open("wb")
        with log:
            self._java = subprocess.Popen(
                [
                    str(home / "bin" / "spark-submit"),
                    *self._properties(work, events),
                    "--class",
                    _MAIN,
                    "spark-internal",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(home),
                start_new_session=True,
                preexec_fn=partial(sandbox.die_with_parent, os.getpid()),  # noqa: PLW1509  (a killed test run leaves none)
            )
        give_up = time.monotonic() + _START_SECONDS
        while not answers(self.port):
            if self._java.poll() is not None or time.monotonic() > give_up:
                self.kill()
                words = (work / "log").read_text("utf-8", "replace").splitlines()[-15:]
                raise RuntimeError("The Spark Connect server did not start:\n" + "\n".join(words))
            threading.Event().wait(0.1)

    def kill(self) -> None:
        """End it without a word, and all that it started, and wait until they are gone."""
        if self._java is None:
            return
        if self._java.poll() is None:
            os.killpg(self._java.pid, signal.SIGKILL)
        self._java.wait()
        self._java = None

    def restart(self) -> None:
        """Kill it and start it again on the same port."""
        self.kill()
        self.start()

    def operations(self) -> dict[str, list[str]]:
        """What happened to each operation since the start, in order: Started, Analyzed, …, Canceled, Closed."""
        found: dict[str, list[str]] = {}
        for event in self._events():
            if event["Event"].startswith(_EVENT):
                found.setdefault(event["operationId"], []).append(event["Event"].removeprefix(_EVENT))
        return found

    def running(self) -> set[str]:
        """Operations that run at this moment: begun, and neither finished, failed, cancelled nor closed."""
        over = {"Finished", "Failed", "Canceled", "Closed"}
        return {operation for operation, steps in self.operations().items() if not over & set(steps)}

    def jobs(self) -> int:
        """Jobs of Spark that have begun and not ended: what uses the cores."""
        events = [event["Event"] for event in self._events()]
        return events.count("SparkListenerJobStart") - events.count("SparkListenerJobEnd")

    def _events(self) -> list[dict[str, str]]:
        return self._log.read(self._folder / f"server-{self._starts}" / "events")

    def _properties(self, work: Path, events: Path) -> list[str]:
        properties = spark_properties(str(work)) | {
            "spark.master": "local[*]",
            "spark.app.name": "connect-server",
            "spark.driver.memory": "1g",
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": str(self.port),
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": events.as_uri(),
            "spark.eventLog.compress": "false",
            "spark.eventLog.rolling.enabled": "false",
        }
        if self._token is not None:
            properties["spark.connect.authenticate.token"] = self._token
        return [part for name, value in (properties | self._config).items() for part in ("--conf", f"{name}={value}")]

    def _environment(self, home: Path) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "IMDB_"))}
        options = os.environ.get("SPARK_SUBMIT_OPTS", "")  # of `spark_start`
        return ours | {"SPARK_HOME": str(home), "TZ": "UTC", "SPARK_SUBMIT_OPTS": options}


class _EventLog:
    """The events of a server that are of interest so far. Who waits asks again and again: each line is read once."""

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}
        """Up to where each file has been read, in bytes; by inode, because Spark renames a file that it ends."""
        self._events: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def read(self, folder: Path) -> list[dict[str, str]]:
        """All events of interest in the files of a folder, in order."""
        with self._lock:
            for path in folder.iterdir():
                if not path.name.startswith("."):
                    self._read_on(path)
            return list(self._events)

    def _read_on(self, path: Path) -> None:
        with path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            file.seek(self._ends.get(inode, 0))
            whole, end, _ = file.read().rpartition(b"\n")
        self._ends[inode] = self._ends.get(inode, 0) + len(whole) + len(end)
        self._events += [json.loads(line) for line in whole.split(b"\n") if line.startswith(_OF_INTEREST)]


def answers(port: int) -> bool:
    """Whether the service listens: Spark opens its port last."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = ConnectServer(Path(folder))
        server.start()
        print(server.url, flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            server.kill()


if __name__ == "__main__":
    main()
