"""The HTTP client library: its connections after requests were cancelled.

The measurements that led to this library are in docs/decisions/0010-http-client.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from pathlib import Path

import httpx2
import pytest
import uvloop

from helpers.examples import long_after

CONNECTIONS = 5
REQUESTS = 600
PATIENCE_S = 60
"""How long a request may wait for a place in the pool: more than the busiest machine needs."""


class HealthyServer(asyncio.Protocol):
    """Answers each request after a millisecond; adds its connection to `accepted`."""

    def __init__(self, accepted):
        self._accepted = accepted
        self._received = b""

    def connection_made(self, transport):
        self._transport = transport
        self._accepted.append(transport)

    def data_received(self, data):
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for _ in requests:
            asyncio.get_running_loop().call_later(0.001, self._answer)

    def _answer(self):
        if not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class StalledServer(asyncio.Protocol):
    """Accepts connections, and sends nothing."""


@contextlib.asynccontextmanager
async def pool_to(server, scheme, trust=True, tls=None):  # noqa: FBT002 - httpx2's own words
    """A client with a pool of `CONNECTIONS` connections to a server on this machine."""
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", ssl=tls)
    async with (
        listener,
        httpx2.AsyncClient(
            base_url=f"{scheme}://127.0.0.1:{listener.sockets[0].getsockname()[1]}",
            limits=httpx2.Limits(max_connections=CONNECTIONS),
            timeout=PATIENCE_S,
            verify=trust,
            trust_env=False,
        ) as client,
    ):
        yield client


async def request_and_cancel(client, after_s, start_s=0.0):
    """Send a request after `start_s` seconds, and cancel it `after_s` seconds later."""
    await asyncio.sleep(start_s)
    task = asyncio.create_task(client.get("/"))
    await asyncio.sleep(after_s)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def statuses_after_cancelled_requests(client, at_once, within_s):
    """Cancel all requests at random instants; return the statuses that a full pool then gets."""
    rng = random.Random(1)
    for _ in range(REQUESTS // at_once):
        instants = [(rng.uniform(0, within_s), rng.uniform(0, 0.002)) for _ in range(at_once)]
        await asyncio.gather(*(request_and_cancel(client, *instant) for instant in instants))
    answers = await asyncio.gather(*(client.get("/") for _ in range(CONNECTIONS)))
    return [answer.status_code for answer in answers]


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("at_once", long_after(1, [CONNECTIONS, 1]))
def test_a_full_pool_answers_after_requests_were_cancelled_at_random_instants(loop, at_once):
    accepted: list = []

    async def statuses():
        async with pool_to(lambda: HealthyServer(accepted), "http") as client:
            return await statuses_after_cancelled_requests(client, at_once, 0.004)

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(statuses()) == [200] * CONNECTIONS
    assert len(accepted) > CONNECTIONS  # cancelled requests cost the pool connections


UNCLOSED = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""httpx2 does not close the socket when a TLS handshake is cancelled. uvloop's destructor closes it
and warns of that, which these tests allow."""


@UNCLOSED
@pytest.mark.parametrize("at_once", long_after(1, [CONNECTIONS, 1]))
def test_a_full_pool_answers_over_tls_after_requests_were_cancelled(authority, at_once):
    accepted: list = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.issue("server", "127.0.0.1"))
    trust = ssl.create_default_context(cafile=authority.path)

    async def statuses():
        async with pool_to(lambda: HealthyServer(accepted), "https", trust, tls) as client:
            return await statuses_after_cancelled_requests(client, at_once, 0.02)

    assert uvloop.run(statuses()) == [200] * CONNECTIONS
    assert len(accepted) > CONNECTIONS


@UNCLOSED
def test_cancelled_tls_handshakes_do_not_pile_up_open_sockets_on_the_loop_of_the_desk():
    def open_files():
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    async def more_open_files():
        """Return how many more files are open after 100 handshakes than after one."""
        async with pool_to(StalledServer, "https") as client:
            await request_and_cancel(client, 0.02)
            before = open_files()
            for _ in range(100):
                await request_and_cancel(client, 0.02)
            return open_files() - before

    assert uvloop.run(more_open_files()) < CONNECTIONS
