"""Spark's answers as data: a test run compares the embedded engine with what Spark has answered before.

    python -m tests.expected record      ask Spark everything that the tests compare, and record its answers

A record is a file of `tests/data/expected`: a first line that says which Spark answered over which lake, then a line
for each statement. It counts only for that Spark and that lake; what it lacks is asked of Spark, and the last lines of
a test run say how many statements that were. `pytest --spark=live` asks Spark everything.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest

from lakehouse import errors
from lakehouse.errors import QueryError

FOLDER: Final = Path(__file__).parent / "data" / "expected"

COMPARED: Final = ("tests/dialect",)
"""The tests whose answers of Spark are recorded."""

_TIMED: Final = re.compile(r"(?i)\b(?:current_|now\b|localtimestamp|curdate|unix_timestamp|to_unix_timestamp)")
"""What statements of today answer otherwise than those of tomorrow: they are never recorded."""


@dataclass(frozen=True)
class Answer:
    """What an engine gave: names and types of the columns, the rows in their order, and what it warns of."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Any, ...], ...]
    caveats: tuple[str, ...] = ()

    @property
    def types(self) -> list[str]:
        """The types of the columns, whatever they are called."""
        return [kind for _, kind in self.columns]

    @property
    def written(self) -> list[str]:
        """The rows as texts. Numbers with a fraction have twelve digits: engines add them up in any order."""
        return [repr(_round(row)) for row in self.rows]

    @property
    def sorted(self) -> list[str]:
        """The same in an order of their own, for statements that ask for none."""
        return sorted(self.written)


Ask = Callable[[str], Answer]


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, dict):
        return {key: _round(each) for key, each in value.items()}
    return [_round(each) for each in value] if isinstance(value, list | tuple) else value


class Mode(StrEnum):
    """How tests get Spark's answers: `pytest --spark=MODE`."""

    RECORDED = "recorded"
    LIVE = "live"
    RECORD = "record"


class Record:
    """The answers of one Spark over one lake."""

    def __init__(self, name: str, lake: str, mode: Mode) -> None:
        """`lake` is a digest of the lake's source files."""
        self.path = FOLDER / f"{name}.jsonl"
        self.asked: set[str] = set()
        """Statements that Spark itself was asked."""
        self._about = {"spark": version("pyspark"), "delta": version("delta-spark"), "lake": lake}
        self._is_recording = mode is Mode.RECORD
        self._answers = self._read() if mode is Mode.RECORDED else {}

    def _read(self) -> dict[str, Answer | QueryError]:
        about, *lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else ["{}"]
        if json.loads(about) != self._about:
            return {}
        return {line["sql"]: _read_answer(line) for line in map(json.loads, lines)}

    def answer(self, sql: str, ask: Callable[[], Answer]) -> Answer:
        """The recorded answer to a statement, or that of `ask`. Raises the error that is recorded, or that of `ask`."""
        if sql not in self._answers:
            self.asked.add(sql)
            found = _try(ask)
            if self._is_recording and not is_timed(sql) and repr(found) == repr(_try(ask)):
                self._answers[sql] = found
        else:
            found = self._answers[sql]
        if isinstance(found, QueryError):
            raise found
        return found

    def sample(self, every: int) -> Iterator[tuple[str, Answer | QueryError]]:
        """One of so many recorded statements, the same ones each time."""
        for sql, answer in self._answers.items():
            if int.from_bytes(hashlib.sha256(sql.encode()).digest()[:4], "big") % every == 0:
                yield sql, answer

    def write(self) -> None:
        """Replace the file by the answers of this run, in the order of the statements."""
        lines = [self._about] + [{"sql": sql} | _write_answer(self._answers[sql]) for sql in sorted(self._answers)]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        self.path.write_text(text, encoding="utf-8")


def _try(ask: Callable[[], Answer]) -> Answer | QueryError:
    try:
        return ask()
    except QueryError as error:
        return error


def is_timed(sql: str) -> bool:
    """Whether a statement asks for the time of its call."""
    return _TIMED.search(sql) is not None


def digest_files(folder: Path) -> str:
    """A digest of what the compressed files of a folder hold, however they were compressed."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.gz")):
        digest.update(path.name.encode() + gzip.decompress(path.read_bytes()))
    return digest.hexdigest()


def _write_answer(answer: Answer | QueryError) -> dict[str, Any]:
    if isinstance(answer, QueryError):
        return {"error": type(answer).__name__, "text": str(answer), "about": vars(answer)}
    return {"columns": answer.columns, "rows": [[_to_json(cell) for cell in row] for row in answer.rows]}


def _read_answer(line: Mapping[str, Any]) -> Answer | QueryError:
    if "error" in line:
        failed: QueryError = getattr(errors, line["error"])(line["text"])
        vars(failed).update(line["about"])
        return failed
    columns = tuple((name, kind) for name, kind in line["columns"])
    return Answer(columns, tuple(tuple(map(_from_json, row)) for row in line["rows"]))


def _read_datetime(text: str) -> datetime:
    """With the object for UTC that Arrow gives: `repr` shows which one it is."""
    read = datetime.fromisoformat(text)
    return read if read.tzinfo is None else read.replace(tzinfo=pa.lib.string_to_tzinfo("UTC"))


_KINDS: Final[Mapping[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "float": (float, repr, float),  # JSON has no NaN, and 1.0 is to be no 1
    "decimal": (Decimal, str, Decimal),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "datetime": (datetime, datetime.isoformat, _read_datetime),
    "date": (date, date.isoformat, date.fromisoformat),
    "microseconds": (timedelta, lambda t: t // timedelta(microseconds=1), lambda n: timedelta(microseconds=n)),
}
"""Values that JSON has no type for: Python's, and how one is written and read. A datetime is a date, so it is first."""


def _to_json(value: Any) -> Any:
    for name, (kind, write, _) in _KINDS.items():
        if isinstance(value, kind):
            return {name: write(value)}
    if isinstance(value, dict):
        return {"struct": {key: _to_json(each) for key, each in value.items()}}
    if isinstance(value, tuple):
        return {"tuple": [_to_json(each) for each in value]}
    if isinstance(value, list):
        return [_to_json(each) for each in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"no JSON for {type(value)}")


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(each) for each in value]
    if not isinstance(value, dict):
        return value
    ((name, inner),) = value.items()
    if name == "struct":
        return {key: _from_json(each) for key, each in inner.items()}
    if name == "tuple":
        return tuple(_from_json(each) for each in inner)
    return _KINDS[name][2](inner)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.expected", description=__doc__)
    parser.add_argument("command", choices=["record"])
    parser.parse_args()
    return pytest.main(["--spark=record", "-n", "0", *COMPARED])


if __name__ == "__main__":
    sys.exit(main())
