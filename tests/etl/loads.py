"""Load after load into one lake, some of which fail late, while an engine answers all the while.

    python -m tests.etl.loads --loads 25 [--storage]

With `--storage` the lake is in object storage, as moto speaks S3's protocol.
Every answer must be that of the generation that its statement was pinned to, before, during and after each load.
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from etl.datasets import DATASETS
from lakehouse.manifest import MANIFEST_NAME, Manifest, read_manifest
from lakehouse.storage import Lake
from mcp_server.engines.embedded import EmbeddedEngine
from mcp_server.models import GUARD_SEAL, CheckedQuery, Principal, RowLimit
from mcp_server.settings import load_settings
from tests.etl.conftest import AWKWARD, HEADERS, run_etl
from tests.object_storage import object_storage

BROKEN = "tt1\tnot a title\t\\N\t\\N"
"""A line that no load takes: as many of them as there are good ones are more than any load forgives."""


def write_source(folder: Path, number: int, *, broken: bool = False) -> Path:
    """A source whose `ratings_delta` tells which load it is of: all votes are its number. All its files are its own."""
    folder.mkdir()
    for dataset in DATASETS:
        rows = list(AWKWARD[dataset.file])
        if dataset.file == "title.ratings":
            rows = [f"{row.split(chr(9))[0]}\t5.0\t{number}" for row in rows]
        if dataset.file == "title.episode" and broken:
            rows += [BROKEN] * len(rows)
        text = "\n".join([HEADERS[dataset.file], *rows]) + "\n"
        (folder / f"{dataset.file}.tsv.gz").write_bytes(gzip.compress(text.encode(), mtime=number))
    return folder


def load(lake: Path | str, number: int, *, broken: bool = False) -> int:
    """Load a source of that number, without an index and counts, for which nobody asks; the program's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder) / "context"
        context.mkdir()
        (context / "lake.toml").write_text("")
        return run_etl("load", "--source", write_source(Path(folder) / "source", number, broken=broken), "--lake", lake,
                       IMDB_MAX_REJECT_PERCENT="1", IMDB_CONTEXT_DIR=str(context)).returncode  # fmt: skip


@dataclass
class Asker:
    """Asks an embedded engine all the while, with a pause of so many seconds after each round of all tables.

    `wrong` says what came that should not have; `answers` counts the rest. Where there are `editions`, no other one
    may be served: the rows of each table, and the hash of the file that it was loaded from.
    """

    lake: Path | str
    state: Path
    pause: float = 0.0
    editions: list[dict[str, tuple[int, str]]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._engine = EmbeddedEngine(Lake.parse(str(self.lake)), load_settings(state_dir=self.state))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask_all_the_while)

    def __enter__(self) -> Self:
        self._engine.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._engine.close()

    def votes(self, version: int) -> list[int]:
        """The different numbers of votes in a version of `ratings_delta`."""
        sql = f"SELECT DISTINCT numVotes AS n FROM ratings_delta VERSION AS OF {version}"
        return [row["n"] for row in self._rows(sql, "ratings_delta")]

    def votes_at(self, moment: str) -> list[int]:
        """The same at a moment."""
        sql = f"SELECT DISTINCT numVotes AS n FROM ratings_delta TIMESTAMP AS OF '{moment}'"
        return [row["n"] for row in self._rows(sql, "ratings_delta")]

    def count_at(self, table: str, moment: str) -> int:
        """The rows of a table at a moment."""
        return self._rows(f"SELECT count(*) AS n FROM {table} TIMESTAMP AS OF '{moment}'", table)[0]["n"]

    def ask(self, sql: str, *tables: str) -> list[dict[str, int]]:
        """The rows of any statement."""
        return self._rows(sql, *tables)

    def count_all(self, name: str = MANIFEST_NAME) -> dict[str, int]:
        """The rows of each table at the versions of a manifest."""
        manifest = read_manifest(Lake.parse(str(self.lake)), name)
        assert manifest is not None
        return {
            table: self._rows(f"SELECT count(*) AS n FROM {table} VERSION AS OF {entry.version}", table)[0]["n"]
            for table, entry in manifest.tables.items()
        }

    def _rows(self, sql: str, *tables: str) -> list[dict[str, int]]:
        query = CheckedQuery(sql, sql, frozenset(tables), frozenset(), RowLimit(100), 60.0, Principal("asker"), {}, (),
                             GUARD_SEAL)  # fmt: skip
        found: list[dict[str, int]] = self._engine.execute(query, uuid.uuid4().hex).table.to_pylist()
        return found

    def _ask_all_the_while(self) -> None:
        while not self._ended.wait(self.pause):
            try:
                manifest = read_manifest(Lake.parse(str(self.lake)))
                assert manifest is not None
                if self.editions and describe_edition(manifest) not in self.editions:
                    self.wrong.append(f"generation {manifest.generation} is a mixture")
                for table, entry in manifest.tables.items():
                    found = self._rows(f"SELECT count(*) AS n FROM {table} VERSION AS OF {entry.version}", table)
                    if found != [{"n": entry.rows}]:
                        self.wrong.append(f"{table} at {entry.version}: {found}, not {entry.rows}")
                    self.answers[table] += 1
            except Exception as error:  # noqa: BLE001  (whatever is not an answer is what this looks for)
                self.wrong.append(f"{type(error).__name__}: {error}")


def describe_edition(manifest: Manifest) -> dict[str, tuple[int, str]]:
    """The rows of each table and view, and the hash of the file that it was loaded from."""
    return {
        name: (entry.rows, "" if entry.source is None else entry.source.sha256)
        for name, entry in manifest.tables.items()
    }


def main() -> int:
    """Run the loads and print what came of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--loads", type=int, default=25)
    parser.add_argument("--storage", action="store_true")
    options = parser.parse_args()
    loads = options.loads
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if options.storage:
            os.environ |= stack.enter_context(object_storage())
        lake, state = "s3://lakes/imdb" if options.storage else folder / "lake", folder / "state"
        state.mkdir()
        codes = Counter([load(lake, 1)])
        with Asker(lake, state) as asker:
            for number in range(2, loads + 1):
                codes[load(lake, number, broken=number % 5 == 0)] += 1
            for version in range(1, 8):
                print(f"ratings_delta at {version}: {asker.votes(version)}")
        answers, seconds = asker.answers.total(), time.monotonic() - began
        print(f"{loads} loads, exit codes {dict(codes)}; {answers} answers, {len(asker.wrong)} wrong, {seconds:.0f} s")
        for each in asker.wrong[:10]:
            print(each)
    return bool(asker.wrong)


if __name__ == "__main__":
    sys.exit(main())
