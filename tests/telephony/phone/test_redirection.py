"""A 3xx at the calling phone: its targets are reported, or tried one after another."""

import asyncio

import pytest

from telephony.aio.transport import SipTransport
from telephony.phone import CallFailedError, CallState
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, IncomingInvite


async def within(awaitable, seconds=5):
    return await asyncio.wait_for(awaitable, seconds)


async def test_a_3xx_ends_the_call_and_its_contacts_are_reported(make_phone):
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
    """A server that answers a call with the status and targets that `answers` has for its user."""
    answers: dict = {}
    asked: list = []

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


async def test_the_targets_of_a_3xx_are_tried_once_each_in_order_of_preference(
    make_phone, diverter
):
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


async def test_a_603_stops_the_search_through_the_targets_of_a_3xx(make_phone, diverter):
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
