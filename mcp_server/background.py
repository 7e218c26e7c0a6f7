"""Statements that went on after their call was answered, until somebody asks for their result."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from lakehouse.errors import LakehouseError, QueryCancelled
from mcp_server.handles import HandleEntry, Handles, State
from mcp_server.results import Answer
from mcp_server.runs import Run

log = logging.getLogger(__name__)


class Background:
    """The runs behind this process's handles, and what is known of the handles of others."""

    def __init__(self, handles: Handles) -> None:
        self._handles = handles
        self._changing = threading.Lock()
        self._kept: dict[str, Run[Answer]] = {}  # read and written under `_changing`

    def keep(self, run: Run[Answer], ended: Callable[[Run[Answer]], None]) -> str:
        """A handle for a statement that goes on. `ended` is called in its thread when it has ended.

        Raises HandlesUnusableError, and then the statement is cancelled: nobody could ask for it.
        """
        try:
            self._drop_expired()
            handle = self._handles.add(run.caller)
        except LakehouseError:
            run.cancel()
            raise
        with self._changing:
            self._kept[handle] = run
        run.call_at_end(lambda: self._settle(handle, run, ended))
        return handle

    def find(self, handle: str, caller: str) -> Run[Answer] | HandleEntry | None:
        """The statement itself where it is this process's, else what is known of it; None where nothing is.

        Raises HandlesUnusableError.
        """
        entry = self._handles.find(handle, caller)
        if entry is None or entry.where != "here":
            return entry
        with self._changing:
            return self._kept.get(handle)

    def close(self) -> None:
        """Give up all handles: to others they are lost from now on."""
        self._handles.close()

    def _drop_expired(self) -> None:
        """Let go of results that nobody can ask for any more. Raises HandlesUnusableError."""
        with self._changing:
            known = [*self._kept]
        # What is kept was in the file before, so what is missing there now has expired. Looked at the other way
        # round, a handle that another thread adds in between would be taken for one.
        expired = set(known) - self._handles.live()
        with self._changing:
            for handle in expired:
                self._kept.pop(handle, None)

    def _settle(self, handle: str, run: Run[Answer], ended: Callable[[Run[Answer]], None]) -> None:
        try:
            ended(run)
            self._handles.settle(handle, _state(run))
        except LakehouseError as error:  # nobody waits in this thread, and the run has its outcome
            log.error("The end of query %s could not be noted: %s", run.query_id, error)  # noqa: TRY400  (its text says all)


def _state(run: Run[Answer]) -> State:
    match run.failure:
        case None:
            return "done"
        case QueryCancelled():
            return "cancelled"
        case _:
            return "failed"
