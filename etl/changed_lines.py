"""Finds the lines of a source file that an update has to parse: those of groups that differ from the loaded file's."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from etl.fingerprints import KEY_BYTES, Fingerprint
from etl.header import Source
from etl.source import OnProgress, fingerprint_source, make_fingerprinter
from lakehouse.manifest import SourceFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from etl.row_sets import Places

_NEWLINE = 10


@dataclass(frozen=True)
class SelectedLines:
    """Lines of a source file, written to `path` below its header, and their numbers in it, from 1."""

    path: Path
    numbers: Sequence[int]

    def to_source(self, whole: Source) -> Source:
        """These lines of the file `whole` as a file of their own."""
        return replace(whole, path=self.path, marked=False)


@dataclass
class ChangedLines:
    """The changed lines of a file, written to `path` below the file's header, and what they replace.

    `identity` and `fingerprint` are those of the whole file. The latter is None where its lines are not in order: then
    nothing else is valid.
    """

    known: Fingerprint
    path: Path
    identity: SourceFile = field(init=False)
    fingerprint: Fingerprint | None = None
    lines: int = 0
    all_lines: int = 0
    _runs: list[tuple[int, int]] = field(default_factory=list)
    _moved: npt.NDArray[np.int64] = field(init=False)
    """The first line that each group of `known` has now, 0 where the group has changed."""

    def __post_init__(self) -> None:
        import numpy as np

        self._moved = np.zeros(len(self.known.starts), np.int64)

    @classmethod
    def find(cls, source: Source, known: Fingerprint, path: Path, on_progress: OnProgress) -> Self:
        """Read a file, and write the lines of the groups that are not in `known`. Raises SourceError."""
        import numpy as np

        found = cls(known, path)
        with path.open("wb") as out:
            out.write("\t".join(source.header).encode() + source.line_end)

            def compare_groups(groups: Fingerprint, texts: Sequence[bytes]) -> None:
                places = known.find_groups(groups)
                is_kept = places >= 0
                found._moved[places[is_kept]] = groups.first_lines[is_kept]
                for number in np.flatnonzero(~is_kept).tolist():
                    found._keep_lines(texts[number], int(groups.first_lines[number]), out)

            fingerprinter = make_fingerprinter(source.dataset, compare_groups)
            found.identity = fingerprint_source(source, fingerprinter, on_progress)
            found.fingerprint = fingerprinter.finish()
            found.all_lines = fingerprinter.lines
        return found

    def read_lines(self) -> pa.Array:
        """Read the lines as bytes, with their line ends."""
        import numpy as np
        import pyarrow as pa

        data = self.path.read_bytes()
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE) + 1  # the first is that of the header
        offsets = pa.py_buffer(ends.astype(np.int64))
        return pa.Array.from_buffers(pa.large_binary(), len(ends) - 1, [None, offsets, pa.py_buffer(data)])

    def select_lines(self, lines: pa.Array, places: Places, path: Path) -> SelectedLines:
        """Write some of the lines to `path` below the header."""
        import pyarrow as pa

        with path.open("wb") as out, self.path.open("rb") as whole:
            out.write(whole.readline())
            out.writelines(lines.take(pa.array(places)).to_pylist())
        return SelectedLines(path, [self._to_line(place + 1) for place in places.tolist()])

    def _keep_lines(self, lines: bytes, first_line: int, out: IO[bytes]) -> None:
        self._runs.append((self.lines + 1, first_line))
        self.lines += lines.count(b"\n")
        out.write(lines)

    def _to_line(self, line: int) -> int:
        """The line of the source file that a line of `path` is, both below the header from 1."""
        first, source = self._runs[bisect_right(self._runs, (line, 1 << 62)) - 1]
        return source + line - first

    def move_line(self, line: int) -> int | None:
        """The line that a line of the loaded file is now, None where its group has changed."""
        import numpy as np

        group = np.searchsorted(self.known.first_lines, line, "right") - 1
        moved = int(self._moved[group])
        return moved + line - int(self.known.first_lines[group]) if moved else None

    def is_kept(self, raw: str) -> bool:
        """Whether a line of the loaded file, given as text, is in a group that has not changed."""
        import numpy as np

        key = raw.partition("\t")[0].encode()[:KEY_BYTES]
        group = int(np.searchsorted(self.known.starts, np.array(key, f"S{KEY_BYTES}"), "right")) - 1
        return bool(self._moved[max(group, 0)])

    @property
    def replaced(self) -> npt.NDArray[np.bytes_]:
        """The ranges of ids whose rows `path` replaces: their first ids and the ids behind them, in turn."""
        import numpy as np

        starts = self.known.starts
        ends = np.append(starts[1:], np.array(b"\xff" * KEY_BYTES, starts.dtype))
        bounds: npt.NDArray[np.bytes_] = np.stack((starts, ends), axis=1)[self._moved == 0].ravel()
        return bounds
