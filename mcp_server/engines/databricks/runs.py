"""One statement's way through a warehouse: sign in, open a session, submit, poll, fetch, and stop when told to.

Each runs in a thread of its own that does all that talks to the warehouse, so that whoever asked can leave at once
while the thread sees to it that nothing is left running.
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
from mcp_server.engines.call import Call
from mcp_server.engines.databricks.errors import BusyError, ConnectionLostError, GoneError, SignInRefusedError
from mcp_server.engines.databricks.pool import Pool
from mcp_server.engines.databricks.session import Session, Statement, Warehouse, load_connector
from mcp_server.engines.databricks.sign_in import SignIn
from mcp_server.models import Caps, ResultSet

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How often to try what the network does not let through, and whether that is safe where it may have arrived.

    `guarded` attempts count for the circuit breaker and stop at it; to look after a statement that runs does neither.
    """

    tries: int
    repeatable: bool
    guarded: bool


_OPENING = Patience(3, repeatable=True, guarded=True)
_SENDING = Patience(3, repeatable=False, guarded=True)
_LOOKING = Patience(8, repeatable=True, guarded=False)  # some 13 s: the statement goes on meanwhile

_FIRST_POLL, _LAST_POLL, _POLL_SHARE = 0.02, 1.0, 0.1
"""Seconds between two looks at a statement: a tenth of the time that it has run, within bounds."""
_CANCEL_EVERY = 0.1
_LET_GO_SECONDS = 30.0
"""How long a statement is asked to stop before its session is ended instead."""


class StoppedError(Exception):
    """The statement was stopped before its end."""


@dataclass
class Run:
    """A statement under way in a warehouse."""

    call: Call
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
    """Runs statements on one warehouse. Safe for several threads."""

    def __init__(self, warehouse: Warehouse, sign_in: SignIn, pool: Pool, breaker: Breaker) -> None:
        self._warehouse = warehouse
        self._sign_in = sign_in
        self._pool = pool
        self._breaker = breaker

    def perform(self, run: Run) -> ResultSet:
        """The answer of a statement. Raises LakehouseError, or StoppedError where `run.stop` was set."""
        load_connector()
        session, statement = self._submitted(run)
        healthy = False
        try:
            self._wait(run, statement)
            result = self._rows(run, statement)
            healthy = True
        except QueryFailed:
            healthy = True  # the session is as good as before
            raise
        except StoppedError:
            healthy = self._let_go(statement)
            raise
        except GoneError as error:
            raise EngineUnavailable(
                "The warehouse forgot the query while it ran: it was stopped or restarted. Ask again."
            ) from error
        finally:
            self._finish(session, statement, healthy=healthy)
        return result

    def _submitted(self, run: Run) -> tuple[Session, Statement]:
        """A statement that was accepted, and its session.

        A kept session that the warehouse has forgotten (it was restarted) is replaced, once: then the statement was
        not accepted.
        """
        kept = self._pool.take()
        if isinstance(kept, Session):
            try:
                return kept, self._accepted(run, kept)
            except GoneError:
                self._pool.drop_all()  # the others are of the same warehouse, and as old
        try:
            session = self._patiently(run, lambda: Session(self._warehouse, self._sign_in), _OPENING)
            return session, self._accepted(run, session)
        except GoneError as error:
            raise EngineUnavailable(
                f"The warehouse does not answer under DATABRICKS_HTTP_PATH: {error}. Check that it still exists."
            ) from error

    def _accepted(self, run: Run, session: Session) -> Statement:
        try:
            return self._patiently(run, lambda: session.submit(run.sql, run.most_rows), _SENDING)
        except BaseException:
            session.close()
            raise

    def _wait(self, run: Run, statement: Statement) -> None:
        began = time.monotonic()
        while self._patiently(run, statement.is_pending, _LOOKING):
            elapsed = time.monotonic() - began
            if run.stop.wait(min(_LAST_POLL, max(_FIRST_POLL, elapsed * _POLL_SHARE))):
                raise StoppedError
        if run.stop.is_set():
            raise StoppedError

    def _rows(self, run: Run, statement: Statement) -> ResultSet:
        """Never tried again: rows may be on their way, and the next request would give the next rows."""
        try:
            return statement.fetch(run.caps, run.raise_if_stopped)
        except (ConnectionLostError, BusyError, SignInRefusedError) as error:
            raise EngineUnavailable(
                f"The rows could not be read from the warehouse to their end: {error}. Ask again."
            ) from error

    def _let_go(self, statement: Statement) -> bool:
        """Ask the warehouse to stop a statement until it has. False where it did not: then its session must end."""
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

    def _finish(self, session: Session, statement: Statement, *, healthy: bool) -> None:
        """Keep the session for the next statement where nothing of this one is left in it."""
        try:
            statement.close()
        except (GoneError, ConnectionLostError, BusyError, SignInRefusedError, LakehouseError) as error:
            log.info("A statement could not be closed, so its session is: %s", error)
            healthy = False
        if healthy and session.is_reusable:
            self._pool.give_back(session)
        else:
            session.close()

    def _patiently(self, run: Run, attempt: Callable[[], T], patience: Patience) -> T:
        """Try until it works, as long as that is safe and promises something.

        What the warehouse surely did not accept is tried again, anything else only where that is safe.
        Raises EngineUnavailable where the warehouse cannot be reached or does not let us in, StoppedError, GoneError.
        """
        renewed = False
        failures = 0
        while not run.stop.is_set():
            try:
                with self._breaker.attempt(ConnectionLostError) if patience.guarded else nullcontext():
                    found = attempt()
            except SignInRefusedError as error:
                if renewed or not self._sign_in.renew():
                    raise self._not_let_in(error) from error
                renewed = True
                continue
            except BusyError as error:
                run.call.waiting_for = f"The warehouse is starting or has no time (HTTP {error.code})"
                seconds = pause(failures, at_least=error.seconds)
            except ConnectionLostError as error:
                if failures + 1 >= patience.tries or (error.sent and not patience.repeatable):
                    raise self._not_reached(error, patience) from error
                seconds = pause(failures)
            else:
                run.call.waiting_for = ""
                return found
            failures += 1
            run.stop.wait(seconds)
        raise StoppedError

    def _not_let_in(self, error: SignInRefusedError) -> EngineUnavailable:
        return EngineUnavailable(
            f"The warehouse does not accept the sign-in ({error}). Check {self._sign_in.variables}: a token may have "
            "expired. The identity needs CAN USE on the warehouse."
        )

    def _not_reached(self, error: ConnectionLostError, patience: Patience) -> EngineUnavailable:
        if error.sent and not patience.repeatable:
            return EngineUnavailable(
                f"The warehouse was lost while the query was sent: {error}. It may have begun there; it was not sent "
                "again. Ask again."
            )
        return EngineUnavailable(
            f"The warehouse cannot be reached: {error}. Check DATABRICKS_HOST, the network and the proxy. Ask again."
        )
