"""What few phones do and a B2BUA must bear: late offers, early media, glare, UPDATE, 3xx."""

import asyncio

import pytest

from telephony.aio.transport import SipTransport
from telephony.errors import ProtocolError
from telephony.phone import CallFailedError, CallState, InvalidStateError
from telephony.sdp import Direction
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, IncomingInvite


async def within(awaitable, seconds=5):
    return await asyncio.wait_for(awaitable, seconds)


async def ringing(phones, **options):
    placed = await phones.first.call("202", **options)
    return placed, await within(phones.came.get())


async def test_a_late_offer_is_answered_in_the_ack(phones, sine, hears):
    placed, taken = await ringing(phones, late_offer=True)
    assert not taken.request.body
    await taken.answer()
    await within(placed.wait_for(CallState.ANSWERED))
    await asyncio.gather(placed.write_audio(sine(440)), taken.write_audio(sine(1000)))
    assert await hears(taken, 440)
    assert await hears(placed, 1000)


async def test_the_caller_hears_before_the_answer(phones, sine, hears):
    placed, taken = await ringing(phones)
    await taken.progress()
    await taken.write_audio(sine(440))
    assert await hears(placed, 440)
    assert (placed.state, taken.state) == (CallState.RINGING, CallState.RINGING)
    said = taken.media.said
    await taken.answer()
    await within(placed.wait_for(CallState.ANSWERED))
    assert placed.statuses == [180, 183, 200]
    assert taken.media.said == said
    await placed.write_audio(sine(1000))
    assert await hears(taken, 1000)


async def test_who_progresses_may_still_refuse(phones):
    placed, taken = await ringing(phones)
    await taken.progress()
    await within(placed.wait_for(CallState.RINGING))
    await taken.deny(486)
    await within(placed.wait_for(CallState.ENDED))
    assert placed.status == 486


async def test_nothing_is_said_early_where_nothing_was_agreed(phones):
    placed, taken = await ringing(phones, late_offer=True)
    for wanted in (taken.progress(), taken.write_audio(b""), placed.write_audio(b"")):
        with pytest.raises(InvalidStateError):
            await wanted
    await within(placed.hangup())


async def test_both_sides_hold_at_once_and_both_get_their_way(phones):
    placed, taken = await phones.connect()
    await within(asyncio.gather(placed.hold(), taken.hold()), 20)
    assert placed.media.stream.remote.receive is taken.media.stream.remote.receive is False
    await within(asyncio.gather(placed.resume(), taken.resume()), 20)
    assert placed.media.stream.remote.receive is taken.media.stream.remote.receive is True


async def test_an_update_changes_the_session_and_one_without_sdp_refreshes_it(phones):
    placed, taken = await phones.connect()
    placed.media.hold = Direction.SENDONLY
    offer = placed.media.offer()
    sdp = (("Content-Type", "application/sdp"),)
    _, answered = await within(placed.errands.send(placed.dialog, "UPDATE", sdp, offer))
    assert answered.status == 200
    placed.media.answered(answered.body)
    assert taken.media.stream.remote.receive is False
    _, refreshed = await within(placed.errands.send(placed.dialog, "UPDATE"))
    assert (refreshed.status, refreshed.body) == (200, b"")
    assert taken.media.stream.remote.receive is False


async def test_an_update_that_crosses_an_offer_of_ours_is_pending(phones):
    placed, taken = await phones.connect()
    taken.media.offer()
    offer = placed.media.offer()
    sdp = (("Content-Type", "application/sdp"),)
    _, answered = await within(placed.errands.send(placed.dialog, "UPDATE", sdp, offer))
    assert answered.status == 491


async def test_a_3xx_tells_where_to_and_ends_the_call(make_phone):
    def moved(event):
        if isinstance(event, IncomingInvite):
            contacts = [("Contact", "<sip:203@192.0.2.9>"), ("Contact", "<sip:204@192.0.2.9>")]
            event.invite.respond(302, headers=contacts, now=transport.now)

    transport = SipTransport(Endpoint(), moved)
    there = await transport.listen(Address("127.0.0.1", 0))
    async with make_phone(there) as phone:
        call = await phone.call("202")
        with pytest.raises(CallFailedError):
            await within(call.wait_for(CallState.ANSWERED))
        assert call.moved_to == ["sip:203@192.0.2.9", "sip:204@192.0.2.9"]
        assert call.statuses == [302]
    transport.close()
    await asyncio.sleep(0)


def contacts(*users):
    return [("Contact", user) for user in users]


@pytest.fixture
async def diverter():
    """A server that sends calls to and fro, as `answers` says by the user that is called."""
    answers, asked = {}, []

    def answer(event):
        if isinstance(event, IncomingInvite):
            user = event.invite.request.uri.user
            asked.append(user)
            status, targets = answers[user]
            event.invite.respond(status, headers=contacts(*targets), now=transport.now)

    transport = SipTransport(Endpoint(), answer)
    there = await transport.listen(Address("127.0.0.1", 0))
    yield there, answers, asked
    transport.close()
    await asyncio.sleep(0)


async def test_the_targets_of_a_3xx_are_tried_by_preference_and_each_once(make_phone, diverter):
    there, answers, asked = diverter
    answers |= {
        "202": (302, ["<sip:203@a.example>;q=0.2", "<sip:204@a.example>;q=0.9"]),
        "204": (301, ["<sip:205@a.example>", "<sip:202@127.0.0.1>"]),
        "205": (486, []),
        "203": (404, []),
    }
    async with make_phone(there) as phone:
        answers["202"][1].append(f"<sip:202@127.0.0.1:{there.port}>;q=0.95")
        call = await phone.call("202", follow=True)
        await within(call.wait_for(CallState.ENDED))
        assert asked[:3] == ["202", "204", "205"]
        assert asked[-1] == "203"
        assert call.statuses[:3] == [302, 301, 486]
        assert call.status == 404


async def test_who_declines_everywhere_is_not_asked_elsewhere(make_phone, diverter):
    there, answers, asked = diverter
    answers |= {
        "202": (300, ["<sip:203@a.example>", "<sip:204@a.example>"]),
        "203": (603, []),
    }
    async with make_phone(there) as phone:
        call = await phone.call("202", follow=True)
        await within(call.wait_for(CallState.ENDED))
        assert asked == ["202", "203"]
        assert call.status == 603


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
async def test_who_is_held_knows_it_in_either_form(phones, direction):
    placed, taken = await phones.connect()
    await within(placed.hold(direction))
    assert (placed.held, taken.held) == (False, True)
    assert placed.media.stream.remote.send is False
    await within(placed.resume())
    assert not taken.held


async def test_an_address_of_zeros_is_a_hold_too(phones):
    placed, taken = await phones.connect()
    old = b"v=0\r\no=- 1 9 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    old += b"m=audio 40000 RTP/AVP 8\r\n"
    sdp = (("Content-Type", "application/sdp"),)
    _, answered = await within(placed.errands.send(placed.dialog, "INVITE", sdp, old))
    assert answered.status == 200
    assert taken.held


async def test_keys_are_pressed_by_info(phones):
    placed, taken = await phones.connect()
    await within(placed.send_dtmf("1*a", by="info"))
    assert await within(taken.get_dtmf(3)) == "1*A"
    with pytest.raises(ProtocolError):
        await placed.send_dtmf("x", by="info")
