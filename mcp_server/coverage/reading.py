"""Reads what a load counted of a lake, and which nulls its context calls no gaps. It never fails a statement."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.context import Context, read_context
from lakehouse.coverage import Coverage, read_coverage
from lakehouse.errors import LakeError
from lakehouse.manifest import read_manifest
from lakehouse.storage import Lake, LakeKind
from mcp_server.models import TableInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownCoverage:
    """What was counted of the lake, None where nothing was, and what its context says of that."""

    counted: Coverage | None = None
    context: Context = field(default_factory=Context)


class CoverageReader:
    """Reads the coverage of a lake, again where its tables have changed. Thread-safe."""

    def __init__(self, lake: Lake | None, context_dir: Path | None = None) -> None:
        """`lake` is None where nothing is known of it but its tables."""
        self._lake = lake if lake is not None and lake.kind is not LakeKind.CATALOG else None
        self._context_dir = context_dir
        self._latest: tuple[Sequence[TableInfo], KnownCoverage] = ((), KnownCoverage())

    def read(self, tables: Sequence[TableInfo]) -> KnownCoverage:
        """Return what is known of a lake that holds `tables`."""
        seen, known = self._latest  # one reference: another thread replaces it as a whole
        if self._lake is not None and seen != tables:
            known = self._read_files(self._lake)
            self._latest = tables, known
        return known

    def _read_files(self, lake: Lake) -> KnownCoverage:
        try:
            manifest = read_manifest(lake)
            counted = None if manifest is None else read_coverage(lake, manifest.generation)
            return KnownCoverage() if counted is None else KnownCoverage(counted, self._read_context(lake))
        except (LakeError, OSError) as error:
            log.warning("The coverage of the lake cannot be read, so answers warn of no gaps: %s", error)
            return KnownCoverage()

    def _read_context(self, lake: Lake) -> Context:
        try:
            return read_context(lake, self._context_dir)
        except (LakeError, OSError) as error:
            log.warning("Answers may warn of nulls that are none of the lake's gaps: %s", error)
            return Context()
