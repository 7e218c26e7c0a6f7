"""Runs one statement in a warehouse: sign in, open a session, submit, poll, fetch, and stop on request.

Each runs in a thread of its own that makes all requests to the warehouse, so that the caller can leave at once
while the thread ensures that nothing is left running.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from lakehouse.backoff import pause
from lakehouse.breaker import Breaker
from lakehouse.errors import EngineUnavailable, LakehouseError, QueryFailed
from mcp_server.engines.call import EngineCall
from mcp_server.engines.databricks.errors import BusyError, ConnectionLostError, GoneError, SignInRefusedError
from mcp_server.engines.databricks.pool import Pool
from mcp_server.engines.databricks.session import Session, Warehouse, WarehouseStatement, load_connector
from mcp_server.engines.databricks.sign_in import SignIn
from mcp_server.models import Caps, ResultSet

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How often to retry a failed request, and whether a retry is safe where the request may have arrived.

    `guarded` attempts count for the circuit breaker and stop at it; polling a running statement does neither.
    """

    tries: int
    repeatable: bool
    guarded: bool


_OPENING = Patience(3, repeatable=True, guarded=True)
_SENDING = Patience(3, repeatable=False, guarded=True)
_LOOKING = Patience(8, repeatable=True, guarded=False)  # some 13 s: the statement runs meanwhile

_FIRST_POLL, _LAST_POLL, _POLL_SHARE = 0.02, 1.0, 0.1
"""Seconds between two polls of a statement: a tenth of the time that it has run, within bounds."""
_CANCEL_EVERY = 0.1
_LET_GO_SECONDS = 30.0
"""How long to repeat the cancel of a statement before its session is closed instead."""


class StoppedError(Exception):
    """The statement was stopped before its end."""


@dataclass
class WarehouseRun:
    """A running statement of a warehouse."""

    call: EngineCall
    sql: str
    most_rows: int
    caps: Caps | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    done: bool = False
    result: ResultSet | None = None
    error: BaseException | None = None

    def raise_if_stopped(self) -> None:
        if self.stop.is_set():
            raise StoppedError


