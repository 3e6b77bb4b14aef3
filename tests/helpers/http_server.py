"""An HTTP server on the loopback whose answers the test decides, octet by octet."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import pytest


@dataclass(frozen=True)
class Received:
    """A request as the server received it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query)

    @property
    def json(self):
        return json.loads(self.body)


def answer(body=b"", status="200 OK", **headers) -> bytes:
    """Return a whole answer; a body that is not bytes is sent as JSON."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    fields = {"Content-Length": str(len(body)), "Content-Type": "application/json"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


Handler = Callable[[Received, asyncio.StreamWriter], Awaitable[bytes | None]]


class HttpServer:
    """Answers each request with the bytes of `handler`, or leaves all to `handler` if it is None.

    Tests set `answers` to a list of the bytes of the next answers; the last one is repeated.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[bytes] = []
        self.handler: Handler | None = None
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.scheme = "http"

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self.scheme = "https" if tls else "http"
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"{self.scheme}://{host}:{port}"

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(
            *(writer.wait_closed() for writer in self._writers), return_exceptions=True
        )
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader, writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        self.connections += 1
        try:
            while (request := await self._read(reader)) is not None:
                self.received.append(request)
                sent = await self._answer(request, writer)
                if sent is not None:
                    writer.write(sent)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def _answer(self, request, writer) -> bytes | None:
        if self.handler is not None:
            return await self.handler(request, writer)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @staticmethod
    async def _read(reader) -> Received | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.rstrip().split("\r\n")
        method, target, _ = first.split(" ", 2)
        fields = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Received(method, target, headers, body)


@pytest.fixture
async def server():
    """An HTTP server on the loopback, which is running."""
    server = HttpServer()
    await server.start()
    yield server
    await server.stop()
