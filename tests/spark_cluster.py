"""A standalone Spark cluster on this machine, from the installed PySpark: a master, workers, and a Connect server.

Each worker has one core and 1 GB, and starts a JVM of its own for the executor that an application gets there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pyspark

from mcp_server.engines.worker import sandbox
from tests.connect_server import ConnectServer, answers
from tests.ports import free_port

_DEPLOY = "org.apache.spark.deploy"
_START_SECONDS = 120.0


@contextmanager
def spark_cluster(folder: Path, workers: int = 2) -> Iterator[ConnectServer]:
    """Start a cluster, and a Connect server whose statements run on its executors; end all afterwards."""
    port, page = free_port(), free_port()
    with ExitStack() as stack:
        place = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", str(page)]
        stack.enter_context(_daemon("master.Master", place, folder / "master"))
        _wait_until_answers(port)
        for number in range(workers):
            own = folder / f"worker-{number}"
            place = [
                "--host",
                "127.0.0.1",
                "--cores",
                "1",
                "--memory",
                "1g",
                "--webui-port",
                "0",
                "--work-dir",
                str(own),
            ]
            stack.enter_context(_daemon("worker.Worker", [*place, f"spark://127.0.0.1:{port}"], own))
        server = ConnectServer(
            folder,
            {
                "spark.master": f"spark://127.0.0.1:{port}",
                "spark.executor.cores": "1",
                "spark.executor.memory": "512m",
                "spark.executorEnv.PYSPARK_PYTHON": sys.executable,
                # The first job waits for both executors: otherwise one of them may do all of a small load.
                "spark.scheduler.minRegisteredResourcesRatio": "1.0",
                "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
                "spark.cores.max": str(workers),
            },
        )
        stack.callback(server.kill)
        server.start()
        yield server


@contextmanager
def _daemon(name: str, arguments: list[str], folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    home = Path(pyspark.__file__).parent
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_", "IMDB_"))}
    options = os.environ.get("SPARK_SUBMIT_OPTS", "")
    environment = ours | {"SPARK_HOME": str(home), "SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": options}
    with (folder / "log").open("wb") as log:
        java = subprocess.Popen(
            [str(home / "bin" / "spark-class"), f"{_DEPLOY}.{name}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=partial(sandbox.die_with_parent, os.getpid()),  # noqa: PLW1509  (a killed test run leaves none)
        )
    try:
        yield
    finally:
        os.killpg(java.pid, signal.SIGKILL)
        java.wait()


def _wait_until_answers(port: int) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while not answers(port):
        if time.monotonic() > give_up:
            raise RuntimeError("The master of the Spark cluster did not start.")
        time.sleep(0.1)
