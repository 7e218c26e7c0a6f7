"""The messages of one question: instructions, history, the question, and tool results.

A transcript grows by rounds, and is shortened by dropping tool results and history, never the question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from imdb_lakehouse.bridge.client import SQL_TOOL, ToolResult, to_sql_arguments
from imdb_lakehouse.bridge.model import ToolCall, WireMessage
from lakehouse.escaping import repair_text

_MAX_HISTORY = 20
_MAX_BASES = 2
_MAX_SHOWN_CHARS = 200
_NO_NAME = "unnamed"
"""What a call without a name is called towards the model: no server takes an empty one."""


@dataclass(frozen=True)
class Intent:
    """A tool call with parsed arguments. `arguments` is None if they are invalid; `fault` is then the reason."""

    call: ToolCall
    arguments: Mapping[str, Any] | None
    fault: str = ""

    @property
    def sql(self) -> str | None:
        """The SQL statement in the arguments, else None."""
        return self._text("sql_query")

    @property
    def reasoning(self) -> str | None:
        """The model's reason for the call, if the tool has an argument for it."""
        return self._text("reasoning")

    @property
    def purpose(self) -> str | None:
        """What the call is for: the model's reason, else what it asks the tool, such as `text: spilberg`."""
        asked = [f"{name}: {value}" for name, value in (self.arguments or {}).items() if value is not None]
        return self.reasoning or ", ".join(asked)[:_MAX_SHOWN_CHARS] or None

    def _text(self, name: str) -> str | None:
        value = (self.arguments or {}).get(name)
        return value if isinstance(value, str) else None


def parse_intent(call: ToolCall) -> Intent:
    """Parse the arguments of a call."""
    try:
        found = json.loads(call.arguments or "{}")
        # An escape may stand for half a character, which the text of the arguments does not show.
        found = json.loads(repair_text(json.dumps(found, ensure_ascii=False)))
    except ValueError as error:
        return Intent(call, None, str(error))
    return Intent(call, found) if isinstance(found, dict) else Intent(call, None, "they are no object")


def to_sql_intent(statement: str) -> Intent:
    """Build the tool call that runs a statement written by a person."""
    arguments = to_sql_arguments(statement)
    return Intent(ToolCall("sql", SQL_TOOL, json.dumps(arguments)), arguments)


@dataclass(frozen=True)
class ToolStep:
    """A tool call, its result and its duration in seconds."""

    intent: Intent
    result: ToolResult
    seconds: float


@dataclass(frozen=True)
class Round:
    """A reply of the model with tool calls: its text (`thought`), its cost in nano-dollars, and the steps in order."""

    thought: str
    nanos: int
    steps: tuple[ToolStep, ...]


@dataclass(frozen=True)
class Exchange:
    """An earlier question of the conversation, its answer, and the statements and first rows that it rested on."""

    question: str
    answer: str
    basis: str = ""

    def without_basis(self) -> Exchange:
        """Return only what was said."""
        return replace(self, basis="")

    @property
    def told(self) -> str:
        """The answer as the model is told it, so that "the first row above" means something."""
        return f"{self.answer}\n\n(It rested on this data:\n{self.basis})" if self.basis else self.answer


def trim_history(history: Sequence[Exchange]) -> tuple[Exchange, ...]:
    """Return the last exchanges; only the newest keep what they rested on, for a follow-up is about them."""
    kept = history[-_MAX_HISTORY:]
    return (*(exchange.without_basis() for exchange in kept[:-_MAX_BASES]), *kept[-_MAX_BASES:])


@dataclass(frozen=True)
class Transcript:
    """An immutable list of messages. The results of the first `dropped` steps are omitted."""

    system: str
    question: str
    history: tuple[Exchange, ...] = ()
    rounds: tuple[Round, ...] = ()
    dropped: int = 0

    def with_round(self, done: Round) -> Transcript:
        """Return a transcript with one more round."""
        return replace(self, rounds=(*self.rounds, done))

    def drop_oldest(self) -> Transcript | None:
        """Return a transcript without its oldest part: older results first, then those of earlier questions, then these
        questions, then the latest results.

        None if only instructions, question and statements are left.
        """
        older = sum(len(done.steps) for done in self.rounds[:-1])
        every = sum(len(done.steps) for done in self.rounds)
        if self.dropped < older:
            return replace(self, dropped=self.dropped + 1)
        if any(exchange.basis for exchange in self.history):
            return replace(self, history=tuple(exchange.without_basis() for exchange in self.history))
        if self.history:
            return replace(self, history=self.history[1:])
        return replace(self, dropped=self.dropped + 1) if self.dropped < every else None

    def to_messages(self) -> list[WireMessage]:
        """Return the messages in the wire format of chat completions."""
        messages: list[WireMessage] = [{"role": "system", "content": self.system}]
        for exchange in self.history:
            messages.append({"role": "user", "content": exchange.question})
            messages.append({"role": "assistant", "content": exchange.told})
        messages.append({"role": "user", "content": self.question})
        omitted = self.dropped
        for done in self.rounds:
            calls = [_to_wire_call(step.intent) for step in done.steps]
            messages.append({"role": "assistant", "content": done.thought or None, "tool_calls": calls})
            for step in done.steps:
                text = step.result.text if omitted <= 0 else _describe_dropped(step.result)
                messages.append({"role": "tool", "tool_call_id": step.intent.call.id, "content": text})
                omitted -= 1
        return messages


def _to_wire_call(intent: Intent) -> dict[str, Any]:
    """Convert a call to its wire format. Invalid arguments become `{}`, because some servers parse them."""
    arguments = intent.call.arguments if intent.arguments is not None else "{}"
    return {
        "id": intent.call.id,
        "type": "function",
        "function": {"name": intent.call.name or _NO_NAME, "arguments": arguments or "{}"},
    }


def _describe_dropped(result: ToolResult) -> str:
    if result.failed:
        return result.text[:_MAX_SHOWN_CHARS]
    what = "This result" if result.rows is None else f"This result of {result.rows} rows"
    return f"({what} was left out to make room. Ask again if you need it, for less of it.)"
