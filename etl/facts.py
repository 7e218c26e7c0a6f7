"""Reads the keys and facts that an AI function is applied to, through an open engine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ai_functions.functions import EVERY, AiFunction
from ai_functions.types import Facts
from lakehouse.errors import LakeError, UsageError
from lakehouse.manifest import read_manifest
from lakehouse.session import EngineSession, run_query
from lakehouse.storage import Lake, LakeKind

_MAX_BYTES = 1 << 30


def locate_tables(lake: Lake) -> dict[str, tuple[str, int]]:
    """Return location and published version of each table. Raises LakeError if there is no lake."""
    manifest = None if lake.kind is LakeKind.CATALOG else read_manifest(lake)
    if manifest is None:
        raise LakeError(f"There is no lake at {lake}. Make one with: imdb-etl load --source DIR --lake {lake}")
    return {name: (lake.table_location(entry.path), entry.version) for name, entry in manifest.tables.items()}


class FactSource:
    """Keys and facts of an AI function, read through an open engine."""

    def __init__(self, session: EngineSession, function: AiFunction) -> None:
        self.session = session
        self._function = function

    def list_keys(self, select: str | None, most: int) -> list[str]:
        """Return the first `most` keys of `select`, or of the function's section `every`, in order without repeats.

        Raises UsageError if the statement fails or does not return keys.
        """
        function = self._function
        statement = select or function.statements.get(EVERY)
        if statement is None:
            raise UsageError(
                f"{function.name} does not say what all there is. Add --select SQL that gives {function.key}."
            )
        columns = self._run_query(statement, most).columns
        found = list(dict.fromkeys(columns[0].to_pylist() if columns else []))
        wrong = next((key for key in found if not (isinstance(key, str) and function.is_key(key))), None)
        if wrong is not None or not columns:
            raise UsageError(f"--select has to give a {function.key} in its first column; it gave {wrong!r}.")
        return found

    def fetch_facts(self, keys: Sequence[str]) -> list[Facts]:
        """Return the facts of the keys in order, without those that the lake does not have."""
        function = self._function
        listed = ", ".join(f"'{key}'" for key in keys)  # the form of a key excludes quotes
        rows = {
            section: _to_records(self._run_query(function.statements[section].replace(":keys", listed)))
            for section in ("facts", *function.details)
        }
        found = function.gather_facts(rows.pop("facts"), rows)
        return [found[key] for key in keys if key in found]

    def _run_query(self, sql: str, most_rows: int = (1 << 31) - 1) -> Any:
        from pyspark.errors import PySparkException

        try:
            return run_query(self.session.spark, sql, most_rows, _MAX_BYTES).table
        except PySparkException as error:
            reason = str(error).strip().splitlines()[0]
            raise UsageError(
                f"The lake cannot be asked for what the function needs, or for --select: {reason}"
            ) from error


def _to_records(table: Any) -> list[dict[str, Any]]:
    """Convert rows to JSON-safe records, with the same values as the server's."""
    return [{name: _to_json_safe(value) for name, value in row.items()} for row in table.to_pylist()]


def _to_json_safe(value: Any) -> Any:
    match value:
        case Decimal():
            return f"{value:f}"
        case datetime() | date():
            return value.isoformat()
    return value
