"""Raises the error that an answer of an engine's process, or its death, means for the query."""

from __future__ import annotations

import logging
from typing import NoReturn

from lakehouse.errors import EngineUnavailable, LakeError, QueryFailed, ResourceLimit
from mcp_server.engines.call import EngineCall
from mcp_server.engines.local.process import Death
from mcp_server.engines.wire import MAX_RESULT_BYTES, Frame

log = logging.getLogger(__name__)

_NARROW = (
    "Read less: name the columns, filter before joining or collecting, use an aggregate or a LIMIT in a "
    "sub-query in the place of collecting rows into one value."
)


class UnreachableError(EngineUnavailable):
    """The connection to a remote server failed or was lost."""


class DeniedError(EngineUnavailable):
    """A remote server rejects this user."""


def is_starved(frame: Frame) -> bool:
    """Whether an answer says that the process has no memory left for any call."""
    return frame.op == "error" and frame.fields["kind"] == "starved"


def raise_failure(frame: Frame, call: EngineCall, memory_mb: int | None) -> None:
    """Raise the error that an answer holds, if any. `memory_mb` is what the engine may use, where that is known."""
    if frame.op != "error":
        return
    text, kind = frame.fields["text"], frame.fields["kind"]
    if kind == "large":
        raise ResourceLimit(f"The answer is larger than {MAX_RESULT_BYTES >> 20} MiB. {_NARROW}")
    if kind == "limit":
        raise ResourceLimit(text)
    if kind in {"memory", "disk"}:
        raise _explain_room(kind, text, memory_mb)
    if kind == "lake":
        raise LakeError(text)
    if kind in {"lost", "forgotten"}:
        raise UnreachableError(text)
    if kind == "denied":
        raise DeniedError(text)
    if kind == "interrupted" and call.cancelled:
        raise call.to_error("")
    about = {name: frame.fields[name] for name in ("condition", "sqlstate", "lacking")}
    raise QueryFailed(text, **about)


def _explain_room(kind: str, text: str, memory_mb: int | None) -> ResourceLimit:
    """Say what there is too little of. The log has the operator that the engine names: no statement can name one."""
    log.info("A query ended for want of %s: %s", kind, text)
    if kind == "memory":
        short = f"The query needs more memory than there is{_describe_ceiling(memory_mb)}."
    else:
        short = "The query needs more room for temporary files than there is (IMDB_ENGINE_TEMP_MB)."
    return ResourceLimit(f"{short} {_NARROW}", lacking=kind == "memory")


def _describe_ceiling(memory_mb: int | None) -> str:
    return "" if memory_mb is None else f" ({memory_mb} MiB, IMDB_ENGINE_MEMORY_MB)"


def raise_verdict(death: Death, memory_mb: int | None) -> NoReturn:
    """Raise the error for a query whose process died."""
    if death.temp_mb is not None:
        raise ResourceLimit(
            f"The query wrote more temporary files than the engine may have ({death.temp_mb} MiB), which ended the "
            f"engine. It starts again with the next query. {_NARROW}"
        )
    if death.out_of_memory:
        raise ResourceLimit(
            f"The query needed more memory than the engine may use{_describe_ceiling(memory_mb)}, which ended the "
            f"engine. It starts again with the next query. {_NARROW}",
            lacking=True,
        )
    raise EngineUnavailable(
        f"The engine's process is gone: {death.reason}. It starts again with the next query. Ask again; "
        "if it ends again, the machine may be short of memory."
    )
