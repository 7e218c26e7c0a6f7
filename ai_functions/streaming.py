"""Assembles a streamed answer into the one that would have come whole.

Servers that speak OpenAI's protocol differ: some leave out what others send, number no fragment, give several calls one
number, repeat a name in every fragment, or send arguments as an object.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lakehouse.escaping import ends_within_pair, repair_text

Hear = Callable[[str], None]
"""Called for every piece of the answer with its text, which may be empty.

An exception of it ends the answer and its connection.
"""


_COUNTS = ("prompt_tokens", "completion_tokens")


def assemble_completion(chunks: Iterable[Any], hear: Hear) -> dict[str, Any] | None:
    """Assemble the chat completion from `chunks` of the `openai` client. None where they end too early."""
    answer = _PartialAnswer(hear)
    for chunk in chunks:
        answer.add_chunk(chunk)
    return answer.to_completion()


def hear_completion(found: Mapping[str, Any], hear: Hear) -> None:
    """Tell the text of a completion that came whole, from a server that does not stream."""
    match found:
        case {"choices": [{"message": {"content": str(text)}}, *_]}:
            hear(repair_text(text))


def to_arguments(given: Any) -> str:
    """The arguments of a call as text, which some servers send as an object."""
    if given is None:
        return ""
    return repair_text(given) if isinstance(given, str) else json.dumps(given)


@dataclass
class _PartialCall:
    """A call of a tool, from its fragments. `given` are arguments that came as an object."""

    id: str
    name: str = ""
    written: str = ""
    given: Any = None

    def add(self, fragment: Any) -> None:
        function = fragment.function
        if function is None:
            return
        name, arguments = function.name or "", function.arguments
        self.name += name if name != self.name else ""
        if isinstance(arguments, str):
            self.written += arguments
        elif arguments is not None:
            self.given = arguments

    def to_wire(self) -> dict[str, Any]:
        arguments = to_arguments(self.written or self.given)
        return {
            "id": repair_text(self.id),
            "type": "function",
            "function": {"name": repair_text(self.name), "arguments": arguments},
        }


@dataclass
class _PartialAnswer:
    """An answer as far as it has come. `held` is half of a character, told together with its other half."""

    hear: Hear
    text: str = ""
    refusal: str = ""
    held: str = ""
    finish: str | None = None
    usage: Any = None
    calls: list[_PartialCall] = field(default_factory=list)
    numbered: dict[int, _PartialCall] = field(default_factory=dict)

    def add_chunk(self, chunk: Any) -> None:
        self.usage = getattr(chunk, "usage", None) or self.usage
        for choice in (chunk.choices or ())[:1]:
            self.finish = choice.finish_reason or self.finish
            if choice.delta is not None:
                self._add_delta(choice.delta)

    def to_completion(self) -> dict[str, Any] | None:
        if self.finish is None:
            return None
        message = {
            "role": "assistant",
            "content": repair_text(self.text),
            "refusal": repair_text(self.refusal) or None,
            "tool_calls": [call.to_wire() for call in self.calls],
        }
        found: dict[str, Any] = {"choices": [{"message": message, "finish_reason": self.finish}]}
        return found | {"usage": self.usage and {name: getattr(self.usage, name, None) for name in _COUNTS}}

    def _add_delta(self, delta: Any) -> None:
        piece = delta.content or ""
        self.text += piece
        self.refusal += getattr(delta, "refusal", None) or ""
        for fragment in delta.tool_calls or ():
            self._find_call(fragment).add(fragment)
        piece, self.held = self.held + piece, ""
        if ends_within_pair(piece):
            piece, self.held = piece[:-1], piece[-1]
        self.hear(repair_text(piece))

    def _find_call(self, fragment: Any) -> _PartialCall:
        """The call that a fragment goes on with, or a new one: another id begins one even under a known number."""
        known = self.numbered.get(fragment.index) if fragment.index is not None else self._find_unnumbered(fragment)
        if known is not None and fragment.id in (None, "", known.id):
            return known
        call = _PartialCall(fragment.id or f"call_{len(self.calls)}")
        self.calls.append(call)
        if fragment.index is not None:
            self.numbered[fragment.index] = call
        return call

    def _find_unnumbered(self, fragment: Any) -> _PartialCall | None:
        """The call with the id of a fragment, or the last one, if the fragment has neither id nor name."""
        if fragment.id:
            return next((call for call in self.calls if call.id == fragment.id), None)
        begins = fragment.function is not None and fragment.function.name
        return None if begins or not self.calls else self.calls[-1]
