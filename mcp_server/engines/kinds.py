"""Classifies exceptions by marks that a statement cannot imitate.

A message may quote the caller's own words. So the kind is derived from Spark's condition, the gRPC status, or the
beginning of a sentence, never from a match anywhere in it: one kind of failure ends the engine's process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal[
    "failed", "large", "limit", "disk", "memory", "starved", "interrupted", "lost", "forgotten", "denied", "lake"
]
"""The meaning of a failure for the caller. `limit`: the answer exceeds a cap, which the text names;
`memory`: the statement exceeded its share; `starved`: the process has no memory left for any statement, not even for
a thread; `forgotten`: a server has ended the session, or was restarted; `denied`: it rejects this user;
`lake`: it cannot serve this lake."""

_BY_CONDITION: Mapping[Kind, re.Pattern[str]] = {
    "forgotten": re.compile(r"INVALID_HANDLE\.|NO_ACTIVE_SESSION|SESSION_(?:NOT_FOUND|CLOSED|CHANGED)"),
    "interrupted": re.compile(r"OPERATION_CANCELED|SPARK_JOB_CANCELLED"),
    "large": re.compile(r"\A\w*EXCEED_LIMIT_LENGTH"),
    "memory": re.compile(r"UNABLE_TO_ACQUIRE_MEMORY"),
}
_BY_STATUS: Mapping[str, Kind] = {
    "UNAVAILABLE": "lost",
    "UNAUTHENTICATED": "denied",
    "PERMISSION_DENIED": "denied",
    "RESOURCE_EXHAUSTED": "memory",
}
_TOO_LARGE = re.compile(r"[\w: (]{0,40}message larger than max")

_NO_ROOM = (
    r"(?:can't start new thread|(?i:(?:failed to|can't) spawn (?:\w+ )?thread)|unable to create native thread"
    r"|Cannot allocate memory|memory allocation of \d+ bytes|std::bad_alloc)"
)
_NO_DISK = r"(?:No space left on device|Disk quota exceeded)"
_UNQUOTED = r"""\A[^"'`\n]{0,300}?"""
"""The sentence up to the first quoted word."""

# Over Connect: from Sail the sentences of DataFusion, from Spark's server those of Java behind the class in brackets.
_BY_SENTENCE: Mapping[Kind, re.Pattern[str]] = {
    "interrupted": re.compile(
        r"(?i:operation [\w-]{0,40} ?\w{0,9} ?cancel)|\([\w.]+SparkException\) Job \d+ cancelled"
    ),
    "large": re.compile(r"(?:\([\w.]+\) )?Job aborted due to stage failure: Total size of serialized results"),
    # gRPC's own words where no object can be made of a message that has arrived: seen with eight large answers at once.
    "starved": re.compile(rf"{_UNQUOTED}{_NO_ROOM}|\AException deserializing response!"),
    # gRPC's own words for a connection that broke under an answer, whose status is that of any failure.
    "lost": re.compile(r"\A(?:Stream removed\b|Received RST_STREAM|Socket closed\b|Connection reset|recvmsg:)"),
    # Before memory: Sail calls both exhausted resources.
    "disk": re.compile(_UNQUOTED + rf"(?:The used disk space during the spilling process|{_NO_DISK})"),
    "lake": re.compile(r"\A(?:[A-Z][a-z]+ error: )*+Failed to fetch metadata for file "),
    "memory": re.compile(
        r"\A(?:(?:[A-Z][a-z]+ error: )*+(?:Failed to allocate additional|Resources exhausted|Cannot reserve)"
        r"|\(java\.lang\.OutOfMemoryError\)|Java heap space)"
    ),
}
# Of this process and of a JVM in its care: the exception's class and sentence.
_IN_JAVA: Mapping[Kind, re.Pattern[str]] = {
    "lost": re.compile(
        _UNQUOTED
        + r"(?:Py4JNetworkError|ConnectionRefusedError|Answer from Java side is empty|SparkContext was shut down"
        r'|stopped SparkContext|Cannot invoke "org\.apache\.spark\.[\w.]{0,80}dagScheduler\(\))'
    ),
    "interrupted": re.compile(_UNQUOTED + r"(?i:job \d+ cancelled)"),
    "large": re.compile(_UNQUOTED + r"(?:Total size of serialized results|maxResultSize)"),
    "starved": re.compile(_UNQUOTED + rf"(?:{_NO_ROOM}|\b(?:Arrow)?MemoryError|malloc of size)"),
    "disk": re.compile(_UNQUOTED + _NO_DISK),
    "memory": re.compile(_UNQUOTED + r"(?:OutOfMemoryError|Java heap space|Cannot reserve)"),
}
_CALLING = re.compile(r"\AAn error occurred while calling \S+\s+: ")


def classify_failure(error: BaseException, named: str | None, read: str | None, sentence: str) -> Kind:
    """Classify a failure by Spark's condition, or by the engine's sentence without gRPC's wrapping.

    `named` is the condition of the exception itself, `read` the one in its text. A stack repeats the
    caller's lines, so no text can say that a session is gone.
    """
    if named is not None:
        return _match_kind(_BY_CONDITION, named)
    if read is not None:
        kind = _match_kind(_BY_CONDITION, read)
        return "failed" if kind == "forgotten" else kind
    if not is_over_connect(error):
        return _match_kind(_IN_JAVA, f"{type(error).__name__}: {_CALLING.sub('', sentence)}")
    by_status = _BY_STATUS.get(_read_status(error))
    if by_status == "memory" and _TOO_LARGE.match(sentence):
        return "large"
    by_sentence = _match_kind(_BY_SENTENCE, sentence) if by_status in {None, "memory"} else "failed"
    return by_sentence if by_sentence != "failed" else by_status or "failed"


def is_over_connect(error: BaseException) -> bool:
    """Whether an error is from a Spark Connect server, Spark's or Sail's, rather than a JVM of this process."""
    return ".connect" in type(error).__module__


def _match_kind(marks: Mapping[Kind, re.Pattern[str]], text: str) -> Kind:
    return next((kind for kind, mark in marks.items() if mark.match(text)), "failed")


def _read_status(error: BaseException) -> str:
    """Return the name of the gRPC status that PySpark's exceptions keep."""
    ask: Any = getattr(error, "getGrpcStatusCode", None)
    return str(getattr(ask(), "name", "")) if callable(ask) else ""
