import asyncio
import contextlib
from typing import Any

import pytest

from helpers.phone import LOOPBACK, PORTS, Exchange, Pair, loudness
from telephony.phone import VoIPCall, VoIPPhone


@pytest.fixture
def make_phone():
    def make(server=("127.0.0.1", 9), user="201", **options):
        first = next(PORTS)
        known: dict[str, Any] = {
            "my_ip": "127.0.0.1",
            "rtp_ports": (first, first + 39),
            "register": False,
        }
        return VoIPPhone(server[0], server[1], user, "secret", **(known | options))

    return make


@pytest.fixture
async def phones(make_phone):
    came = asyncio.Queue[VoIPCall]()
    async with contextlib.AsyncExitStack() as stack:
        second = await stack.enter_async_context(make_phone(user="202", call_callback=came.put))
        first = await stack.enter_async_context(make_phone(second.address))
        yield Pair(first, second, came)


@pytest.fixture
def hears():
    """Wait until a call receives a tone; skip any silence that its peer sent before."""

    async def hears(call, hz, samples=1600):
        async with asyncio.timeout(60):
            while len(piece := await call.read_audio(samples)) == 2 * samples:
                if loudness(piece, hz) > 0.95:
                    return True
        return False

    return hears


@pytest.fixture
async def make_exchange():
    made = []

    async def make(local=LOOPBACK, tls=None):
        made.append(Exchange())
        await made[-1].open(local, tls)
        return made[-1]

    yield make
    for exchange in made:
        exchange.transport.close()
    await asyncio.sleep(0)


@pytest.fixture
async def exchange(make_exchange):
    return await make_exchange()
