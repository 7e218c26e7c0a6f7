"""What visitors think of answers: kept with the conversation, and as cases of the evaluation in the state folder.

A case says what was asked, what the answer rested on and what became of it, and never who asked. Of an answer that is
rated up, `sql` is the statement whose rows it was about: a gold statement that nobody has reviewed. One that is rated
down has none, because only a person can write it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from imdb_lakehouse.bridge.answering import VisitorIdentity
from imdb_lakehouse.bridge.operations import list_earlier, to_history
from imdb_lakehouse.bridge.store import Store, StoredFeedback, StoredOperation, StoreUnavailableError
from imdb_lakehouse.bridge.views import Json
from lakehouse.errors import LakehouseError
from lakehouse.escaping import cut_text
from lakehouse.manifest import list_generations
from lakehouse.storage import Lake
from lakehouse.system import lock_file

log = logging.getLogger(__name__)

FILE_NAME: Final = "feedback.jsonl"
MAX_FILE_BYTES: Final = 8_000_000
"""Some thousands of cases. The file is rewritten for each, which takes 20 ms of CPU at this size."""
_MOST_STATEMENT_CHARS: Final = 32_768
"""Characters of all statements of a case; the oldest are left out."""
_MOST_ANSWER_CHARS: Final = 4_000
_MOST_EARLIER: Final = 2
"""Earlier questions that a case has: without them, "and in 1980?" is no question."""


class NotRatedError(LakehouseError):
    """What was rated is no answer to a question."""


class FeedbackFullError(LakehouseError):
    """The file of cases has reached its size."""


class CaseFile:
    """`feedback.jsonl`: a case a line, for the owner of the state folder alone, shared by its processes.

    A visitor's last word on an answer replaces the one before, so that somebody who changes their mind a thousand times
    takes one line, and what is withdrawn is gone. Each change replaces the file as a whole under a lock: no reader sees
    half a line, and a full disk leaves the file as it was. Calls block.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME

    def put_case(self, case: Json) -> None:
        """Add a case in place of the one with its `id`. Raises FeedbackFullError and StoreUnavailableError."""
        line = _encode_line(case)
        with self._open_locked() as lines:
            _drop_case(lines, case["id"])
            lines.append(line)
            if sum(map(len, lines)) > MAX_FILE_BYTES:
                raise FeedbackFullError(
                    f"No more feedback is kept: {FILE_NAME} has reached {MAX_FILE_BYTES // 1_000_000} MB. Whoever runs "
                    "this can score it with `python -m imdb_lakehouse.evals`, and then move it away."
                )

    def remove_case(self, case_id: str) -> None:
        """Remove a case, if it is there. Raises StoreUnavailableError."""
        with self._open_locked() as lines:
            _drop_case(lines, case_id)

    @contextlib.contextmanager
    def _open_locked(self) -> Iterator[list[bytes]]:
        """Yield the lines of the file, to be changed, and write them back where they were. Others wait meanwhile."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                lock_file(lock)
                lines = self._read_lines()
                before = list(lines)
                yield lines
                if lines != before:
                    self._replace_lines(lines)
            finally:
                os.close(lock)
        except OSError as error:
            raise StoreUnavailableError(
                f"Feedback cannot be kept ({error.strerror}). {FILE_NAME} in the state folder has to be readable and "
                "writable, with room on its disk."
            ) from error

    def _read_lines(self) -> list[bytes]:
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            return []
        return [line + b"\n" for line in content.split(b"\n") if line.strip()]

    def _replace_lines(self, lines: Sequence[bytes]) -> None:
        new = self._file.with_suffix(".new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._file)


class FeedbackService:
    """Keeps what visitors think of answers. `lake` is that of the server that this program starts. Calls block."""

    def __init__(self, store: Store, file: CaseFile, model: str | None, lake: Lake | None) -> None:
        self._store, self._file, self._model, self._lake = store, file, model, lake

    def put_feedback(self, visitor: VisitorIdentity, operation_id: str, feedback: StoredFeedback) -> None:
        """Keep what a visitor thinks of an answer, in place of what they thought before.

        Raises NotFoundError, NotRatedError, FeedbackFullError, ChangedError and StoreUnavailableError.
        """
        operation = self._store.get_operation(visitor.name, operation_id)
        if operation.state != "done" or operation.request["kind"] != "question":
            raise NotRatedError("Only an answer to a question can be rated. This one has none, or is not over.")
        self._file.put_case(self._build_case(operation, feedback))
        self._store.save_feedback(operation, feedback)

    def remove_feedback(self, visitor: VisitorIdentity, operation_id: str) -> None:
        """Forget what a visitor thinks of an answer. Raises NotFoundError, ChangedError and StoreUnavailableError."""
        operation = self._store.get_operation(visitor.name, operation_id)
        self._file.remove_case(_name_case(operation))
        self._store.save_feedback(operation, None)

    def _build_case(self, operation: StoredOperation, feedback: StoredFeedback) -> Json:
        result: Json = dict(operation.result or {})
        statements, gold = _read_statements(result)
        case = {
            "id": _name_case(operation),
            "question": operation.request["text"],
            "before": self._describe_earlier(operation),
            "verdict": feedback.verdict,
            "comment": feedback.comment,
            "answer": cut_text(result["answer"], _MOST_ANSWER_CHARS),
            "statements": statements,
            "tags": [f"rated {feedback.verdict}"],
            "model": self._model,
            "lake": self._describe_lake(operation.created),
            "asked": _to_time(operation.created),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return case | ({"sql": gold} if feedback.verdict == "up" and gold is not None else {})

    def _describe_earlier(self, operation: StoredOperation) -> list[Json]:
        """The last questions of the conversation before this one, with their answers."""
        conversation = self._store.get_conversation(operation.owner, operation.conversation_id)
        history = to_history(list_earlier(self._store.list_messages(conversation), operation.id))
        return [
            {"question": one.question, "answer": cut_text(one.answer, _MOST_ANSWER_CHARS)}
            for one in history[-_MOST_EARLIER:]
        ]

    def _describe_lake(self, asked: float) -> Json | None:
        """The load of the lake that was published when a question was asked; None where that is not known."""
        if self._lake is None:
            return None
        try:
            loads = list_generations(self._lake)
        except LakehouseError as error:
            log.warning("Feedback is kept without the load of the lake: %s", error)
            return None
        for load in loads:
            if load.created_at.timestamp() <= asked:
                return {"load": load.generation, "of": load.created_at.isoformat(timespec="seconds")}
        return None


def _name_case(operation: StoredOperation) -> str:
    """The id of an answer's case, which leads to no conversation."""
    return f"feedback-{hashlib.sha256(operation.id.encode()).hexdigest()[:16]}"


def _read_statements(result: Json) -> tuple[list[str], str | None]:
    """Return the statements whose rows an answer rests on, the newest last, and the one that it is about."""
    steps: list[Json] = result["steps"]
    statements = [*dict.fromkeys(step["sql"] for step in steps if step["sql"] and step["table"] is not None)]
    while sum(map(len, statements)) > _MOST_STATEMENT_CHARS:
        del statements[0]
    shown: int | None = result.get("shown")
    return statements, None if shown is None else steps[shown]["sql"]


def _drop_case(lines: list[bytes], case_id: str) -> None:
    lines[:] = [line for line in lines if not _is_case(line, case_id)]


def _is_case(line: bytes, case_id: str) -> bool:
    """Whether a line is the case of an id. One that a person has broken is nobody's."""
    if case_id.encode() not in line:
        return False
    with contextlib.suppress(ValueError):
        found: Any = json.loads(line)
        return isinstance(found, dict) and found.get("id") == case_id
    return False


def _encode_line(case: Json) -> bytes:
    """Encode a case, readable in its own script, with whatever a terminal would obey or end a line at as an escape."""
    text = json.dumps(case, ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text).encode() + b"\n"


def _to_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
