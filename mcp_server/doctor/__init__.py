"""`imdb-mcp doctor`: checks what the server needs, says what to do, and prints no secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import partial

from lakehouse.errors import LakehouseError
from lakehouse.escaping import escape_controls
from mcp_server.doctor.findings import LEVELS, Finding
from mcp_server.doctor.lake import check_lake
from mcp_server.doctor.machine import check_clock, check_extras, check_identity, check_memory, check_python
from mcp_server.doctor.provider import check_provider
from mcp_server.settings import Settings

log = logging.getLogger(__name__)

_NAME_WIDTH = max(map(len, LEVELS))


def examine_installation(settings: Settings, *, online: bool, strict: bool, as_json: bool) -> int:
    """Print a line for each finding. The exit code is 1 where there is a failure, with `strict` also a warning, else 0.

    `online` asks the model's provider, and an engine that costs.
    """
    checks: Mapping[str, Callable[[Settings], Iterable[Finding]]] = {
        "python": check_python,
        "extras": check_extras,
        "memory": check_memory,
        "identity": check_identity,
        "clock": check_clock,
        "lake": partial(check_lake, online=online),
        "provider": partial(check_provider, online=online),
    }
    found = []
    for name, check in checks.items():
        for finding in _run_check(name, check, settings):
            found.append(finding)
            if not as_json:
                _print_finding(finding)
    worst = max((finding.level for finding in found), key=LEVELS.index)
    if as_json:
        print(json.dumps({"level": worst, "findings": [asdict(finding) for finding in found]}, indent=2))
    return int(worst == "failure" or (strict and worst == "warning"))


def _run_check(name: str, check: Callable[[Settings], Iterable[Finding]], settings: Settings) -> Iterator[Finding]:
    """Yield what a check finds. What it fails at is a finding too, so that the others still run."""
    try:
        yield from check(settings)
    except LakehouseError as error:
        yield Finding(name, "failure", str(error))
    except OSError as error:
        yield Finding(name, "failure", f"{error.filename or name}: {error.strerror or type(error).__name__}")
    except Exception as error:
        log.debug("the failure in full", exc_info=error)
        yield Finding(
            name, "failure", f"an unforeseen {type(error).__name__}", "Set IMDB_LOG_LEVEL=DEBUG to see where."
        )


def _print_finding(finding: Finding) -> None:
    print(f"{finding.level:{_NAME_WIDTH}}  {finding.check:8}  {escape_controls(finding.text)}")
    if finding.advice:
        print(f"{'':{_NAME_WIDTH}}  {'':8}  → {escape_controls(finding.advice)}", flush=True)
