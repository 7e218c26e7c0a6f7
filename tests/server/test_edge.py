"""The server's edge over real pipes and ports: bytes that are no message, names that a stranger chose, connections."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from lakehouse.listening import listen
from mcp_server.frames import MOST_FRAME_BYTES
from tests.server.processes import python, started
from tests.server.test_stdio import INITIALIZE, INITIALIZED, answer, send
from tests.server.test_web import web_server

PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS = -32700, -32600, -32602
LISTING = {"jsonrpc": "2.0", "id": "still there?", "method": "tools/list"}
FORGED = "x\nERROR root: forged\r\x1b[2J\u202e\u2028"


def request(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": "tools/call", **members}).encode()


def view_call(arguments: str) -> bytes:
    """A call as it stands on the wire, with its id last, as some clients write it."""
    return f'{{"method":"tools/call","params":{{"name":"x","arguments":{arguments}}},"jsonrpc":"2.0","id":7}}'.encode()


LONG = b'"' + b"x" * (MOST_FRAME_BYTES + 1) + b'"'
FRAMES = {
    "half a surrogate": (view_call(r'{"sql_query":"SELECT \"\ud800\""}'), PARSE_ERROR, 7),
    "the other half": (view_call(r'{"sql_query":"\udfff x"}'), PARSE_ERROR, 7),
    "garbage": (b"\x00\xff garbage", PARSE_ERROR, None),
    "half an object": (b'{"jsonrpc":"2.0","id":7,"method":', PARSE_ERROR, 7),
    "not UTF-8": (view_call('{"a":"?"}').replace(b"?", b"\xff"), PARSE_ERROR, 7),
    "no number": (view_call('{"row_limit":NaN}'), PARSE_ERROR, 7),
    "nested 300 deep": (view_call('{"a":' + "[" * 300 + "]" * 300 + "}"), PARSE_ERROR, 7),
    "nested 100,000 deep": (view_call('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"), PARSE_ERROR, 7),
    "a batch": (b'[{"jsonrpc":"2.0","id":7,"method":"tools/list"}]', INVALID_REQUEST, None),
    "an empty batch": (b"[]", INVALID_REQUEST, None),
    "a number": (b"42", INVALID_REQUEST, None),
    "no version": (b'{"id":7,"method":"tools/list"}', INVALID_REQUEST, 7),
    "no method": (b'{"jsonrpc":"2.0","id":7}', INVALID_REQUEST, 7),
    "parameters in a list": (request(id=7, params=[1]), INVALID_REQUEST, 7),
    "an id that is no id": (request(id=None), INVALID_REQUEST, None),
    "an id with a fraction": (request(id=1.5), INVALID_REQUEST, None),
    "an endless id": (request(id="7" * 1000), INVALID_REQUEST, None),
    "an endless token": (request(id=7, params={"_meta": {"progressToken": "t" * 1000}}), INVALID_REQUEST, 7),
    "an endless method": (request(id=7, method="m" * 1000), INVALID_REQUEST, 7),
    "100,000 values": (view_call('{"a":[' + "1," * 100_000 + "1]}"), INVALID_REQUEST, 7),
    "too long, its id first": (b'{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":' + LONG + b"}}", -32600, 7),
    "too long, its id last": (b'{"method":"x","params":{"a":' + LONG + b'},"jsonrpc":"2.0","id":7}', -32600, 7),
    "too long, no id": (LONG, INVALID_REQUEST, None),
}


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without a lake: no engine is started for what never reaches one."""
    return tmp_path_factory.mktemp("nothing")


