"""Hold, resume and UPDATE within a call, even if both sides ask at once.

Covers `telephony/phone/dispatch.py` and `telephony/phone/dialog_requests.py`.
"""

import asyncio

import pytest

from telephony.sdp import Direction


async def within(awaitable, seconds=5):
    return await asyncio.wait_for(awaitable, seconds)


async def test_both_sides_hold_at_once_and_both_get_their_way(phones):
    placed, taken = await phones.connect()
    await within(asyncio.gather(placed.hold(), taken.hold()), 20)
    assert placed.media.stream.remote.receive is taken.media.stream.remote.receive is False
    await within(asyncio.gather(placed.resume(), taken.resume()), 20)
    assert placed.media.stream.remote.receive is taken.media.stream.remote.receive is True


async def test_an_update_changes_the_session_and_one_without_sdp_refreshes_it(phones):
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


async def test_an_update_that_crosses_an_offer_of_ours_is_pending(phones):
    placed, taken = await phones.connect()
    taken.media.offer()
    offer = placed.media.offer()
    sdp = (("Content-Type", "application/sdp"),)
    _, answered = await within(placed.requests.send(placed.dialog, "UPDATE", sdp, offer))
    assert answered.status == 491


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
async def test_who_is_held_knows_it_in_either_form(phones, direction):
    placed, taken = await phones.connect()
    await within(placed.hold(direction))
    assert (placed.held_by_peer, taken.held_by_peer) == (False, True)
    assert placed.media.stream.remote.send is False
    await within(placed.resume())
    assert not taken.held_by_peer


async def test_an_address_of_zeros_is_a_hold_too(phones):
    placed, taken = await phones.connect()
    old = b"v=0\r\no=- 1 9 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    old += b"m=audio 40000 RTP/AVP 8\r\n"
    sdp = (("Content-Type", "application/sdp"),)
    _, answered = await within(placed.requests.send(placed.dialog, "INVITE", sdp, old))
    assert answered.status == 200
    assert taken.held_by_peer
