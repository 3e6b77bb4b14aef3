"""Offer and answer at a phone: an offer in the 200, and media before the answer."""

import asyncio
import time

import pytest

from helpers.phone import tone
from telephony.phone import CallState, InvalidStateError


async def within(awaitable, seconds=5):
    return await asyncio.wait_for(awaitable, seconds)


async def ringing(phones, **options):
    placed = await phones.first.call("202", **options)
    return placed, await within(phones.came.get())


async def test_an_offer_in_the_200_is_answered_in_the_ack(phones, hears):
    placed, taken = await ringing(phones, late_offer=True)
    assert not taken.request.body
    await taken.answer()
    await within(placed.wait_for(CallState.ANSWERED))
    await asyncio.gather(placed.write_audio(tone(440)), taken.write_audio(tone(1000)))
    assert await hears(taken, 440)
    assert await hears(placed, 1000)


async def test_the_caller_hears_early_media_before_the_answer(phones, hears):
    placed, taken = await ringing(phones)
    await taken.progress()
    await taken.write_audio(tone(440))
    assert await hears(placed, 440)
    assert (placed.state, taken.state) == (CallState.RINGING, CallState.RINGING)
    said = taken.media.local_sdp
    await taken.answer()
    await within(placed.wait_for(CallState.ANSWERED))
    assert placed.statuses == [180, 183, 200]
    assert taken.media.local_sdp == said
    await placed.write_audio(tone(1000))
    assert await hears(taken, 1000)


async def test_a_call_with_early_media_can_still_be_denied(phones):
    placed, taken = await ringing(phones)
    await taken.progress()
    await within(placed.wait_for(CallState.RINGING))
    await taken.deny(486)
    await within(placed.wait_for(CallState.ENDED))
    assert placed.status == 486


async def test_early_media_without_an_offer_raises_invalid_state_error(phones):
    placed, taken = await ringing(phones, late_offer=True)
    for wanted in (taken.progress(), taken.write_audio(b""), placed.write_audio(b"")):
        with pytest.raises(InvalidStateError):
            await wanted
    await within(placed.hangup())


async def test_after_a_long_delay_of_the_program_the_timestamps_agree_with_the_clock(phones):
    placed, taken = await ringing(phones)
    await taken.answer()
    await within(placed.wait_for(CallState.ANSWERED))
    sender, loop = placed.media.stream.sender, asyncio.get_running_loop()
    sender.write(bytes(2 * 8000 * 20))
    await asyncio.sleep(0.1)
    began, timestamp, queued, sent = loop.time(), sender.timestamp, sender.queued, sender.sent
    time.sleep(7.0)  # noqa: ASYNC251 - the whole program stands still
    await asyncio.sleep(0.1)
    counted = (sender.timestamp - timestamp & 0xFFFFFFFF) / 8000
    assert abs(counted - (loop.time() - began)) < 0.5
    assert (sender.sent - sent) * 160 == queued - sender.queued  # no audio was left out
    assert sender.sent - sent < 200
