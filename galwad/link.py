"""Links between two processes, which send messages to each other over a Unix socket.

A message is sent as its length (four bytes), followed by the message in msgpack. `galwad.messages`
defines the messages. `serve` listens for links. `Connector` keeps one link open. `serve` and
`Connector` pass each received message to a callback.

Sending never blocks: if a peer does not read, the peer is disconnected when more than `MAX_BACKLOG`
bytes wait for it. A desk that connects to the switch again gets a snapshot of the present state.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from galwad.messages import AnyMessage

MAX_MESSAGE = 16 * 1024 * 1024
MAX_BACKLOG = 32 * 1024 * 1024
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)
log = structlog.get_logger()


class LinkError(Exception):
    """The peer sent bytes that are not a valid message."""


class Link:
    """One connected socket: `send` queues a message, `receive` returns the next message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def closed(self) -> bool:
        """True if no message can be sent any more."""
        return self._writer.is_closing()

    def send(self, message: AnyMessage) -> None:
        """Queue a message to be sent. If the link is closed, do nothing.

        If more than `MAX_BACKLOG` bytes are in the queue after that, disconnect the peer.
        """
        if self._writer.is_closing():
            return
        body = _encoder.encode(message)
        self._writer.write(len(body).to_bytes(4, "big") + body)
        if self._writer.transport.get_write_buffer_size() > MAX_BACKLOG:
            log.warning("link.backlog")
            self._writer.transport.abort()

    async def receive(self) -> AnyMessage | None:
        """Return the next message, or None if the link has ended. Raises `LinkError`."""
        try:
            length = int.from_bytes(await self._reader.readexactly(4), "big")
            if length > MAX_MESSAGE:
                raise LinkError(f"a message of {length} bytes is longer than {MAX_MESSAGE}")
            return _decoder.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except msgspec.DecodeError as error:
            raise LinkError("not a message of this version") from error

    async def close(self) -> None:
        """Send the queued messages, close the socket, and wait until it is closed."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


Handler = Callable[[Link, AnyMessage], Awaitable[None]]


async def _pump(link: Link, on_message: Handler) -> None:
    while (message := await link.receive()) is not None:
        await on_message(link, message)


def _bind(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    before = os.umask(0o117)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    return listener


async def serve(
    path: Path, on_message: Handler, on_close: Callable[[Link], None] | None = None
) -> asyncio.Server:
    """Listen on the socket file `path` (mode 0660), and replace the file of an earlier process.

    `on_message` receives each message with its link, and `on_close` each link that has ended.
    """

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer)
        try:
            await _pump(link, on_message)
        except LinkError as error:
            log.warning("link.garbage", reason=str(error))
        except asyncio.CancelledError:
            # This task is cancelled only when the event loop ends. The cancellation is not raised
            # again, because Python 3.11 would log an error.
            log.debug("link.cancelled")
        finally:
            if on_close is not None:
                on_close(link)
            await link.close()

    listener = _bind(path)
    return await asyncio.start_unix_server(accept, sock=listener)


class Connector:
    """Keeps one link to the socket `path` open, while `run` runs as a task.

    `on_connect` is called with each new link, before any message is read from the link. `on_close`
    is called when a link has ended.
    """

    def __init__(
        self,
        path: Path,
        on_connect: Callable[[Link], None],
        on_message: Handler,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._path = path
        self._on_connect = on_connect
        self._on_message = on_message
        self._on_close = on_close
        self.link: Link | None = None

    @property
    def connected(self) -> bool:
        """True while the link is connected."""
        return self.link is not None and not self.link.closed

    def send(self, message: AnyMessage) -> bool:
        """Queue a message to be sent, and return True. Return False if there is no link."""
        if self.link is None or self.link.closed:
            return False
        self.link.send(message)
        return True

    async def run(self) -> None:
        """Connect and handle messages until cancelled. Connect again after each disconnection."""
        wait = _FIRST_WAIT_S
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
            except OSError:
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT_S)
                continue
            wait = _FIRST_WAIT_S
            try:
                await self._serve(Link(reader, writer))
            except Exception:  # The task must connect again even if a callback has an error.
                log.exception("link.failed")
                wait = _LONGEST_WAIT_S
            await asyncio.sleep(wait)

    async def _serve(self, link: Link) -> None:
        self.link = link
        try:
            self._on_connect(link)
            await _pump(link, self._on_message)
        except LinkError as error:
            log.warning("link.garbage", reason=str(error))
        finally:
            self.link = None
            if self._on_close is not None:
                self._on_close()
            await link.close()
