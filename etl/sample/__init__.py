"""`imdb-etl sample`: a fictional data set in the format of IMDb's files.

The same seed and size produce the same lines on every machine, and the same packed bytes with the same zlib. Memory
does not grow with the size: titles and people are written in blocks, each computed from the seed alone.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from etl.datasets import DATASETS
from etl.sample.odd import SAMPLE_STAR, SHOWCASE_FROM
from lakehouse.errors import SourceError, UsageError

if TYPE_CHECKING:
    from etl.sample.columns import Columns
    from etl.sample.randomness import Ints
    from etl.sample.world import World

__all__ = ["MOST_TITLES", "SAMPLE_STAR", "SHOWCASE_FROM", "write_sample"]

MAX_TITLES = 20_000_000
_TITLES_PER_BLOCK = 8_192
_PEOPLE_PER_BLOCK = 32_768
_GZIP_LEVEL = 5  # a third faster than 6 and 2 % larger here

OnProgress = Callable[[str, int], None]
"""Called with a file's name and the rows written to it so far."""


def write_sample(out: Path, *, titles: int, seed: int, progress: OnProgress | None = None) -> dict[str, int]:
    """Write the seven files (`NAME.tsv.gz`) with `titles` titles to a folder. Returns the number of rows of each.

    Existing files are replaced once all new ones are complete. Every size has the awkward rows of `odd`; sizes from
    `SHOWCASE_FROM` on have the films of `SAMPLE_STAR`. Raises UsageError for a size out of range, and SourceError if
    the folder cannot be written.
    """
    if not 1 <= titles <= MAX_TITLES:
        raise UsageError(
            f"A sample has 1 to {MAX_TITLES:,} titles; {titles:,} were asked. Give --titles in that range."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _open_files(out) as files:
            return _write_files(files, titles, seed, progress or (lambda _file, _rows: None))
    except OSError as error:
        raise SourceError(
            f"The sample could not be written to {out}: {error.strerror or error}. Nothing there was replaced. "
            "Make room or give another --out, then run it again."
        ) from error


@contextmanager
def _open_files(out: Path) -> Iterator[dict[str, gzip.GzipFile]]:
    """Open the files under temporary names. At the end they are renamed together, or removed after an error."""
    parts = {dataset.file: out / f"{dataset.file}.tsv.gz.part" for dataset in DATASETS}
    try:
        with ExitStack() as opened:
            files: dict[str, gzip.GzipFile] = {}
            for name, part in parts.items():
                raw = opened.enter_context(part.open("wb"))
                # no name and no time in the header, so that equal content gives equal bytes
                packed = gzip.GzipFile("", "wb", compresslevel=_GZIP_LEVEL, fileobj=raw, mtime=0)
                files[name] = opened.enter_context(packed)
            yield files
        for part in parts.values():
            part.replace(part.with_suffix(""))
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _write_files(files: Mapping[str, gzip.GzipFile], titles: int, seed: int, progress: OnProgress) -> dict[str, int]:
    from etl.sample.columns import encode_lines
    from etl.sample.handmade import HEADERS, HandmadeCast, HandmadeRows
    from etl.sample.world import World

    rows = dict.fromkeys(files, 0)

    def write_columns(file: str, columns: Columns) -> None:
        files[file].write(encode_lines(columns))
        rows[file] += len(columns[0])
        progress(file, rows[file])

    cast = HandmadeCast.from_size(titles)
    world = World(seed, titles - len(cast.titles), own_titles=cast.title_ids, own_people=cast.person_ids)
    handmade = HandmadeRows(cast, world)
    for name, file in files.items():
        file.write(("\t".join(HEADERS[name]) + "\n").encode())
        write_columns(name, handmade.build_columns(name))
    for name, columns in _generate_columns(world):
        write_columns(name, columns)
    return rows


def _generate_columns(world: World) -> Iterator[tuple[str, Columns]]:
    """Yield blocks of rows with the name of their file, in the order of each file."""
    from etl.sample.credit_rows import CreditBlock, CreditText, build_person_rows
    from etl.sample.title_rows import TitleBlock, TitleText

    title_text, credit_text = TitleText(), CreditText()
    for titles in _split_blocks(world.titles.count, _TITLES_PER_BLOCK):
        block = TitleBlock(world, title_text, titles)
        credited = CreditBlock(block, credit_text)
        yield "title.basics", block.build_basics()
        yield "title.ratings", block.build_ratings()
        yield "title.principals", credited.build_principals()
        yield "title.crew", credited.build_crew()
        yield "title.akas", block.build_akas()
        yield "title.episode", block.build_episodes()
    for people in _split_blocks(world.people.count, _PEOPLE_PER_BLOCK):
        yield "name.basics", build_person_rows(world, credit_text, people)


def _split_blocks(count: int, size: int) -> Iterator[Ints]:
    """Yield the numbers below `count` in arrays of `size`."""
    import numpy as np

    for first in range(0, count, size):
        yield np.arange(first, min(first + size, count), dtype=np.int64)
