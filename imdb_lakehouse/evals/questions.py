"""The file of questions: JSON lines with `id`, `question` and `sql`, the gold statement.

Optional: `ordered` (true or false) overrides whether the order of the rows counts, which otherwise follows from the
gold statement's ORDER BY; `difficulty` (a text), `features` and `tags` (lists of texts) are the groups of the summary;
`before` has the earlier questions of the conversation, with their answers.

`feedback.jsonl`, the rated answers of `imdb-chat serve`, is such a file. A line with a `verdict` may have no `sql` yet:
it is not asked, but listed as one whose gold statement is to be written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lakehouse.context import CONTEXT_FOLDER, QUERIES_NAME, read_context_file
from lakehouse.errors import UsageError
from lakehouse.escaping import cut_text
from lakehouse.nearest import nearest
from lakehouse.storage import Lake

GROUPS = ("difficulty", "features", "tags")
VERDICTS = ("up", "down")
_MAX_FAULTS_SHOWN = 10
_MAX_SHOWN_CHARS = 200


@dataclass(frozen=True)
class Question:
    """A question and its gold statement. `groups` has the values of GROUPS that its line sets.

    `before` are the earlier questions of the conversation, with their answers.
    """

    id: str
    text: str
    sql: str
    ordered: bool | None
    groups: Mapping[str, tuple[str, ...]]
    before: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class UnwrittenQuestion:
    """A rated question that has no gold statement yet. `reason` says why, and repeats the comment."""

    id: str
    reason: str


@dataclass(frozen=True)
class QuestionFile:
    """The questions of a file, and those that are to be written; `digest` is the SHA-256 of its bytes."""

    questions: tuple[Question, ...]
    digest: str
    unwritten: tuple[UnwrittenQuestion, ...] = ()


def read_questions(path: Path) -> QuestionFile:
    """Read a file of questions. Raises UsageError that lists the invalid lines."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"The questions {path} cannot be read: {error.strerror}.") from error
    return parse_questions(content, str(path))


def read_lake_questions(lake: Lake, context_dir: Path | None) -> QuestionFile:
    """Read the verified queries of a lake's context as questions. Raises UsageError, also where there are none."""
    path = str(context_dir / QUERIES_NAME) if context_dir is not None else f"{lake}/{CONTEXT_FOLDER}/{QUERIES_NAME}"
    content = read_context_file(lake, context_dir, QUERIES_NAME)
    if content is None:
        raise UsageError(
            f"{path} does not exist. Give a file of questions, or write the lake's verified queries there."
        )
    return parse_questions(content, path)


def parse_questions(content: bytes, path: str) -> QuestionFile:
    """Parse a file of questions. Raises UsageError that lists the invalid lines of `path`."""
    try:
        lines = content.decode("utf-8-sig").split("\n")  # splitlines also splits at characters that JSON may have
    except UnicodeDecodeError as error:
        raise UsageError(f"The questions {path} are not UTF-8 text.") from error
    found, faults = _parse_lines(lines)
    if faults:
        more = f"\n… and {len(faults) - _MAX_FAULTS_SHOWN} more lines" if len(faults) > _MAX_FAULTS_SHOWN else ""
        shown = "\n".join(f"{path}, line {number}: {fault}" for number, fault in faults[:_MAX_FAULTS_SHOWN])
        raise UsageError(f"{shown}{more}\nNothing was asked. Mend the file first.")
    if not found:
        raise UsageError(f"{path} holds no question. A line is a JSON object with id, question and sql.")
    return QuestionFile(
        tuple(each for each in found if isinstance(each, Question)),
        hashlib.sha256(content).hexdigest(),
        tuple(each for each in found if isinstance(each, UnwrittenQuestion)),
    )


def select_questions(file: QuestionFile, ids: Sequence[str]) -> QuestionFile:
    """Select questions by id in the order of the file, or all without ids. Raises UsageError for an unknown id."""
    if not ids:
        return file
    known = [*(question.id for question in file.questions), *(question.id for question in file.unwritten)]
    for wanted in ids:
        if wanted not in known:
            near = nearest(wanted, known, most=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UsageError(f"There is no question {wanted} in the file.{hint}")
    return replace(
        file,
        questions=tuple(question for question in file.questions if question.id in ids),
        unwritten=tuple(question for question in file.unwritten if question.id in ids),
    )


def _parse_lines(lines: Sequence[str]) -> tuple[list[Question | UnwrittenQuestion], list[tuple[int, str]]]:
    found: list[Question | UnwrittenQuestion] = []
    first: dict[str, int] = {}
    faults: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            question = _parse_question(line)
        except ValueError as error:
            faults.append((number, str(error)))
            continue
        if question.id in first:
            faults.append((number, f"the id {question.id} is that of line {first[question.id]} too"))
            continue
        first[question.id] = number
        found.append(question)
    return found, faults


def _parse_question(line: str) -> Question | UnwrittenQuestion:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise ValueError("it is no object; a question is one with id, question and sql")  # noqa: TRY004
    name, text = (_read_text(record, field) for field in ("id", "question"))
    if "sql" not in record and record.get("verdict") in VERDICTS:
        return UnwrittenQuestion(name, _describe_unwritten(record, text))
    sql = _read_text(record, "sql")
    ordered = record.get("ordered")
    if not isinstance(ordered, bool | None):
        raise ValueError("`ordered` is neither true nor false")  # noqa: TRY004
    groups = {field: _read_group(record, field) for field in GROUPS if field in record}
    return Question(name, text, sql, ordered, groups, _read_before(record))


def _describe_unwritten(record: Mapping[str, Any], text: str) -> str:
    comment = record.get("comment")
    said = f": {_to_line(comment)}" if isinstance(comment, str) and comment else ""
    return f"{_to_line(text)} (rated {record['verdict']}{said})"


def _to_line(text: str) -> str:
    return cut_text(" ".join(text.split()), _MAX_SHOWN_CHARS)


def _read_before(record: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    match record.get("before", []):
        case [*earlier] if all(isinstance(each, dict) for each in earlier):
            return tuple((_read_text(each, "question"), _read_text(each, "answer")) for each in earlier)
    raise ValueError("`before` is no list of objects with question and answer")


def _read_text(record: Mapping[str, Any], field: str) -> str:
    value = record.get(field)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"`{field}` is missing or is no text")
    return value


def _read_group(record: Mapping[str, Any], field: str) -> tuple[str, ...]:
    value = record[field]
    values = [value] if isinstance(value, str | int) else value
    if not isinstance(values, list) or not all(isinstance(each, str | int) for each in values):
        raise ValueError(f"`{field}` is neither a text nor a list of texts")
    return tuple(dict.fromkeys(str(each) for each in values))