class Lane:
    """Runs statements on one warehouse. Thread-safe."""

    def __init__(self, warehouse: Warehouse, sign_in: SignIn, pool: Pool, breaker: Breaker) -> None:
        self._warehouse = warehouse
        self._sign_in = sign_in
        self._pool = pool
        self._breaker = breaker

    def perform_run(self, run: WarehouseRun) -> ResultSet:
        """Run a statement and return its rows. Raises LakehouseError, or StoppedError where `run.stop` was set."""
        load_connector()
        session, statement = self._submit_statement(run)
        healthy = False
        try:
            self._await_end(run, statement)
            result = self._fetch_rows(run, statement)
            healthy = True
        except QueryFailed:
            healthy = True  # the session is unaffected
            raise
        except StoppedError:
            healthy = self._stop_statement(statement)
            raise
        except GoneError as error:
            raise EngineUnavailable(
                "The warehouse forgot the query while it ran: it was stopped or restarted. Ask again."
            ) from error
        finally:
            self._close_statement(session, statement, healthy=healthy)
        return result

    def _submit_statement(self, run: WarehouseRun) -> tuple[Session, WarehouseStatement]:
        """Submit a statement and return it with its session.

        A pooled session that the warehouse has forgotten (it was restarted) is replaced once: it did not accept the
        statement.
        """
        kept = self._pool.take_session()
        if isinstance(kept, Session):
            try:
                return kept, self._submit_in(run, kept)
            except GoneError:
                self._pool.drop_all()  # the other sessions are as old, of the same warehouse
        try:
            session = self._retry(run, lambda: Session(self._warehouse, self._sign_in), _OPENING)
            return session, self._submit_in(run, session)
        except GoneError as error:
            raise EngineUnavailable(
                f"The warehouse does not answer under DATABRICKS_HTTP_PATH: {error}. Check that it still exists."
            ) from error

    def _submit_in(self, run: WarehouseRun, session: Session) -> WarehouseStatement:
        try:
            return self._retry(run, lambda: session.submit(run.sql, run.most_rows), _SENDING)
        except BaseException:
            session.close()
            raise

    def _await_end(self, run: WarehouseRun, statement: WarehouseStatement) -> None:
        began = time.monotonic()
        while self._retry(run, statement.is_pending, _LOOKING):
            elapsed = time.monotonic() - began
            if run.stop.wait(min(_LAST_POLL, max(_FIRST_POLL, elapsed * _POLL_SHARE))):
                raise StoppedError
        if run.stop.is_set():
            raise StoppedError

    def _fetch_rows(self, run: WarehouseRun, statement: WarehouseStatement) -> ResultSet:
        """Fetch the rows, without a retry: rows may be in transit, and the next request would return the next rows."""
        try:
            return statement.fetch(run.caps, run.raise_if_stopped)
        except (ConnectionLostError, BusyError, SignInRefusedError) as error:
            raise EngineUnavailable(
                f"The rows could not be read from the warehouse to their end: {error}. Ask again."
            ) from error

    def _stop_statement(self, statement: WarehouseStatement) -> bool:
        """Cancel a statement until it has stopped. Returns False where it did not: then its session must be closed."""
        give_up = time.monotonic() + _LET_GO_SECONDS
        while time.monotonic() < give_up:
            try:
                statement.cancel()
                if not statement.is_pending():
                    return True
            except QueryFailed:
                return True
            except (GoneError, ConnectionLostError, BusyError, SignInRefusedError, LakehouseError):
                return False
            threading.Event().wait(_CANCEL_EVERY)
        return False

    def _close_statement(self, session: Session, statement: WarehouseStatement, *, healthy: bool) -> None:
        """Close a statement, and pool its session where nothing of the statement is left in it."""
        try:
            statement.close()
        except (GoneError, ConnectionLostError, BusyError, SignInRefusedError, LakehouseError) as error:
            log.info("A statement could not be closed, so its session is: %s", error)
            healthy = False
        if healthy and session.is_reusable:
            self._pool.give_back(session)
        else:
            session.close()

    def _retry(self, run: WarehouseRun, attempt: Callable[[], T], patience: Patience) -> T:
        """Retry an attempt as long as that is safe and may succeed.

        A request that the warehouse certainly did not accept is retried, any other only where `patience` allows it.
        Raises EngineUnavailable where the warehouse is unreachable or rejects the sign-in, StoppedError, GoneError.
        """
        renewed = False
        failures = 0
        while not run.stop.is_set():
            try:
                with self._breaker.attempt(ConnectionLostError) if patience.guarded else nullcontext():
                    found = attempt()
            except SignInRefusedError as error:
                if renewed or not self._sign_in.renew():
                    raise self._build_sign_in_error(error) from error
                renewed = True
                continue
            except BusyError as error:
                run.call.waiting_for = f"The warehouse is starting or has no time (HTTP {error.code})"
                seconds = pause(failures, at_least=error.seconds)
            except ConnectionLostError as error:
                if failures + 1 >= patience.tries or (error.sent and not patience.repeatable):
                    raise self._build_connection_error(error, patience) from error
                seconds = pause(failures)
            else:
                run.call.waiting_for = ""
                return found
            failures += 1
            run.stop.wait(seconds)
        raise StoppedError

    def _build_sign_in_error(self, error: SignInRefusedError) -> EngineUnavailable:
        return EngineUnavailable(
            f"The warehouse does not accept the sign-in ({error}). Check {self._sign_in.variables}: a token may have "
            "expired. The identity needs CAN USE on the warehouse."
        )

    def _build_connection_error(self, error: ConnectionLostError, patience: Patience) -> EngineUnavailable:
        if error.sent and not patience.repeatable:
            return EngineUnavailable(
                f"The warehouse was lost while the query was sent: {error}. It may have begun there; it was not sent "
                "again. Ask again."
            )
        return EngineUnavailable(
            f"The warehouse cannot be reached: {error}. Check DATABRICKS_HOST, the network and the proxy. Ask again."
        )
