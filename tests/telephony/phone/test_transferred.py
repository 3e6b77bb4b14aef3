"""Phones that are transferred (REFER) or that replace another phone (Replaces).

Covers `telephony/phone/transferred.py`.
"""

import asyncio
import contextlib

import pytest

from helpers import loopback
from helpers.phone import tone
from telephony.phone import CallFailedError, CallState, VoIPCall


async def within(awaitable, seconds=10):
    return await asyncio.wait_for(awaitable, seconds)


class Three:
    """Three phones in a ring, each the server of one other: 201 calls 202, that 203, that 201."""

    def __init__(self, phones, came, moves):
        self.first, self.second, self.third = phones
        self.came, self.moves = came, moves

    async def connect(self):
        placed = await self.first.call("202")
        taken = await within(self.came.get())
        await taken.answer()
        await within(placed.wait_for(CallState.ANSWERED))
        return placed, taken


@pytest.fixture
async def three(make_phone):
    came, moves = asyncio.Queue[VoIPCall](), asyncio.Queue[tuple[VoIPCall, VoIPCall]]()

    async def moved(old, new):
        await moves.put((old, new))

    async with contextlib.AsyncExitStack() as stack:
        options = {"call_callback": came.put, "transfer_callback": moved}
        port = loopback.free_port()
        third = make_phone(("127.0.0.1", port), user="203", call_callback=came.put)
        await stack.enter_async_context(third)
        second = make_phone(third.address, user="202", **options)
        await stack.enter_async_context(second)
        first = make_phone(second.address, call_callback=came.put, sip_port=port)
        await stack.enter_async_context(first)
        yield Three((first, second, third), came, moves)


async def test_a_transferred_phone_calls_the_target_and_reports_the_outcome(three, hears):
    placed, taken = await three.connect()
    outcome = asyncio.create_task(placed.transfer("203"))
    old, new = await within(three.moves.get())
    assert old is taken
    target = await within(three.came.get())
    assert target.request.uri.user == "203"
    assert "sip:201@" in target.request.headers.get("Referred-By")
    await target.answer()
    assert await within(outcome) == 200
    await within(placed.wait_for(CallState.ENDED))
    await within(taken.wait_for(CallState.ENDED))
    await new.write_audio(tone(440))
    assert await hears(target, 440)


@pytest.mark.parametrize("status", [486, 603])
async def test_a_transfer_that_the_target_refuses_leaves_the_call_unchanged(three, status):
    placed, taken = await three.connect()
    outcome = asyncio.create_task(placed.transfer("203"))
    await (await within(three.came.get())).deny(status)
    assert await within(outcome) == status
    assert placed.state is taken.state is CallState.ANSWERED
    assert placed.refer_sent.statuses[0] == 100


async def test_an_attended_transfer_joins_the_two_other_phones(three):
    placed, taken = await three.connect()
    consulted = await three.third.call("201", [("X-Here", "first")])
    consulted_here = await within(three.came.get())
    assert consulted_here.request.headers.get("X-Here") == "first"
    await consulted_here.answer()
    await within(consulted.wait_for(CallState.ANSWERED))
    outcome = asyncio.create_task(placed.attended_transfer(consulted_here))
    joined = await within(three.came.get())
    assert joined.takes_over is consulted
    await joined.answer()
    assert await within(outcome) == 200
    for call in (placed, taken, consulted, consulted_here):
        await within(call.wait_for(CallState.ENDED))
    _, new = await within(three.moves.get())
    assert new.state is joined.state is CallState.ANSWERED


@pytest.mark.parametrize(
    ("value", "status"),
    [("nobody;to-tag=1;from-tag=2", 481), ("no tags", 400), ("{};early-only", 486)],
)
async def test_an_invalid_replaces_ends_the_new_call_with_its_status(phones, value, status):
    placed, _ = await phones.connect()
    headers = [("Replaces", value.format(placed.replaces))]
    call = await phones.first.call("202", headers)
    with pytest.raises(CallFailedError):
        await within(call.wait_for(CallState.ANSWERED))
    assert call.status == status
    assert phones.came.empty()


async def test_a_replaces_for_a_ringing_call_gets_481(phones):
    placed = await phones.first.call("202")
    await within(placed.wait_for(CallState.RINGING))
    other = await phones.first.call("202", [("Replaces", placed.replaces)])
    await within(other.wait_for(CallState.ENDED))
    assert other.status == 481
    assert placed.state is CallState.RINGING


async def test_a_refer_with_an_unusable_target_is_refused(three):
    placed, _ = await three.connect()
    for uri, status in (("<mailto:a@b>", 416), ("<sip:203@a.example;method=BYE>", 603), ("", 400)):
        _, response = await within(
            placed.requests.send(placed.dialog, "REFER", (("Refer-To", uri),))
        )
        assert response.status == status
    assert three.moves.empty()
