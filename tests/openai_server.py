"""A local server in the wire format of OpenAI's chat completions, on OpenAI's and Azure's paths, that does as told.

    python -m tests.openai_server [--seconds 0.3]      says its address and serves until its input ends

In a test it runs in threads; other processes reach it by its address.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_AZURE = re.compile(r"/openai/deployments/([^/]+)/chat/completions\?api-version=([\w-]+)")
_PLAIN = ("/v1/chat/completions", "/openai/v1/chat/completions")


@dataclass(frozen=True)
class Reply:
    """What one call is answered with. `{title}` in `text` stands for the title or name in the facts that came.

    `seconds` pass before it; `cut` closes the connection instead; `raw` is sent as it is, whatever it is. Where the
    answer is asked for in pieces, `cut_within` closes the connection after the first of them, `failing_within` sends an
    error there, and `pace`, where it is set, is waited for before each of the others.
    """

    status: int = 200
    text: str | None = "About {title}."
    finish: str = "stop"
    refusal: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] = ()
    usage: Mapping[str, Any] | None = field(default_factory=lambda: {"prompt_tokens": 100, "completion_tokens": 20})
    error: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    cut: bool = False
    raw: bytes | None = None
    cut_within: bool = False
    failing_within: bool = False
    pace: threading.Event | None = None


OK = Reply()
TOO_MANY = Reply(429, error={"message": "slow down", "code": "rate_limit_exceeded"}, headers={"retry-after": "0"})
NO_QUOTA = Reply(429, error={"message": "pay first", "code": "insufficient_quota"}, headers={"retry-after": "0"})
BROKEN = Reply(500, error={"message": "our fault", "code": None})
HANGING = Reply(seconds=3_600)
CUT = Reply(cut=True)
FILTERED = Reply(text="", finish="content_filter")
FILTERED_PROMPT = Reply(400, error={"message": "filtered", "code": "content_filter", "status": 400})
BAD_REQUEST = Reply(400, error={"message": "unknown parameter", "code": "unsupported_parameter"})
BAD_KEY = Reply(401, error={"message": "Incorrect API key provided: sk-secret", "code": "invalid_api_key"})
REFUSING = Reply(text=None, refusal="I cannot help with that.")
EMPTY = Reply(text=" \n")
LONG = Reply(text="A summary that was cut", finish="length")
NO_USAGE = Reply(usage=None)
WRONG_JSON = Reply(raw=b'{"choices": [{"message"')
NO_JSON = Reply(raw=b"<html>hello</html>", headers={"content-type": "text/html"})
NO_COMPLETION = Reply(raw=b'{"object": "list", "data": []}')


@dataclass(frozen=True)
class Received:
    """One call as it came."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """What stands in the fenced block of the user's message."""
        user = self.body["messages"][-1]["content"]
        return dict(json.loads(user.removeprefix("```json\n").partition("\n```")[0]))


class OpenAiServer:
    """`calls` are all that came. Answers with what `script` holds, in order, and with `usual` when it is empty.

    `choose`, where set, decides by the call instead.
    """

    def __init__(self, usual: Reply = OK) -> None:
        self.usual = usual
        self.script: deque[Reply] = deque()
        self.choose: Callable[[Received], Reply] | None = None
        self.calls: list[Received] = []
        self.most_at_once = 0
        self.broken_off = 0  # answers in pieces whose reader went away
        self.at_once = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.root = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.root}/v1"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="openai server", daemon=True).start()

    def close(self) -> None:
        """End it, and all calls that still wait for an answer."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def will(self, *replies: Reply) -> None:
        """Answer the next calls so, in order."""
        self.script.extend(replies)

    @contextmanager
    def reply(self, received: Received) -> Iterator[Reply]:
        """The answer to a call, when its time has come."""
        with self._lock:
            self.calls.append(received)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            if self.choose is not None:
                reply = self.choose(received)
            else:
                reply = self.script.popleft() if self.script else self.usual
        try:
            self._closing.wait(reply.seconds)
            yield reply
        finally:
            with self._lock:
                self.at_once -= 1


@contextmanager
def serving(usual: Reply = OK) -> Iterator[OpenAiServer]:
    """A server in threads of this process."""
    server = OpenAiServer(usual)
    server.start()
    try:
        yield server
    finally:
        server.close()


def titles(received: Iterable[Received]) -> list[str]:
    """The keys of the things that were asked about."""
    return [next(iter(call.facts.values())) for call in received]


def _body(reply: Reply, received: Received) -> bytes:
    if reply.raw is not None:
        return reply.raw
    if reply.status >= 400:
        return json.dumps({"error": reply.error or {}}).encode()
    facts = received.facts if "{" in (reply.text or "") else {}
    title = facts.get("primaryTitle", facts.get("primaryName", next(iter(facts.values()), "")))
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
    if reply.text is not None:
        message["content"] = reply.text.replace("{title}", str(title))
    if reply.tool_calls:
        message["tool_calls"] = list(reply.tool_calls)
    found = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": received.body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish}],
    }
    return json.dumps(found | ({"usage": dict(reply.usage)} if reply.usage is not None else {})).encode()


def _pieces(reply: Reply, received: Received) -> Iterator[bytes]:
    """The same answer as server-sent events: text by words, arguments of calls by halves, then the usage."""
    whole = json.loads(_body(reply, received))
    message = whole["choices"][0]["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in re.findall(r"\s*\S+\s*", message["content"] or "")]
    deltas += [{"refusal": message["refusal"]}] if message["refusal"] else []
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        half = len(function["arguments"]) // 2
        deltas.append({"tool_calls": [{"index": index, **call, "function": function | {"arguments": ""}}]})
        for part in (function["arguments"][:half], function["arguments"][half:]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    head = {key: whole[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish}]})
    if "usage" in whole and received.body.get("stream_options", {}).get("include_usage"):
        chunks.append({"choices": [], "usage": whole["usage"]})
    for chunk in chunks:
        yield b"data: " + json.dumps(head | chunk).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def _send_pieces(handler: BaseHTTPRequestHandler, server: OpenAiServer, reply: Reply, received: Received) -> None:
    handler.close_connection = True
    handler.send_response(200)
    for name, value in {"content-type": "text/event-stream", "connection": "close", **reply.headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    pieces = [*_pieces(reply, received)]
    if reply.cut_within or reply.failing_within:
        pieces[2:] = [b'data: {"error": {"message": "our fault"}}\n\n'] if reply.failing_within else []
    for number, piece in enumerate(pieces):
        if number >= 2 and reply.pace is not None:
            reply.pace.wait(60)
        try:
            handler.wfile.write(piece)
        except OSError:
            server.broken_off += 1
            return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of our business."""


def _handler(server: OpenAiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path not in _PLAIN and _AZURE.fullmatch(self.path) is None:
                self._send(404, {}, b'{"error": {"message": "no such path", "code": "not_found"}}')
                return
            received = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            with server.reply(received) as reply:
                if reply.cut:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                elif body.get("stream") and reply.status < 400 and reply.raw is None:
                    _send_pieces(self, server, reply, received)
                else:
                    self._send(reply.status, reply.headers, _body(reply, received))

        def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {
                "content-type": "application/json", "content-length": str(len(body)), **headers,
            }.items():  # fmt: skip
                self.send_header(name, value)
            self._headers_buffer.append(b"\r\n" + body)  # one packet: two would wait for each other
            self.flush_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.0)
    options = parser.parse_args()
    with serving(replace(OK, seconds=options.seconds)) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
