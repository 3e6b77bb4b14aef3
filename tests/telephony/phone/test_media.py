"""Offer and answer at a phone: late offers, early media, hold, resume and UPDATE from both sides.

Covers `telephony/phone/dispatch.py` and `telephony/phone/dialog_requests.py`.
"""

import asyncio
import time

import pytest

from helpers.phone import tone
from telephony.errors import SdpParseError
from telephony.phone import CallState, InvalidStateError
from telephony.sdp import Direction
from telephony.sip.dialog import Dialog


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


async def test_simultaneous_holds_by_both_sides_both_succeed(phones, monkeypatch):
    random_delay = Dialog.glare_delay
    monkeypatch.setattr(Dialog, "glare_delay", lambda dialog: random_delay(dialog) / 10)
    placed, taken = await phones.connect()
    await within(asyncio.gather(placed.hold(), taken.hold()), 20)
    assert placed.media.stream.remote.receive is taken.media.stream.remote.receive is False
    await within(asyncio.gather(placed.resume(), taken.resume()), 20)
    assert placed.media.stream.remote.receive is taken.media.stream.remote.receive is True


async def test_an_update_with_sdp_changes_the_media_and_an_update_without_sdp_does_not(phones):
    placed, taken = await phones.connect()
    placed.media.local_hold = Direction.SENDONLY
    offer = placed.media.offer()
    sdp = (("Content-Type", "application/sdp"),)
    _, answered = await within(placed.requests.send(placed.dialog, "UPDATE", sdp, offer))
    assert answered.status == 200
    placed.media.answered(answered.body)
    assert taken.media.stream.remote.receive is False
    _, refreshed = await within(placed.requests.send(placed.dialog, "UPDATE"))
    assert (refreshed.status, refreshed.body) == (200, b"")
    assert taken.media.stream.remote.receive is False


async def test_an_update_that_crosses_our_offer_gets_491(phones):
    placed, taken = await phones.connect()
    taken.media.offer()
    offer = placed.media.offer()
    sdp = (("Content-Type", "application/sdp"),)
    _, answered = await within(placed.requests.send(placed.dialog, "UPDATE", sdp, offer))
    assert answered.status == 491


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
async def test_a_held_phone_reports_sendonly_and_inactive_as_hold(phones, direction):
    placed, taken = await phones.connect()
    await within(placed.hold(direction))
    assert (placed.held_by_peer, taken.held_by_peer) == (False, True)
    assert placed.media.stream.remote.send is False
    await within(placed.resume())
    assert not taken.held_by_peer


async def test_an_offer_with_the_null_address_is_reported_as_hold(phones):
    placed, taken = await phones.connect()
    old = b"v=0\r\no=- 1 9 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    old += b"m=audio 40000 RTP/AVP 8\r\n"
    sdp = (("Content-Type", "application/sdp"),)
    _, answered = await within(placed.requests.send(placed.dialog, "INVITE", sdp, old))
    assert answered.status == 200
    assert taken.held_by_peer


async def test_after_an_unreadable_answer_to_a_hold_the_peer_can_still_send_an_offer(
    phones, monkeypatch
):
    placed, taken = await phones.connect()
    with monkeypatch.context() as patch:
        patch.setattr(taken.media, "answer", lambda _: b"v=1")
        with pytest.raises(SdpParseError):
            await within(placed.hold())
    assert placed.media.local_hold is None
    await within(taken.hold())
    assert placed.held_by_peer
