"""What a session leaves behind in the process that held it."""

from __future__ import annotations

import subprocess
import sys

_CLIENTS_LEFT = """
import gc
from lakehouse.session import open_session, run_query
from pyspark.sql.connect.client.core import SparkConnectClient

with open_session("embedded") as engine:
    for _ in range(10):
        session = engine.open()
        run_query(session, "SELECT 1", 1, 1_000)
        engine.close(session)
    del session
    gc.collect()
    print(sum(isinstance(each, SparkConnectClient) for each in gc.get_objects()))
"""


def test_the_client_of_a_session_ends_with_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CLIENTS_LEFT], capture_output=True, text=True, timeout=120, check=True
    )

    assert done.stdout.split() == ["1"]  # that of the engine's first session, which is still open
