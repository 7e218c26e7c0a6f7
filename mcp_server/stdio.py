"""MCP over this process's stdin and stdout: every frame is answered, and an output that is gone ends the server.

In place of the SDK's transport, which reads a line of any length, drops what it cannot read, and goes on reading when
nobody can hear it any more.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import CONNECTION_CLOSED, JSONRPCError

from lakehouse.errors import LakehouseError
from lakehouse.system import take_stream
from mcp_server.frames import HEAD_BYTES, MOST_FRAME_BYTES, TAIL_BYTES, FrameError, parse_frame

log = logging.getLogger(__name__)

_CHUNK_BYTES = 65_536

Inbound = MemoryObjectSendStream[SessionMessage | Exception]
Outbound = MemoryObjectSendStream[SessionMessage]


class OutputBrokenError(LakehouseError):
    """Nobody can read the answers any more."""


class LineSplitter:
    """Splits a stream of bytes into lines. Of a line that is too long it keeps the ends and counts the size."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._size = 0

    def split_chunk(self, chunk: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield the lines that end in this chunk, each with its size in bytes."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._add_part(end)
            yield self.take_rest()
        self._add_part(rest)

    def take_rest(self) -> tuple[bytes, int]:
        """Return what follows the last line end, with its size, and start a new line."""
        line = bytes(self._kept), self._size
        self._kept.clear()
        self._size = 0
        return line

    def _add_part(self, part: bytes) -> None:
        self._size += len(part)
        self._kept += part
        if self._size > MOST_FRAME_BYTES:
            del self._kept[HEAD_BYTES:-TAIL_BYTES]


@asynccontextmanager
async def stdio_streams() -> AsyncIterator[
    tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
]:
    """The messages of the client, and where answers go. From now on nothing else reads stdin or writes to stdout.

    Raises OutputBrokenError, in a group, where an answer cannot be written.
    """
    source, sink = _take_stream(0, os.open(os.devnull, os.O_RDONLY)), _take_stream(1, os.dup(2))
    inbound, received = anyio.create_memory_object_stream[SessionMessage | Exception]()
    outbound, sent = anyio.create_memory_object_stream[SessionMessage]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read_messages, source, inbound, outbound.clone())
        tasks.start_soon(_write_messages, sink, sent)
        yield received, outbound


def _take_stream(number: int, other: int) -> int:
    """Take a standard stream for this process alone, and point the original number at `other`."""
    ours = take_stream(number)
    os.dup2(other, number)
    os.close(other)
    return ours


async def _read_messages(source: int, inbound: Inbound, answers: Outbound) -> None:
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the server has ended
        async with inbound, answers:
            async for data, size in _read_lines(source):
                try:
                    message = parse_frame(data, size)
                except FrameError as error:
                    log.warning("A message of %d bytes was answered with an error: %s", size, error)
                    await answers.send(SessionMessage(error.answer))
                else:
                    await inbound.send(SessionMessage(message))


async def _read_lines(source: int) -> AsyncIterator[tuple[bytes, int]]:
    """Yield the lines that are not blank, the last one also without a line end."""
    splitter = LineSplitter()
    while chunk := await anyio.to_thread.run_sync(os.read, source, _CHUNK_BYTES, abandon_on_cancel=True):
        for data, size in splitter.split_chunk(chunk):
            if size and not data.isspace():
                yield data, size
    data, size = splitter.take_rest()
    if size and not data.isspace():
        yield data, size


async def _write_messages(sink: int, sent: MemoryObjectReceiveStream[SessionMessage]) -> None:
    async with sent:
        async for item in sent:
            if isinstance(item.message, JSONRPCError) and item.message.error.code == CONNECTION_CLOSED:
                continue  # the client closed stdin with a call open; SDK 1.30 fails at its end on what comes after that
            text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
            try:
                await anyio.to_thread.run_sync(_write_whole, sink, text.encode() + b"\n", abandon_on_cancel=True)
            except OSError as error:
                raise OutputBrokenError(
                    f"Answers cannot be written to stdout ({error.strerror}): the client that started this server no "
                    "longer reads them. The server ends; start it again."
                ) from error


def _write_whole(sink: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]
