"""What an AI function is applied to: keys and facts of a lake, as an engine that is open finds them."""

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

_MOST_BYTES = 1 << 30


def table_locations(lake: Lake) -> dict[str, tuple[str, int]]:
    """Where each table lies, and the version that belongs to the others."""
    manifest = None if lake.kind is LakeKind.CATALOG else read_manifest(lake)
    if manifest is None:
        raise LakeError(f"There is no lake at {lake}. Make one with: imdb-etl load --source DIR --lake {lake}")
    return {name: (lake.table_location(entry.path), entry.version) for name, entry in manifest.tables.items()}


class FactSource:
    """What a function is applied to, as an open engine finds it."""

    def __init__(self, session: EngineSession, function: AiFunction) -> None:
        self.session = session
        self._function = function

    def keys(self, select: str | None, most: int) -> list[str]:
        """The first keys that `select` gives, or the function's own section `every`, in their order, each once.

        Raises UsageError where the statement fails or gives anything else.
        """
        function = self._function
        statement = select or function.statements.get(EVERY)
        if statement is None:
            raise UsageError(
                f"{function.name} does not say what all there is. Add --select SQL that gives {function.key}."
            )
        columns = self._query(statement, most).columns
        found = list(dict.fromkeys(columns[0].to_pylist() if columns else []))
        wrong = next((key for key in found if not (isinstance(key, str) and function.is_key(key))), None)
        if wrong is not None or not columns:
            raise UsageError(f"--select has to give a {function.key} in its first column; it gave {wrong!r}.")
        return found

    def facts(self, keys: Sequence[str]) -> list[Facts]:
        """What the lake knows of some keys, in their order; nothing of those that it does not know."""
        function = self._function
        listed = ", ".join(f"'{key}'" for key in keys)  # each has the form of a key: no quote is in it
        rows = {
            section: _records(self._query(function.statements[section].replace(":keys", listed)))
            for section in ("facts", *function.details)
        }
        found = function.gather_facts(rows.pop("facts"), rows)
        return [found[key] for key in keys if key in found]

    def _query(self, sql: str, most_rows: int = (1 << 31) - 1) -> Any:
        from pyspark.errors import PySparkException

        try:
            return run_query(self.session.spark, sql, most_rows, _MOST_BYTES).table
        except PySparkException as error:
            reason = str(error).strip().splitlines()[0]
            raise UsageError(
                f"The lake cannot be asked for what the function needs, or for --select: {reason}"
            ) from error


def _records(table: Any) -> list[dict[str, Any]]:
    """Rows as records that JSON can hold, of the same values that the server gives for the same facts."""
    return [{name: _json_safe(value) for name, value in row.items()} for row in table.to_pylist()]


def _json_safe(value: Any) -> Any:
    match value:
        case Decimal():
            return f"{value:f}"
        case datetime() | date():
            return value.isoformat()
    return value
