"""What a model is told of one question: instructions, what was asked before, the question, and what tools gave.

A transcript grows by rounds and is made shorter by dropping results of tools, never the question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bridge.client import SQL_TOOL, ToolResult, in_sql
from bridge.model import Message, ToolCall

_MOST_SHOWN_CHARS = 200


@dataclass(frozen=True)
class Intent:
    """A tool call as the model meant it. `arguments` is None where they cannot be read, with the reason as `fault`."""

    call: ToolCall
    arguments: Mapping[str, Any] | None
    fault: str = ""

    @property
    def sql(self) -> str | None:
        """The statement that it sends, None where it sends none."""
        return self._text("sql_query")

    @property
    def reasoning(self) -> str | None:
        """Why the model makes this call, where the tool asks for it."""
        return self._text("reasoning")

    def _text(self, name: str) -> str | None:
        value = (self.arguments or {}).get(name)
        return value if isinstance(value, str) else None


def intent(call: ToolCall) -> Intent:
    """Read the arguments of a call."""
    try:
        found = json.loads(call.arguments or "{}")
    except ValueError as error:
        return Intent(call, None, str(error))
    return Intent(call, found) if isinstance(found, dict) else Intent(call, None, "they are no object")


def asked_in_sql(statement: str) -> Intent:
    """The call by which a person's statement is run."""
    arguments = in_sql(statement)
    return Intent(ToolCall("sql", SQL_TOOL, json.dumps(arguments)), arguments)


@dataclass(frozen=True)
class Step:
    """A tool call and what came of it, `seconds` later."""

    intent: Intent
    result: ToolResult
    seconds: float


@dataclass(frozen=True)
class Round:
    """One call of the model that asked for tools: what it `thought`, what it cost, and the steps in its order."""

    thought: str
    nanos: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Exchange:
    """A question of the same conversation that was answered before."""

    question: str
    answer: str


@dataclass(frozen=True)
class Transcript:
    """Immutable. The results of the first `dropped` steps are left out."""

    system: str
    question: str
    history: tuple[Exchange, ...] = ()
    rounds: tuple[Round, ...] = ()
    dropped: int = 0

    def after(self, done: Round) -> Transcript:
        """The same with one more round."""
        return replace(self, rounds=(*self.rounds, done))

    def shorter(self) -> Transcript | None:
        """The same with one thing less: the oldest result, then what was asked before, the newest results last.

        None where only instructions, question and statements are left.
        """
        older = sum(len(done.steps) for done in self.rounds[:-1])
        every = sum(len(done.steps) for done in self.rounds)
        if self.dropped < older:
            return replace(self, dropped=self.dropped + 1)
        if self.history:
            return replace(self, history=self.history[1:])
        return replace(self, dropped=self.dropped + 1) if self.dropped < every else None

    def messages(self) -> list[Message]:
        """All of it in the wire format of chat completions."""
        told: list[Message] = [{"role": "system", "content": self.system}]
        for before in self.history:
            told.append({"role": "user", "content": before.question})
            told.append({"role": "assistant", "content": before.answer})
        told.append({"role": "user", "content": self.question})
        left_out = self.dropped
        for done in self.rounds:
            calls = [_wire(step.intent) for step in done.steps]
            told.append({"role": "assistant", "content": done.thought or None, "tool_calls": calls})
            for step in done.steps:
                text = step.result.text if left_out <= 0 else _left_out(step.result)
                told.append({"role": "tool", "tool_call_id": step.intent.call.id, "content": text})
                left_out -= 1
        return told


def _wire(meant: Intent) -> dict[str, Any]:
    """A call as it goes back. Servers that parse arguments again refuse a whole conversation for malformed ones."""
    arguments = meant.call.arguments if meant.arguments is not None else "{}"
    return {
        "id": meant.call.id,
        "type": "function",
        "function": {"name": meant.call.name, "arguments": arguments or "{}"},
    }


def _left_out(result: ToolResult) -> str:
    if result.failed:
        return result.text[:_MOST_SHOWN_CHARS]
    what = "This result" if result.rows is None else f"This result of {result.rows} rows"
    return f"({what} was left out to make room. Ask again if you need it, for less of it.)"
