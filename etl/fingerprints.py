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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from lakehouse.storage import Lake

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_NEWLINE, _TAB = 10, 9
KEY_BYTES: Final = 16
"""Ids are compared up to this length."""
_ALL_BITS: Final = (1 << 64) - 1
_ONES: Final = 0x0101010101010101
"""A one in each byte of a word."""


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

    @classmethod
    def concatenate(cls, parts: Sequence[Fingerprint]) -> Fingerprint:
        """Join fingerprints of consecutive lines."""
        import numpy as np

        starts, hashes, first_lines = zip(
            *((each.starts, each.hashes, each.first_lines) for each in parts), strict=True
        )
        return cls(np.concatenate(starts), np.concatenate(hashes), np.concatenate(first_lines))

    def find_groups(self, others: Fingerprint) -> npt.NDArray[np.intp]:
        """Return the place here of each group of another fingerprint, -1 for one that is not here or differs."""
        import numpy as np

        places = np.minimum(np.searchsorted(self.starts, others.starts), len(self.starts) - 1)
        same = (self.starts[places] == others.starts) & (self.hashes[places] == others.hashes)
        return np.where(same, places, -1)


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


OnGroups = Callable[[Fingerprint, Sequence[bytes]], None]
"""Called with groups that are complete, and the lines of each."""


@dataclass
class Fingerprinter:
    """Computes the fingerprint of a file from its blocks of whole lines.

    `prefix` begins every id (`tt`, `nm`). A group begins at an id that `factor`, of 100, divides. Lines without an id
    belong to the group of the line before them. `on_groups` gets groups once they are complete. `ordered` is false
    where the ids do not come in order, or one is too long: then there is no fingerprint.
    """

    prefix: bytes
    factor: int
    on_groups: OnGroups = lambda *_: None
    ordered: bool = True
    lines: int = 0
    _start: bytes = b""
    _first_line: int = 1
    _pending: list[bytes] = field(default_factory=list)
    _last: bytes = b""
    _parts: list[Fingerprint] = field(default_factory=list)

    def add_block(self, block: bytes, ends: npt.NDArray[np.intp] | None = None) -> None:
        """Read a block of whole lines. `ends` are the positions of its line feeds, where the caller knows them."""
        import numpy as np

        if ends is None:
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
        begins = _begins_group(ids, self.factor)
        numbers, ids = numbers[begins], ids[begins]
        cuts = offsets[numbers].tolist()
        self._pending.append(block[: cuts[0]] if cuts else block)
        if cuts:
            texts = [b"".join(self._pending), *(block[place:end] for place, end in pairwise(cuts))]
            self._close_groups([self._start, *ids[:-1]], [self._first_line, *(numbers[:-1] + first_line)], texts)
            self._start, self._first_line, self._pending = ids[-1], int(numbers[-1]) + first_line, [block[cuts[-1] :]]

    def finish(self) -> Fingerprint | None:
        """Close the last group, and return the fingerprint; None where the ids do not come in order."""
        self._close_groups([self._start], [self._first_line], [b"".join(self._pending)])
        return Fingerprint.concatenate(self._parts) if self.ordered else None

    def _close_groups(self, starts: Sequence[bytes], first_lines: Sequence[int], texts: Sequence[bytes]) -> None:
        import numpy as np

        digests = b"".join([hashlib.sha256(lines).digest() for lines in texts])
        groups = Fingerprint(
            np.array(starts, f"S{KEY_BYTES}"),
            np.frombuffer(digests, ">u8")[::4].astype(np.uint64),  # the first of the four words of each
            np.array(first_lines, np.int64),
        )
        self._parts.append(groups)
        self.on_groups(groups, texts)

    def _check_order(self, ids: npt.NDArray[np.bytes_]) -> None:
        if len(ids):
            self.ordered = self.ordered and bool(self._last <= ids[0] and (ids[1:] > ids[:-1]).all())
            self._last = ids[-1]


def _find_ids(block: bytes, offsets: npt.NDArray[Any], prefix: bytes) -> tuple[Any, Any, bool]:
    """Find the lines whose first field is an id that differs from the one before it.

    Returns their numbers from 0, their ids, and whether no id is longer than 15 bytes.
    """
    import numpy as np

    items = np.ndarray((len(block),), f"V{KEY_BYTES}", block + bytes(KEY_BYTES), strides=(1,))[offsets]
    words = items.view("<u8").reshape(-1, 2).astype(np.uint64, copy=False)
    kept, kept_behind = _mask_first_field(words[:, 0]), _mask_first_field(words[:, 1])
    head = words[:, 0] & kept
    # A field that ends within the first eight bytes has none of the others.
    tail = np.where(kept == _ALL_BITS, words[:, 1] & kept_behind, np.uint64(0))
    keys = np.stack((head, tail), axis=1)
    numbers = _find_changes(keys)
    numbers = numbers[head[numbers] & np.uint64(0xFFFF) == int.from_bytes(prefix, "little")]
    numbers = numbers[_find_changes(keys[numbers])]  # lines of an id may have one without between them
    keys = keys[numbers]
    ids = keys.astype("<u8", copy=False).view(f"S{KEY_BYTES}").ravel()
    return numbers, ids, bool((keys[:, 1] >> np.uint64(56) == 0).all())


def _find_changes(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """Return the numbers of the keys that differ from the one before."""
    import numpy as np

    differs = np.ones(len(keys), bool)
    differs[1:] = (keys[1:, 0] != keys[:-1, 0]) | (keys[1:, 1] != keys[:-1, 1])
    return np.flatnonzero(differs)


def _begins_group(ids: npt.NDArray[np.bytes_], factor: int) -> npt.NDArray[np.bool_]:
    """Whether a group begins at each id: whether `factor` divides the number of its last two digits."""
    import numpy as np

    letters = ids.view(np.uint8)
    # The bytes of an id that are not zero, counted eight at once: the product has their sum in its highest byte.
    counts = (letters != 0).view(np.uint64) * np.uint64(_ONES) >> np.uint64(56)
    last = np.arange(0, letters.size, KEY_BYTES) + (counts[::2] + counts[1::2]).astype(np.intp) - 1
    tens, units = (letters[place].astype(np.int16) - ord("0") for place in (last - 1, last))
    begins: npt.NDArray[np.bool_] = (tens * 10 + units) % factor == 0
    return begins


def _mask_first_field(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return a mask of the bytes, from the lowest on, that come before a tab or line feed; all bits where none does.

    The lowest byte that the test marks is one of them, those above it need not be (Bit Twiddling Hacks, "haszero").
    """
    import numpy as np

    seven = np.uint64(7)
    found = np.zeros_like(words)
    for byte in (_TAB, _NEWLINE):
        others = words ^ np.uint64(byte * _ONES)
        found |= (others - np.uint64(_ONES)) & ~others
    found &= np.uint64(_ONES << 7)
    lowest = found & (~found + np.uint64(1))
    masks: npt.NDArray[np.uint64] = (lowest >> seven) - np.uint64(1)
    return masks