@pytest.fixture(scope="module")
def piped(nothing: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server on pipes, after the handshake."""
    with started("serve", "--lake", str(nothing), state=nothing) as server:
        send(server, INITIALIZE, INITIALIZED)
        assert answer(server)["id"] == 1
        yield server


@pytest.fixture(scope="module")
def url(nothing: Path) -> Iterator[str]:
    """Where a server answers over HTTP."""
    with web_server(nothing, nothing, "http") as (_, url):
        yield url


@pytest.mark.parametrize("kind", FRAMES)
def test_what_is_no_message_is_answered_on_stdio_and_the_server_goes_on(
    piped: subprocess.Popen[bytes], kind: str
) -> None:
    frame, code, request_id = FRAMES[kind]
    assert piped.stdin is not None
    piped.stdin.write(frame + b"\n\n  \n")
    send(piped, LISTING)
    said, listed = sorted((answer(piped), answer(piped)), key=lambda message: message["id"] == LISTING["id"])
    assert (said["error"]["code"], said["id"]) == (code, request_id)
    assert len(said["error"]["message"]) < 300
    assert len(listed["result"]["tools"]) == 8


@pytest.mark.parametrize("kind", FRAMES)
def test_what_is_no_message_is_answered_over_http(url: str, kind: str) -> None:
    frame, code, request_id = FRAMES[kind]
    said = httpx2.post(url, content=frame, headers={"Content-Type": "application/json"})
    if len(frame) > MOST_FRAME_BYTES:
        assert said.status_code == 413
    else:
        assert said.status_code == 400
        assert (said.json()["error"]["code"], said.json()["id"]) == (code, request_id)


def test_names_from_a_client_forge_no_log_line_and_leave_no_trace(nothing: Path, tmp_path: Path) -> None:
    asked = {
        "prompts/get": {"name": FORGED},
        "resources/read": {"uri": f"x:{FORGED}"},
        "tools/call": {"name": FORGED, "arguments": [FORGED]},
        "completion/complete": {"ref": {"type": "ref/prompt", "name": FORGED}, "argument": {}},
        FORGED: {},
    }
    hello = {**INITIALIZE, "params": {**INITIALIZE["params"], "clientInfo": {"name": FORGED, "version": FORGED}}}
    with started("serve", "--lake", str(nothing), state=tmp_path, IMDB_LOG_LEVEL="DEBUG") as server:
        send(server, hello, INITIALIZED)
        assert answer(server)["id"] == 1
        send(server, {"jsonrpc": "2.0", "method": FORGED})
        for method, params in asked.items():
            send(server, {"jsonrpc": "2.0", "id": 2, "method": method, "params": params})
            assert len(json.dumps(answer(server)["error"])) < 500
        assert server.stdin is not None
        assert server.stderr is not None
        server.stdin.close()
        logged = server.stderr.read().decode()
    lines = logged.rstrip("\n").split("\n")
    assert "forged" in logged
    assert "Traceback" not in logged
    assert not [line for line in lines if line.startswith("ERROR") or not line.isprintable()]


def test_a_client_that_no_longer_reads_ends_the_server(nothing: Path, tmp_path: Path) -> None:
    with started("serve", "--lake", str(nothing), state=tmp_path) as server:
        send(server, INITIALIZE, INITIALIZED)
        assert answer(server)["id"] == 1
        assert server.stdout is not None
        assert server.stderr is not None
        server.stdout.close()
        send(server, LISTING)
        assert server.wait(20) == 1
        assert b"stdout" in server.stderr.read()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "LocalHost"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "localhost:1", "Origin": "http://localhost"}, 200),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Host": "127.0.0.1:80@evil.example"}, 421),
        ({"Host": "localhost:"}, 421),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "file://localhost"}, 403),
    ],
)
def test_this_machine_is_named_with_or_without_a_port(url: str, headers: dict[str, str], status: int) -> None:
    accepted = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    said = httpx2.post(url, json=INITIALIZE, headers={**accepted, **headers})
    assert said.status_code == status


def test_a_stream_that_is_taken_up_again_is_a_new_one(url: str) -> None:
    accepted = {"Accept": "application/json, text/event-stream", "Last-Event-ID": "7"}
    with httpx2.Client(headers=accepted) as web:
        session = web.post(url, json=INITIALIZE).headers["mcp-session-id"]
        web.post(url, json=INITIALIZED, headers={"mcp-session-id": session})
        with web.stream("GET", url, headers={"mcp-session-id": session}) as stream:
            assert stream.status_code == 200


def test_a_refused_page_leaves_a_line_over_sse_and_no_trace(nothing: Path, tmp_path: Path) -> None:
    address = ("--transport", "sse", "--host", "127.0.0.2", "--port", "0")
    with started("serve", "--lake", str(nothing), *address, state=tmp_path) as server:
        assert server.stderr is not None
        url = server.stderr.readline().decode().split()[-1]
        assert httpx2.get(url, headers={"Origin": f"http://evil.example/{'x' * 5000}"}).status_code == 403
        assert httpx2.post(url.replace("/sse", "/messages/"), content=b"garbage").status_code == 400
        with httpx2.stream("GET", url) as stream:
            assert stream.status_code == 200
        server.terminate()
        lines = server.stderr.read().decode().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["WARNING mcp_server.gate"] * 2
    assert all(len(line) < 300 for line in lines)


HALF = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
FEW_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 400))
import lakehouse.connections as connections
connections.REQUEST_SECONDS = 5
from mcp_server.cli import main
main(["serve", "--lake", sys.argv[1], "--transport", "http", "--port", "0"])
"""


def test_half_sent_requests_give_way_and_are_given_up_while_others_are_answered(nothing: Path, tmp_path: Path) -> None:
    with python("-c", FEW_FILES, str(nothing), state=tmp_path) as server, ExitStack() as ends:
        assert server.stderr is not None
        url = server.stderr.readline().decode().split()[-1]
        # A connection for each request: one that is kept open may be given up while the others are made.
        accept, alone = {"Accept": "application/json, text/event-stream"}, httpx2.Limits(max_keepalive_connections=0)
        web = ends.enter_context(httpx2.Client(headers=accept, timeout=30, limits=alone))
        session = {"mcp-session-id": web.post(url, json=INITIALIZE).headers["mcp-session-id"]}
        stream = ends.enter_context(web.stream("GET", url, headers=session))
        for number in range(450):  # more than the process may have files
            half = ends.enter_context(socket.create_connection(("127.0.0.1", httpx2.URL(url).port)))
            with suppress(ConnectionError):  # the oldest have given way already
                half.sendall((HALF, HALF + b"\r\nhalf a body", b"")[number % 3])
        assert web.post(url, json=LISTING, headers=session).status_code == 200
        half.settimeout(30)
        with suppress(ConnectionResetError):
            assert half.recv(1) == b""
        assert web.post(url, json=LISTING, headers=session).status_code == 200
        assert not stream.is_closed
        server.terminate()
        logged = server.stderr.read().decode()
    assert logged.count("All 200 connections are taken") == 1
    assert "Traceback" not in logged
    assert "out of system resource" not in logged


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_no_packet_of_an_answer_waits_for_an_acknowledgement(host: str) -> None:
    with listen(host, 0) as listener, socket.create_connection(listener.getsockname()[:2]):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
