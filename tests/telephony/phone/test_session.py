"""Session timers (RFC 4028) between two phones, with clocks put forward."""

import asyncio
from dataclasses import replace

import pytest

from telephony.phone import CallState


async def within(awaitable, seconds=5):
    return await asyncio.wait_for(awaitable, seconds)


def age(call, seconds):
    """Let the session be older by so much."""
    timer = call.session.timer
    call.session._start(replace(timer, started=timer.started - seconds))


async def test_both_sides_agree_on_one_interval_and_one_refresher(phones):
    placed, taken = await phones.connect()
    one, other = placed.session.timer, taken.session.timer
    assert one.interval == other.interval == 1800
    assert one.we_refresh is not other.we_refresh


@pytest.mark.parametrize("updates", [True, False])
async def test_a_session_is_refreshed_half_way_for_both(phones, updates):
    placed, taken = await phones.connect()
    refresher, other = sorted((placed, taken), key=lambda call: not call.session.timer.we_refresh)
    refresher.session.peer_accepts_update = updates
    before = other.session.timer.started
    said = refresher.media.local_sdp
    age(refresher, 900)
    await within(other.changes.until(lambda: other.session.timer.started > before))
    await within(refresher.changes.until(lambda: refresher.session.timer.started > before))
    assert (refresher.media.local_sdp == said) is updates
    assert placed.state is taken.state is CallState.ANSWERED


async def test_a_session_that_nobody_refreshes_ends_the_call(phones):
    placed, taken = await phones.connect()
    waiting = placed if taken.session.timer.we_refresh else taken
    age(waiting, 1800)
    await within(placed.wait_for(CallState.ENDED))
    await within(taken.wait_for(CallState.ENDED))


async def test_a_session_that_is_too_short_is_refused_with_what_we_take(phones):
    call = await phones.first.call("202", headers=[("Supported", "timer")])
    taken = await within(phones.came.get())
    await taken.answer()
    await within(call.wait_for(CallState.ANSWERED))
    headers = (("Session-Expires", "30"), ("Supported", "timer"))
    _, response = await within(call.requests.send(call.dialog, "UPDATE", headers))
    assert (response.status, response.headers.get("Min-SE")) == (422, "90")


def test_less_than_ninety_seconds_is_nobodys_session(make_phone):
    with pytest.raises(ValueError, match="90"):
        make_phone(session_expires=30)
