"""Late offers, early media, and holds from both sides at once, through the switch."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

import numpy as np
import pytest

from galwad.simulate.sound import RATE, speech
from helpers.peers.sound import find
from helpers.peers.waiting import PATIENCE_S
from telephony.phone import CallState, VoIPCall, VoIPPhone

pytestmark = pytest.mark.peer


@pytest.fixture
async def pair(switch, ports):
    """Two registered phones, and the queue of the second's calls."""

    def phone(extension, callback=None):
        return VoIPPhone(
            *(*switch.sip, extension, f"secret-{extension}"),
            my_ip="127.0.0.1",
            rtp_ports=ports.pair,
            call_callback=callback,
        )

    came = asyncio.Queue[VoIPCall]()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(phone("301"))
        await stack.enter_async_context(phone("302", came.put))
        yield first, came


async def hears(call, said, seconds=PATIENCE_S):
    """Return whether the call receives this sound within so many seconds."""
    heard = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for piece in call.audio(RATE // 2):  # to search takes CPU time, too
                heard += piece
                samples = np.frombuffer(heard, "<i2")
                if len(samples) >= len(said) and find(samples, said)[1] > 0.95:
                    return True
    return False


async def talks(one, other):
    """Return whether each call now receives the other's sound; on a busy machine, try again."""
    for seed in range(61, 71, 2):
        said = speech(1, seed), speech(1, seed + 1)
        talking = one.write_audio(said[0].tobytes()), other.write_audio(said[1].tobytes())
        await asyncio.gather(*talking)
        if all(await asyncio.gather(hears(one, said[1], 15), hears(other, said[0], 15))):
            return True
    return False


async def test_a_call_with_a_late_offer_connects_and_both_parties_talk(pair):
    phone, came = pair
    async with asyncio.timeout(PATIENCE_S):
        placed = await phone.call("302", late_offer=True)
        taken = await came.get()
        await taken.answer()
        await placed.wait_for(CallState.ANSWERED)
        assert await talks(placed, taken)


async def test_early_media_of_the_callee_reaches_the_caller(pair):
    phone, came = pair
    async with asyncio.timeout(PATIENCE_S):
        placed = await phone.call("302")
        taken = await came.get()
        await taken.progress()
        early = speech(2, 63)
        await taken.write_audio(early.tobytes())
        # The caller's phone drops the packets that it reads before the 183.
        assert await hears(placed, early[RATE:])
        await taken.answer()
        await placed.wait_for(CallState.ANSWERED)
        assert await talks(placed, taken)


async def test_simultaneous_holds_and_simultaneous_resumes_both_succeed(pair):
    phone, came = pair
    async with asyncio.timeout(2 * PATIENCE_S):
        placed = await phone.call("302")
        taken = await came.get()
        await taken.answer()
        await placed.wait_for(CallState.ANSWERED)
        await asyncio.gather(placed.hold(), taken.hold())
        assert not placed.media.stream.remote.receive
        assert not taken.media.stream.remote.receive
        await asyncio.gather(placed.resume(), taken.resume())
        assert await talks(placed, taken)
