"""Both engines on one lake, for the programs of this folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from lakehouse.storage import Lake
from tests.dialect.conftest import Asker
from tests.expected import Ask
from tests.fuzz.conftest import make_lake


@contextmanager
def both_engines() -> Iterator[tuple[Ask, Ask]]:
    """The embedded engine and Spark, on a lake of 1,000 invented titles that is made for it. Needs Java."""
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        make_lake(Path(folder) / "files", Path(folder) / "lake")
        lake = Lake.parse(f"{folder}/lake")
        with (
            closing(Asker("embedded", lake, Path(folder) / "e")) as ours,
            closing(Asker("spark", lake, Path(folder) / "s")) as theirs,
        ):
            yield ours, theirs
