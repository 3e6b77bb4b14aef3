"""Hold, resume and UPDATE within a call, also from both sides at the same time.

Covers `telephony/phone/dispatch.py` and `telephony/phone/dialog_requests.py`.
"""

import asyncio

import pytest

from telephony.sdp import Direction
from telephony.sip.dialog import Dialog


async def within(awaitable, seconds=5):
    return await asyncio.wait_for(awaitable, seconds)


async def test_simultaneous_holds_by_both_sides_both_succeed(phones, monkeypatch):
    random_delay = Dialog.glare_delay
    monkeypatch.setattr(Dialog, "glare_delay", lambda dialog: random_delay(dialog) / 10)
    placed, taken = await phones.connect()
    await within(asyncio.gather(placed.hold(), taken.hold()), 20)
    assert placed.media.stream.remote.receive is taken.media.stream.remote.receive is False
    await within(asyncio.gather(placed.resume(), taken.resume()), 20)
    assert placed.media.stream.remote.receive is taken.media.stream.remote.receive is True


async def test_an_update_with_sdp_changes_the_media_and_one_without_only_refreshes(phones):
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
