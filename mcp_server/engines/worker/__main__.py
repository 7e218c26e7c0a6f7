"""The child process: holds a driver and its session, and runs the statements that the server sends.

    python -P -m mcp_server.engines.worker <socket's descriptor> <parent's process id>

Started only by `local/process.py`. The first frame says which engine to open. The process gives up its rights
before a driver is imported and before its first thread starts. The end of the connection ends this process and
everything that it started.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from typing import cast

from lakehouse.errors import LakehouseError
from lakehouse.session import open_session
from mcp_server.engines.failures import explain_failure
from mcp_server.engines.hiding import list_spellings
from mcp_server.engines.opening import FirstFrame
from mcp_server.engines.wire import Wire
from mcp_server.engines.worker import sandbox
from mcp_server.engines.worker.confinement import confine_process, open_logs
from mcp_server.engines.worker.ending import end_all, follow_engine_process
from mcp_server.engines.worker.statements import Worker

_STACK_BYTES = 2 << 20
"""Stack of a Python thread, counted by the memory ceiling; the default is 8 MiB, and gRPC has several per query."""


def main(descriptor: int, parent: int) -> None:
    """Open the engine of the first frame, answer until the connection ends, and end."""
    sandbox.die_with_parent(parent)
    wire = Wire(socket.socket(fileno=descriptor))
    opening = wire.receive()
    if opening is None:
        end_all()
    settings = cast("FirstFrame", opening.fields)
    if settings["parting"]:
        sandbox.outlive_parent()  # long enough to stop what runs on a remote server
    threading.stack_size(_STACK_BYTES)
    try:
        warnings = confine_process(settings)
        # PySpark logs every failed statement with its whole stack; the server gets the sentence.
        logging.getLogger("SQLQueryContextLogger").disabled = True
        logging.getLogger("DataFrameQueryContextLogger").disabled = True
        hold, work_dir = open_logs(settings)
        with open_session(settings["kind"], config=settings["config"], work_dir=work_dir) as engine:
            if engine.process is not None:
                follow_engine_process(engine.process)
            worker = Worker(wire, engine, settings, hold)
            worker.warm_up(settings["tables"], settings["edition"])
            wire.send("ready", warnings=warnings)
            worker.serve()
            if settings["parting"]:
                worker.part(settings["parting"])
            end_all()
    except LakehouseError as error:
        wire.send("failed", text=str(error))
    except Exception as error:  # noqa: BLE001  (the server must know why the engine did not start)
        text = explain_failure(error, list_spellings([(settings["lake"], "<lake>")]), settings["secret"]).text
        wire.send("failed", text=f"{type(error).__name__}: {text}")
    wire.receive()  # the server reads the reason, then closes
    end_all()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
