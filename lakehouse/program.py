"""How a program of this project ends: with an exit code, and never with a trace on the screen."""

from __future__ import annotations

import logging
import signal
import sys
import uuid
from collections.abc import Callable
from typing import NoReturn

from lakehouse.errors import LakehouseError

log = logging.getLogger(__name__)


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
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        correlation_id = uuid.uuid4().hex[:12]
        print(
            f"{name}: an unforeseen {type(error).__name__}, correlation id {correlation_id}. "
            "Set IMDB_LOG_LEVEL=DEBUG and run it again to see where.",
            file=sys.stderr,
        )
        log.debug("correlation id %s", correlation_id, exc_info=error)
        raise SystemExit(1) from error
