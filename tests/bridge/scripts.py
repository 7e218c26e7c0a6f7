"""What a scripted model says: calls of tools, in OpenAI's wire format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.openai_server import Received, Reply

COUNT = "SELECT count(*) AS n FROM movies_delta"


def said(text: str) -> Reply:
    """A last answer."""
    return Reply(text=text)


def calling(*calls: tuple[str, Any], text: str | None = None) -> Reply:
    """Calls of tools at once. Arguments that are a text are sent as they are."""
    asked = [
        {
            "id": f"call_{number}_{abs(hash(str(arguments))) % 10_000}",
            "type": "function",
            "function": {"name": name, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments)},
        }
        for number, (name, arguments) in enumerate(calls)
    ]
    return Reply(text=text, tool_calls=asked, finish="tool_calls")


def running(*statements: str, text: str | None = None) -> Reply:
    """Statements at once."""
    asked = (("execute_spark_sql", {"sql_query": sql, "reasoning": f"to run {sql}"}) for sql in statements)
    return calling(*asked, text=text)


def told(received: Received) -> list[Mapping[str, Any]]:
    """The messages that the model was given."""
    return list(received.body["messages"])


def results(received: Received) -> list[str]:
    """What the tools gave, as the model was told."""
    return [message["content"] for message in told(received) if message["role"] == "tool"]
