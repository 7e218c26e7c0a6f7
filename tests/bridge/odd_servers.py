"""Answers of servers that are nearly OpenAI's, as they come over the wire."""

from __future__ import annotations

import json
from typing import Any

from tests.bridge.scripts import COUNT
from tests.openai_server import Reply

ARGUMENTS = {"sql_query": COUNT, "reasoning": "to count"}


def streamed(*deltas: dict[str, Any], finish: str = "stop") -> Reply:
    """An answer in pieces, each as it stands."""
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    chunks.append({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 20}})
    head = {"id": "c1", "created": 1, "model": "m", "object": "chat.completion.chunk"}
    lines = [f"data: {json.dumps(head | chunk)}\n\n" for chunk in chunks]
    return Reply(raw="".join([*lines, "data: [DONE]\n\n"]).encode(), headers={"content-type": "text/event-stream"})


def fragments(*calls: dict[str, Any]) -> Reply:
    """Fragments of calls, each in a chunk of its own."""
    return streamed(*({"tool_calls": [call]} for call in calls), finish="tool_calls")


def whole(message: dict[str, Any], finish: str = "stop") -> Reply:
    """An answer that came whole, though it was asked for in pieces."""
    found = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    return Reply(raw=json.dumps(found | {"usage": {"prompt_tokens": 100, "completion_tokens": 20}}).encode())


def _call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


_TEXT = json.dumps(ARGUMENTS)
_SQL = "execute_spark_sql"

TWO_CALLS = {
    "whole, under one number": fragments(_call(_SQL, _TEXT, index=0, id="a"), _call(_SQL, _TEXT, index=0, id="b")),
    "whole, without numbers": fragments(_call(_SQL, _TEXT, id="a"), _call(_SQL, _TEXT, id="b")),
    "whole, without numbers and ids": fragments(_call(_SQL, _TEXT), _call(_SQL, _TEXT)),
    "the name in every fragment": fragments(
        _call(_SQL, _TEXT[:9], index=0, id="a"),
        _call(_SQL, _TEXT[9:], index=0, id="a"),
        _call(_SQL, _TEXT[:9], index=1, id="b"),
        _call(_SQL, _TEXT[9:], index=1),
    ),
    "fragments without numbers": fragments(
        _call(_SQL, _TEXT[:9], id="a"),
        {"function": {"arguments": _TEXT[9:]}},
        _call(_SQL, _TEXT[:9], id="b"),
        {"id": "b", "function": {"arguments": _TEXT[9:]}},
    ),
    "arguments as an object": fragments(
        _call(_SQL, ARGUMENTS, index=0, id="a"), _call(_SQL, ARGUMENTS, index=1, id="b")
    ),
    "not streamed": whole(
        {"role": "assistant", "content": None, "tool_calls": [_call(_SQL, _TEXT, id="a"), _call(_SQL, ARGUMENTS)]},
        "tool_calls",
    ),
}
"""The same two calls in the forms that such servers send."""
