"""Logging and exit codes of the programs, which never show a traceback."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable
from typing import Any, NoReturn

from lakehouse.errors import LakehouseError
from lakehouse.escaping import cut_text, escape_controls, escape_lines

log = logging.getLogger(__name__)

_MOST_MESSAGE_CHARS = 8_192
_MOST_TRACE_CHARS = 32_768
_UNREAD_OUTPUT = 141
"""128 and the number of SIGPIPE, as shells report it."""


class LineFormatter(logging.Formatter):
    """Formats a record in one line; lines of a traceback are indented, so that none looks like a record.

    Libraries log what clients send, and all of it passes the root handler.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        return escape_controls(cut_text(super().formatMessage(record), _MOST_MESSAGE_CHARS))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return _indent_trace(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return _indent_trace(stack_info)


def set_up_logging(level: str) -> None:
    """Log to stderr, one line per record."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


def tell(text: str) -> None:
    """Print a text on stderr, safe for a terminal."""
    print(escape_lines(text), file=sys.stderr, flush=True)


def leave(name: str, work: Callable[[], int]) -> NoReturn:
    """Run the program `name` and exit with the code that `work` returns.

    A LakehouseError is printed on stderr and has an exit code of its own; Ctrl-C is 130. Of any other exception only
    the type is printed, with a correlation id under which the log at DEBUG has the rest, and the code is 1. Where
    whoever reads stdout has stopped (`| head`), nothing is said: the code is that of a program that ends by SIGPIPE.
    """
    try:
        code = work()
        if not sys.stdout.closed:
            sys.stdout.flush()
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except LakehouseError as error:
        tell(f"{name}: {error}")
        sys.exit(error.exit_code)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _drop_unread_output():
            sys.exit(_UNREAD_OUTPUT)
        correlation_id = uuid.uuid4().hex[:12]
        tell(
            f"{name}: an unforeseen {type(error).__name__}, correlation id {correlation_id}. "
            "Set IMDB_LOG_LEVEL=DEBUG and run it again to see where."
        )
        log.debug("correlation id %s", correlation_id, exc_info=error)
        raise SystemExit(1) from error


def _drop_unread_output() -> bool:
    """Whether nobody reads stdout any more; then what is left for it goes nowhere, so that no later flush fails."""
    from lakehouse.system import is_unread  # not at every start

    if not is_unread(sys.stdout.fileno()):
        return False
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return True


def _indent_trace(trace: str) -> str:
    """Indent the end of a traceback, which names the failure."""
    lines = escape_lines(trace[-_MOST_TRACE_CHARS:]).split("\n")
    return "\n".join(f"    {line}" for line in lines)
