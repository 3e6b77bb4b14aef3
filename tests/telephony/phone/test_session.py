"""Session timers (RFC 4028) between two phones, with their start moved into the past."""

import asyncio
from dataclasses import replace

import pytest

from telephony.phone import CallState


async def within(awaitable, seconds=5):
    return await asyncio.wait_for(awaitable, seconds)


def age(call, seconds):
    """Move the session's start this many seconds into the past."""
    timer = call.session.timer
    call.session._start(replace(timer, started=timer.started - seconds))


async def test_both_sides_agree_on_the_session_interval_and_the_refresher(phones):
    placed, taken = await phones.connect()
    one, other = placed.session.timer, taken.session.timer
    assert one.interval == other.interval == 1800
    assert one.we_refresh is not other.we_refresh


@pytest.mark.parametrize("updates", [True, False])
async def test_a_session_is_refreshed_on_both_sides_after_half_its_interval(phones, updates):
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


async def test_after_a_refresh_with_an_unreadable_answer_the_peer_can_still_send_an_offer(
    phones, monkeypatch
):
    placed, taken = await phones.connect()
    refresher, other = sorted((placed, taken), key=lambda call: not call.session.timer.we_refresh)
    refresher.session.peer_accepts_update = False
    before = refresher.session.timer.started
    with monkeypatch.context() as patch:
        patch.setattr(other.media, "answer", lambda _: b"v=1")
        age(refresher, 900)
        await within(refresher.changes.until(lambda: refresher.session.timer.started > before))
    await within(other.hold())
    assert refresher.held_by_peer


async def test_a_session_without_a_refresh_ends_the_call(phones):
    placed, taken = await phones.connect()
    waiting = placed if taken.session.timer.we_refresh else taken
    age(waiting, 1800)
    await within(placed.wait_for(CallState.ENDED))
    await within(taken.wait_for(CallState.ENDED))


async def test_a_session_interval_that_is_too_short_gets_422_with_our_min_se(phones):
    call = await phones.first.call("202", headers=[("Supported", "timer")])
    taken = await within(phones.came.get())
    await taken.answer()
    await within(call.wait_for(CallState.ANSWERED))
    headers = (("Session-Expires", "30"), ("Supported", "timer"))
    _, response = await within(call.requests.send(call.dialog, "UPDATE", headers))
    assert (response.status, response.headers.get("Min-SE")) == (422, "90")


def test_a_phone_with_a_session_interval_below_90_s_is_refused(make_phone):
    with pytest.raises(ValueError, match="90"):
        make_phone(session_expires=30)
