"""Refuses logs whose JSON is nested so deeply that the stack of a reader in native code overflows."""

from __future__ import annotations

from typing import Final

from lakehouse.delta.folder import TableLog

_MOST_NESTED: Final = 400
"""Ten times the depth for a table with nested columns. deltalake 1.6 read 900 levels and crashed at 100,000."""
_OPEN, _CLOSE = b"[{", b"]}"
_OTHERS: Final = bytes(set(range(256)) - set(_OPEN + _CLOSE))
_STEPS: Final = bytes.maketrans(_OPEN + _CLOSE, b"\x01\x01\xff\xff")
"""What each bracket adds to the depth, as a signed byte."""


def check_nesting(log: TableLog) -> None:
    """Raise LakeError for such a log. Brackets in strings count: statistics are JSON in a string that readers parse."""
    newest = log.checkpoints[0] if log.checkpoints else None
    names = [name for version, name in log.commits.items() if newest is None or version > newest.version]
    names += [name for name in (newest.files if newest else ()) if name.endswith(".json")]
    for name in names:
        data = log.read(name)
        if _measure_depth(data) > _MOST_NESTED:
            for _ in log.actions(name):  # each line must be JSON by itself, so that none continues in the next
                pass
            if any(_measure_depth(line) > _MOST_NESTED for line in data.splitlines()):
                raise log.as_damaged(f"{name} is nested more than {_MOST_NESTED} levels deep")


def _measure_depth(text: bytes) -> int:
    """The maximum of open brackets, in strings too."""
    import pyarrow as pa
    import pyarrow.compute as pc

    steps = text.translate(_STEPS, _OTHERS)
    column = pa.Array.from_buffers(pa.int8(), len(steps), [None, pa.py_buffer(steps)])
    return pc.max(pc.cumulative_sum(column.cast(pa.int64()))).as_py() or 0
