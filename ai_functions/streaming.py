"""Assembles a streamed answer into the one that would have come whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Hear = Callable[[str], None]
"""Called for every piece of the answer with its text, which may be empty.

An exception of it ends the answer and its connection.
"""


_COUNTS = ("prompt_tokens", "completion_tokens")


def assemble_completion(chunks: Iterable[Any], hear: Hear) -> dict[str, Any] | None:
    """Assemble the chat completion from `chunks` of the `openai` client. None where they end too early.

    Servers differ in what they leave out, so every field is optional; calls of tools come in fragments under an index.
    """
    message: dict[str, Any] = {"content": "", "refusal": "", "tool_calls": {}}
    finish: str | None = None
    usage: Any = None
    for chunk in chunks:
        usage = getattr(chunk, "usage", None) or usage
        for choice in (chunk.choices or ())[:1]:
            finish = choice.finish_reason or finish
            if choice.delta is not None:
                _add_delta(message, choice.delta)
                hear(choice.delta.content or "")
    if finish is None:
        return None
    calls = [message["tool_calls"][index] for index in sorted(message["tool_calls"])]
    said = {"role": "assistant", "content": message["content"], "refusal": message["refusal"] or None}
    found: dict[str, Any] = {"choices": [{"message": said | {"tool_calls": calls}, "finish_reason": finish}]}
    return found | {"usage": usage and {name: getattr(usage, name, None) for name in _COUNTS}}


def _add_delta(message: dict[str, Any], delta: Any) -> None:
    message["content"] += delta.content or ""
    message["refusal"] += getattr(delta, "refusal", None) or ""
    for fragment in delta.tool_calls or ():
        calls = message["tool_calls"]
        # Some servers send each call whole and number none of them.
        index = fragment.index if fragment.index is not None else len(calls)
        call = calls.setdefault(
            index, {"id": f"call_{index}", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = fragment.id or call["id"]
        if fragment.function is not None:
            call["function"]["name"] += fragment.function.name or ""
            call["function"]["arguments"] += fragment.function.arguments or ""
