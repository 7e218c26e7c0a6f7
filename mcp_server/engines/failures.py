"""Translates a driver's exception into one line that a model can act on.

Works on texts and attributes, not on classes: no driver is imported. The texts are those of PySpark 4.2
and Sail 0.7.2 as observed (tests/engines/test_spark_contract.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lakehouse.errors import LakeError, ResourceLimit
from lakehouse.session import TooLargeError
from lakehouse.session.variants import HiddenVariantError
from mcp_server.engines.conditions import name_condition
from mcp_server.engines.hiding import hide_paths
from mcp_server.engines.kinds import Kind, classify_failure, is_over_connect
from mcp_server.engines.store_server import UNAVAILABLE
from mcp_server.sql.sqlstates import sqlstate_of

# At the beginning, perhaps behind Java's class or DataFusion's: further on it may be the caller's own words.
_CONDITION = re.compile(
    r"\A(?:(?:\w++\.)++[\w$]++: |[A-Z][a-z]++ error: |Table not found: )*+\[([A-Z][A-Z0-9_]*+(?:\.[A-Z0-9_]++)*+)\] "
)
_SQLSTATE = re.compile(r"SQLSTATE: ([0-9A-Z]{5})")
# Where Spark's sentence ends and its dump of plans, positions and stacks begins.
_DUMP = re.compile(r"(?<=SQLSTATE: .....)[; ].*|;? ?line \d+,? pos(?:ition)? \d+;?.*")
_NOT_FOR_CALLERS = re.compile(r' If necessary set "spark\.[^.]*\.[^.]*\.enabled" to "false" to bypass this error\.')
# Where a task ran, which names the machine; and the stack behind the sentence.
_TASK = re.compile(r"\AJob aborted due to stage failure: [^()]{0,200}\(TID \d++\) \([^()]*+\): ")
_STACK = re.compile(r" at (?:[\w$]++\.)++[\w$<>]++\([\w$]++\.(?:java|scala):\d++\).*")
_CAUSE = re.compile(r"^Caused by: [\w.$]+: (.*)$", re.MULTILINE)
_GRPC_DETAILS = 'details = "'
_GRPC_DETAILS_END = re.compile(r'"\s*+(?:debug_error_string|>|\Z)')
_QUOTED = re.compile(r'"([^"]*+)"')
# What Sail writes as it comes out of its parser and planner, and how to say it.
_REWORDED: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"ObjectName\(\[([^\[\]]*+)\]\)"), lambda m: ".".join(f"`{n}`" for n in _QUOTED.findall(m[1]))),
    (re.compile(r'No field named \S*"#\d+".*'), "A selected column is neither in GROUP BY nor in an aggregate."),
    (re.compile(r"(found .{1,40} at \d+:\d+) expected .{80,}"), r"\1, which this engine does not expect there"),
)
_TYPE_NAMES = {
    "Int8": "TINYINT",
    "Int16": "SMALLINT",
    "Int32": "INT",
    "Int64": "BIGINT",
    "Float32": "FLOAT",
    "Float64": "DOUBLE",
    "Date32": "DATE",
}
"""Arrow's names of types, which Sail writes, and Spark's."""
_ARROW_TYPE = re.compile(rf"(' is no | fit into )({'|'.join(_TYPE_NAMES)})\b")
_MAX_TEXT = 600
_MISSING = (
    "The data file {} cannot be read: {}. It was deleted, as VACUUM does with files of old versions, or is damaged. "
    "Ask for the newest version; if that fails too, the table has to be loaded again."
)
_NOT_GIVEN = (
    "The data file {} cannot be read: {}. Ask again in a minute; where that does not help, whoever runs this server "
    "finds the storage's own words in its log."
)


@dataclass(frozen=True)
class Failure:
    """Why a statement failed. `condition` and `sqlstate` are Spark's names, where known.

    `lacking` is true where the engine rather than the statement may be at fault: it ran out of memory, or its error
    has no Spark condition.
    """

    kind: Kind
    text: str
    condition: str | None = None
    sqlstate: str | None = None
    lacking: bool = False


def explain_failure(error: BaseException, paths: Mapping[str, str], secret: str = "") -> Failure:
    """Classify an exception and clean its text; `paths` maps locations to names, `secret` is never written."""
    named = _call_method(error, "getCondition")
    raw = _unwrap_grpc(str(error) or type(error).__name__)
    raw = raw if named is not None else _find_cause(error, raw)
    if secret:
        raw = raw.replace(secret, "<secret>")
    if isinstance(error, TooLargeError):
        return Failure("large", "more than may be sent")
    if isinstance(error, HiddenVariantError):
        return Failure("failed", str(error))
    if isinstance(error, ResourceLimit):
        return Failure("limit", str(error))
    if isinstance(error, LakeError):
        return Failure("lake", hide_paths(raw, paths))
    condition = named or _match_first(_CONDITION, raw)
    kind = classify_failure(error, named, condition, raw)
    if kind == "lake":
        file, why = _split_unreadable_file(hide_paths(one_line(raw), paths))
        return Failure("lake", (_NOT_GIVEN if why.startswith(UNAVAILABLE) else _MISSING).format(file, why))
    found = name_condition(one_line(raw)) if condition is None and kind == "failed" else None
    if found is not None:
        condition = found.condition
        raw = found.text if condition is None else f"[{condition}] {found.text}"
    sqlstate = _call_method(error, "getSqlState") or _match_first(_SQLSTATE, raw) or sqlstate_of(condition)
    text = hide_paths(one_line(raw), paths)
    if sqlstate is not None and sqlstate not in text:
        text = f"{text} SQLSTATE: {sqlstate}"
    unnamed = kind == "failed" and condition is None and found is None
    return Failure(kind, text, condition, sqlstate, kind == "memory" or unnamed)


def _split_unreadable_file(sentence: str) -> tuple[str, str]:
    """Return the data file that Sail cannot open, and the reason from the end of its sentence."""
    file, _, why = sentence.partition("Failed to fetch metadata for file ")[2].partition(": ")
    return file, why.rpartition(": ")[2]


def one_line(raw: str) -> str:
    """Return the engine's sentence, without plan, stack and gRPC wrapping."""
    text = _unwrap_grpc(raw)
    if text.startswith("["):  # Spark's: one line that says it, then what it was looking at
        text = text.splitlines()[0]
    text = _STACK.sub("", _TASK.sub("", " ".join(text.split())))
    text = _NOT_FOR_CALLERS.sub("", _DUMP.sub("", text))
    for pattern, wording in _REWORDED:
        text = pattern.sub(wording, text)
    text = _ARROW_TYPE.sub(lambda found: found[1] + _TYPE_NAMES[found[2]], text)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def _unwrap_grpc(raw: str) -> str:
    """Remove the gRPC wrapping from a server's message."""
    if not raw.startswith("<"):
        return raw
    _, _, rest = raw.partition(_GRPC_DETAILS)
    end = _GRPC_DETAILS_END.search(rest)
    return raw if end is None else rest[: end.start()].replace("\\n", "\n").replace('\\"', '"')


def _find_cause(error: BaseException, raw: str) -> str:
    """Find the cause in a Java stack: the exception with a Spark condition, else the deepest.

    Over Connect a message of Java begins with its class in brackets. Sail has no stacks, and may quote lines of the
    statement.
    """
    causes = [] if is_over_connect(error) and not raw.startswith("(") else _CAUSE.findall(raw)
    return next((cause for cause in causes if cause.startswith("[")), causes[-1] if causes else raw)


def _call_method(error: BaseException, method: str) -> str | None:
    """Call an accessor of PySpark's exceptions; None for those of Sail and gRPC that lack it."""
    ask: Any = getattr(error, method, None)
    answer = ask() if callable(ask) else None
    return answer if isinstance(answer, str) and answer else None


def _match_first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found.group(1) if found else None
