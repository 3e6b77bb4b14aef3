"""The response with a sealed recording, as an ASGI server sees it."""

from __future__ import annotations

import asyncio

import pytest

from galwad.archive.files import SealedFiles
from galwad.archive.sealed_response import SealedResponse

HEADER, PAYLOAD = b"age-encryption.org/v1\n", bytes(range(256)) * 4096
SCOPE = {"type": "http", "method": "POST", "path": "/"}


@pytest.fixture
def files(tmp_path):
    path = tmp_path / "x.payload"
    path.write_bytes(PAYLOAD)
    with path.open("rb") as payload:
        yield SealedFiles(HEADER, payload, len(PAYLOAD))


class Client:
    """A client that receives what is sent, and may disconnect after some blocks."""

    def __init__(self, leaves_after=None):
        self.sent = []
        self.gone = asyncio.Event()
        self._leaves_after = leaves_after

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)
        if self._leaves_after is not None and len(self.sent) > self._leaves_after:
            self.gone.set()
            await asyncio.sleep(0)  # the task that waits for it runs
            await asyncio.sleep(0)

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.sent)


async def closed(files):
    """Return whether a thread closes the file soon."""
    for _ in range(2000):
        if files.payload.closed:
            return True
        await asyncio.sleep(0.005)
    return False


async def test_the_client_gets_header_and_payload_and_the_file_is_closed(files):
    client = Client()
    await SealedResponse(files, {"X-Test": "1"})(SCOPE, client.receive, client.send)
    start, *parts = client.sent
    assert start["status"] == 200
    assert dict(start["headers"]) == {
        b"content-length": str(len(HEADER) + len(PAYLOAD)).encode(),
        b"content-type": b"application/octet-stream",
        b"x-test": b"1",
    }
    assert client.body == HEADER + PAYLOAD
    assert len(parts) > 2
    assert [part["more_body"] for part in parts] == [True] * (len(parts) - 1) + [False]
    assert await closed(files)


async def test_nothing_more_is_read_for_a_client_that_has_disconnected(files):
    client = Client(leaves_after=1)
    await SealedResponse(files, {})(SCOPE, client.receive, client.send)
    assert len(client.sent) == 2
    assert await closed(files)


async def test_the_file_is_closed_if_the_response_is_cancelled(files):
    async def stuck(_message):
        await asyncio.Event().wait()

    task = asyncio.create_task(SealedResponse(files, {})(SCOPE, Client().receive, stuck))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await closed(files)


async def test_the_file_is_closed_if_the_response_cannot_be_sent(files):
    async def broken(_message):
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await SealedResponse(files, {})(SCOPE, Client().receive, broken)
    assert await closed(files)


async def test_a_file_that_has_become_shorter_ends_the_response_early(files):
    longer = SealedFiles(HEADER, files.payload, len(PAYLOAD) + 10)
    client = Client()
    await SealedResponse(longer, {})(SCOPE, client.receive, client.send)
    assert client.body == HEADER + PAYLOAD
    assert client.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
