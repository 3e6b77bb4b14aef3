import asyncio
import contextlib
import math
import struct

import pytest

from telephony.phone import CallState, VoIPPhone

PORTS = iter(range(44_000, 47_000, 40))


def tone(hz, seconds=0.5, amplitude=9_000):
    samples = (
        round(amplitude * math.sin(2 * math.pi * hz * n / 8000)) for n in range(int(8000 * seconds))
    )
    return b"".join(struct.pack("<h", sample) for sample in samples)


def loudness(pcm, hz):
    """The share of the energy that lies at `hz` (Goertzel), 0 to 1."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    if not any(samples):
        return 0.0
    turn = 2 * math.pi * hz / 8000
    real = sum(s * math.cos(turn * n) for n, s in enumerate(samples))
    imaginary = sum(s * math.sin(turn * n) for n, s in enumerate(samples))
    energy = sum(s * s for s in samples) * len(samples) / 2
    return (real * real + imaginary * imaginary) / energy


class Pair:
    """Two phones, each other's server; `came` has the calls that reached the second."""

    def __init__(self, first, second, came):
        self.first, self.second, self.came = first, second, came

    async def connect(self):
        placed = await self.first.call("202")
        taken = await asyncio.wait_for(self.came.get(), 5)
        await taken.answer()
        await asyncio.wait_for(placed.wait_for(CallState.ANSWERED), 5)
        return placed, taken


@pytest.fixture
def make_phone():
    def make(server=("127.0.0.1", 9), user="201", **options):
        first = next(PORTS)
        known = {"my_ip": "127.0.0.1", "rtp_ports": (first, first + 39), "register": False}
        return VoIPPhone(*server, user, "secret", **(known | options))

    return make


@pytest.fixture
async def phones(make_phone):
    came = asyncio.Queue()
    async with contextlib.AsyncExitStack() as stack:
        second = await stack.enter_async_context(make_phone(user="202", call_callback=came.put))
        first = await stack.enter_async_context(make_phone(second.address))
        yield Pair(first, second, came)


@pytest.fixture
def sine():
    return tone


@pytest.fixture
def share_of():
    return loudness
