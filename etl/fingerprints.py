"""Fingerprints of a source file: which groups of its lines differ from those of the file that was loaded.

The lines of IMDb's files come in the order of their first field, the id of a title or person. A group is the lines
from one id to the next whose number has a factor, such as 25: the lines of an id are never apart, and a line that is
added or removed moves no other group. A load stores 64 bits for each group, so that an update parses only the groups
that changed.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lakehouse.storage import Lake

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_NEWLINE, _TAB = 10, 9
KEY_BYTES: Final = 16
"""Ids are compared up to this length."""


@dataclass(frozen=True)
class Fingerprint:
    """The groups of a file in order: the first id, a hash of the lines, and the number of the first line, from 1.

    The first group begins before all ids.
    """

    starts: npt.NDArray[np.bytes_]
    hashes: npt.NDArray[np.uint64]
    first_lines: npt.NDArray[np.int64]

    def to_bytes(self) -> bytes:
        """Encode the fingerprint as a compressed NumPy archive."""
        import numpy as np

        out = io.BytesIO()
        np.savez_compressed(out, starts=self.starts, hashes=self.hashes, lines=np.diff(self.first_lines, prepend=0))
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Fingerprint:
        """Decode a fingerprint. Raises ValueError, KeyError, OSError or zipfile.BadZipFile for anything else."""
        import numpy as np

        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return cls(found["starts"], found["hashes"], np.cumsum(found["lines"]))

    def to_hashes(self) -> dict[bytes, int]:
        """Map the first id of each group to its hash."""
        return dict(zip(self.starts.tolist(), self.hashes.tolist(), strict=True))


FINGERPRINTS_FOLDER: Final = "_fingerprints"


def store_fingerprint(lake: Lake, sha256: str, fingerprint: Fingerprint | None) -> None:
    """Store the fingerprint of a source file, given the SHA-256 of that file."""
    if fingerprint is not None:
        lake.replace_file(name_fingerprint(sha256), fingerprint.to_bytes())


def read_fingerprint(lake: Lake, sha256: str) -> Fingerprint | None:
    """Read the fingerprint of a source file, None where there is none, or none that can be read."""
    data = lake.read_file(name_fingerprint(sha256))
    try:
        return None if data is None else Fingerprint.from_bytes(data)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile):
        return None


def name_fingerprint(sha256: str) -> str:
    """The file of the fingerprint of a source file, below the lake."""
    return f"{FINGERPRINTS_FOLDER}/{sha256[:32]}.npz"


OnGroup = Callable[[bytes, bytes, int, int], None]
"""Called with the first id of a group, its lines, its hash, and the number of its first line."""


@dataclass
class Fingerprinter:
    """Computes the fingerprint of a file from its blocks of whole lines.

    `prefix` begins every id (`tt`, `nm`). A group begins at an id that `factor`, of 100, divides. Lines without an id
    belong to the group of the line before them. `on_group` gets each group once it is complete. `ordered` is false
    where the ids do not come in order, or one is too long: then there is no fingerprint.
    """

    prefix: bytes
    factor: int
    on_group: OnGroup = lambda *_: None
    ordered: bool = True
    lines: int = 0
    _start: bytes = b""
    _first_line: int = 1
    _pending: list[bytes] = field(default_factory=list)
    _last: bytes = b""
    _groups: list[tuple[bytes, int, int]] = field(default_factory=list)

    def add_block(self, block: bytes) -> None:
        """Read a block of whole lines."""
        import numpy as np

        ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _NEWLINE)
        first_line = self.lines + 1
        self.lines += len(ends)
        if not self.ordered:
            return
        offsets = np.concatenate(([0], ends[:-1] + 1))
        numbers, ids, self.ordered = _find_ids(block, offsets, self.prefix)
        if len(ids) and ids[0] == self._last:  # its lines began in the block before
            numbers, ids = numbers[1:], ids[1:]
        self._check_order(ids)
        cut = _begins_group(ids, self.factor)
        numbers, ids = numbers[cut], ids[cut]
        place = 0
        for number, key in zip(numbers.tolist(), ids.tolist(), strict=True):
            offset = int(offsets[number])
            self._pending.append(block[place:offset])
            self._close_group()
            self._start, self._first_line, place = key, first_line + number, offset
        self._pending.append(block[place:])

    def finish(self) -> Fingerprint | None:
        """Close the last group, and return the fingerprint; None where the ids do not come in order."""
        import numpy as np

        self._close_group()
        if not self.ordered:
            return None
        starts, hashes, lines = zip(*self._groups, strict=True)
        return Fingerprint(np.array(starts, f"S{KEY_BYTES}"), np.array(hashes, np.uint64), np.array(lines, np.int64))

    def _close_group(self) -> None:
        lines = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        digest = int.from_bytes(hashlib.sha256(lines).digest()[:8], "big")
        self._groups.append((self._start, digest, self._first_line))
        self.on_group(self._start, lines, digest, self._first_line)

    def _check_order(self, ids: npt.NDArray[np.bytes_]) -> None:
        if len(ids):
            self.ordered = self.ordered and bool(self._last <= ids[0] and (ids[1:] > ids[:-1]).all())
            self._last = ids[-1]


def _find_ids(block: bytes, offsets: npt.NDArray[Any], prefix: bytes) -> tuple[Any, Any, bool]:
    """Find the lines whose first field is an id that differs from the line's before them.

    Returns their numbers from 0, their ids, and whether no id is longer than 16 bytes.
    """
    import numpy as np

    padded = block + bytes(KEY_BYTES)
    items = np.ndarray((len(block),), f"V{KEY_BYTES}", padded, strides=(1,))[offsets]
    words = items.view(">u8").reshape(-1, 2).astype(np.uint64)
    lengths = _measure_fields(items.view(np.uint8).reshape(-1, KEY_BYTES), words)
    # Bytes behind the first field become zero.
    masks = np.array([0, *(~((1 << 8 * (8 - kept)) - 1) & (1 << 64) - 1 for kept in range(1, 9))], np.uint64)
    words[:, 0] &= masks[np.minimum(lengths, 8)]
    words[:, 1] &= masks[np.maximum(lengths, 8) - 8]
    is_id = words[:, 0] >> np.uint64(48) == int.from_bytes(prefix, "big")
    numbers = np.flatnonzero(is_id)
    words, lengths = words[numbers], lengths[numbers]
    first = np.ones(len(numbers), bool)
    first[1:] = (words[1:] != words[:-1]).any(axis=1)
    ids = words[first].astype(">u8").view(f"S{KEY_BYTES}").ravel()
    return numbers[first], ids, bool((lengths < KEY_BYTES).all())


def _begins_group(ids: npt.NDArray[np.bytes_], factor: int) -> npt.NDArray[np.bool_]:
    """Whether a group begins at each id: whether `factor` divides the number of its last two digits."""
    import numpy as np

    grid = ids.view(np.uint8).reshape(len(ids), KEY_BYTES).astype(np.int16) - ord("0")
    rows, lengths = np.arange(len(ids)), (grid != -ord("0")).sum(axis=1)
    numbers = grid[rows, lengths - 2] * 10 + grid[rows, lengths - 1]
    begins: npt.NDArray[np.bool_] = numbers % factor == 0
    return begins


def _measure_fields(grid: npt.NDArray[np.uint8], words: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """Return the length of the first field of each line, 16 where it is longer than 15 bytes."""
    import numpy as np

    lengths = np.full(len(grid), KEY_BYTES)
    short = np.flatnonzero(_has_byte(words[:, 0], _TAB) | _has_byte(words[:, 0], _NEWLINE))
    rest = np.arange(len(grid)) if not len(short) else np.setdiff1d(np.arange(len(grid)), short, assume_unique=True)
    for place in range(8, KEY_BYTES):
        ends = (grid[rest, place] == _TAB) | (grid[rest, place] == _NEWLINE)
        lengths[rest[ends]] = place
        rest = rest[~ends]
        if not len(rest):
            break
    lengths[short] = ((grid[short, :8] == _TAB) | (grid[short, :8] == _NEWLINE)).argmax(axis=1)
    return lengths


def _has_byte(words: npt.NDArray[np.uint64], byte: int) -> npt.NDArray[np.bool_]:
    """Whether one of the eight bytes of each word is `byte` (Bit Twiddling Hacks, "haszero")."""
    import numpy as np

    ones = np.uint64(0x0101010101010101)
    found = words ^ (ones * np.uint64(byte))
    is_there: npt.NDArray[np.bool_] = ((found - ones) & ~found & (ones << np.uint64(7))) != 0
    return is_there
