"""The rows of statements that have ended, for paging and for files.

In memory, not in files: they are rows of the lake, and so nothing of them outlives the process, however it ends, and no
other user and no backup sees them. Compressed Arrow, so that what they take is known to the byte.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lakehouse.errors import QueryError
from lakehouse.escaping import quote_briefly
from mcp_server.models import ResultSet
from mcp_server.results.cutting import take_rows, to_stream

if TYPE_CHECKING:
    import pyarrow as pa

MOST_KEPT = 20
"""Results that one caller may have at once; the oldest makes room."""

_SHARE = 8
"""How many of the largest results fit into the memory for all of them."""


class UnknownResultError(QueryError):
    """No such result, or one of another caller, which is told in the same words."""

    code = "unknown_result"


@dataclass(frozen=True)
class KeptRows:
    """Some rows of a kept result, beginning with row `offset`.

    `kept` is how many rows are kept of it, `total` how many the statement has, None where nobody counted them.
    """

    result: ResultSet
    offset: int
    kept: int
    total: int | None

    @property
    def table(self) -> pa.Table:
        return self.result.table

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(str(name) for name in self.result.table.column_names)

    @property
    def types(self) -> tuple[str, ...]:
        """Spark's names of the columns' types."""
        return self.result.types

    @property
    def is_whole(self) -> bool:
        """Whether all rows of the statement are kept."""
        return self.kept == self.total


@dataclass(frozen=True)
class _KeptEntry:
    """A kept result. `stream` holds the rows in Arrow's stream format; `shown` is the rest of it, without rows."""

    caller: str
    expires: float
    stream: Any
    shown: ResultSet
    kept: int
    total: int | None


class KeptResults:
    """The results of this process. Safe for several threads.

    Within `most_bytes` in all, of which one result has an eighth at most: then its first rows are kept. Where room is
    wanting, the caller who holds most loses its oldest result.
    """

    def __init__(self, most_bytes: int, keep_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most_bytes = most_bytes
        self.most_bytes_each = most_bytes // _SHARE
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._changing = threading.Lock()
        self._entries: dict[str, _KeptEntry] = {}  # by query id, the oldest first; read and written under `_changing`

    def keep(self, query_id: str, caller: str, result: ResultSet, total: int | None) -> None:
        """Keep what an engine answered. `total` is how many rows the statement has, None where nobody counted them."""
        table = take_rows(result.table, self.most_bytes_each)
        missing = {place: chars for place, chars in result.missing.items() if place[0] < table.num_rows}
        stream = to_stream(table, compression="lz4")
        shown = replace(result, table=table.slice(0, 0), rows=None, missing=missing)
        expires = self._clock() + self._keep_seconds
        with self._changing:
            self._entries.pop(query_id, None)
            self._entries[query_id] = _KeptEntry(caller, expires, stream, shown, table.num_rows, total)
            self._make_room(caller)

    def read(self, query_id: str, caller: str, offset: int = 0, limit: int | None = None) -> KeptRows:
        """Read some rows of a caller's result, all behind `offset` where there is no `limit`; none behind the last.

        Raises UnknownResultError.
        """
        import pyarrow as pa

        with self._changing:
            self._drop_expired()
            entry = self._entries.get(query_id)
        if entry is None or entry.caller != caller:
            raise UnknownResultError(
                f"No rows are kept of a query {quote_briefly(query_id)}: a query_id comes from the answer of a SELECT, "
                f"belongs to its caller, and its rows are kept {self._keep_seconds / 60:g} minutes, while there is "
                "room. Run the statement again."
            )
        whole = pa.ipc.open_stream(entry.stream).read_all()
        table = whole.slice(offset, limit)
        missing = {
            (row - offset, column): chars
            for (row, column), chars in entry.shown.missing.items()
            if offset <= row < offset + table.num_rows
        }
        return KeptRows(replace(entry.shown, table=table, missing=missing), offset, entry.kept, entry.total)

    def close(self) -> None:
        """Drop all of them."""
        with self._changing:
            self._entries.clear()

    def _make_room(self, caller: str) -> None:
        """Drop what has expired, then what is one too many of the caller, then the oldest of who holds most."""
        self._drop_expired()
        own = [query_id for query_id, entry in self._entries.items() if entry.caller == caller]
        for query_id in own[:-MOST_KEPT]:
            del self._entries[query_id]
        held: Counter[str] = Counter()
        for entry in self._entries.values():
            held[entry.caller] += entry.stream.size
        while held.total() > self._most_bytes:
            ((most, _),) = held.most_common(1)
            oldest = next(query_id for query_id, entry in self._entries.items() if entry.caller == most)
            held[most] -= self._entries.pop(oldest).stream.size

    def _drop_expired(self) -> None:
        now = self._clock()
        for query_id in [query_id for query_id, entry in self._entries.items() if entry.expires <= now]:
            del self._entries[query_id]
