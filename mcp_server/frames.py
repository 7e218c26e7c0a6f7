"""What a client sends, from bytes to one JSON-RPC message, or to the error that answers it.

The SDK drops on stdio what it cannot read: no answer, no log line, and the client waits. Here every frame is one or
the other, before anything else looks at it. The limits are those of the SDK's own HTTP transport.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Final

from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError, JSONRPCMessage, jsonrpc_message_adapter
from pydantic import ValidationError
from pydantic_core import from_json

from lakehouse.escaping import escape_controls

MOST_FRAME_BYTES: Final = 4 * 1024 * 1024
HEAD_BYTES: Final = 1024
TAIL_BYTES: Final = 256
"""What is kept of a longer frame: its `id` stands in its first bytes, or in its last ones."""
_MOST_NAME_CHARS: Final = 256
"""Longest method, id and progress token: they are repeated in answers."""
_MOST_PARTS: Final = 50_000
"""Most commas of a frame: each may stand for a value, and hundreds of thousands of values hold up all for seconds."""


class FrameError(Exception):
    """Bytes that are no message. `answer` is what their sender is told, with the id of its request where it has one."""

    def __init__(self, code: int, text: str, request_id: int | str | None) -> None:
        super().__init__(text)
        self.answer = JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=text))


def parse_frame(data: bytes, size: int | None = None) -> JSONRPCMessage:
    """Parse the message in a frame. Raises FrameError.

    `size` is the size of the frame where `data` is no more than its two ends.
    """
    if (size or len(data)) > MOST_FRAME_BYTES:
        text = f"The message is longer than {MOST_FRAME_BYTES:,} bytes. Ask for less at once."
        raise FrameError(INVALID_REQUEST, text, _find_id(data, is_whole=False))
    if data.count(b",") > _MOST_PARTS:
        text = f"The message has more than {_MOST_PARTS:,} parts. Ask for less at once."
        raise FrameError(INVALID_REQUEST, text, _find_id(data[:HEAD_BYTES] + data[-TAIL_BYTES:], is_whole=False))
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        why = escape_controls(str(error))
        text = f"The message cannot be read as JSON in UTF-8: {why}.{_explain_json_error(str(error))}"
        raise FrameError(PARSE_ERROR, text, _find_id(data)) from None
    if isinstance(value, list):
        raise FrameError(INVALID_REQUEST, "Batches are not part of MCP: send one message at a time.", None)
    request_id = _usable_id(value.get("id")) if isinstance(value, dict) else None
    try:
        message = jsonrpc_message_adapter.validate_python(value, by_name=False)
    except ValidationError:
        raise FrameError(
            INVALID_REQUEST,
            'The message is no JSON-RPC 2.0: an object with "jsonrpc": "2.0" and a method, and with params, if it has '
            "any, that are an object.",
            request_id,
        ) from None
    if "method" in value and "id" in value and request_id is None:
        text = f"The id of a request is an integer or a text of at most {_MOST_NAME_CHARS} characters."
        raise FrameError(INVALID_REQUEST, text, None)
    if any(len(name) > _MOST_NAME_CHARS for name in _list_echoed_texts(value)):
        text = f"A method, and a progress token, are texts of at most {_MOST_NAME_CHARS} characters."
        raise FrameError(INVALID_REQUEST, text, request_id)
    return message


def _list_echoed_texts(value: dict[str, Any]) -> list[str]:
    """List the texts of a message, beside its id, that answers echo."""
    meta = (value.get("params") or {}).get("_meta")
    texts = [value.get("method"), meta.get("progressToken") if isinstance(meta, dict) else None]
    return [text for text in texts if isinstance(text, str)]


def _explain_json_error(error: str) -> str:
    if "hex escape" in error or "surrogate" in error:
        return r" A \ud800 to \udfff that is not one of a pair is half of a character."
    if "recursion" in error:
        return " Values may be nested 200 deep."
    return ""


def _find_id(data: bytes, *, is_whole: bool = True) -> int | str | None:
    """Find the id of a request that could not be read, or of which only the ends were kept."""
    if is_whole:
        with suppress(ValueError, RecursionError):  # the standard library takes half characters, and nests deeper
            whole = json.loads(data.decode("utf-8", "replace"))
            return _usable_id(whole.get("id")) if isinstance(whole, dict) else None
    for most in (HEAD_BYTES, 256, 64):
        head = data[:most].decode("utf-8", "ignore").encode()
        with suppress(ValueError):
            begun = from_json(head, allow_partial=True)
            if isinstance(begun, dict) and "id" in begun and not head[-1:].isdigit():  # a number there may be cut
                return _usable_id(begun["id"])
    tail = data[-TAIL_BYTES:]
    with suppress(ValueError):
        ended = json.loads(b"{" + tail[tail.rindex(b'"id"') :])
        return _usable_id(ended["id"])
    return None


def _usable_id(value: Any) -> int | str | None:
    if isinstance(value, str) and len(value) <= _MOST_NAME_CHARS:
        return value.encode("utf-8", "replace").decode()
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return value if is_integer and abs(value) < 2**63 else None
