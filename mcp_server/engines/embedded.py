"""The embedded engine: Sail in a child process, under a memory ceiling and in a network of its own."""

from __future__ import annotations

import json
import logging
import os

from lakehouse.storage import Lake
from mcp_server.engines.catalog import LakeCatalog
from mcp_server.engines.catalogs import open_tables
from mcp_server.engines.local import EngineSpec, LocalEngine
from mcp_server.engines.pinned import LOG_THREADS
from mcp_server.settings import Settings

log = logging.getLogger(__name__)

_OWN_MB = 256
"""Memory that the process itself needs, before any query."""
_QUERY_MB = 128
"""Minimal memory of each concurrent query: with more queries, they would end the process together."""
_POOL_SHARE = 0.4
"""Share of the remaining memory that sorts, joins and aggregates may use before they spill to disk.

Measured under 2 GiB on 7 million rows (docs/engines.md): without a pool an aggregate ended the
process; with 20 % in a `fair` pool all spilled and finished; a `greedy` pool failed a sort.
"""
_SPILL_SHARE = 0.9
"""Share of the cap on temporary files that one session may fill: its statement fails before the process is ended."""


_STOP_SECONDS = 5
"""How long a stopped query may take to end its last batches while many others also get processor time."""

_MOST_ANSWERS = 5_000
"""Sail 0.7.2 keeps 60 to 170 KB of each statement, even of `SELECT 1`, for as long as its process lives."""

_SPARE_THREADS = 4
_MOST_BUSY = 28
_THREAD_MB = 28
"""Writable address space that a thread of each of Sail's runtimes reserves: stacks of 8 MiB, its allocator's pages.

Measured at 768 MiB while a sort spills: 763 MiB reserved and 485 in use with two threads, 1,251 and 563 with twenty.
"""


def _count_queries(settings: Settings) -> int:
    """Return the maximum of concurrent queries: no more than the memory ceiling has room for."""
    return max(1, min(settings.max_concurrent_queries, _left_mb(settings) // _QUERY_MB))


def _left_mb(settings: Settings) -> int:
    """Return the memory that the ceiling leaves for queries, in MiB."""
    return max(settings.engine_ceiling_mb - _OWN_MB, settings.engine_ceiling_mb // 4)


def _count_threads(settings: Settings) -> int:
    """Return the number of threads of each of Sail's runtimes: more than queries can keep busy.

    Sail answers interrupts on the threads that it computes on. A join computes for seconds without a pause; where
    every thread does, an interrupt waits, and its process is ended for it. Measured on two cores with six joins
    at once: with two threads none was stopped within 2 s, with twenty all were within 1.3 s, for the same CPU time.
    """
    cores = os.cpu_count() or 1
    return max(cores, min(cores * settings.max_concurrent_queries, _MOST_BUSY)) + _SPARE_THREADS


class EmbeddedEngine(LocalEngine):
    """Needs the `embedded` extra and no Java. Raises UsageError where the lake is a catalogue of another engine."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        schema = settings.schema_name
        threads = _count_threads(settings)
        log.info("The embedded engine may use %d MiB (IMDB_ENGINE_MEMORY_MB).", settings.engine_ceiling_mb)
        config = {
            "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
            "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(int((_left_mb(settings) << 20) * _POOL_SHARE)),
            "SAIL_RUNTIME__TEMPORARY_FILES__MAX_SIZE": str(int((settings.engine_temp_mb << 20) * _SPILL_SHARE)),
            "SAIL_CATALOG__DEFAULT_DATABASE": json.dumps([schema]),
            "SAIL_CATALOG__LIST": f'[{{name="sail", type="memory", initial_database=["{schema}"], '
            'initial_database_comment=""}]',
        }
        super().__init__(
            EngineSpec(
                kind="embedded",
                config=config,
                environment={
                    # In KiB. By default the allocator reserves 1 GiB at once, which counts towards the ceiling.
                    "MIMALLOC_ARENA_RESERVE": "65536",
                    # Set before the process begins: `open_session` is too late for some of Rust in it.
                    "RUST_BACKTRACE": "0",
                    "TOKIO_WORKER_THREADS": str(threads),
                },
                # What idle threads reserve counts towards the limit, and is no memory in use; some write pinned logs.
                memory_mb=settings.engine_ceiling_mb + (threads + LOG_THREADS) * _THREAD_MB,
                ceiling_mb=settings.engine_ceiling_mb,
                isolation=settings.engine_isolation,
                start_seconds=60,
                stop_seconds=_STOP_SECONDS,
                plain_paths=True,
                reads_lake_only=True,
                caches=(),
                catalog="session",
                queries=_count_queries(settings),
                most_answers=_MOST_ANSWERS,
                serves_storage=True,
            ),
            open_tables(lake, settings) if lake.is_asked else LakeCatalog(lake),
            settings,
        )
