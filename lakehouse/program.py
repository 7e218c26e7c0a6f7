"""How a program of this project logs, and how it ends: with an exit code, and never with a trace on the screen."""

from __future__ import annotations

import logging
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


class LineFormatter(logging.Formatter):
    """One line for one record, whatever was logged; lines of a trace are indented, so that none looks like a record.

    Libraries log what clients send. The root handler is the one place that all of it passes.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        return escape_controls(cut_text(super().formatMessage(record), _MOST_MESSAGE_CHARS))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return _indent_trace(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return _indent_trace(stack_info)


def set_up_logging(level: str) -> None:
    """Log to stderr, a line a record."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


def tell(text: str) -> None:
    """Say something on stderr, which may be a terminal."""
    print(escape_lines(text), file=sys.stderr, flush=True)


def leave(name: str, work: Callable[[], int]) -> NoReturn:
    """Do the work of the program `name` and leave with the exit code that it gives.

    A LakehouseError is said on stderr and has an exit code of its own; Ctrl-C is 130; of anything else only its kind
    is said, with a correlation id under which the log at DEBUG has the rest, and the code is 1.
    """
    try:
        sys.exit(work())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except LakehouseError as error:
        tell(f"{name}: {error}")
        sys.exit(error.exit_code)
    except Exception as error:
        correlation_id = uuid.uuid4().hex[:12]
        tell(
            f"{name}: an unforeseen {type(error).__name__}, correlation id {correlation_id}. "
            "Set IMDB_LOG_LEVEL=DEBUG and run it again to see where."
        )
        log.debug("correlation id %s", correlation_id, exc_info=error)
        raise SystemExit(1) from error


def _indent_trace(trace: str) -> str:
    """The end of a trace, which names the failure."""
    lines = escape_lines(trace[-_MOST_TRACE_CHARS:]).split("\n")
    return "\n".join(f"    {line}" for line in lines)
