"""Admission to an engine: places, exclusive runs, cancels and deadlines.

Every engine has one `Admission`, whatever runs behind it: a child process, a warehouse, a library.

Fairness among callers is another policy, in `mcp_server/runs.py`. It applies before an engine is chosen, once for a
statement that may use two engines and then call a model, and it is fair between callers, whom an engine does not
know. An engine knows its own capacity: how many statements its memory has room for, and which of them must run alone.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lakehouse.errors import EngineUnavailable
from mcp_server.engines.call import EngineCall

_EARLY_CANCELS = 256


class Admission:
    """Admits calls to the places of one engine. Thread-safe.

    `changed` is the engine's one lock. An engine also guards the state that its calls wait for with it, and notifies
    it of every change to that state.
    """

    def __init__(self, places: int) -> None:
        self.changed = threading.Condition()
        self._places = places
        # All that follows is read and written under `changed`.
        self._closed = False
        self._calls: dict[str, EngineCall] = {}
        self._early_cancels: OrderedDict[str, None] = OrderedDict()
        self._inside = 0
        self._wanting_alone = 0
        self._someone_alone = False

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def is_idle(self) -> bool:
        """Whether no call runs or waits."""
        return not self._calls

    def find_call(self, query_id: str) -> EngineCall | None:
        """Return a running or waiting call of a query, None where there is none."""
        with self.changed:
            return next((call for call in self._calls.values() if call.query_id == query_id), None)

    @contextmanager
    def register_call(self, call: EngineCall) -> Iterator[None]:
        """Make a call cancellable by its id while the block runs.

        Raises ValueError where the id is in use, QueryCancelled where the query was cancelled before it arrived.
        """
        with self.changed:
            if call.id in self._calls:
                raise ValueError(f"The query id {call.id} is in use.")
            if call.query_id in self._early_cancels:
                del self._early_cancels[call.query_id]
                call.cancelled = True
                raise call.to_error("")
            self._calls[call.id] = call
        try:
            yield
        finally:
            with self.changed:
                del self._calls[call.id]

    def cancel(self, query_id: str) -> None:
        """Cancel the calls of a query. The id of a query that has not arrived yet is remembered for a while."""
        with self.changed:
            running = [call for call in self._calls.values() if call.query_id == query_id]
            for call in running:
                call.cancelled = True
            if running:
                self.changed.notify_all()
                return
            self._early_cancels[query_id] = None
            while len(self._early_cancels) > _EARLY_CANCELS:
                self._early_cancels.popitem(last=False)

    def wait_for(self, call: EngineCall, happened: Callable[[], bool]) -> bool:
        """Wait until `happened` returns True. Holds `changed`.

        Returns False where the call was cancelled or timed out first.
        """
        self.changed.wait_for(lambda: call.cancelled or happened(), call.remaining)
        return happened()

    @contextmanager
    def hold_place(self, call: EngineCall, *, alone: bool = False) -> Iterator[None]:
        """Hold a place while the block runs. Raises as `enter` does."""
        self.enter(call, alone=alone)
        try:
            yield
        finally:
            self.leave()

    def enter(self, call: EngineCall, *, alone: bool = False) -> None:
        """Wait for a place, or for exclusive use of the engine. Each `enter` requires one `leave`.

        Raises QueryCancelled or QueryTimedOut where none was free in time, EngineUnavailable once the engine is closed.
        """
        with self.changed:
            self._wanting_alone += alone
            try:
                admitted = self.wait_for(call, lambda: self._closed or self._has_place(alone))
                self.raise_if_closed()
                if not admitted:
                    raise call.to_error(" It was still waiting for other queries.")
                self._inside += 1
                self._someone_alone = alone
            finally:
                self._wanting_alone -= alone
                self.changed.notify_all()

    def leave(self) -> None:
        """Give a place back, from any thread."""
        with self.changed:
            self._inside -= 1
            self._someone_alone = False
            self.changed.notify_all()

    def raise_if_closed(self) -> None:
        if self._closed:
            raise EngineUnavailable("The engine is closed: the server is ending.")

    def close(self, seconds: float = 0) -> None:
        """Stop admitting calls, and wait for at most `seconds` until the admitted ones have left."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()
            self.changed.wait_for(lambda: self._inside == 0, seconds)

    def _has_place(self, alone: bool) -> bool:
        if alone:
            return self._inside == 0
        return not (self._someone_alone or self._wanting_alone) and self._inside < self._places
